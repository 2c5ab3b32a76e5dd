"""An event loop whose time is a number: an hour takes no time, and no two runs differ."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from checkpoint._async import maintenance
from checkpoint._records import baseline, pagination

T = TypeVar("T")


def _sizes(rng: random.Random) -> list[tuple[Any, str, int]]:
    """Pages of a few items and short segments: a short run has what a store has after days."""
    page = rng.choice((200, 200, 800, 5000))
    return [
        (pagination, "PAGE_SIZE", page),
        (pagination, "_TAIL_SIZE", page // 4),
        (pagination, "_SCATTERED", page // 2),
        (baseline, "MAX_PATCHES", rng.choice((2, 5, 20))),
        (baseline, "_MIN_PATCH_BYTES", rng.choice((500, 2000))),
        (maintenance, "_EVERY", 4),
    ]


class Stuck(RuntimeError):
    """Nothing is left that could happen, and the run is not at its end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks one after the other, in the order they were made ready.

    When all of them wait, its time moves on to the first that wakes. It has no sockets, no files
    and no threads, so nothing comes from outside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(False)  # which is slow, and reads the host's clock
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self  # what the loop waits with, between two rounds

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait, as a selector does: time has moved on when this returns."""
        if timeout is None:
            raise Stuck("all tasks wait for what will never happen")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


def run(seed: int, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop of its own, with time and randomness that follow from the seed."""
    loop = VirtualLoop()
    try:
        with _sealed_off(seed, loop):
            return loop.run_until_complete(main(loop))
    finally:
        _end_tasks(loop)
        loop.close()


@contextmanager
def _sealed_off(seed: int, loop: VirtualLoop) -> Iterator[None]:
    """While this lasts, the clocks of the process are the loop's and its randomness the seed's."""
    rng = random.Random(f"process of {seed}")
    changed: list[tuple[Any, str, Any]] = [
        *_sizes(rng),
        (os, "urandom", rng.randbytes),
        (time, "monotonic", loop.time),
        (time, "perf_counter", loop.time),
        (time, "time_ns", None),  # what needs the time of day is given a clock
    ]
    given = [(module, name, getattr(module, name)) for module, name, _ in changed]
    state = random.getstate()
    random.seed(seed)
    try:
        for module, name, value in changed:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in given:
            setattr(module, name, value)
        random.setstate(state)


def _end_tasks(loop: VirtualLoop) -> None:
    """Cancel what is left, and let it end."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
