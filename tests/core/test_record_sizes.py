"""Records of large states, with pages of their real size: some hundred kilobytes at most."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import checkpoint
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.segment import read
from checkpoint._stores.inmemory import InMemoryStore

from ..effort import SOAK

pytestmark = pytest.mark.slow

KEY = SessionKey("default", "user-42")
MOST = 350_000
"""Bytes of a base of two long lists at most, compressed or not."""

TIMES = 10 if SOAK else 1
_noise = Random(7).randbytes(400_000).hex()


def text(n: int, size: int) -> str:
    start = n * 7919 % (len(_noise) - size)
    return _noise[start : start + size]


def messages(count: int, size: int = 150) -> list[dict[str, Any]]:
    return [{"role": "user", "id": n, "content": text(n, size)} for n in range(count)]


STATES: dict[str, Any] = {
    "a long list": lambda: {"memory": messages(20_000 * TIMES)},
    "lists deep inside": lambda: {"a": [{"b": {"c": messages(9000)}}], "d": {"e": messages(9000)}},
    "a list with a few large items": lambda: {
        "memory": [*messages(9000), *messages(3, 300_000), *messages(9000)]
    },
    "large items": lambda: {"files": [text(n, 300_000) for n in range(5)]},
    "a large map": lambda: {"cursors": {f"feed {n}": text(n, 50) for n in range(30_000)}},
    "a large text": lambda: {"log": _noise * 3},
    "large bytes": lambda: {"blob": _noise.encode() * 3},
    "all of it": lambda: {
        "config": {"prompt": text(1, 300_000)},
        "memory": messages(9000),
        "cursors": {f"feed {n}": n for n in range(30_000)},
    },
}


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
def test_a_record_is_some_hundred_kilobytes_at_most(make: Any) -> None:
    store = InMemoryStore()
    state = make()
    cp = checkpoint.open(store, max_bytes=10**9, cache_bytes=0)
    cp.save("user-42", state)
    assert cp.restore("user-42").state == state
    restored = cp.restore("user-42").state
    restored["turn"] = 2
    cp.save("user-42", restored)
    cp.rollback("user-42", 2)
    assert cp.restore("user-42").state == state | {"turn": 2}
    for revision in (1, 2, 3):
        segment = store.read(KEY, revision)
        assert segment is not None
        record = segment.records[-1]
        assert len(record.header) + len(record.body) < MOST, revision
        tip = read(KEY, segment.records, Limits(10**9)).tip
        assert tip.base_raw + tip.patch_raw < MOST, revision
    listed = store.list_pages(KEY)
    assert sum(page.size for page in listed) > 200_000
    assert len(listed) == len({page.id for page in listed}), "nothing was written twice"
