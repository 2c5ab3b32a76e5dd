"""Pages: immutable parts of a document, stored apart from the records that name them.

    b"ACG"  format version   flags   key id   |   body
    3       1                1       1        |   rest

The body is the encoding of a run of items (or a piece of a big value), compressed like the body of
a record. A page's id is an 8-byte nonce and the digest of all the above, bound to the session that
owns it: the id in a base also verifies the page. Pages never change and ids are never reused, so a
page can be shared, cached and fetched at any time. Pages of a list are compressed against another
page of it, their *anchor*, which the header names with each of them.
"""

from __future__ import annotations

from functools import partial

from checkpoint._ids import SessionKey
from checkpoint._records import frame
from checkpoint._records.compression import decompressor
from checkpoint.errors import Damaged, StateTooLarge

NONCE_SIZE = 8
_LEVEL = 9  # written once and kept for long: worth more time than a record


def encode_page(
    owner: SessionKey, nonce: bytes, raw: bytes, anchor: bytes = b""
) -> tuple[bytes, bytes]:
    """The id and the stored form of a new page.

    Args:
        anchor: raw bytes of the page that this one is compressed against.
    """
    body, flags = frame.pack(raw, anchor, _LEVEL)
    head = frame.start(frame.PAGE, flags)
    return nonce + frame.digest(owner, b"", head, body), head + body


def decode_page(
    owner: SessionKey, id: bytes, data: bytes, max_size: int, anchor: bytes = b""
) -> bytes:
    """The raw bytes of a page.

    Args:
        anchor: raw bytes of the page that this one was compressed against.
        max_size: limit for its raw bytes.

    Raises:
        Damaged: the page was changed, or belongs to another id.
        UnsupportedFormat: a newer version of the library wrote the page.
        StateTooLarge: the page exceeds the limit; it was not decompressed.
    """
    head, body = data[: frame.START_SIZE], data[frame.START_SIZE :]
    if id[NONCE_SIZE:] != frame.digest(owner, b"", head, body):
        raise Damaged(f"page {id.hex()} was changed or replaced: its digest does not match")
    flags = frame.flags_of(head, frame.PAGE, f"page {id.hex()}")
    size = frame.unpacked_size(body, flags)
    if size > max_size:
        raise StateTooLarge(
            f"page {id.hex()} and the data read before it exceed the limit for a state; restore "
            f"with window=, or open the store with a larger max_bytes if it is trusted"
        )
    return frame.unpack(body, flags, size, partial(decompressor, anchor))
