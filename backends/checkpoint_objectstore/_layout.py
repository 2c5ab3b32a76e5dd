"""Which objects a session has, and under which keys.

    agent-checkpoint                          the place is one of ours, and its conditions hold
    NAMESPACE!/SESSION!/head                  the head, and the newest segment
                       /pages/ID              a page, or a finished segment: named by the head
                       /notes/GENERATION/REVISION/NAME!    an attachment
                       /notes/pins/REVISION/NAME!          one that outlives a deletion
                       /id                    the id, where its name does not tell it

Only ``head`` is ever replaced. A save writes its pages, and the segment before it where that is
finished by a new base, and then the head, by a condition on the head before. What a save that lost
or ended in the middle has written is named by no head: it is listed with the pages, and collected
like them. Attachments are kept by *generation*, the revision of the last deletion, so those from
before it are not seen again whenever they go; what is left of them is listed with the pages, too.
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
        path: what they all begin with, with the ``/`` at its end.
    """

    path: str

    @property
    def head(self) -> str:
        """The head and the newest segment."""
        return self.path + HEAD

    @property
    def pages(self) -> str:
        """What the keys of pages and finished segments begin with."""
        return f"{self.path}pages/"

    @property
    def notes(self) -> str:
        """What the keys of attachments begin with."""
        return f"{self.path}notes/"

    def page(self, id: bytes) -> str:
        """A page or a finished segment."""
        return self.pages + id.hex()

    def note(self, generation: int, revision: int, name: str) -> str:
        """An attachment."""
        kept = _PINS if name.startswith(PIN) else f"{generation:016x}"
        return f"{self.notes}{kept}/{revision:016x}/{name_of(name)}"

    def id_objects(self, id: str) -> dict[str, bytes]:
        """What tells the id where there is no head that does."""
        return {self.path + ID: id.encode()} if is_hashed(self.path) else {}


def folder_of(key: SessionKey) -> Folder:
    """The folder of a session."""
    return Folder(f"{name_of(key.namespace)}/{name_of(key.session_id)}/")


def is_ours(key: str) -> bool:
    """Whether a key is that of a page or an attachment, and nobody else has put it there."""
    return _OURS.search(key) is not None


def page_id(key: str) -> bytes:
    """The id of the page that has a key."""
    return bytes.fromhex(key.rpartition("/")[2])


class Note(NamedTuple):
    """Where an attachment is kept, by its key; ``generation`` is None for one that outlives all."""

    key: str
    generation: int | None
    revision: int

    @property
    def id(self) -> bytes:
        """What it is listed as among the pages, where it is garbage."""
        return _NOTE + blake2b(self.key.encode(), digest_size=16).digest()

    def is_shown(self, session: Session) -> bool:
        """Whether it is an attachment of a session as it is now."""
        return self.generation is None or (
            self.generation == session.generation and not self._went(session)
        )

    def is_over(self, session: Session) -> bool:
        """Whether it went with a deletion, or with its revision; and so for ever after."""
        return self.generation is not None and (
            self.generation < session.generation
            or (self.generation == session.generation and self._went(session))
        )

    def _went(self, session: Session) -> bool:
        return 0 < self.revision <= session.head.revision and not session.has(self.revision)


def may_be_note(id: bytes) -> bool:
    """Whether an id may be that of an attachment; those of pages and segments begin otherwise."""
    return id.startswith(_NOTE)


def notes_in(keys: Iterable[str]) -> list[Note]:
    """The attachments of a session, by the keys of its notes."""
    found = []
    for key in keys:
        generation, revision, _ = key.split("/")[-3:]
        kept = None if generation == _PINS else int(generation, 16)
        found.append(Note(key, kept, int(revision, 16)))
    return found


def pack_note(attachment: Attachment) -> bytes:
    """An attachment as it is kept: its name, which its key may not tell, and its bytes."""
    name = attachment.name.encode()
    return len(name).to_bytes(4, "big") + name + attachment.data


def unpack_note(note: Note, data: bytes) -> Attachment:
    """The inverse of :func:`pack_note`.

    Raises:
        Damaged: the name is not the one that was written.
    """
    end = 4 + int.from_bytes(data[:4], "big")
    kept_as = note.key.rpartition("/")[2]
    name = id_of(kept_as)  # whatever became of the one in the object
    if name is None:
        name = data[4:end].decode(errors="replace")
        if name_of(name) != kept_as:
            raise Damaged(f"an attachment was changed in the store ({note.key})")
    return Attachment(note.revision, name, data[end:])
