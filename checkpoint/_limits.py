"""Limits on the size of the states that a process reads and writes."""

from __future__ import annotations

from typing import NamedTuple

from checkpoint._ids import SessionKey
from checkpoint.errors import StateTooLarge

MAX_BYTES = 64 * 1024 * 1024
"""Default limit for an encoded state, in bytes."""

MIN_RAW_BYTES = 128 * 1024
RAW_PER_BASE = 8
"""Limits for a segment's patches: so many raw bytes, or this many times the base's if more."""


class Limits(NamedTuple):
    """Limits on the size of the states that a process reads and writes.

    Attributes:
        max_bytes: the largest encoded state, in bytes.
    """

    max_bytes: int = MAX_BYTES

    def check_value(self, key: SessionKey, what: str, size: int) -> None:
        """Raise StateTooLarge unless a value of ``size`` encoded bytes may be saved."""
        if size > self.max_bytes:
            raise StateTooLarge(
                f"the {what} has {size} bytes encoded, over the limit of {self.max_bytes}; nothing "
                f"was written. Trim it, or open the store with a larger max_bytes"
            ).at(key)

    def check_segment(self, key: SessionKey, body: int, total: int) -> None:
        """Raise StateTooLarge unless a segment may be read, or written for readers like this one.

        A body may have the result of a turn beside the document, of the same size.

        Args:
            body: raw bytes of its next body.
            total: raw bytes of all bodies up to that one.
        """
        most = 2 * self.max_bytes + MIN_RAW_BYTES
        if body > most or total > (1 + RAW_PER_BASE) * most:
            raise StateTooLarge(
                f"the stored state has bodies of {total} bytes, too many for the limit of "
                f"{self.max_bytes}; open the store with a larger max_bytes if it is trusted"
            ).at(key)
