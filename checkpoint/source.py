"""Where the stored items of a memory come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from checkpoint.errors import NotLoaded
from checkpoint.ids import SessionKey
from checkpoint.known import KnownItems
from checkpoint.pages import PageData
from checkpoint.record import PageRef


class Source(NamedTuple):
    """Where a session's stored items come from.

    Attributes:
        key, revision: what was restored.
        pages: those at hand, by id.
        fetch: fetches pages into ``pages``; asynchronous code has to await what it returns.
        path: where the memory is in the state.
        known: what is known of the items of this field.
    """

    key: SessionKey
    revision: int
    pages: dict[bytes, PageData]
    fetch: Callable[[Sequence[PageRef], dict[bytes, PageData]], Any]
    path: tuple[str, ...] = ()
    known: KnownItems = KnownItems(0)

    def of(self, path: tuple[str, ...], known: KnownItems | None = None) -> Source:
        """The same for a memory; nothing is known of its items, or what is to be kept."""
        return Source(self.key, self.revision, self.pages, self.fetch, path, known or self.known)

    def get(self, refs: Sequence[PageRef], advice: str) -> None:
        """Have pages at hand.

        Raises:
            NotLoaded: this is asynchronous code.
        """
        missing = [ref for ref in refs if ref.id not in self.pages]
        if missing:
            fetching = self.fetch(missing, self.pages)
            if hasattr(fetching, "__await__"):
                fetching.close()
                raise NotLoaded(advice, **self.key._asdict())
