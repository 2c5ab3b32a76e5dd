"""The objects of a session and their keys.

    agent-checkpoint                          the marker: this is a store with conditional writes
    NAMESPACE!/SESSION!/head                  the head, and the newest segment
                       /pages/ID              a page, or a finished segment named by the head
                       /notes/GENERATION/REVISION/NAME!    an attachment
                       /notes/pins/REVISION/NAME!          a pin, which survives deletion
                       /id                    the session id, if its folder name is hashed

Only ``head`` is ever replaced. A save first writes its pages and, if it begins a new base, the
segment that this finishes; then it replaces the head, on the condition that it has not changed. The
objects of a save that lost or ended halfway are named by no head; they are listed with the pages
and collected like them. Attachments are stored by *generation*, the revision of the last deletion,
so older ones are invisible even before they are removed; they are listed with the pages, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from checkpoint._ids import SessionKey
from checkpoint.errors import Damaged
from checkpoint.store import PIN, Attachment
from checkpoint_objectstore._format import Session
from checkpoint_objectstore._names import id_of, is_hashed, name_of

MARKER = "agent-checkpoint"
HEAD = "head"
ID = "id"

_PINS = "pins"
_OURS = re.compile(
    rf"/pages/[0-9a-f]{{48}}$|/notes/({_PINS}|[0-9a-f]{{16}})/[0-9a-f]{{16}}/[^/]*!$"
)
_NOTE = bytes(8)


class Folder(NamedTuple):
    """The keys of a session's objects.

    Attributes:
        path: their common prefix, with a final ``/``.
    """

    path: str

    @property
    def head(self) -> str:
        """The key of the head object."""
        return self.path + HEAD

    @property
    def pages(self) -> str:
        """The prefix of pages and finished segments."""
        return f"{self.path}pages/"

    @property
    def notes(self) -> str:
        """The prefix of attachments."""
        return f"{self.path}notes/"

    def page(self, id: bytes) -> str:
        """The key of a page or a finished segment."""
        return self.pages + id.hex()

    def note(self, generation: int, revision: int, name: str) -> str:
        """The key of an attachment."""
        kept = _PINS if name.startswith(PIN) else f"{generation:016x}"
        return f"{self.notes}{kept}/{revision:016x}/{name_of(name)}"

    def id_objects(self, id: str) -> dict[str, bytes]:
        """The object that holds the id, if the name of the folder is hashed; else none."""
        return {self.path + ID: id.encode()} if is_hashed(self.path) else {}


def folder_of(key: SessionKey) -> Folder:
    """The folder of a session."""
    return Folder(f"{name_of(key.namespace)}/{name_of(key.session_id)}/")


def is_ours(key: str) -> bool:
    """Whether a key has the form of a page or an attachment; other objects are left alone."""
    return _OURS.search(key) is not None


def page_id(key: str) -> bytes:
    """The id of the page at a key."""
    return bytes.fromhex(key.rpartition("/")[2])


class Note(NamedTuple):
    """The location of an attachment; ``generation`` is None for a pin, which outlives them all."""

    key: str
    generation: int | None
    revision: int

    @property
    def id(self) -> bytes:
        """Its id when it is listed with the pages, as garbage."""
        return _NOTE + blake2b(self.key.encode(), digest_size=16).digest()

    def is_shown(self, session: Session) -> bool:
        """Whether it is an attachment of the current session."""
        return self.generation is None or (
            self.generation == session.generation and not self._is_pruned(session)
        )

    def is_over(self, session: Session) -> bool:
        """Whether a deletion or a pruning removed it for good."""
        return self.generation is not None and (
            self.generation < session.generation
            or (self.generation == session.generation and self._is_pruned(session))
        )

    def _is_pruned(self, session: Session) -> bool:
        return 0 < self.revision <= session.head.revision and not session.has(self.revision)


def may_be_note(id: bytes) -> bool:
    """Whether an id may belong to an attachment; ids of pages and segments begin differently."""
    return id.startswith(_NOTE)


def notes_in(keys: Iterable[str]) -> list[Note]:
    """The attachments at these keys."""
    found = []
    for key in keys:
        generation, revision, _ = key.split("/")[-3:]
        kept = None if generation == _PINS else int(generation, 16)
        found.append(Note(key, kept, int(revision, 16)))
    return found


def pack_note(attachment: Attachment) -> bytes:
    """Encode an attachment: its name, which may be hashed in the key, and its bytes."""
    name = attachment.name.encode()
    return len(name).to_bytes(4, "big") + name + attachment.data


def unpack_note(note: Note, data: bytes) -> Attachment:
    """The inverse of :func:`pack_note`.

    Raises:
        Damaged: the name is not the one that was written.
    """
    end = 4 + int.from_bytes(data[:4], "big")
    stored_as = note.key.rpartition("/")[2]
    name = id_of(stored_as)  # the name in the key cannot be damaged
    if name is None:
        name = data[4:end].decode(errors="replace")
        if name_of(name) != stored_as:
            raise Damaged(f"an attachment was changed in the store ({note.key})")
    return Attachment(note.revision, name, data[end:])
