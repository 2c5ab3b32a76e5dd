"""The suite that every store must pass, for the tests of its author.

Subclass :class:`StoreSuite` or :class:`AsyncStoreSuite` in a file that pytest collects, under a
name that begins with ``Test``, and say how to open a store.
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


class _Contract(  # pytest begins with the last one: the simplest
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
    """All parts that a store must pass in both forms."""


class StoreSuite(_Contract):
    """The tests of a blocking store.

    With ``CHECKPOINT_SOAK=1`` in the environment it runs what takes long, too: many more examples
    and rounds, and a session of a gigabyte.

    Attributes:
        durable: False for a store that keeps nothing when it is closed.
        keeps_times: False for a store that tells a time of its own for when a page was written.
        examples: how many sequences of calls the state machine tries; fewer for a slow store.

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
            place: an empty directory, another one for each test. Open it again: the same data. A
                store that has no use for a directory makes a name of it, such as a prefix of keys.
        """
        raise NotImplementedError

    def raw(self, place: Path) -> Iterable[bytes] | None:
        """All values that are kept at ``place``, read behind the store's back.

        What was written must be somewhere in them byte for byte, and not be there when it was
        removed. Optional: None, and this is not tested.
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
    """The tests of an asynchronous store: those of :class:`StoreSuite`, and of cancelled calls.

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
        """All values that are kept at ``place``, as :meth:`StoreSuite.raw` tells them."""
        return None

    @contextmanager
    def connected(self, place: Path) -> Iterator[Store]:
        bridge = Blocking(lambda: self.open(place))
        try:
            yield bridge
        finally:
            bridge.close()
            bridge.end()
