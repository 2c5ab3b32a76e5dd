"""Processes and stores for the tests of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .nursery import Nursery


@pytest.fixture(scope="module")
def warm() -> Iterator[Nursery]:
    """One warm process for the tests of a module."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def nursery(warm: Nursery) -> Iterator[Nursery]:
    """Starts processes; those that are left at the end of a test are ended."""
    yield warm
    warm.end_all()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite store that is not there yet."""
    return f"sqlite:///{tmp_path}/sessions.db"
