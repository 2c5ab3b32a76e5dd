"""Known items: stored items that were found valid, and immutable ones that states share.

An immutable item is built once from its bytes and shared by all states that have it. A mutable one
is built for each state that touches it; of these, only the validity is noted here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any
from uuid import UUID

from pydantic import BaseModel

_NOTE_SIZE = 100  # bytes of an entry, besides its key
_SHARED_SIZE = 600  # bytes of a built item, besides twice its encoding


class KnownItems:
    """The known items of one memory field, by encoding; the valid runs of pages, by their keys.

    The least recently used entries are dropped, half of them at once: all can be rebuilt.

    Args:
        max_bytes: approximate limit for the entries.
    """

    def __init__(self, max_bytes: int) -> None:
        self._most = max_bytes // 2  # of each generation
        self.keeps_nothing = max_bytes < 2
        self.size = 0
        """Approximate bytes of the entries."""
        self._late = 0  # bytes of the newer generation
        self._valid: set[bytes] = set()
        self._older_valid: set[bytes] = set()
        self.shared: dict[bytes, Any] = {}
        """Items to share, by encoding: the newer generation, by far the most requested."""
        self._older_shared: dict[bytes, Any] = {}
        self._lock = Lock()

    def get(self, encoded: bytes, default: Any) -> Any:
        """The item to share with this encoding."""
        found = self.shared.get(encoded, default)
        if found is default:
            found = self._older_shared.get(encoded, default)
            if found is not default:
                self._share(encoded, found)
        return found

    def are_valid(self, encoded: Collection[bytes]) -> bool:
        """Whether all of these were found valid."""
        if self._valid.issuperset(encoded):
            return True
        older = [each for each in encoded if each not in self._valid]
        if not self._older_valid.issuperset(older):
            return False
        self.validated(older)
        return True

    def validated(self, encoded: Collection[bytes]) -> None:
        """Note that these are valid."""
        sizes = [len(each) + _NOTE_SIZE for each in encoded]
        if self._has_room(sum(sizes)):
            self._valid.update(encoded)

    def share_if_immutable(self, encoded: Sequence[bytes], items: Sequence[Any]) -> None:
        """Keep the immutable ones among the items that were built from these."""
        if not any(map(may_be_immutable, set(map(type, items)))):
            return
        for each, item in zip(encoded, items, strict=True):
            if is_immutable(item):
                self._share(each, item)

    def _share(self, encoded: bytes, item: Any) -> None:
        if self._has_room(2 * len(encoded) + _SHARED_SIZE):
            self.shared[encoded] = item

    def _has_room(self, size: int) -> bool:
        """Make room for ``size`` bytes; False if they exceed a generation."""
        if size > self._most:
            return False
        with self._lock:
            if self._late + size > self._most:
                self._older_valid, self._valid = self._valid, set()
                self._older_shared, self.shared = self.shared, {}
                self.size, self._late = self._late, 0
            self._late += size
            self.size += size
        return True


# --- immutable values ----------------------------------------------------------------------------

IMMUTABLE = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        Decimal,
        UUID,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
    }
)
"""Types whose values are immutable."""


def is_immutable(value: object) -> bool:
    """Whether a value is immutable, with all its contents.

    A model must be declared ``frozen=True`` and have only its fields: private attributes, cached
    properties, extra fields and slots can be changed in a frozen model too, and excluded fields are
    not stored.

    Example:
        >>> is_immutable(("a", 1)), is_immutable(("a", [1]))
        (True, False)
    """
    kind = type(value)
    if kind in IMMUTABLE:
        return True
    if not may_be_immutable(kind):  # type: ignore[arg-type]  # types have a hash
        return False
    if kind is tuple or kind is frozenset:
        return all(map(is_immutable, value))  # type: ignore[call-overload]
    if issubclass(kind, BaseModel):
        held = value.__dict__
        return len(held) == len(kind.model_fields) and (
            IMMUTABLE.issuperset(map(type, held.values())) or all(map(is_immutable, held.values()))
        )
    return True


@lru_cache(maxsize=1024)
def may_be_immutable(kind: type) -> bool:
    """Whether values of a type are immutable if their contents are."""
    if not issubclass(kind, BaseModel):
        return kind in IMMUTABLE or kind in (tuple, frozenset) or issubclass(kind, Enum)
    if not kind.model_config.get("frozen"):
        return False
    own = [cls for cls in kind.__mro__ if cls not in (BaseModel, object)]
    return (
        not kind.__private_attributes__
        and kind.model_config.get("extra") != "allow"
        and kind.__setattr__ is BaseModel.__setattr__
        and kind.__delattr__ is BaseModel.__delattr__
        and not any(field.exclude for field in kind.model_fields.values())
        and not any(cls.__dict__.get("__slots__") for cls in own)
        and not any(isinstance(a, cached_property) for cls in own for a in vars(cls).values())
    )
