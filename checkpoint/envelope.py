"""The stored form of a record: magic, flags and header, then a body that is checked and bounded.

    b"ACP"  format version   flags   key id   header (MessagePack map)   sum  |   body   digest
    3       1                1       1        self-delimiting            4    |   rest   16 bytes

The bar is where a store may cut: what stands before it (the *head*) is readable alone, so history
and maintenance never load a body; its sum is the CRC-32 of what is before it. The digest is BLAKE2b
over the namespace, the session, the digest of the record before it in the chain, the head and the
body as stored: a record that was flipped, cut or moved to another session or place in the chain
does not verify. The body is one Zstandard frame (see :mod:`checkpoint.compression`), or the raw
bytes where those are smaller.

The format is unstable until the first released corpus is committed with the tests.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any
from zlib import crc32

from checkpoint.codec import DecodeError, decode_shallow, encode
from checkpoint.errors import Damaged, UnsupportedFormat
from checkpoint.ids import SessionKey

MAGIC = b"ACP"
FORMAT = 1
DIGEST_SIZE = 16
_COMPRESSED = 1  # flag: the body is a Zstandard frame
_STARTS = {MAGIC + bytes((FORMAT, flags, 0)): flags == _COMPRESSED for flags in (0, _COMPRESSED)}
_HEAD_START = len(MAGIC) + 3
_SUM_SIZE = 4
_size = Struct(">I").pack


def seal_head(header: dict[int, Any], *, compressed: bool) -> bytes:
    """The head of a record: magic, flags (no key: encryption is reserved), header and its sum."""
    head = MAGIC + bytes((FORMAT, _COMPRESSED if compressed else 0, 0)) + encode(header)
    return head + crc32(head).to_bytes(_SUM_SIZE, "big")


def open_head(head: bytes) -> tuple[dict[int, Any], bool]:
    """Return the header in a head and whether the body is compressed.

    Raises:
        Damaged: these are not the bytes of a head.
        UnsupportedFormat: they are, of a format or with a flag this version does not know.
    """
    compressed = _STARTS.get(head[:_HEAD_START])
    if compressed is None:
        if len(head) <= _HEAD_START + _SUM_SIZE or head[:3] != MAGIC:
            raise Damaged("the record does not begin as one of ours")
        version, flags, key_id = head[3:_HEAD_START]
        raise UnsupportedFormat(
            f"the record has format {version}, flags {flags:#x}, key {key_id}; this version reads "
            f"format {FORMAT}. If a newer agent-checkpoint wrote it, install that; if not, the "
            f"record is damaged"
        )
    if head[-_SUM_SIZE:] != crc32(head[:-_SUM_SIZE]).to_bytes(_SUM_SIZE, "big"):
        raise Damaged("the header of the record was changed, or cut short")
    try:
        header = decode_shallow(head[_HEAD_START:-_SUM_SIZE])
    except DecodeError as exc:
        raise Damaged(f"the header of the record cannot be decoded ({exc})") from exc
    if type(header) is not dict:
        raise Damaged("the header of the record is not one map")
    return header, compressed


def digest(key: SessionKey, parent_digest: bytes, head: bytes, body: bytes) -> bytes:
    """Digest of a record in its place: session, chain, head and stored body."""
    told = _begun(key).copy()
    told.update(b"".join((_size(len(parent_digest)), parent_digest, _size(len(head)), head, body)))
    return told.digest()


@lru_cache(maxsize=64)  # the records of a session are read by the dozen
def _begun(key: SessionKey) -> blake2b:
    told = blake2b(digest_size=DIGEST_SIZE)
    for part in (key.namespace.encode(), key.session_id.encode()):
        told.update(_size(len(part)) + part)
    return told
