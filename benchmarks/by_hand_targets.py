"""What ``by_hand.py`` measures, and what its figures should be at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness import Target, ratio
from items import Kind
from ways import (
    APPEND,
    COLD,
    COLD_WINDOW,
    EDIT_ONE,
    ITERATE_ALL,
    LAST_50,
    NAIVE,
    OPENAI,
    TURN,
    TYPED,
    WINDOW,
)

# By the length of the session, the first form over the row that has it all.
OVER_NAIVE = {10: 1.5, 100: 1.5, 1_000: 0.2, 10_000: 0.03}
FLAT = 1.2  # and that of the longest over that of 100 messages
ALL_FROZEN, ALL_MUTABLE = 0.15, 1.2  # where all items are looked at, from 1,000 on
COLD_OVER_NAIVE = 1.5  # from 1,000 on
COLD_OVER_CACHED = 3.0
WHOLE = 1.0  # of a state that is always loaded whole, at 1,000
OVER_TYPED = 1.5
OVER_OPENAI = 1.0


class Measured(NamedTuple):
    """Seconds of a turn: what each round gave, of the processor and on the clock."""

    kind: str
    touch: str
    way: str
    size: int
    cpu: list[float]
    wall: list[float]


def targets(kind: Kind, measured: Sequence[Measured]) -> list[Target]:
    """The targets for the turns of a kind, as far as those were measured."""
    return list(Targets(kind, measured))


class Targets:
    """The targets of a kind, one after the other; what was not measured has none."""

    def __init__(self, kind: Kind, measured: Sequence[Measured]) -> None:
        self._kind = kind
        self._cpu = {(each.touch, each.way, each.size): each.cpu for each in measured}
        self._sizes = sorted({each.size for each in measured})

    def __iter__(self) -> Iterator[Target]:
        for touch in (APPEND, LAST_50, EDIT_ONE):
            yield from self._first_form(touch) if self._kind.windowed else self._whole(touch)
        if self._kind.windowed:
            yield from self._all()
            yield from self._cold()
            yield from self._windowed()

    def _first_form(self, touch: str) -> Iterator[Target]:
        for size in self._sizes:
            yield from self._over(touch, size, TURN, NAIVE, OVER_NAIVE.get(size))
        long, short = (self._cpu.get((touch, TURN, size)) for size in (10_000, 100))
        if long and short:
            name = f"{self._kind.name}, {touch}: {TURN}, 10,000 over 100"
            yield Target(name, ratio(long, short), FLAT)

    def _whole(self, touch: str) -> Iterator[Target]:
        yield from self._over(touch, 1_000, TURN, NAIVE, WHOLE)

    def _all(self) -> Iterator[Target]:
        for size in (1_000, 10_000):
            at_most = ALL_FROZEN if self._kind.frozen else ALL_MUTABLE
            yield from self._over(ITERATE_ALL, size, TURN, NAIVE, at_most)

    def _cold(self) -> Iterator[Target]:
        for size in (1_000, 10_000):
            yield from self._over(APPEND, size, COLD, NAIVE, COLD_OVER_NAIVE)
        for size in self._sizes:
            yield from self._over(APPEND, size, COLD_WINDOW, WINDOW, COLD_OVER_CACHED)

    def _windowed(self) -> Iterator[Target]:
        for touch in (APPEND, LAST_50, EDIT_ONE):
            for size in self._sizes:
                yield from self._over(touch, size, WINDOW, TYPED, OVER_TYPED)
        for size in self._sizes:
            yield from self._over(APPEND, size, WINDOW, OPENAI, OVER_OPENAI)

    def _over(
        self, touch: str, size: int, way: str, other: str, at_most: float | None
    ) -> Iterator[Target]:
        """That one way takes at most so much of another, if both were measured."""
        over, under = (self._cpu.get((touch, each, size)) for each in (way, other))
        if over and under and at_most is not None:
            name = f"{self._kind.name}, {touch}, {size:,}: {way} over {other}"
            yield Target(name, ratio(over, under), at_most)
