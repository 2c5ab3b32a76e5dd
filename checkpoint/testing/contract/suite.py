"""What all parts of the contract need: a store, new for each test."""

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
"""Run what takes long, too."""


class Suite:
    """A part of the contract; ``StoreSuite`` and ``AsyncStoreSuite`` are all of them together."""

    durable: bool = True
    keeps_times: bool = True
    examples: int = 40

    def connected(self, place: Path) -> AbstractContextManager[Store]:
        """A store of what is kept at ``place``, closed in the end; blocking, whatever it is."""
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        return None

    def listed(self, store: Store, key: SessionKey = KEY) -> list[PageInfo]:
        """All pages of a session, as :meth:`info` tells them."""
        return [self.info(*page) for page in store.list_pages(key)]

    def info(self, id: bytes, stored_at: int, size: int) -> PageInfo:
        """A page in a listing; without its time where that is the store's own."""
        return PageInfo(id, stored_at if self.keeps_times else 0, size)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        place = tmp_path / "place"
        place.mkdir()
        yield place
        shutil.rmtree(place, ignore_errors=True)  # pytest would keep gigabytes for a while

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Store]:
        with self.connected(place) as store:
            yield store
