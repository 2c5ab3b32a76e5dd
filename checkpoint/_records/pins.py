"""Pins: protect the pages that a fork shares from removal.

A pin is an attachment of the session that owns the pages. It is written before the fork, under a
unique name, and never changed. It outlives the deletion of the owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from checkpoint._document.codec import DecodeError, decode, encode
from checkpoint._document.pages import PAGE_ID_SIZE, PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.frame import DIGEST_SIZE, digest
from checkpoint.errors import Damaged
from checkpoint.store import PIN, Attachment

LONGEST_FORK = 24 * 60 * 60 * 1_000_000
"""Microseconds after which a pin whose fork was never written is released."""


class Pin(NamedTuple):
    """Pages that a fork shares.

    Attributes:
        name: of the attachment.
        target: the fork.
        parent: ``write_id`` of the head that the fork was to replace; empty if there was none.
        made_at: microseconds since 1970.
        pages: their ids.
    """

    name: str
    target: SessionKey
    parent: bytes
    made_at: int
    pages: frozenset[bytes]


def encode_pin(
    owner: SessionKey,
    nonce: bytes,
    target: SessionKey,
    parent: bytes,
    made_at: int,
    pages: Iterable[bytes],
) -> Attachment:
    """The attachment that pins pages of a session; ``nonce`` makes its name unique."""
    name = PIN + nonce.hex()
    stored = encode([list(target), parent, made_at, b"".join(sorted(pages))])
    return Attachment(0, name, stored + digest(owner, b"", name.encode(), stored))


def read_pins(owner: SessionKey, attachments: Sequence[Attachment]) -> list[Pin]:
    """The pins among the attachments of a session.

    Raises:
        Damaged: a pin was changed in the store.
    """
    return [_read(owner, found) for found in attachments if found.name.startswith(PIN)]


def _read(owner: SessionKey, attachment: Attachment) -> Pin:
    stored, found = attachment.data[:-DIGEST_SIZE], attachment.data[-DIGEST_SIZE:]
    if found != digest(owner, b"", attachment.name.encode(), stored):
        raise _damaged(owner, attachment)
    try:
        (namespace, session_id), parent, made_at, ids = decode(stored)
    except (DecodeError, TypeError, ValueError) as exc:
        raise _damaged(owner, attachment) from exc
    pages = frozenset(ids[at : at + PAGE_ID_SIZE] for at in range(0, len(ids), PAGE_ID_SIZE))
    return Pin(attachment.name, SessionKey(namespace, session_id), parent, made_at, pages)


def _damaged(owner: SessionKey, attachment: Attachment) -> Damaged:
    return Damaged(
        f"the pin {attachment.name!r} was changed in the store; no page of this session is removed "
        f"while the pin exists, as a fork may need it"
    ).at(owner)


def shared_pages(source: SessionKey, pages: Iterable[PageRef]) -> dict[SessionKey, set[bytes]]:
    """The pages that a fork of ``source`` shares, by the session that owns them."""
    shared: dict[SessionKey, set[bytes]] = {}
    for page in pages:
        for ref in (page, page.anchor):
            if ref is not None:
                shared.setdefault(ref.owner or source, set()).add(ref.id)
    return shared


def pinned_pages(pins: Iterable[Pin], needed: Mapping[str, Collection[bytes]] = {}) -> set[bytes]:
    """The pages that pins protect: for each, those ``needed`` under its name, or all of them."""
    return {id for pin in pins for id in needed.get(pin.name, pin.pages)}


def is_undecided(pin: Pin, head: bytes, now: int) -> bool | None:
    """Whether the fork of a pin may still be written, so that the pin must stay.

    Args:
        head: ``write_id`` of the target's head; empty if there is none.
        now: microseconds since 1970.
    """
    return head == pin.parent and now - pin.made_at <= LONGEST_FORK
