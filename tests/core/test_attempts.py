"""Attempts: how many, and how long the pauses between them are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from checkpoint._runtime.waiting import AsyncAttempts, Attempts

Made = tuple[list[int], list[float]]
"""How many attempts were left at each, and the pauses, in seconds."""


@pytest.fixture(params=["blocking", "asynchronous"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    pauses: list[float] = []

    async def pass_on(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", pauses.append)
    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)

    def run(most: int = 20, **options: float) -> Made:
        async def all_of_them() -> list[int]:
            return [left async for left in AsyncAttempts(most, **options)]

        if request.param == "blocking":
            return [*Attempts(most, **options)], pauses
        return asyncio.run(all_of_them()), pauses

    return run


@pytest.mark.parametrize("most", [1, 2, 20])
def test_there_are_as_many_as_were_asked_for_and_a_pause_between_two(
    made: Callable[..., Made], most: int
) -> None:
    left, pauses = made(most)
    assert left == [*range(most - 1, -1, -1)]
    assert len(pauses) == most - 1


def test_pauses_double_up_to_the_longest_and_half_of_each_is_random(
    made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawn, share in (0.0, 0.5), (1.0, 1.0):
        monkeypatch.setattr("checkpoint._runtime.waiting.random", lambda drawn=drawn: drawn)
        _, pauses = made(7, first=0.1, longest=0.5)
        assert pauses == [share * seconds for seconds in (0.1, 0.2, 0.4, 0.5, 0.5, 0.5)]
        pauses.clear()


def test_without_a_first_pause_there_is_none(made: Callable[..., Made]) -> None:
    assert made(5, first=0) == ([4, 3, 2, 1, 0], [])
