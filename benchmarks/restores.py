"""One very long session as a whole: how long it takes to restore, and what its bytes are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgpack
import zstandard
from harness import Estimate, Samples, Target, interleaved, ratio, seconds
from sessions import SEED, WINDOW, Agent, compacted_size, copied, opened

from checkpoint import Retention

LEVEL = 3  # of Zstandard, as the library's
PER_REVISION = 450  # bytes that a revision may take beside what it adds to the list


# --- time ----------------------------------------------------------------------------------------


def time_restores(directory: Path, file: Path, session: str, rounds: int) -> Samples:
    """Time restores by a replica without a cache, and the same state read from one file."""
    plain = directory / "plain.zst"
    with opened(file)[0] as cp:
        plain.write_bytes(packed(cp.restore(session).state))

    def restore(window: int | None) -> float:
        with opened(file, cached=False)[0] as cp:
            return seconds(lambda: touch(cp.restore(session, window=window).state, window))

    def from_file() -> float:
        return seconds(lambda: touch(unpacked(plain.read_bytes()), None))

    subjects: dict[str, Callable[[], float]] = {
        "restore": partial(restore, None),
        f"restore, window of {WINDOW}": partial(restore, WINDOW),
        "from one file": from_file,
    }
    return interleaved(subjects, rounds=rounds, warm_up=1, seed=SEED)


def packed(state: Agent) -> bytes:
    """The least that a state can be kept as: one compressed map."""
    raw: bytes = msgpack.packb(state.model_dump())
    return zstandard.ZstdCompressor(level=LEVEL).compress(raw)


def unpacked(data: bytes) -> Agent:
    """The state of :func:`packed`, validated."""
    return Agent.model_validate(msgpack.unpackb(zstandard.ZstdDecompressor().decompress(data)))


def touch(state: Agent, window: int | None) -> None:
    """Look at every message of the window, so that nothing is put off."""
    length = len(state.memory)
    for number in range(max(0, length - window) if window else 0, length):
        _ = state.memory[number].role


def restore_targets(samples: Samples) -> list[Target]:
    """Restores over the plain file."""
    whole, window, plain = samples.values()
    return [
        Target("b. restore over one file", ratio(whole, plain), 1.5),
        Target("b. window over one file", ratio(window, plain), 1 / 50),
        Target("b. window over restore", ratio(window, whole), 1 / 50),
    ]


# --- bytes ---------------------------------------------------------------------------------------


def count_bytes(directory: Path, file: Path, session: str) -> dict[str, int]:
    """The session's bytes: with all its history, pruned, and as one compressed list."""
    pruned = copied(file, directory / "pruned.db")
    with opened(pruned)[0] as cp:
        restored = cp.restore(session)
        cp.prune(session, Retention(keep_last=1), grace=timedelta(0))
    return {
        "messages": len(restored.state.memory),
        "revisions": restored.revision,
        "one compressed list": len(packed(restored.state)),
        "file with all history": compacted_size(copied(file, directory / "compacted.db")),
        "file with the last revision": compacted_size(pruned),
    }


def byte_targets(sizes: dict[str, int]) -> list[Target]:
    """Files over the compressed list, and what revisions may take."""
    listed = sizes["one compressed list"]
    every = sizes["file with all history"] / (listed + PER_REVISION * sizes["revisions"])
    last = sizes["file with the last revision"] / (listed + PER_REVISION)
    return [
        Target("c. all history over list and revisions", Estimate(every, every, every), 1.8),
        Target("c. last revision over list", Estimate(last, last, last), 1.5),
    ]
