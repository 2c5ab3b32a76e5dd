"""The exceptions of this library.

All derive from :class:`CheckpointError`, and each from the builtin exception that fits it best, so
``except LookupError`` works in code that does not know this library. They can be pickled. They
carry the session, revision and path they concern, and the message says what to do next. It never
contains the password of a store URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from checkpoint._ids import SessionKey


class CheckpointError(Exception):
    """Base class of all errors of this library.

    Attributes:
        session_id: the session concerned, or None.
        namespace: the namespace of that session, or None.
        revision: the revision concerned, or None.
        path: the place in the state, such as ``memory[17].role``, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None = None,
        namespace: str | None = None,
        revision: int | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.namespace = namespace
        self.revision = revision
        self.path = path

    def at(self, key: SessionKey, revision: int | None = None, *, path: str | None = None) -> Self:
        """Add the place of the error, and return the error itself.

        A revision or path that is not given stays the same.

        Example:
            >>> from checkpoint._ids import SessionKey
            >>> str(Damaged("the digest does not match").at(SessionKey("default", "user-42"), 7))
            "session 'user-42', revision 7: the digest does not match"
        """
        self.namespace, self.session_id = key
        self.revision = self.revision if revision is None else revision
        self.path = path or self.path
        return self

    def __str__(self) -> str:
        where = []
        if self.session_id is not None:
            where.append(f"session {self.session_id!r}")
        if self.namespace not in (None, "default"):
            where.append(f"namespace {self.namespace!r}")
        if self.revision is not None:
            where.append(f"revision {self.revision}")
        if self.path is not None:
            where.append(f"at {self.path}")
        message = str(self.args[0]) if self.args else ""
        return f"{', '.join(where)}: {message}" if where else message


# --- bad input ---------------------------------------------------------------------------------


class InvalidId(CheckpointError, ValueError):
    """A session id, namespace, label or turn id is not valid."""


class InvalidOption(CheckpointError, ValueError):
    """An argument, or a part of a store URL, is not valid."""


class UnknownStore(CheckpointError, ValueError):
    """No driver is installed for the scheme of a store URL."""


class NotSerializable(CheckpointError, TypeError):
    """A value would not be restored unchanged; nothing was written."""


class NotLoaded(CheckpointError, RuntimeError):
    """Asynchronous code used an item that was not loaded; call ``await memory.load(start, stop)``.

    This applies to the older items of a memory restored with ``window=``.
    """


class StateTooLarge(CheckpointError, ValueError):
    """A state or a stored revision is larger than the ``max_bytes`` given to ``open``."""


# --- absence -----------------------------------------------------------------------------------


class SessionNotFound(CheckpointError, LookupError):
    """The session does not exist, or was deleted; never raised if the store did not answer."""


class RevisionNotFound(CheckpointError, LookupError):
    """The session exists, but has no such revision or label."""


class RevisionPruned(RevisionNotFound):
    """The revision existed, but was removed."""


# --- two writers -------------------------------------------------------------------------------


class Conflict(CheckpointError, RuntimeError):
    """Another writer saved this session first; nothing was written.

    Attributes:
        parent_revision: the revision that the state is based on, or None.
        current_revision: the newest revision; None if the session does not exist.
        writer: who saved ``current_revision``, as ``host:pid`` or ``host:pid (name)``.
    """

    def __init__(
        self,
        message: str,
        *,
        parent_revision: int | None = None,
        current_revision: int | None = None,
        writer: str | None = None,
        **about: Any,
    ) -> None:
        super().__init__(message, **about)
        self.parent_revision = parent_revision
        self.current_revision = current_revision
        self.writer = writer


class SaveUnclear(CheckpointError, ConnectionError):
    """The store stopped answering during a save, which may or may not have succeeded.

    The state remembers the write: saving it again finds out, and never writes it twice.
    """


# --- stored data that cannot be used -----------------------------------------------------------


class Damaged(CheckpointError, ValueError):
    """Stored bytes are not those that were written: changed, truncated or moved from elsewhere."""


class UnsupportedFormat(CheckpointError, ValueError):
    """Stored bytes have a newer format than this version of the library can read."""


class SchemaMismatch(CheckpointError, TypeError):
    """The session was saved with another schema."""


class SchemaChanged(SchemaMismatch):
    """The model no longer fits stored data, but its version is the same.

    Attributes:
        changes: one line for each field that was added, removed or changed.
    """

    def __init__(
        self,
        message: str,
        *,
        changes: tuple[str, ...] = (),
        **about: Any,
    ) -> None:
        super().__init__(message, **about)
        self.changes = changes


class InvalidState(CheckpointError, ValueError):
    """The model's own validation rejected a stored document."""


# --- the store itself --------------------------------------------------------------------------


class StoreError(CheckpointError, OSError):
    """The store failed. It never means that a session does not exist."""


class StoreUnavailable(StoreError):
    """The store did not answer, or reported a failure; a write may have happened."""


class StoreBusy(StoreError):
    """The store was locked by others for longer than the timeout; nothing was written."""


class StoreFull(StoreError):
    """The store has no space left; nothing was written."""


class StoreReadOnly(StoreError):
    """The store is read-only; nothing was written."""


class StoreDenied(StoreError):
    """The store rejected the credentials, or they lack a permission; nothing was written."""


class StoreUnsafe(StoreError):
    """The store does not honour the locks or conditions that saves need; nothing was written."""


class StoreClosed(StoreError):
    """The checkpointer was closed before this call."""


class NotAStore(StoreError):
    """The URL names something other than a store of this library."""


class StoreTooNew(StoreError):
    """The store has a newer layout than this version of the library can read."""
