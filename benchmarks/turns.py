"""What a turn costs a short and a very long session on SQLite, what a restore of it, and its bytes.

    python benchmarks/turns.py [--quick] [--json FILE] [--profile] [--keep DIRECTORY]

Sessions of 100 to 100,000 messages are built by windowed turns of two messages each. Then:

a. a windowed turn (restore a window of 50, append two messages, save), at each length, against a
   bare driver that reads and writes as many bytes; by a replica that has its cache, and by one that
   has none;
b. the whole of the longest session restored, and a window of it, against the same state read from
   one file, decompressed, decoded and validated;
c. the bytes of that session's file, with all its history and with its last revision alone, against
   the same list compressed whole.

Targets are told as met or missed; the exit code is 0 either way, for a benchmark only measures.
``--profile`` tells instead where the time of a turn and of a restore goes. ``--keep`` names where
the sessions are built, for a later run of the same code to find them there.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from harness import (
    Estimate,
    Target,
    environment,
    estimate,
    interleaved,
    ratio,
    seconds,
    table,
    write,
)
from restores import byte_targets, count_bytes, restore_targets, time_restores, touch
from sessions import SEED, WINDOW, BareDriver, Pair, build, copied, opened, pairs

FLAT = 1.3  # how much the longest session may cost over the shortest
OVER_BARE = 3.0  # and over the bare driver


class Scale(NamedTuple):
    """How long the sessions are, and how often things are timed."""

    lengths: tuple[int, ...]
    turns: int
    warm_up: int
    restores: int

    @property
    def longest(self) -> int:
        """The length of the longest session."""
        return self.lengths[-1]


FULL = Scale(lengths=(100, 1_000, 10_000, 100_000), turns=300, warm_up=30, restores=7)
QUICK = Scale(lengths=(40, 400), turns=6, warm_up=2, restores=2)


# --- sessions ------------------------------------------------------------------------------------


def played(length: int, scale: Scale) -> dict[str, int]:
    """Sessions of about this length; several of a short one, so that no turn makes it much longer.

    Theirs differ a little, so that they are timed both soon after a base and long after one.
    """
    number = max(1, 8 * (scale.turns + scale.warm_up) // length)
    return {f"session-{n}": length + 2 * (n - number // 2) for n in range(number)}


def built(directory: Path, scale: Scale) -> dict[int, Path]:
    """A file of sessions for each length, built unless it is there."""
    files = {}
    unfinished = directory / "unfinished.db"
    for length in scale.lengths:
        files[length] = file = directory / f"sessions of {length}.db"
        if not file.exists():
            for end in ("", "-wal", "-shm"):
                Path(f"{unfinished}{end}").unlink(missing_ok=True)
            names = played(length, scale)
            took = seconds(partial(build, unfinished, names))
            turns = sum(names.values()) // 2
            each = took / turns * 1e3
            print(f"built {length:,} messages: {turns:,} turns, {took:.1f} s, {each:.2f} ms each")
            unfinished.rename(file)
    return files


# --- a. turns ------------------------------------------------------------------------------------


class Turns:
    """Windowed turns of the sessions in a file, one after the other; each is timed and counted."""

    def __init__(self, file: Path, names: list[str], said: list[Pair], *, cached: bool) -> None:
        self.cp, self._counting = opened(file, cached=cached)
        self._next = zip(cycle(names), cycle(said))
        self.read: list[int] = []
        self.written: list[int] = []

    def by_turn(self) -> float:
        """One ``cp.turn``; the seconds it takes."""
        return self._counted(self._turn)

    def by_save(self) -> float:
        """One ``cp.restore`` and ``cp.save``; the seconds they take."""
        return self._counted(self._save)

    def _counted(self, call: Callable[[str, Pair], None]) -> float:
        name, said = next(self._next)
        said = [message.model_copy(deep=True) for message in said]
        self._counting.read_bytes = self._counting.written_bytes = 0
        took = seconds(partial(call, name, said))
        self.read.append(self._counting.read_bytes)
        self.written.append(self._counting.written_bytes)
        return took

    def _turn(self, name: str, said: Pair) -> None:
        with self.cp.turn(name, window=WINDOW) as turn:
            turn.state.memory.extend(said)

    def _save(self, name: str, said: Pair) -> None:
        state = self.cp.restore(name, window=WINDOW).state
        state.memory.extend(said)
        self.cp.save(name, state)


class Measured(NamedTuple):
    """Turns of one kind at one length, and those of the bare driver with the same bytes."""

    length: int
    kind: str
    took: list[float]
    bare: list[float]
    read: list[int]
    written: list[int]

    def row(self) -> list[str]:
        """Its line of the table."""
        p50, p95 = estimate(self.took).scaled(1e3), estimate(self.took, 0.95).scaled(1e3)
        bare = estimate(self.bare).scaled(1e3)
        return [
            f"{self.length:,} {self.kind}",
            f"{p50.value:.2f} ({p50.low:.2f} to {p50.high:.2f})",
            f"{p95.value:.2f} ({p95.low:.2f} to {p95.high:.2f})",
            f"{bare.value:.2f}",
            f"{ratio(self.took, self.bare).value:.1f}",
            f"{median(self.read):,.0f}",
            f"{median(self.written):,.0f}",
            f"{mean(self.written):,.0f}",
        ]


HEADING = [
    "messages, how",
    "p50 ms",
    "p95 ms",
    "bare ms",
    "x bare",
    "read B",
    "written B",
    "mean B",
]
KINDS = {"turn": True, "turn, no cache": False, "save": True, "save, no cache": False}


def time_turns(directory: Path, files: dict[int, Path], scale: Scale) -> list[Measured]:
    """Time all kinds of turns at all lengths, and the bare driver for each, in the same rounds."""
    said = list(islice(pairs(skip=scale.longest), scale.warm_up + scale.turns))
    subjects: dict[str, Callable[[], float]] = {}
    turns: dict[tuple[int, str], Turns] = {}
    with ExitStack() as stack:
        for length, file in files.items():
            for kind, cached in KINDS.items():
                name = f"{length} {kind}"
                names = list(played(length, scale))
                its = Turns(copied(file, directory / f"{name}.db"), names, said, cached=cached)
                stack.enter_context(its.cp)
                bare = BareDriver(directory / f"{name} bare.db")
                stack.callback(bare.close)
                turns[length, kind] = its
                subjects[name] = its.by_turn if kind.startswith("turn") else its.by_save
                subjects[f"{name} bare"] = partial(_bare, bare, its)
        samples = interleaved(subjects, rounds=scale.turns, warm_up=scale.warm_up, seed=SEED)
    return [
        Measured(
            length,
            kind,
            samples[f"{length} {kind}"],
            samples[f"{length} {kind} bare"],
            its.read[scale.warm_up :],
            its.written[scale.warm_up :],
        )
        for (length, kind), its in turns.items()
    ]


def _bare(driver: BareDriver, like: Turns) -> float:
    """A turn of the bare driver, with the bytes of the latest of those turns."""
    if not like.read:  # the very first of the rounds for warming up
        return 0.0
    return seconds(partial(driver.turn, like.read[-1], like.written[-1]))


def turn_targets(measured: list[Measured]) -> list[Target]:
    """As flat from the shortest to the longest, and as close to the bare driver, as they should."""
    targets = []
    for kind in KINDS:
        short, *_, long = (each for each in measured if each.kind == kind)
        name = f"a. {kind}, {long.length:,} over"
        written = median(long.written) / median(short.written)
        targets += [
            Target(f"{name} {short.length:,}, p50", ratio(long.took, short.took), FLAT),
            Target(f"{name} {short.length:,}, p95", ratio(long.took, short.took, 0.95), FLAT),
            Target(f"{name} {short.length:,}, bytes", Estimate(written, written, written), FLAT),
            Target(f"{name} bare driver, p50", ratio(long.took, long.bare), OVER_BARE),
        ]
    return targets


# --- the report ----------------------------------------------------------------------------------


def measure(directory: Path, files: dict[int, Path], scale: Scale) -> dict[str, Any]:
    """Measure all there is, and tell it on the way."""
    around = environment(directory)
    print("\n".join(f"{name}: {value}" for name, value in around.items()))
    longest, session = files[scale.longest], next(iter(played(scale.longest, scale)))

    measured = time_turns(directory, files, scale)
    print(f"\na. windowed turns, {scale.turns} of each kind")
    print(table([HEADING, *(each.row() for each in measured)]))

    restored = time_restores(directory, longest, session, scale.restores)
    print(f"\nb. {scale.longest:,} messages, {scale.restores} times")
    print(table([["", "ms"], *([name, _ms(took)] for name, took in restored.items())]))

    sizes = count_bytes(directory, longest, session)
    print("\nc. bytes")
    print(table([[name, f"{size:,}"] for name, size in sizes.items()]))

    targets = [*turn_targets(measured), *restore_targets(restored), *byte_targets(sizes)]
    print("\ntargets")
    print(table([target.row() for target in targets]))
    return {
        "environment": around,
        "scale": scale._asdict(),
        "turns": [each._asdict() for each in measured],
        "restores": restored,
        "bytes": sizes,
        "targets": [target.row() for target in targets],
    }


def _ms(took: list[float], share: float = 0.5) -> str:
    value, low, high = estimate(took, share).scaled(1e3)
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def profile(directory: Path, file: Path, scale: Scale) -> None:
    """Tell where the time of turns of the longest session goes, and of a restore of it."""
    names = list(played(scale.longest, scale))
    said = list(islice(pairs(skip=scale.longest), scale.turns))
    for cached in (True, False):
        turns = Turns(copied(file, directory / f"profiled {cached}.db"), names, said, cached=cached)
        with turns.cp:
            turns.by_turn()
            _profiled(f"{scale.turns} turns, cached: {cached}", scale.turns, turns.by_turn)
    with opened(file, cached=False)[0] as cp:
        whole = partial(cp.restore, names[0])
        _profiled("one restore", 1, lambda: touch(whole().state, None))


def _profiled(what: str, times: int, call: Callable[[], object]) -> None:
    profiler = cProfile.Profile()
    for _ in range(times):
        profiler.runcall(call)
    print(f"\n{what}")
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short sessions, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--profile", action="store_true", help="tell where the time goes instead")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="for the built sessions")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.keep) as name:
        directory = Path(name)
        files = built(options.keep or directory, scale)
        if options.profile:
            profile(directory, files[scale.longest], scale)
            return
        result = measure(directory, files, scale)
    if options.json:
        write(options.json, result)


if __name__ == "__main__":
    main()
