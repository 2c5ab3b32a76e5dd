"""Pages: immutable parts of a document, stored apart from the records that name them.

    b"ACG"  format version   flags   key id   |   body
    3       1                1       1        |   rest

The body is the encoding of a run of items (or a piece of a big value), compressed as that of a
record is. A page's id is 8 bytes that its write made up, and the digest of all the above bound to
the session that owns it: the id that a base names is also the check of what is read. No page is
ever changed, and no id is used for another page, so a page can be shared, cached and fetched at any
time. Pages of a list are compressed against another page of it, their *anchor*, which is named
beside them.
"""

from __future__ import annotations

from checkpoint._ids import SessionKey
from checkpoint._records import frame
from checkpoint._records.compression import decompressor
from checkpoint.errors import Damaged, StateTooLarge

PAGE_SIZE = 128 * 1024
"""Encoded bytes of items that a page holds, about."""

ANCHORED = 16
"""Pages of a list that are compressed against the first of them, their anchor."""

NONCE_SIZE = 8
_LEVEL = 9  # written once and kept for long: worth more time than a record


def encode_page(
    owner: SessionKey, nonce: bytes, raw: bytes, anchor: bytes = b""
) -> tuple[bytes, bytes]:
    """The id and the stored form of a new page.

    Args:
        anchor: what is in the page that this one is compressed against.
    """
    body, flags = frame.pack(raw, anchor, _LEVEL)
    head = frame.start(frame.PAGE, flags)
    return nonce + frame.digest(owner, b"", head, body), head + body


def decode_page(
    owner: SessionKey, id: bytes, data: bytes, max_size: int, anchor: bytes = b""
) -> bytes:
    """What was sealed into a page.

    Args:
        anchor: what is in the page that this one was compressed against.
        max_size: bytes that it may have when decompressed.

    Raises:
        Damaged: these are not the bytes that were stored under this id.
        UnsupportedFormat: a newer version of the library wrote them.
        StateTooLarge: it exceeds the limit; it was not decompressed.
    """
    head, body = data[: frame.START_SIZE], data[frame.START_SIZE :]
    if id[NONCE_SIZE:] != frame.digest(owner, b"", head, body):
        raise Damaged(f"page {id.hex()} is not what was stored: its digest does not match")
    flags = frame.flags_of(head, frame.PAGE, f"page {id.hex()}")
    size = frame.unpacked_size(body, flags)
    if size > max_size:
        raise StateTooLarge(
            f"page {id.hex()} and what was read before it exceed the limit for a state; restore "
            f"with window=, or open the store with a larger max_bytes if it is trusted"
        )
    return frame.unpack(body, flags, size, decompressor(anchor))
