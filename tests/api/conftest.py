"""Tests that are ``async def`` run by ``asyncio.run``, on each API and each store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer

from .apis import Place
from .models import Support


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before the next attempt."""

    async def pass_on(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", lambda seconds: None)
    monkeypatch.setattr("checkpoint._runtime.waiting.async_sleep", pass_on)


MORE = {("async", "sqlite"), ("sync", "memory")}
"""What only a full run tries: a quick one has each API once, and each store once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        call = getattr(item, "callspec", None)
        if call is not None and (call.params.get("api"), call.params.get("url")) in MORE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(params=["async", "sync"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/agents.db"


@pytest.fixture
def place(api: str, url: str) -> Iterator[Place]:
    place = Place(api, url)
    yield place
    place.close()


@pytest.fixture
def cp(place: Place) -> AsyncCheckpointer[dict[str, Any]]:
    """A checkpointer of plain dicts."""
    return place.open()


@pytest.fixture
def support(place: Place) -> AsyncCheckpointer[Support]:
    """A checkpointer of a typed agent."""
    return place.open(Support)
