"""Pages as a document knows them: how they are named, and what is inside."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from checkpoint._document.encoded import split_array
from checkpoint._ids import SessionKey

PAGE_ID_SIZE = 24


class PageRef(NamedTuple):
    """A page that a base names.

    Attributes:
        id: of the page: 8 random bytes and the digest of its stored form.
        owner: the session that stores it; None for the record's own.
        version: version of the schema its items were saved with.
        anchor: the page that it is compressed against, if there is one, which has none itself.
    """

    id: bytes
    owner: SessionKey | None
    version: int
    anchor: PageRef | None = None


class PageData:
    """What is inside of a page that was read."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @property
    def size(self) -> int:
        """Bytes of it, twice where its items were cut out of it."""
        return len(self.raw) * (2 if "items" in self.__dict__ else 1)

    @cached_property
    def items(self) -> list[bytes]:
        """The encoded items, for a page of a list."""
        return split_array(self.raw)
