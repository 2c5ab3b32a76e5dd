"""Checks names given by callers: namespaces, session ids, turn ids, labels."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from checkpoint.errors import InvalidId

MAX_BYTES = 512


class SessionKey(NamedTuple):
    """Address of a session in a store. Compared byte by byte: ``User`` and ``user`` differ."""

    namespace: str
    session_id: str


def check_id(value: str, what: str) -> str:
    """Return ``value`` if every store can keep it unchanged.

    Args:
        value: 1 to 512 bytes of UTF-8, no control characters; ``/`` and any script are fine.
        what: the name of the value in errors, such as ``"session id"``.

    Raises:
        InvalidId: it is not a string, empty, too long, not UTF-8, or has control characters.

    Example:
        >>> check_id("tenant/user-42", "session id")
        'tenant/user-42'
    """
    if not isinstance(value, str):
        raise InvalidId(f"a {what} is a str, not {type(value).__name__}: {value!r:.80}")
    if not value:
        raise InvalidId(f"the {what} is empty; give each one a stable name of its own")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as exc:
        raise InvalidId(
            f"the {what} {value!r:.80} cannot be written as UTF-8 (character {exc.start})"
        ) from None
    if size > MAX_BYTES:
        raise InvalidId(
            f"the {what} {value!r:.40}… has {size} bytes of UTF-8; the limit is {MAX_BYTES}. "
            f"Use a short stable name, or a hash of this one"
        )
    if not value.isprintable():
        for index, char in enumerate(value):
            if unicodedata.category(char) == "Cc":
                raise InvalidId(
                    f"the {what} {value!r:.80} has a control character at {index}: {char!r}"
                )
    return value
