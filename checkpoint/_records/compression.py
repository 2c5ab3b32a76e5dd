"""Compression of bodies with Zstandard (RFC 8878), against the bytes that precede them.

Every frame declares its size and has a checksum, so a bomb is refused before it is decompressed,
and decompression against the wrong prefix is detected.
"""

from __future__ import annotations

from collections import OrderedDict

import zstandard

from checkpoint.errors import Damaged

_LEVEL = 6  # for bodies without a prefix, such as bases: written rarely and kept for long
_KEPT = 8  # contexts, of some hundred KB each

# For a short turn against a long prefix: tables of the prefix's size and a lazy search take fewer
# bytes than level 3, in the same time.
_AGAINST_PREFIX = zstandard.ZstdCompressionParameters(
    window_log=17,
    hash_log=15,
    chain_log=15,
    search_log=3,
    min_match=4,
    target_length=32,
    strategy=zstandard.STRATEGY_LAZY,
    write_checksum=True,
)


def _dictionary(prefix: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class _Compressors:
    """A pool of contexts by prefix: making one costs more than using it, and turns share a prefix.

    A context leaves the pool while it is used, so no two threads share one.
    """

    def __init__(self) -> None:
        self._free: OrderedDict[bytes, zstandard.ZstdCompressor] = OrderedDict()

    def take(self, prefix: bytes) -> zstandard.ZstdCompressor:
        if (known := self._free.pop(prefix, None)) is not None:
            return known
        dictionary = _dictionary(prefix)
        dictionary.precompute_compress(compression_params=_AGAINST_PREFIX)
        return zstandard.ZstdCompressor(compression_params=_AGAINST_PREFIX, dict_data=dictionary)

    def give_back(self, prefix: bytes, context: zstandard.ZstdCompressor) -> None:
        self._free[prefix] = context
        while len(self._free) > _KEPT:
            self._free.popitem(last=False)


_compressors = _Compressors()


def compress(raw: bytes, prefix: bytes = b"", level: int | None = None) -> bytes:
    """Compress a body against a prefix.

    Args:
        level: Zstandard level, for bodies worth more time; None: the settings for a turn.
    """
    if prefix and level is None:
        context = _compressors.take(prefix)
        frame = context.compress(raw)
        _compressors.give_back(prefix, context)
        return frame
    dictionary = _dictionary(prefix) if prefix else None
    compressor = zstandard.ZstdCompressor(
        level=level or _LEVEL, write_checksum=True, dict_data=dictionary
    )
    return compressor.compress(raw)


def declared_size(body: bytes) -> int:
    """The decompressed size of a body in bytes, as it declares.

    Raises:
        Damaged: the body is not a Zstandard frame with a declared size and a checksum.
    """
    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as exc:
        raise Damaged(f"the body is not a Zstandard frame ({exc})") from exc
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN or not frame.has_checksum:
        raise Damaged("the frame of the body declares no size or has no checksum")
    size: int = frame.content_size
    return size


def decompressor(prefix: bytes) -> zstandard.ZstdDecompressor:
    """A context for :func:`decompress`. Making one takes longer than a patch: reuse it."""
    return zstandard.ZstdDecompressor(dict_data=_dictionary(prefix) if prefix else None)


def decompress(body: bytes, size: int, context: zstandard.ZstdDecompressor) -> bytes:
    """The inverse of :func:`compress`, once the declared size was accepted.

    Raises:
        Damaged: the body does not decompress to that size, or bytes follow the frame.
    """
    try:
        raw = context.decompress(body, size, False, False)  # nothing may follow the frame
    except zstandard.ZstdError as exc:
        raise Damaged(f"the body cannot be decompressed ({exc})") from exc
    if len(raw) != size:
        raise Damaged(f"the body has {len(raw)} bytes and declares {size}")
    return raw
