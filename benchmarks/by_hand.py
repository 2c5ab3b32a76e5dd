r"""What a turn costs in the form a person types first, against what they would write by hand.

    python benchmarks/by_hand.py [--kinds …] [--touches …] [--sizes …] [--rounds 7] [--quick]
                                 [--json FILE]
    python benchmarks/by_hand.py --memory [--quick] [--json FILE]
    python benchmarks/by_hand.py --once WAY KIND TOUCH SIZE [--times 20]

A turn reads a session of 10 to 10,000 messages from SQLite, touches it, appends two messages, and
is on disk when it ends. The library's turns and what people write by hand (``ways.py``) are timed
in the same rounds, for messages of several types (``items.py``). Of the library, only what is
public is used.

The main figure is the processor's time of this process, which others on the machine hardly disturb;
the time on the clock is the second. Targets are told as met or missed; the exit code is 0 either
way, for a benchmark only measures.

``--memory`` tells instead how much memory a turn takes on a session of 100,000 plain messages.

``--once`` makes ``--times`` turns (60 at most) in one way and times nothing, so that their
instructions can be counted. All but the turns is the same whatever their number: run it with two
numbers, and divide the difference of the counts by the difference of the numbers::

    for times in 20 40; do
        PYTHONHASHSEED=0 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
            python benchmarks/by_hand.py --once turn plain append 100 --times $times
    done

LangChain's messages and OpenAI Agents' ``SQLiteSession`` are there where their packages are
installed: ``pip install --group bench``.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

from by_hand_memory import measure_memory
from by_hand_targets import Measured, targets
from harness import Samples, Target, environment, estimate, interleaved, table, write
from items import NAMES, SEED, Kind, kinds
from ways import OPENAI, TOUCHES, Ours, Way, build, compared, copied, ways

SHORTEST = 10  # messages of a session: less is too little to change one near its end
GROWTH = 10  # a session of n messages gets n/10 turns at most, and is a fifth longer after them
TOGETHER = 3_000  # messages in the sessions of the turns that are timed together, about
ONCE = 60  # turns that --once has enough to say for
LONG, LONG_QUICK = 100_000, 2_000  # messages of the session for --memory


class Scale(NamedTuple):
    """How long the sessions are, and how often turns of them are timed.

    Attributes:
        most: turns of a short session that are timed together in each round, which gives their
            mean; of a long one it is fewer.
    """

    sizes: tuple[int, ...]
    rounds: int
    most: int

    def turns(self, size: int) -> int:
        """How many turns of sessions of a length are timed together."""
        return max(1, min(self.most, TOGETHER // size))

    def sessions(self, size: int) -> list[str]:
        """As many sessions of a length as it takes for none to get much longer."""
        turns = self.rounds * self.turns(size)
        return [f"session-{n}" for n in range(-(-turns // (size // GROWTH)))]


FULL = Scale(sizes=(10, 100, 1_000, 10_000), rounds=7, most=6)
QUICK = Scale(sizes=(10, 100), rounds=2, most=1)


# --- timing --------------------------------------------------------------------------------------


class Turns:
    """Turns in one way of some sessions, one session after the other.

    Each session has had one turn before any is timed, and ``size`` messages after it.
    """

    def __init__(self, way: Way, kind: Kind, touch: str, sessions: list[str], size: int) -> None:
        self._way = way
        self._kind = kind
        self._touch = touch
        self._sessions = cycle(sessions)
        self._numbers = count(size - 2, 2)
        self.wall: list[float] = []
        self.make(self.said(len(sessions)))

    def said(self, turns: int) -> list[Sequence[Any]]:
        """What is said in the next turns, ready to be appended."""
        made, prepared = self._kind.made, self._way.prepared
        return [prepared([made(at), made(at + 1)]) for at in islice(self._numbers, turns)]

    def make(self, said: list[Sequence[Any]]) -> None:
        """Make a turn for each pair of messages."""
        turn, touch = self._way.turn, self._touch
        for pair in said:
            turn(next(self._sessions), touch, pair)

    def timed(self, turns: int) -> float:
        """Make some turns; return the processor's seconds for each, and keep those on the clock.

        What is in memory already, for the other ways too, is none of the garbage collector's
        business meanwhile: it would look through it all at the cost of whoever's turn it is.
        """
        said = self.said(turns)
        gc.freeze()
        began, used = perf_counter(), process_time()
        self.make(said)
        used, took = process_time() - used, perf_counter() - began
        gc.unfreeze()
        self.wall.append(took / turns)
        return used / turns


class Prepared:
    """Sessions of a kind in a directory, built once for all that the library does with them."""

    def __init__(self, directory: Path, kind: Kind) -> None:
        self._directory = directory
        self._kind = kind
        self._items: dict[int, list[Any]] = {}
        self._files = count()

    @contextmanager
    def turns(self, way: type[Way], touch: str, size: int, sessions: list[str]) -> Iterator[Turns]:
        """Turns in a way of its own copy of the sessions."""
        file = self._directory / f"{next(self._files)}.db"
        its = self._opened(way, file, size, sessions)
        try:
            yield Turns(its, self._kind, touch, sessions, size)
        finally:
            its.close()
            for end in ("", "-wal", "-shm"):
                Path(f"{file}{end}").unlink(missing_ok=True)

    def _opened(self, way: type[Way], file: Path, size: int, sessions: list[str]) -> Way:
        if size not in self._items:
            self._items[size] = [self._kind.made(number) for number in range(size - 2)]
        items = self._items[size]
        if issubclass(way, Ours):
            built = self._directory / f"sessions of {size}.db"
            if not built.exists():
                build(built, self._kind, sessions, items)
            copied(built, file)
        return way(file, self._kind, sessions, items)


def time_turns(prepared: Prepared, kind: Kind, touch: str, scale: Scale) -> list[Measured]:
    """Time all ways at all lengths in the same rounds."""
    subjects: dict[str, Callable[[], float]] = {}  # none needs warming up: each made turns before
    wall: Samples = {}
    cells = [(size, name) for size in scale.sizes for name in compared(kind, touch)]
    with ExitStack() as stack:
        for size, name in cells:
            way, sessions = ways()[name], scale.sessions(size)
            turns = stack.enter_context(prepared.turns(way, touch, size, sessions))
            subjects[f"{name} {size}"] = partial(turns.timed, scale.turns(size))
            wall[f"{name} {size}"] = turns.wall
        cpu = interleaved(subjects, rounds=scale.rounds, warm_up=0, seed=SEED)
    return [
        Measured(
            kind.name,
            touch,
            name,
            size,
            cpu[f"{name} {size}"],
            wall[f"{name} {size}"],
        )
        for size, name in cells
    ]


def time_kind(directory: Path, kind: Kind, touches: Sequence[str], scale: Scale) -> list[Measured]:
    """Time all that is done with a kind of messages."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        prepared = Prepared(Path(name), kind)
        return [each for touch in touches for each in time_turns(prepared, kind, touch, scale)]


