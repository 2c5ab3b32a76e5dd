"""Ids as names of folders: safe in S3 and in any file system, in the same order.

A byte that is no digit and no small letter becomes three characters: ``-``, ``=`` or ``~``, by
where it sorts among them, and two hexadecimal digits. So names sort as ids do, byte by byte, the
start of an id is the start of its name, and file systems that take ``A`` for ``a`` do not matter.
Every name ends in ``!``, which sorts before all of these. A name that would be too long ends in a
hash of the id instead; names of ids that begin alike are then no longer in order among themselves.
"""

from __future__ import annotations

import re
from hashlib import blake2b

END = "!"
STEM = 178
"""Characters of a name by which it is in the order of ids; what follows may not be."""

_LONGEST = 180
_HASHED = "~~"  # else, two hexadecimal digits follow a ~


def _code(byte: int) -> str:
    if 0x30 <= byte <= 0x39 or 0x61 <= byte <= 0x7A:
        return chr(byte)
    return f"{'-' if byte < 0x30 else '=' if byte < 0x61 else '~'}{byte:02x}"


_CODES = [_code(byte) for byte in range(256)]
_ESCAPED = re.compile(r"[-=~]([0-9a-f]{2})|([0-9a-z])")


def encoded(text: str) -> str:
    """An id, or the start of one, as it stands in a name.

    Example:
        >>> encoded("user-42/é")
        'user-2d42-2f~c3~a9'
    """
    return "".join([_CODES[byte] for byte in text.encode()])


def name_of(id: str) -> str:
    """The name of an id.

    Example:
        >>> name_of("user-42"), len(name_of("😀" * 128))
        ('user-2d42!', 215)
    """
    name = encoded(id)
    if len(name) <= _LONGEST:
        return name + END
    stem = ""
    for byte in id.encode():
        if len(stem) + len(_CODES[byte]) > _LONGEST:
            break
        stem += _CODES[byte]
    return f"{stem}{_HASHED}{blake2b(id.encode(), digest_size=16).hexdigest()}{END}"


def id_of(name: str) -> str | None:
    """The id of a name that was not made here by a hash; else None.

    Example:
        >>> id_of("user-2d42!")
        'user-42'
    """
    parts = _ESCAPED.findall(name)
    try:
        id = bytes(int(code, 16) if code else ord(char) for code, char in parts).decode()
    except ValueError:
        return None
    return id if encoded(id) + END == name else None


def is_hashed(name: str) -> bool:
    """Whether a name does not tell its id."""
    return _HASHED in name
