"""The frame around all stored bytes: magic bytes, packing, checksum and digest.

    magic   format version   flags   key id   |   rest
    3       1                1       1

The magic identifies a record, a page, or an object of an object store. Flag 0 marks a body that is
a Zstandard frame (see :mod:`checkpoint._records.compression`); a body that would not get smaller is
stored as it is. All other flags, and a key id other than 0 (no encryption), are refused: a newer
version of the library wrote them.

The header of a record is its frame's start, a MessagePack map and the CRC-32 of both, so it can be
read without the body. The *digest* is BLAKE2b over the namespace, the session, the digest of the
record before it in the chain, the header and the body as stored: a record or a page that was
changed, cut short, or moved to another session or place does not verify.

The format is unstable until the first released corpus is committed with the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any
from zlib import crc32

from zstandard import ZstdDecompressor

from checkpoint._document.codec import DecodeError, decode_shallow, encode
from checkpoint._ids import SessionKey
from checkpoint._records.compression import compress, declared_size, decompress
from checkpoint.errors import Damaged, UnsupportedFormat

RECORD, PAGE, HEAD_OBJECT, SEGMENT_OBJECT = b"ACP", b"ACG", b"ACH", b"ACS"
"""Magic bytes; the objects are those of ``checkpoint_objectstore``."""

FORMAT = 1
COMPRESSED = 1
"""Flag: the body is a Zstandard frame."""

START_SIZE = 6
"""Bytes of the start of a frame."""

DIGEST_SIZE = 16
SUM_SIZE = 4
_MAY_HAVE = {
    RECORD: (0, COMPRESSED),
    PAGE: (0, COMPRESSED),
    HEAD_OBJECT: (0,),
    SEGMENT_OBJECT: (0,),
}
_FLAGS = {
    magic + bytes((FORMAT, flags, 0)): flags for magic in _MAY_HAVE for flags in _MAY_HAVE[magic]
}
_size = Struct(">I").pack


def start(magic: bytes, flags: int = 0) -> bytes:
    """The start of a frame that this version writes."""
    return magic + bytes((FORMAT, flags, 0))


def flags_of(data: bytes, magic: bytes, what: str) -> int:
    """The flags in the start of a frame.

    Args:
        what: a name for the bytes, for the error text.

    Raises:
        Damaged: the bytes do not start with the magic.
        UnsupportedFormat: this version does not know the format, the flags or the key.
    """
    begin = bytes(data[:START_SIZE])  # a store may hand out other kinds of bytes
    flags = _FLAGS.get(begin)
    if flags is not None and begin.startswith(magic):
        return flags
    if len(begin) < START_SIZE or not begin.startswith(magic):
        raise Damaged(
            f"{what} does not start with the magic bytes {magic.decode()}: it was cut short or "
            f"replaced"
        )
    version, found, key_id = begin[len(magic) :]
    raise UnsupportedFormat(
        f"{what} has format {version}, flags {found:#x}, key {key_id}; this version reads format "
        f"{FORMAT}. If a newer agent-checkpoint wrote it, upgrade; if not, it is damaged"
    )


# --- headers -------------------------------------------------------------------------------------


def encode_header(fields: dict[int, Any], flags: int) -> bytes:
    """The stored form of a record's header."""
    return with_sum(start(RECORD, flags) + encode(fields))


def decode_header(header: bytes) -> tuple[dict[int, Any], int]:
    """Return the fields in the header of a record, and the flags.

    Raises:
        Damaged: the bytes are not a header.
        UnsupportedFormat: see :func:`flags_of`.
    """
    flags = flags_of(header if len(header) > START_SIZE + SUM_SIZE else b"", RECORD, "the record")
    if header[-SUM_SIZE:] != _sum_of(header[:-SUM_SIZE]):
        raise Damaged("the header of the record was changed or cut short")
    try:
        fields = decode_shallow(header[START_SIZE:-SUM_SIZE])
    except DecodeError as exc:
        raise Damaged(f"the header of the record cannot be decoded ({exc})") from exc
    if type(fields) is not dict:
        raise Damaged("the header of the record is not a map")
    return fields, flags


def with_sum(data: bytes) -> bytes:
    """The bytes, followed by their CRC-32."""
    return data + _sum_of(data)


def _sum_of(data: bytes) -> bytes:
    return crc32(data).to_bytes(SUM_SIZE, "big")


# --- bodies --------------------------------------------------------------------------------------


def pack(raw: bytes, prefix: bytes = b"", level: int | None = None) -> tuple[bytes, int]:
    """The stored form of a body, and the flags of its frame.

    Args:
        prefix: bytes that readers have read before, to compress against.
        level: see :func:`~checkpoint._records.compression.compress`.
    """
    packed = compress(raw, prefix, level)
    return (packed, COMPRESSED) if len(packed) < len(raw) else (raw, 0)


def unpacked_size(body: bytes, flags: int) -> int:
    """The unpacked size of a body in bytes, without decompressing it.

    Raises:
        Damaged: the body is compressed and declares no size or has no checksum.
    """
    return declared_size(body) if flags & COMPRESSED else len(body)


def unpack(body: bytes, flags: int, size: int, context: Callable[[], ZstdDecompressor]) -> bytes:
    """The inverse of :func:`pack`, once the size was accepted.

    Args:
        context: makes one of the prefix, as :func:`~checkpoint._records.compression.decompressor`.

    Raises:
        Damaged: the body does not decompress to that size with this prefix.
    """
    return decompress(body, size, context()) if flags & COMPRESSED else body


# --- digests -------------------------------------------------------------------------------------


def digest(key: SessionKey, parent_digest: bytes, header: bytes, body: bytes) -> bytes:
    """The digest of a record or page: over its session, its parent, its header and stored body."""
    hasher = _of_session(key).copy()
    hasher.update(
        b"".join((_size(len(parent_digest)), parent_digest, _size(len(header)), header, body))
    )
    return hasher.digest()


@lru_cache(maxsize=64)  # the records of a session are read by the dozen
def _of_session(key: SessionKey) -> blake2b:
    hasher = blake2b(digest_size=DIGEST_SIZE)
    for part in (key.namespace.encode(), key.session_id.encode()):
        hasher.update(_size(len(part)) + part)
    return hasher
