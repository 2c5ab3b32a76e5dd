"""A SQLite store in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from checkpoint_sql.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite store of a test keeps its file."""
    return tmp_path / "sessions.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SqliteStore]:
    """A new SQLite store in the file ``path``."""
    opened = SqliteStore(str(path))
    yield opened
    opened.close()