# --- the report ----------------------------------------------------------------------------------


def measure(
    directory: Path, names: Sequence[str], touches: Sequence[str], scale: Scale
) -> dict[str, Any]:
    """Measure all there is, and tell it on the way."""
    around = environment(directory)
    print("\n".join(f"{name}: {value}" for name, value in around.items()))
    together = ", ".join(f"{scale.turns(size)} of {size:,} messages" for size in scale.sizes)
    print(f"{scale.rounds} rounds; turns in each, for each way: {together}")
    known = kinds(names)
    for name in (*(name for name in names if name not in known), *({OPENAI} - ways().keys())):
        print(f"{name}: left out, its package is not installed (pip install --group bench)")
    measured: list[Measured] = []
    told: list[Target] = []
    for kind in known.values():
        its = time_kind(directory, kind, touches, scale)
        measured += its
        told += (its_targets := targets(kind, its))
        print(f"\n{kind.name}: processor's ms of a turn (and interval); ms on the clock")
        print(table(_rows(its, scale.sizes)))
        if its_targets:
            print(f"\n{kind.name}: targets")
            print(table([target.row() for target in its_targets]), flush=True)
    print(f"\n{sum(target.met for target in told)} of {len(told)} targets met")
    return {
        "environment": around,
        "scale": scale._asdict(),
        "turns": [each._asdict() for each in measured],
        "targets": [target.row() for target in told],
    }


def _rows(measured: list[Measured], sizes: Sequence[int]) -> list[list[str]]:
    """A line for each way to do each thing, a column for each length."""
    cells: dict[str, list[str]] = {}
    for each in measured:
        value, low, high = estimate(each.cpu).scaled(1e3)
        wall = estimate(each.wall).value * 1e3
        cell = f"{value:.3g} ({low:.3g} to {high:.3g}); {wall:.3g}"
        cells.setdefault(f"{each.touch}, {each.way}", []).append(cell)
    heading = ["", *(f"{size:,} messages" for size in sizes)]
    return [heading, *([name, *row] for name, row in cells.items())]


def once(directory: Path, way: type[Way], kind: Kind, touch: str, size: int, times: int) -> None:
    """Make so many turns; what comes before and after them does not depend on the number."""
    scale = Scale(sizes=(size,), rounds=ONCE, most=1)
    with Prepared(directory, kind).turns(way, touch, size, scale.sessions(size)) as turns:
        turns.make(turns.said(ONCE)[:times])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=NAMES, default=NAMES, help="of messages")
    parser.add_argument("--touches", nargs="+", choices=TOUCHES, default=TOUCHES)
    parser.add_argument("--sizes", nargs="+", type=int, help="messages of a session, 10 or more")
    parser.add_argument("--rounds", type=int, help="7 by default")
    parser.add_argument("--quick", action="store_true", help="short sessions, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--memory", action="store_true", help="tell how much memory a turn takes")
    parser.add_argument("--once", nargs=4, metavar=("WAY", "KIND", "TOUCH", "SIZE"))
    parser.add_argument("--times", type=int, default=20, help=f"turns of --once, at most {ONCE}")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    sizes = [int(options.once[-1])] if options.once else options.sizes or scale.sizes
    scale = scale._replace(sizes=tuple(sizes), rounds=options.rounds or scale.rounds)
    if min(scale.sizes) < SHORTEST:
        parser.error(f"a session has {SHORTEST} messages or more")
    if options.times > ONCE:
        parser.error(f"--times is at most {ONCE}")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        if options.once:
            way, kind, touch, _ = options.once
            for name, known in ((way, ways()), (kind, kinds([kind])), (touch, TOUCHES)):
                if name not in known:
                    parser.error(f"there is no {name!r}, or not without its package")
            once(directory, ways()[way], kinds([kind])[kind], touch, sizes[0], options.times)
            return
        if options.memory:
            size = LONG_QUICK if options.quick else LONG
            result = measure_memory(directory, kinds(["plain"])["plain"], size)
        else:
            result = measure(directory, options.kinds, options.touches, scale)
    if options.json:
        write(options.json, result)


if __name__ == "__main__":
    main()
