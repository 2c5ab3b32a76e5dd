"""The base class of all parts of the contract: provides a new store for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from checkpoint._ids import SessionKey
from checkpoint.store import PageInfo, Store
from checkpoint.testing.chain import KEY

SOAK = bool(os.environ.get("CHECKPOINT_SOAK"))
"""Whether to run long tests, too."""


class Suite:
    """A part of the contract; ``StoreSuite`` and ``AsyncStoreSuite`` combine all parts."""

    durable: bool = True
    keeps_times: bool = True
    examples: int = 40

    def connected(self, place: Path) -> AbstractContextManager[Store]:
        """Open the store at ``place``, wrapped as a blocking one, and close it at the end."""
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        return None

    def listed(self, store: Store, key: SessionKey = KEY) -> list[PageInfo]:
        """All pages of a session, in the form of :meth:`info`."""
        return [self.info(*page) for page in store.list_pages(key)]

    def info(self, id: bytes, stored_at: int, size: int) -> PageInfo:
        """A page in a listing; without its time if the store sets it."""
        return PageInfo(id, stored_at if self.keeps_times else 0, size)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        place = tmp_path / "place"
        place.mkdir()
        yield place
        shutil.rmtree(place, ignore_errors=True)  # pytest would keep gigabytes

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Store]:
        with self.connected(place) as store:
            yield store
