"""What differs between the asynchronous source and its generated blocking twin."""

from __future__ import annotations

import time
from inspect import isawaitable
from typing import Any

from checkpoint.errors import InvalidOption


async def async_sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


async def async_value(value: Any) -> Any:
    """What a caller's function returned, awaited if it must be."""
    return await value if isawaitable(value) else value


def value(value: Any) -> Any:
    """What a caller's function returned.

    Raises:
        InvalidOption: it was an ``async def`` function.
    """
    if isawaitable(value):
        getattr(value, "close", lambda: None)()
        raise InvalidOption(
            "an async function was given to a blocking checkpointer; use open_async"
        )
    return value
