"""What the tests of windows share: a model with a memory, small pages, and long sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel

from checkpoint import AgentState, Memory


class Note(BaseModel):
    n: int
    text: str = ""
    tags: list[str] = []


class Notes(AgentState, schema="notes", version=1):
    memory: Memory[Note] = Memory()


def note(n: int) -> Note:
    return Note(n=n, text=f"note {n} ")


def notes(*bounds: int) -> list[Note]:
    return [note(n) for n in range(*bounds)]


@contextmanager
def small_pages(size: int = 400, patches: int | None = None) -> Iterator[None]:
    """Pages of so many bytes, so that a few dozen items fill several.

    Args:
        patches: begin a new segment, with a layout of its own, after so many.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("checkpoint.paginate.PAGE_SIZE", size)
        patch.setattr("checkpoint.paginate._TAIL_SIZE", size // 4)
        patch.setattr("checkpoint.paginate._SCATTERED", size // 2)
        patch.setattr("checkpoint.paginate.ANCHORED", 4)
        if patches is not None:
            patch.setattr("checkpoint.segment.MAX_PATCHES", patches)
        yield
