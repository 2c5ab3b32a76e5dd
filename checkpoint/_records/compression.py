"""Bodies compressed and decompressed, with Zstandard (RFC 8878), against what precedes them.

Every frame declares its size and has a checksum, so a bomb is refused before it is decompressed,
and one read against another prefix than it was written against is noticed.
"""

from __future__ import annotations

from collections import OrderedDict

import zstandard

from checkpoint.errors import Damaged

_LEVEL = 6  # of what has no prefix, such as a base, which is written rarely and kept for long
_KEPT = 8  # contexts, of some hundred KB each

# For a turn, which is short, against a prefix, which is not: with tables of the prefix's size and a
# lazy search it takes fewer bytes than at level 3, and no more time.
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


class _Compressors:
    """Contexts by their prefix. Making one costs more than using it, and turns share a prefix.

    A context is taken out while it is used: no two threads ever have the same.
    """

    def __init__(self) -> None:
        self._free: OrderedDict[bytes, zstandard.ZstdCompressor] = OrderedDict()

    def take(self, prefix: bytes) -> zstandard.ZstdCompressor:
        if (known := self._free.pop(prefix, None)) is not None:
            return known
        made = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        made.precompute_compress(compression_params=_AGAINST_PREFIX)
        return zstandard.ZstdCompressor(compression_params=_AGAINST_PREFIX, dict_data=made)

    def give_back(self, prefix: bytes, context: zstandard.ZstdCompressor) -> None:
        self._free[prefix] = context
        while len(self._free) > _KEPT:
            self._free.popitem(last=False)


_compressors = _Compressors()


def compress(raw: bytes, prefix: bytes = b"", level: int | None = None) -> bytes:
    """Compress a body against a prefix.

    Args:
        level: takes more time to find what is in the prefix; None: as a turn does.
    """
    if prefix and level is None:
        context = _compressors.take(prefix)
        frame = context.compress(raw)
        _compressors.give_back(prefix, context)
        return frame
    dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compressor = zstandard.ZstdCompressor(
        level=level or _LEVEL, write_checksum=True, dict_data=dictionary if prefix else None
    )
    return compressor.compress(raw)


def declared_size(body: bytes) -> int:
    """Bytes a compressed body will have when decompressed, read without decompressing it.

    Raises:
        Damaged: it is not a Zstandard frame with a declared size and a checksum.
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
    """A context for :func:`decompress`. Making one takes longer than a patch: use it for many."""
    made = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=made if prefix else None)


def decompress(body: bytes, size: int, context: zstandard.ZstdDecompressor) -> bytes:
    """The inverse of :func:`compress`, where the declared size was found acceptable.

    Raises:
        Damaged: it does not decompress to that size, or bytes follow the frame.
    """
    try:
        raw = context.decompress(body, size, False, False)  # nothing may follow the frame
    except zstandard.ZstdError as exc:
        raise Damaged(f"the body cannot be decompressed ({exc})") from exc
    if len(raw) != size:
        raise Damaged(f"the body has {len(raw)} bytes and declares {size}")
    return raw
