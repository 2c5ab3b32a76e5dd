"""What the tests of windows share: a model with a memory, small pages, and long sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from checkpoint import AgentState, AsyncCheckpointer, Memory
from checkpoint._document.items import ItemList, list_at
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.segment import read

from .apis import Place

SESSION = "user-42"
COUNT = 200
"""Notes of the session that tests begin with."""


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
        patch.setattr("checkpoint._records.pagination.PAGE_SIZE", size)
        patch.setattr("checkpoint._records.pagination.ANCHORED", 4)
        if patches is not None:
            patch.setattr("checkpoint._records.baseline.MAX_PATCHES", patches)
        yield


Cp = AsyncCheckpointer[Notes]


def prepared(place: Place, **options: Any) -> Cp:
    """A replica that knows nothing yet of the session that is there."""
    place.rival(Notes).save(SESSION, Notes(memory=Memory(notes(COUNT))))
    return place.open(Notes, **options)


async def windowed(cp: Cp, window: int = 5, **which: Any) -> Notes:
    return (await cp.restore(SESSION, window=window, **which)).state


def stored(place: Place, session_id: str = SESSION) -> list[Note]:
    """The newest notes, as a replica that restores all of them sees them."""
    return list(place.rival(Notes).restore(session_id).state.memory)


def layout(place: Place) -> ItemList:
    """The newest memory as it is stored: its pages, and what is in the record."""
    key = SessionKey("default", SESSION)
    store = place._store()
    segment = store.read(key)
    if place.url != "memory://":
        store.close()
    assert segment is not None
    document = read(key, segment.records, Limits(10**9)).build(key, {}).document
    items = list_at(document, ("memory",))
    assert items is not None
    return items
