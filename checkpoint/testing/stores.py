"""The test suite that every store must pass.

Subclass :class:`StoreSuite` or :class:`AsyncStoreSuite` in a file that pytest collects, under a
name that begins with ``Test``, and implement ``open``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from checkpoint.store import AsyncStore, Store
from checkpoint.testing.blocking import Blocking
from checkpoint.testing.contract.attachments import Attachments
from checkpoint.testing.contract.cancelled import Cancelled
from checkpoint.testing.contract.deletion import Deletion
from checkpoint.testing.contract.headers import Headers
from checkpoint.testing.contract.history import History
from checkpoint.testing.contract.lifetime import Lifetime
from checkpoint.testing.contract.listing import Listing
from checkpoint.testing.contract.model import Model
from checkpoint.testing.contract.pages import Pages
from checkpoint.testing.contract.pruning import Pruned
from checkpoint.testing.contract.races import Races
from checkpoint.testing.contract.sizes import Sizes


class _Contract(  # pytest runs the last base first, so the simplest is last
    Model,
    Races,
    Sizes,
    Lifetime,
    Pages,
    Attachments,
    Pruned,
    Deletion,
    Listing,
    History,
    Headers,
):
    """The tests for both blocking and asynchronous stores."""


class StoreSuite(_Contract):
    """The tests of a blocking store.

    With ``CHECKPOINT_SOAK=1`` in the environment it also runs long tests: many more examples and
    rounds, and a session of a gigabyte.

    Attributes:
        durable: False for a store that loses its data when it is closed.
        keeps_times: False for a store that sets the time of a page itself.
        examples: how many sequences of calls the state machine tries; set fewer for a slow store.

    Example:
        >>> from pathlib import Path
        >>> from checkpoint_sql.sqlite import SqliteStore
        >>> class TestSqlite(StoreSuite):
        ...     def open(self, place: Path) -> SqliteStore:
        ...         return SqliteStore(str(place / "sessions.db"))
    """

    def open(self, place: Path) -> Store:
        """Open a store.

        Args:
            place: a directory, empty and different for each test. Opened again, it must have the
                same data. A store without directories derives a name from it, such as a key prefix.
        """
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        """All values stored at ``place``, read without the store.

        Written bytes must appear in them unchanged, and disappear when they are removed. Optional:
        return None to skip these tests.
        """
        return None

    @contextmanager
    def connected(self, place: Path) -> Iterator[Store]:
        store = self.open(place)
        try:
            yield store
        finally:
            store.close()


class AsyncStoreSuite(_Contract, Cancelled):
    """The tests of an asynchronous store: those of :class:`StoreSuite`, and cancelled calls.

    Example:
        >>> from pathlib import Path
        >>> from checkpoint._stores.threads import ThreadedStore
        >>> from checkpoint_sql.sqlite import SqliteStore
        >>> class TestSqliteInThreads(AsyncStoreSuite):
        ...     async def open(self, place: Path) -> ThreadedStore:
        ...         return ThreadedStore(SqliteStore(str(place / "sessions.db")))
    """

    async def open(self, place: Path) -> AsyncStore:
        """Open a store, as :meth:`StoreSuite.open` does."""
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        """All values stored at ``place``; see :meth:`StoreSuite.raw`."""
        return None

    @contextmanager
    def connected(self, place: Path) -> Iterator[Store]:
        bridge = Blocking(lambda: self.open(place))
        try:
            yield bridge
        finally:
            bridge.close()
            bridge.end()
