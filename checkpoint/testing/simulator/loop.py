"""An event loop with virtual time: waiting takes no time, and every run is repeatable."""

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
    """Small pages and short segments, so that a short run resembles days of use."""
    page = rng.choice((200, 200, 800, 5000))
    return [
        (pagination, "PAGE_SIZE", page),
        (baseline, "MAX_PATCHES", rng.choice((2, 5, 20))),
        (baseline, "_MIN_PATCH_BYTES", rng.choice((500, 2000))),
        (maintenance, "_EVERY", 4),
    ]


class Stuck(RuntimeError):
    """All tasks wait, but the run has not ended."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks one after the other, in the order they become ready.

    When all tasks wait, time advances to the first that wakes. There are no sockets, files or
    threads, so no events come from outside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(False)  # debug mode is slow, and reads the host's clock
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self  # the loop waits by calling select

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Advance the time, instead of waiting like a selector."""
        if timeout is None:
            raise Stuck("all tasks wait, and no event is scheduled")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: there are no events."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread calls."""


def run(seed: int, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a new loop, with time and randomness determined by the seed."""
    loop = VirtualLoop()
    try:
        with _isolated(seed, loop):
            return loop.run_until_complete(main(loop))
    finally:
        _end_tasks(loop)
        loop.close()


@contextmanager
def _isolated(seed: int, loop: VirtualLoop) -> Iterator[None]:
    """Replace the clocks of the process by the loop's, and its randomness by the seed's."""
    rng = random.Random(f"process of {seed}")
    changed: list[tuple[Any, str, Any]] = [
        *_sizes(rng),
        (os, "urandom", rng.randbytes),
        (time, "monotonic", loop.time),
        (time, "perf_counter", loop.time),
        (time, "time_ns", None),  # code that needs the time of day gets a clock as an argument
    ]
    originals = [(module, name, getattr(module, name)) for module, name, _ in changed]
    state = random.getstate()
    random.seed(seed)
    try:
        for module, name, value in changed:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in originals:
            setattr(module, name, value)
        random.setstate(state)


def _end_tasks(loop: VirtualLoop) -> None:
    """Cancel the remaining tasks, and wait for them."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
