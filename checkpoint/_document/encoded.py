"""Encoded documents taken apart, and put together, without decoding what is in them.

MessagePack is self-delimiting: what follows a value's first byte says where it ends. See
https://github.com/msgpack/msgpack/blob/master/spec.md for the first bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from checkpoint._document.codec import NODE, DecodeError

_NODE_MARK = bytes((0xD6, NODE))  # how the encoding of a node begins: an extension of 4 bytes


def array(items: Sequence[bytes], count: int | None = None) -> bytes:
    """The encoding of a list, from the encodings of its items.

    Args:
        count: how many there are, where some are joined.
    """
    header: bytes = msgpack.Packer().pack_array_header(len(items) if count is None else count)
    return header + b"".join(items)


def split_array(data: bytes) -> list[bytes]:
    """The encodings of the items of an encoded list; the inverse of :func:`array`.

    Raises:
        DecodeError: the bytes are not those of a list.
    """
    return _split(data, lambda unpacker: unpacker.read_array_header())


def split_map(data: bytes) -> list[tuple[bytes, bytes]]:
    """The encodings of the keys and values of an encoded map, in order.

    Raises:
        DecodeError: the bytes are not those of a map.
    """
    parts = _split(data, lambda unpacker: 2 * unpacker.read_map_header())
    return list(zip(parts[::2], parts[1::2], strict=True))


def _split(data: bytes, read_header: Callable[[Any], int]) -> list[bytes]:
    """The values that follow the header of a container, of which ``read_header`` tells how many."""
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
    """Whether these are the bytes of a map."""
    return data[0] & 0xF0 == 0x80 or data[0] in (0xDE, 0xDF)


def is_array(data: bytes) -> bool:
    """Whether these are the bytes of a list."""
    return data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)


def open_array(data: bytes) -> tuple[int, bytes]:
    """The number of items of an encoded list, and their encodings in one string of bytes."""
    if data[0] & 0xF0 == 0x90:
        return data[0] & 0x0F, data[1:]
    size = 2 if data[0] == 0xDC else 4
    return int.from_bytes(data[1 : 1 + size], "big"), data[1 + size :]


def node_number(data: bytes) -> int | None:
    """The place of a node in the list of nodes; None for bytes that are no node."""
    return int.from_bytes(data[2:], "big") if data[:2] == _NODE_MARK and len(data) == 6 else None


def has_nodes(data: bytes) -> bool:
    """Whether there are nodes in an encoded document."""
    if _NODE_MARK not in data:
        return False
    met: list[int] = []
    msgpack.unpackb(
        data,
        ext_hook=lambda code, _: met.append(code),
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )
    return NODE in met
