"""Stamps: detect changes of mutable values by the objects that they contain.

A stamp lists the contents of a value in order: the types of containers and models, and the
immutable values. While each of these is the very same object, the value is unchanged. An equal
object in place of another counts as a change: it may have another type, and the encodings decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from itertools import chain
from operator import is_
from typing import Any, cast

from pydantic import BaseModel

from checkpoint._state.known import IMMUTABLE

Stamp = tuple[Any, ...] | None
"""None for a value with contents whose changes cannot be detected."""

_END = object()  # the end of a container
_DEEPEST = 32


def is_unchanged(value: object, before: Stamp) -> bool:
    """Whether a value is certainly unchanged since its stamp was made.

    Example:
        >>> notes = ["hi", {"seen": [1]}]
        >>> (before,) = stamps([notes])
        >>> is_unchanged(notes, before)
        True
        >>> notes[1]["seen"].append(2)
        >>> is_unchanged(notes, before)
        False
    """
    if before is None:
        return False
    now = _stamp(value)
    return now is not None and _is_same(before, now)


def stamps(values: Sequence[Any]) -> list[Stamp]:
    """The stamps of several values, faster for simple models: the values of their fields."""
    held = _held(values)
    if held is not None and IMMUTABLE.issuperset(map(type, chain.from_iterable(held))):
        return [*held]
    return list(map(_stamp, values))


def changed(values: Sequence[Any], before: Sequence[Stamp]) -> list[int]:
    """The indices of values that may have changed since their stamps were made."""
    held = _held(values)
    if held is not None and None not in before:
        then = cast("Sequence[tuple[Any, ...]]", before)
        if list(map(len, held)) == list(map(len, then)) and all(
            map(is_, chain.from_iterable(held), chain.from_iterable(then))
        ):
            return []
    return [at for at, value in enumerate(values) if not is_unchanged(value, before[at])]


def _stamp(value: Any) -> Stamp:
    held = _held([value])
    if held is not None and IMMUTABLE.issuperset(map(type, held[0])):
        return held[0]
    found: list[Any] = []
    return tuple(found) if _add((value,), found, 0) else None


def _held(values: Sequence[Any]) -> list[tuple[Any, ...]] | None:
    """The field values of each; None if one has more than fields."""
    if not all(map(_is_simple, set(map(type, values)))):
        return None
    return [tuple(value.__dict__.values()) for value in values]


def _is_same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _add(parts: Iterable[Any], found: list[Any], depth: int) -> bool:
    """Add values and their contents to ``found``; False if a change could not be detected."""
    for part in parts:
        kind: Any = type(part)
        if kind in IMMUTABLE:
            found.append(part)
            continue
        found.append(kind)
        if kind is dict:
            inside = (*part, *part.values())
        elif kind in (list, tuple, set, frozenset):
            inside = part
        elif _holds_fields(kind):
            # Private attributes are not saved, but the model's serializers may read them.
            inside = (*part.__dict__.values(), part.__pydantic_extra__, part.__pydantic_private__)
        elif issubclass(kind, Enum):
            inside = ()
            found.append(part)
        else:
            return False
        if inside and (depth == _DEEPEST or not _add(inside, found, depth + 1)):
            return False
        found.append(_END)
    return True


@lru_cache(maxsize=1024)
def _holds_fields(kind: type) -> bool:
    """Whether models of a class hold only what pydantic puts into them."""
    own = [cls for cls in kind.__mro__ if cls not in (BaseModel, object)]
    return issubclass(kind, BaseModel) and not any(cls.__dict__.get("__slots__") for cls in own)


@lru_cache(maxsize=1024)
def _is_simple(kind: type) -> bool:
    """Whether models of a class, like most, hold only their fields."""
    return (
        _holds_fields(kind)
        and kind.model_config.get("extra") != "allow"  # type: ignore[attr-defined]
        and not kind.__private_attributes__  # type: ignore[attr-defined]
    )
