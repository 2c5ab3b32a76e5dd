"""What all parts of the contract need: a store, new for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from checkpoint.store import Store

SOAK = bool(os.environ.get("CHECKPOINT_SOAK"))
"""Run what takes long, too."""


class Suite:
    """A part of the contract; ``StoreSuite`` and ``AsyncStoreSuite`` are all of them together."""

    durable: bool = True
    examples: int = 40

    def connected(self, place: Path) -> AbstractContextManager[Store]:
        """A store of what is kept at ``place``, closed in the end; blocking, whatever it is."""
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        return None

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
