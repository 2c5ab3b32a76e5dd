"""Pins: what a fork leaves at the sessions whose pages it shares, so that those are not removed.

A pin is an attachment of the session that owns the pages. It is made before the fork is, under a
name of its own, and never changed. It outlives the deletion of the owner.
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
"""Microseconds after which a pin whose fork was never made is let go."""


class Pin(NamedTuple):
    """Pages that a fork shares.

    Attributes:
        name: of the attachment.
        target: the fork.
        parent: ``write_id`` of the head on which the fork is made; empty where there is none.
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
        Damaged: one of them is not what was written.
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
        f"while it is there, as a fork may need it"
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
    """The pages that pins keep: those that are known to be ``needed`` by name, or all of a pin."""
    return {id for pin in pins for id in needed.get(pin.name, pin.pages)}


def is_undecided(pin: Pin, head: bytes, now: int) -> bool | None:
    """Whether the fork that a pin was made for may still be made: then it must stay.

    Args:
        head: ``write_id`` of the target's head; empty where there is none.
        now: microseconds since 1970.
    """
    return head == pin.parent and now - pin.made_at <= LONGEST_FORK
