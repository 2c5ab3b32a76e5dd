"""Folder names for ids: safe in S3 and in any file system, and in the same order.

Digits and lowercase letters stay as they are. Any other byte becomes three characters: ``-``, ``=``
or ``~``, by its position in the sort order, and two hexadecimal digits. So names sort like ids,
byte by byte, a prefix of an id is a prefix of its name, and file systems may ignore case. Every
name ends in ``!``, which sorts before all other characters. A name that would be too long ends in a
hash of the id instead; ids with the same long prefix are then not in order among themselves.
"""

from __future__ import annotations

import re
from hashlib import blake2b

END = "!"
STEM = 178
"""Characters of a name that sort like its id; the rest may not."""

_LONGEST = 180
_HASHED = "~~"  # in other names, two hexadecimal digits follow each ~


def _code(byte: int) -> str:
    if 0x30 <= byte <= 0x39 or 0x61 <= byte <= 0x7A:
        return chr(byte)
    return f"{'-' if byte < 0x30 else '=' if byte < 0x61 else '~'}{byte:02x}"


_CODES = [_code(byte) for byte in range(256)]
_ESCAPED = re.compile(r"[-=~]([0-9a-f]{2})|([0-9a-z])")


def encoded(text: str) -> str:
    """Encode an id, or a prefix of one, without the final ``!``.

    Example:
        >>> encoded("user-42/é")
        'user-2d42-2f~c3~a9'
    """
    return "".join([_CODES[byte] for byte in text.encode()])


def name_of(id: str) -> str:
    """The folder name of an id.

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
    """The id of a folder name; None if the name is hashed or not valid.

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
    """Whether a name contains a hash in place of its id."""
    return _HASHED in name
