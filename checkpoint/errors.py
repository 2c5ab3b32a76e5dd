"""Every error this library raises on purpose.

All derive from :class:`CheckpointError`; each is also the builtin that fits it best, so ``except
LookupError`` works where a caller does not want to know this library. They pickle, they carry the
session, revision and path they are about, and their sentence says what to do next. None ever holds
the password of a store URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from checkpoint._ids import SessionKey


class CheckpointError(Exception):
    """Root of all errors of this library.

    Attributes:
        session_id: the session it is about, or None.
        namespace: the namespace of that session, or None.
        revision: the revision it is about, or None.
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
        """Add where it happened, and return the error itself, to be raised.

        A revision or a path that is not given stays as it is.

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
    """A session id, namespace, label or turn id that no store could keep as it is."""


class InvalidOption(CheckpointError, ValueError):
    """An argument or a parameter of a store URL that has no meaning here."""


class UnknownStore(CheckpointError, ValueError):
    """A store URL whose scheme no installed driver serves."""


class NotSerializable(CheckpointError, TypeError):
    """A value that would not come back as it is; raised before anything is written."""


class NotLoaded(CheckpointError, RuntimeError):
    """An item of a memory restored with ``window=`` was touched, in asynchronous code, before it
    was loaded with ``await memory.load(start, stop)``.
    """


class StateTooLarge(CheckpointError, ValueError):
    """A state, or a stored snapshot, larger than the limit given to ``open``."""


# --- absence -----------------------------------------------------------------------------------


class SessionNotFound(CheckpointError, LookupError):
    """The store answered, and there is no such session (or it was deleted)."""


class RevisionNotFound(CheckpointError, LookupError):
    """The session exists and has no such revision or label."""


class RevisionPruned(RevisionNotFound):
    """The revision existed and was removed since."""


# --- two writers -------------------------------------------------------------------------------


class Conflict(CheckpointError, RuntimeError):
    """Somebody else saved this session first; nothing was written.

    Attributes:
        parent_revision: the revision this state came from (None: it came from none).
        current_revision: the revision the session is at now (None: there is no session any more).
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
    """The store stopped answering in the middle of a save: it is saved or it is not.

    The state remembers the write. The next ``save`` of it finds out, and never applies it twice.
    """


# --- stored data that cannot be used -----------------------------------------------------------


class Damaged(CheckpointError, ValueError):
    """Stored bytes that are not what was written: flipped, cut short, or moved from elsewhere."""


class UnsupportedFormat(CheckpointError, ValueError):
    """Stored bytes of a newer format than this version of the library reads."""


class SchemaMismatch(CheckpointError, TypeError):
    """The session was saved with another schema than the one it is restored with."""


class SchemaChanged(SchemaMismatch):
    """The model changed in a way old data does not fit, and its version did not.

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
    """A stored document that the model's own validation refuses."""


# --- the store itself --------------------------------------------------------------------------


class StoreError(CheckpointError, OSError):
    """The store could not do what was asked. Never means that a session is absent."""


class StoreUnavailable(StoreError):
    """The store did not answer, or answered with a failure; a write may have happened."""


class StoreBusy(StoreError):
    """Others held the store's lock for longer than the timeout; nothing was written."""


class StoreFull(StoreError):
    """No space left where the store keeps its data; nothing was written."""


class StoreReadOnly(StoreError):
    """The store can be read and not written; nothing was written."""


class StoreDenied(StoreError):
    """The store refused these credentials, or what they ask for; nothing was written."""


class StoreUnsafe(StoreError):
    """The store does not keep what saves rest on (locks, conditions); nothing was written."""


class StoreClosed(StoreError):
    """The checkpointer was closed before this call."""


class NotAStore(StoreError):
    """What the URL names holds something else than sessions of this library."""


class StoreTooNew(StoreError):
    """The layout of the store is newer than this version of the library."""
