"""The stored form of a record: magic, flags and header, then a body that is checked and bounded.

    b"ACP"  format version   flags   key id   header (MessagePack map)   |   body   digest
    3       1                1       1        self-delimiting            |   rest   16 bytes

The bar is where a store may cut: what stands before it (the *head*) is readable alone, so history
never loads a body. The digest is BLAKE2b over the namespace, the session, the digest of the record
before it in the chain, the head and the body as stored: a record that was flipped, cut or moved to
another session or place in the chain does not verify. The body is one Zstandard frame (RFC 8878)
with its size declared and a checksum, or the raw bytes where those are smaller.

The format is unstable until the first released corpus is committed with the tests.
"""

from __future__ import annotations

from typing import Any

import zstandard

from checkpoint.codec import DecodeError, decode_first, encode
from checkpoint.errors import Damaged, UnsupportedFormat
from checkpoint.ids import SessionKey

MAGIC = b"ACP"
FORMAT = 1
DIGEST_SIZE = 16
PREFIX_SIZE = 32 * 1024
"""Bytes of the segment's raw bodies that a patch is compressed against, at most."""

_COMPRESSED = 1  # flag: the body is a Zstandard frame
_LEVEL = 3  # the lowest at which the prefix is searched well
_HEAD_START = len(MAGIC) + 3

# A turn is short and its prefix is not: with tables of the prefix's size and a lazy search it takes
# less time than at level 3 and fewer bytes.
_SHORT = 16 * 1024
_FOR_SHORT = zstandard.ZstdCompressionParameters(
    window_log=16,
    hash_log=14,
    chain_log=14,
    search_log=2,
    min_match=4,
    target_length=32,
    strategy=zstandard.STRATEGY_LAZY,
    write_checksum=True,
)


def seal_head(header: dict[int, Any], *, compressed: bool) -> bytes:
    """The head of a record: magic, flags (no key: encryption is reserved) and its header."""
    return MAGIC + bytes((FORMAT, _COMPRESSED if compressed else 0, 0)) + encode(header)


def open_head(head: bytes) -> tuple[dict[int, Any], bool]:
    """Return the header in a head and whether the body is compressed.

    Raises:
        Damaged: these are not the bytes of a head.
        UnsupportedFormat: they are, of a format or with a flag this version does not know.
    """
    if len(head) <= _HEAD_START or head[:3] != MAGIC:
        raise Damaged("the record does not begin as one of ours")
    version, flags, key_id = head[3:_HEAD_START]
    if version != FORMAT or flags & ~_COMPRESSED or key_id:
        raise UnsupportedFormat(
            f"the record has format {version}, flags {flags:#x}, key {key_id}; this version reads "
            f"format {FORMAT}. If a newer agent-checkpoint wrote it, install that; if not, the "
            f"record is damaged"
        )
    try:
        header, size = decode_first(memoryview(head)[_HEAD_START:])
    except DecodeError as exc:
        raise Damaged(f"the header of the record cannot be decoded ({exc})") from exc
    if type(header) is not dict or size != len(head) - _HEAD_START:
        raise Damaged("the header of the record is not one map")
    return header, flags == _COMPRESSED


def compress(raw: bytes, prefix: bytes = b"", level: int = _LEVEL) -> tuple[bytes, bool]:
    """Compress a body against what precedes it; return it, and whether that made it smaller."""
    options: dict[str, Any] = {"dict_data": _dictionary(prefix)} if prefix else {}
    if prefix and len(raw) <= _SHORT:
        options["compression_params"] = _FOR_SHORT
    else:
        options |= {"level": level, "write_checksum": True}
    frame = zstandard.ZstdCompressor(**options).compress(raw)
    return (frame, True) if len(frame) < len(raw) else (raw, False)


def declared_size(body: bytes, *, compressed: bool) -> int:
    """Bytes a body will have when decompressed, read from its frame without decompressing.

    Raises:
        Damaged: it is not a Zstandard frame with a declared size and a checksum.
    """
    if not compressed:
        return len(body)
    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as exc:
        raise Damaged(f"the body is not a Zstandard frame ({exc})") from exc
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN or not frame.has_checksum:
        raise Damaged("the frame of the body declares no size or has no checksum")
    return int(frame.content_size)


def decompress(body: bytes, size: int, prefix: bytes, *, compressed: bool) -> bytes:
    """The inverse of :func:`compress`, for a body whose declared size was found acceptable.

    Raises:
        Damaged: it does not decompress to that size, or bytes follow the frame.
    """
    if not compressed:
        return body
    options: dict[str, Any] = {"dict_data": _dictionary(prefix)} if prefix else {}
    try:
        raw = zstandard.ZstdDecompressor(**options).decompress(
            body, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as exc:
        raise Damaged(f"the body cannot be decompressed ({exc})") from exc
    if len(raw) != size:
        raise Damaged(f"the body has {len(raw)} bytes and declares {size}")
    return raw


def digest(key: SessionKey, parent_digest: bytes, head: bytes, body: bytes) -> bytes:
    """Digest of a record in its place: session, chain, head and stored body."""
    from hashlib import blake2b

    state = blake2b(digest_size=DIGEST_SIZE)
    for part in (key.namespace.encode(), key.session_id.encode(), parent_digest, head):
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    state.update(body)
    return state.digest()


def _dictionary(prefix: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
