"""Names that callers give, and how places are written: what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpoint
from checkpoint import Checkpointer, InvalidId
from checkpoint._document.paths import format_path
from checkpoint._ids import MAX_BYTES, check_id

from ..effort import case, examples
from ..strategies import TEXTS

GOOD = {
    "plain": "user-42",
    "slashes": "/tenant//user/../42/",
    "spaces": " a b ",
    "other scripts": "用户-42 ключ",
    "emoji with joiners": "👩\u200d👩\u200d👧",
    "combining": "e\u0301",
    "right to left": "\u202eabc",
    "private use": "\ue000\U0010ffff",
    "wildcards": "%_*?[a]'\";--",
    "longest": "x" * 512,
    "longest of emoji": "👩" * 128,
    "number": "0",
}
BAD: dict[str, Any] = {
    "empty": "",
    "too long": "x" * 513,
    "too long in bytes": "é" * 257,
    "line break": "a\nb",
    "nul": "a\0",
    "tab": "\t",
    "delete": "a\x7f",
    "c1 control": "a\x85b",
    "lone surrogate": "a\ud800",
    "bytes": b"user-42",
    "int": 42,
    "none": None,
}


@pytest.mark.parametrize("name", GOOD)
def test_an_id_that_a_store_can_keep_is_kept_as_it_is(name: str) -> None:
    assert check_id(GOOD[name], "session id") == GOOD[name]
    with checkpoint.open("memory://", namespace=GOOD[name]) as cp:
        cp.save(GOOD[name], {"n": 1})
        assert [info.session_id for info in cp.sessions()] == [GOOD[name]]
        assert cp.restore(GOOD[name]).snapshot.namespace == GOOD[name]


def test_ids_are_not_normalised() -> None:
    with checkpoint.open("memory://") as cp:
        for number, session_id in enumerate(["User", "user", "é", "e\u0301", "user ", "user/"]):
            cp.save(session_id, {"n": number})
        assert len(list(cp.sessions())) == 6
        assert cp.restore("user").state == {"n": 1}


CALLS: dict[str, Callable[[Checkpointer[Any], Any], object]] = {
    "restore": lambda cp, bad: cp.restore(bad),
    "save": lambda cp, bad: cp.save(bad, {}),
    "turn": lambda cp, bad: cp.turn(bad),
    "turn id": lambda cp, bad: cp.turn("user-42", turn_id=bad or ""),
    "run": lambda cp, bad: cp.run(bad, lambda state: state),
    "overwrite": lambda cp, bad: cp.overwrite(bad, {}),
    "history": lambda cp, bad: cp.history(bad),
    "diff": lambda cp, bad: cp.diff(bad, 1, 1),
    "document": lambda cp, bad: cp.document(bad),
    "fork from": lambda cp, bad: cp.fork(bad, "new"),
    "fork to": lambda cp, bad: cp.fork("user-42", bad),
    "rollback": lambda cp, bad: cp.rollback(bad, 1),
    "delete": lambda cp, bad: cp.delete(bad),
    "label": lambda cp, bad: cp.label("user-42", bad),
    "label of": lambda cp, bad: cp.label(bad, "label"),
    "unlabel": lambda cp, bad: cp.unlabel("user-42", bad),
    "namespace": lambda _, bad: checkpoint.open("memory://", namespace=bad),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_id_that_no_store_could_keep_is_refused_everywhere(call: str) -> None:
    with checkpoint.open("memory://") as cp:
        cp.save("user-42", {"n": 1})
        for name, bad in BAD.items():
            with case(name):
                with pytest.raises(InvalidId) as caught:
                    CALLS[call](cp, bad)
                assert len(str(caught.value)) < 300
                assert str(caught.value).encode()
                assert [info.session_id for info in cp.sessions()] == ["user-42"]


@examples(300)
@given(TEXTS)
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = b""
    controls = any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    if 0 < len(encoded) <= MAX_BYTES and not controls:
        assert check_id(text, "session id") == text
    else:
        with pytest.raises(InvalidId, match="session id"):
            check_id(text, "session id")


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "written"),
    [
        ([], "the state itself"),
        (["memory"], "memory"),
        (["memory", 17, "role"], "memory[17].role"),
        (["a", "tool calls", "b"], "a['tool calls'].b"),
        (["a", ""], "a['']"),
        (["a", "0"], "a['0']"),
        (["a", 1, 2.5, True, None], "a[1][2.5][True][None]"),
        ([0, "a"], "[0].a"),
        (["a", (1, "b")], "a[(1, 'b')]"),
        (["a", "x" * 100 + "!"], "a['" + "x" * 59 + "]"),
    ],
    ids=str,
)
def test_a_place_is_written_as_python_would(keys: list[object], written: str) -> None:
    assert format_path(keys) == written


@examples(100)
@given(st.lists(st.text() | st.integers() | st.floats() | st.binary(), max_size=5))
def test_any_place_can_be_written(keys: list[object]) -> None:
    assert format_path(keys)
