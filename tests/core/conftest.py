"""What several tests of the core share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .layouts import ANCHORED, PAGE


@pytest.fixture(scope="module")
def _small_pages() -> Iterator[None]:
    """Pages so small that a few dozen items fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("checkpoint._records.pagination.PAGE_SIZE", PAGE)
        patch.setattr("checkpoint._records.pagination.ANCHORED", ANCHORED)
        yield
