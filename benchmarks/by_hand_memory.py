"""How much memory a turn of a long session takes, for ``by_hand.py``."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from harness import Estimate, Target, table
from items import Kind
from ways import APPEND, COLD, NAIVE, TURN, Cold, NaiveRow, Ours, Way, build, copied

AT_MOST = 3.0  # times the bytes of the items, encoded
SESSION = "session-0"
ROOMY = f"{TURN}, room to keep it"


class Roomy(Ours):
    """``cp.turn(session)`` with a cache that this session fits in; it does not in the usual one."""

    OPENED = {"cache_bytes": 1 << 30}


WAYS: dict[str, type[Way]] = {NAIVE: NaiveRow, TURN: Ours, ROOMY: Roomy, COLD: Cold}


class Took(NamedTuple):
    """Bytes that Python allocated.

    Attributes:
        held: what was there before the turn: a cache, for one.
        peak: the most that the turn had beyond that.
    """

    held: int
    peak: int


def took(way: Way, kind: Kind, items: int) -> Took:
    """The memory of a turn that appends two messages, of a session that has had one before.

    Args:
        items: how many the session has.
    """
    tracemalloc.start()
    try:
        for at in range(items, items + 4, 2):
            said = [kind.made(at), kind.made(at + 1)]
            gc.collect()
            tracemalloc.reset_peak()
            held, _ = tracemalloc.get_traced_memory()
            way.turn(SESSION, APPEND, said)
            _, peak = tracemalloc.get_traced_memory()
        return Took(held, peak - held)
    finally:
        tracemalloc.stop()


def measure_memory(directory: Path, kind: Kind, size: int) -> dict[str, Any]:
    """Measure the ways that load a session whole, and tell it."""
    items = [kind.made(number) for number in range(size)]
    encoded = sum(len(msgpack.packb(item.model_dump())) for item in items)
    built = directory / "built.db"
    build(built, kind, [SESSION], items)
    measured = {}
    for name, made in WAYS.items():
        file = directory / f"{name}.db"
        if issubclass(made, Ours):
            copied(built, file)
        way = made(file, kind, [SESSION], items)
        measured[name] = took(way, kind, size)
        way.close()
    print(f"\nmemory of a turn: {size:,} {kind.name} messages, {_megabytes(encoded)} MB as encoded")
    rows = [[name, *map(_megabytes, each)] for name, each in measured.items()]
    print(table([["", "held before, MB", "at most beyond it, MB"], *rows]))
    over = {name: each.peak / encoded for name, each in measured.items() if name != NAIVE}
    targets = [
        Target(f"{name}, peak over the items as encoded", Estimate(each, each, each), AT_MOST)
        for name, each in over.items()
    ]
    print("\ntargets")
    print(table([target.row() for target in targets]))
    return {
        "messages": size,
        "encoded": encoded,
        "memory": {name: each._asdict() for name, each in measured.items()},
        "targets": [target.row() for target in targets],
    }


def _megabytes(number: int) -> str:
    return f"{number / 1e6:.1f}"
