"""Encoded lists and maps: split and joined without decoding their contents.

MessagePack is self-delimiting: the first bytes of a value give its type and size. See
https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from checkpoint._document.codec import NODE, DecodeError

_NODE_MARK = bytes((0xD6, NODE))  # start of an encoded node: an extension of 4 bytes


def array(items: Sequence[bytes], count: int | None = None) -> bytes:
    """The encoding of a list, from the encodings of its items.

    Args:
        count: number of items, if some of ``items`` are several joined ones.
    """
    header: bytes = msgpack.Packer().pack_array_header(len(items) if count is None else count)
    return header + b"".join(items)


def split_array(data: bytes) -> list[bytes]:
    """The encodings of the items of an encoded list; the inverse of :func:`array`.

    Raises:
        DecodeError: the bytes are not a list.
    """
    return _split(data, lambda unpacker: unpacker.read_array_header())


def split_map(data: bytes) -> list[tuple[bytes, bytes]]:
    """The encodings of the keys and values of an encoded map, in order.

    Raises:
        DecodeError: the bytes are not a map.
    """
    parts = _split(data, lambda unpacker: 2 * unpacker.read_map_header())
    return list(zip(parts[::2], parts[1::2], strict=True))


def _split(data: bytes, read_header: Callable[[Any], int]) -> list[bytes]:
    """The encoded values in a container; ``read_header`` returns their number."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    try:
        count = read_header(unpacker)
        start = unpacker.tell()
        parts = []
        for _ in range(count):
            unpacker.skip()
            end = unpacker.tell()
            parts.append(data[start:end])
            start = end
    except Exception as exc:
        raise DecodeError(f"{type(exc).__name__}: {exc}") from exc
    return parts


def is_map(data: bytes) -> bool:
    """Whether the bytes are a map."""
    return data[0] & 0xF0 == 0x80 or data[0] in (0xDE, 0xDF)


def is_array(data: bytes) -> bool:
    """Whether the bytes are a list."""
    return data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)


def open_array(data: bytes) -> tuple[int, bytes]:
    """The number of items in an encoded list, and their encodings joined."""
    if data[0] & 0xF0 == 0x90:
        return data[0] & 0x0F, data[1:]
    size = 2 if data[0] == 0xDC else 4
    return int.from_bytes(data[1 : 1 + size], "big"), data[1 + size :]


def node_number(data: bytes) -> int | None:
    """The index of an encoded node in the list of nodes; None if the bytes are not a node."""
    return int.from_bytes(data[2:], "big") if data[:2] == _NODE_MARK and len(data) == 6 else None


def has_nodes(data: bytes) -> bool:
    """Whether an encoded document contains nodes."""
    if _NODE_MARK not in data:
        return False
    codes: list[int] = []
    msgpack.unpackb(
        data,
        ext_hook=lambda code, _: codes.append(code),
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )
    return NODE in codes
