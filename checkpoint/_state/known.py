"""What a checkpointer knows of stored items: which are valid, and those that states may share.

An item that cannot be changed is built once from its bytes and shared between all states that have
it. Any other is built for each state that touches it; here is noted only that it is valid.
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
    """What is known of the items of one memory field, by their encoding (of a page, by its id).

    The entries that were used least recently are dropped, half of them at once: what is here can
    always be found out again.

    Args:
        max_bytes: limit for what is kept, about.
    """

    def __init__(self, max_bytes: int) -> None:
        self._most = max_bytes // 2  # of each generation
        self.keeps_nothing = max_bytes < 2
        self.size = 0
        """Bytes of what is kept, about."""
        self._late = 0  # of those, the bytes of the generation that is filled
        self._valid: set[bytes] = set()
        self._older_valid: set[bytes] = set()
        self.shared: dict[bytes, Any] = {}
        """Items to share, by their encoding: those of late, which are by far the most asked for."""
        self._older_shared: dict[bytes, Any] = {}
        self._lock = Lock()

    def get(self, encoded: bytes, default: Any) -> Any:
        """The item to share that has this encoding."""
        found = self.shared.get(encoded, default)
        if found is default:
            found = self._older_shared.get(encoded, default)
            if found is not default:
                self._share(encoded, found)
        return found

    def are_valid(self, encoded: Collection[bytes]) -> bool:
        """Whether all these were found valid."""
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
        """Keep the items that were built from these, but for those that can be changed."""
        if not any(map(may_be_immutable, set(map(type, items)))):
            return  # as most are, if any
        for each, item in zip(encoded, items, strict=True):
            if is_immutable(item):
                self._share(each, item)

    def _share(self, encoded: bytes, item: Any) -> None:
        if self._has_room(2 * len(encoded) + _SHARED_SIZE):
            self.shared[encoded] = item

    def _has_room(self, size: int) -> bool:
        """Make room for so many bytes, if there can be."""
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


# --- what cannot be changed ----------------------------------------------------------------------

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
"""Types of values that cannot be changed."""


def is_immutable(value: object) -> bool:
    """Whether a value cannot be changed, and nothing inside of it.

    Of models, those that are declared ``frozen=True`` and have nothing but their fields: private
    attributes, cached properties, extra fields and slots can be changed in a frozen model too, and
    excluded fields are not stored.

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
    """Whether there are values of a type that cannot be changed, if what is inside cannot be."""
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
