"""Pauses, retries and results of callers' functions, for coroutines and for blocking code."""

from __future__ import annotations

import time
from inspect import isawaitable
from random import random
from typing import Any

from checkpoint.errors import InvalidOption


async def async_sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


class _Attempts:
    """A limited number of attempts, with growing pauses in between.

    Iterating yields the number of attempts left after the current one. There is a pause before
    each attempt except the first; it doubles each time, and half of it is random.

    Args:
        most: number of attempts.
        first: upper limit of the first pause, in seconds.
        longest: upper limit of every pause, in seconds.
    """

    def __init__(self, most: int = 20, *, first: float = 0.004, longest: float = 0.25) -> None:
        self._left = most
        self._is_first = True
        self._pause = first
        self._longest = longest

    def _seconds(self) -> float:
        """The pause before the next attempt that is not the first."""
        pause = min(self._pause, self._longest)
        self._pause = 2 * pause
        return pause * (0.5 + random() / 2)


class AsyncAttempts(_Attempts):
    """Attempts of a coroutine, for ``async for``."""

    def __aiter__(self) -> AsyncAttempts:
        return self

    async def __anext__(self) -> int:
        self._left -= 1
        if self._left < 0:
            raise StopAsyncIteration
        if self._is_first:
            self._is_first = False
        elif seconds := self._seconds():
            await async_sleep(seconds)
        return self._left


class Attempts(_Attempts):
    """Attempts of blocking code, for ``for``."""

    def __iter__(self) -> Attempts:
        return self

    def __next__(self) -> int:
        self._left -= 1
        if self._left < 0:
            raise StopIteration
        if self._is_first:
            self._is_first = False
        elif seconds := self._seconds():
            sleep(seconds)
        return self._left


async def async_value(value: Any) -> Any:
    """The result of a caller's function, awaited if necessary."""
    return await value if isawaitable(value) else value


def value(value: Any) -> Any:
    """The result of a caller's function.

    Raises:
        InvalidOption: it is an ``async def`` function.
    """
    if isawaitable(value):
        getattr(value, "close", lambda: None)()
        raise InvalidOption("a blocking checkpointer cannot call an async function; use open_async")
    return value
