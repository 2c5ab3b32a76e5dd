"""Pages as parts of a document: their references and contents."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from checkpoint._document.encoded import split_array
from checkpoint._ids import SessionKey

PAGE_ID_SIZE = 24


class PageRef(NamedTuple):
    """A reference to a page, as a base has it.

    Attributes:
        id: 8 random bytes and the digest of the page's stored form.
        owner: the session that stores the page; None for the record's own session.
        version: version of the schema its items were saved with.
        anchor: the page that it is compressed against; None if there is none. An anchor has none.
    """

    id: bytes
    owner: SessionKey | None
    version: int
    anchor: PageRef | None = None


class PageData:
    """The contents of a loaded page."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @property
    def size(self) -> int:
        """Bytes in memory: twice as many once its items were split."""
        return len(self.raw) * (2 if "items" in self.__dict__ else 1)

    @cached_property
    def items(self) -> list[bytes]:
        """The encoded items, of a page of a list."""
        return split_array(self.raw)
