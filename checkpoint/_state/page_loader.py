"""Page loader: loads the pages of a memory's stored items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pydantic import ValidationError

from checkpoint._document.codec import DecodeError, MissingTimeZone
from checkpoint._document.pages import PageData, PageRef
from checkpoint._document.paths import format_path
from checkpoint._ids import SessionKey
from checkpoint._state.known import KnownItems
from checkpoint.errors import CheckpointError, Damaged, InvalidState, NotLoaded


class PageLoader(NamedTuple):
    """Loads the pages of a session's stored items.

    Attributes:
        key, revision: the restored revision.
        pages: the loaded pages, by id.
        fetch: fetches pages into ``pages``; in asynchronous code, returns an awaitable.
        path: path of the memory in the state.
        known: the known items of the memory.
    """

    key: SessionKey
    revision: int
    pages: dict[bytes, PageData]
    fetch: Callable[[Sequence[PageRef], dict[bytes, PageData]], Any]
    path: tuple[str, ...] = ()
    known: KnownItems = KnownItems(0)

    def of(self, path: tuple[str, ...], known: KnownItems | None = None) -> PageLoader:
        """The loader of a memory; ``known`` defaults to this loader's."""
        return PageLoader(
            self.key, self.revision, self.pages, self.fetch, path, known or self.known
        )

    def get(self, refs: Sequence[PageRef], advice: str) -> None:
        """Load the pages that are missing.

        Raises:
            NotLoaded: in asynchronous code; ``advice`` is its text.
        """
        missing = [ref for ref in refs if ref.id not in self.pages]
        if missing:
            fetching = self.fetch(missing, self.pages)
            if hasattr(fetching, "__await__"):
                fetching.close()
                raise NotLoaded(advice).at(self.key)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate errors of stored items, and add the session, revision and path.

        Raises:
            InvalidState: the model's validation refuses an item.
            Damaged: an item is not a document.
        """
        place, path = (self.key, self.revision), format_path(self.path)
        try:
            yield
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_context=False)[0]
            more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
            raise InvalidState(f"{error['msg']}{more}; the stored value does not fit the model").at(
                *place, path=format_path((*self.path, *error["loc"]))
            ) from exc
        except MissingTimeZone as exc:
            raise InvalidState(str(exc)).at(*place, path=path) from exc
        except DecodeError as exc:
            reason = f"an item cannot be decoded ({exc})"
            raise Damaged(reason).at(*place, path=path) from exc
        except CheckpointError:
            raise
        except Exception as exc:  # the model's validators may raise anything
            reason = f"a validator failed: {type(exc).__name__}: {exc}"
            raise InvalidState(reason).at(*place, path=path) from exc
