"""Whether a value that can be changed was changed: told by what it is made of.

A stamp lists all that is inside of a value, in order: the types of containers and models, and the
values that cannot be changed. As long as each of these is the very same object, the value is what
it was. An equal object in the place of another counts as a change: it may be of
another type, and it is then for the comparison of encodings to tell.
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
"""None for a value that holds something of which that cannot be told."""

_END = object()  # of a container: what follows is not inside of it
_DEEPEST = 32


def is_unchanged(value: object, before: Stamp) -> bool:
    """Whether a value is surely what it was when a stamp of it was made.

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
    """Stamps of several, in less time: of simple models, what is in their fields."""
    held = _held(values)
    if held is not None and IMMUTABLE.issuperset(map(type, chain.from_iterable(held))):
        return [*held]
    return list(map(_stamp, values))


def changed(values: Sequence[Any], before: Sequence[Stamp]) -> list[int]:
    """The places of those that may have been changed since their stamps were made."""
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
    """What each holds in its fields; None where some hold more than that."""
    if not all(map(_is_simple, set(map(type, values)))):
        return None
    return [tuple(value.__dict__.values()) for value in values]


def _is_same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _add(parts: Iterable[Any], found: list[Any], depth: int) -> bool:
    """Add values, and what is inside of them; False if that cannot be told."""
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
            # What is private is no state, but a serializer of the model's own may look at it.
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
    """Whether a class is that of models that hold nothing but what pydantic puts into them."""
    own = [cls for cls in kind.__mro__ if cls not in (BaseModel, object)]
    return issubclass(kind, BaseModel) and not any(cls.__dict__.get("__slots__") for cls in own)


@lru_cache(maxsize=1024)
def _is_simple(kind: type) -> bool:
    """Whether a class is that of models that hold nothing but their fields: so are most."""
    return (
        _holds_fields(kind)
        and kind.model_config.get("extra") != "allow"  # type: ignore[attr-defined]
        and not kind.__private_attributes__  # type: ignore[attr-defined]
    )
