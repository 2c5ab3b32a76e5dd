"""Fidelity: proves that a restored state will equal the saved one, or finds the difference.

Before anything is written, the bytes of a save are read back and a state is built from them, as a
cold replica will. :func:`difference` compares that state with the live one. Types must match at
every level, not only values.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import TzInfo

from checkpoint._document.codec import decode, encode
from checkpoint._state.memory import Memory
from checkpoint._state.schema import DictState

# A place during the walk: its parent and the key in it. Only a difference makes a path of it.
Place = tuple["Place", object] | None

_ABSENT = object()


class Difference(NamedTuple):
    """Where two values differ, and why, in words that can follow "memory[3]: "."""

    path: list[object]
    reason: str


def difference(live: Any, rebuilt: Any, *above: object) -> Difference | None:
    """Return the first difference between ``live`` and ``rebuilt``, or None.

    Private attributes and fields declared with ``exclude=True`` are not saved, so not compared.

    Args:
        above: keys that lead to the two values.

    Example:
        >>> difference({"n": [1, True]}, {"n": [1, 1]})
        Difference(path=['n', 1], reason='bool True would come back as int 1')
    """
    place: Place = None
    for key in above:
        place = (place, key)
    if isinstance(live, dict) and type(rebuilt) is DictState:
        return _in_mapping(live, rebuilt, place)  # a plain state may be any kind of dict
    return _difference(live, rebuilt, place)


_BY_EQUALITY = frozenset({str, int, bool, bytes, dt.date, dt.timedelta})
_PLAIN = _BY_EQUALITY | {type(None)}


def _difference(live: Any, rebuilt: Any, place: Place) -> Difference | None:
    kind = type(live)
    if kind is not type(rebuilt):
        return _mismatch(live, rebuilt, place)
    if kind in _BY_EQUALITY:
        return None if live == rebuilt else _mismatch(live, rebuilt, place)
    return _comparer(kind)(live, rebuilt, place)  # type: ignore[arg-type]  # types have a hash


@lru_cache(maxsize=1024)
def _comparer(kind: type) -> Callable[[Any, Any, Place], Difference | None]:
    """The comparison for a type; cached, because choosing it takes as long as comparing."""
    if issubclass(kind, BaseModel):
        return _in_model
    if is_dataclass(kind):
        return _in_dataclass
    if issubclass(kind, Mapping):
        return _in_dict
    if issubclass(kind, Memory):
        return _in_memory
    if issubclass(kind, Sequence):
        return _in_list if kind is list else _in_sequence
    if issubclass(kind, AbstractSet):
        return _in_set
    return _in_scalar


def _in_scalar(live: Any, rebuilt: Any, place: Place) -> Difference | None:
    return None if _same_scalar(live, rebuilt) else _mismatch(live, rebuilt, place)


def _same_scalar(live: Any, rebuilt: Any) -> bool:
    if isinstance(live, float):
        return bool(live.hex() == rebuilt.hex())  # -0.0 is not 0.0, and nan is nan
    if isinstance(live, Decimal):
        return str(live) == str(rebuilt)
    if isinstance(live, (dt.datetime, dt.time)):
        return _moment(live) == _moment(rebuilt)
    try:
        return bool(live == rebuilt)
    except Exception:  # noqa: BLE001 - such as an array's, whose comparison has no single truth value
        return False


def _moment(value: Any) -> tuple[Any, ...]:
    """The parts of a date and time; pydantic's fixed offsets count as the standard library's."""
    tz = value.tzinfo
    zone = tz.utcoffset(None) if isinstance(tz, (dt.timezone, TzInfo)) else getattr(tz, "key", tz)
    return value.replace(tzinfo=None), value.fold, zone


@lru_cache(maxsize=1024)
def _saved_fields(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(name for name, field in model.model_fields.items() if not field.exclude)


def _in_model(live: BaseModel, rebuilt: BaseModel, place: Place) -> Difference | None:
    mine, theirs = live.__dict__, rebuilt.__dict__
    if (
        _PLAIN.issuperset(map(type, mine.values()))
        and all(map(is_, map(type, mine.values()), map(type, theirs.values())))
        and mine == theirs
        and not live.__pydantic_extra__
        and not rebuilt.__pydantic_extra__
    ):
        return None  # most messages: compared in one step
    for name in _saved_fields(type(live)):
        value, other = mine.get(name), theirs.get(name)
        if value is other or (
            (kind := type(value)) in _BY_EQUALITY and kind is type(other) and value == other
        ):
            continue  # as in _difference, without the call
        if found := _difference(value, other, (place, name)):
            return found
    if live.__pydantic_extra__ or rebuilt.__pydantic_extra__:
        return _in_mapping(live.__pydantic_extra__ or {}, rebuilt.__pydantic_extra__ or {}, place)
    return None


def _in_dataclass(live: Any, rebuilt: Any, place: Place) -> Difference | None:
    """Compare field by field: the comparison of the class itself may skip fields."""
    for field in fields(live):
        value, other = getattr(live, field.name, None), getattr(rebuilt, field.name, None)
        if value is not other and (found := _difference(value, other, (place, field.name))):
            return found
    return _in_mapping(getattr(live, "__dict__", {}), getattr(rebuilt, "__dict__", {}), place)


def _in_dict(
    live: Mapping[Any, Any], rebuilt: Mapping[Any, Any], place: Place
) -> Difference | None:
    if getattr(live, "default_factory", None) is not getattr(rebuilt, "default_factory", None):
        return Difference(_path(place), "its default_factory would be lost")
    return _in_mapping(live, rebuilt, place)


def _in_mapping(
    live: Mapping[Any, Any], rebuilt: Mapping[Any, Any], place: Place
) -> Difference | None:
    for (key, value), (other_key, other) in zip(live.items(), rebuilt.items(), strict=False):
        if key is not other_key and _difference(key, other_key, (place, key)):
            reason = f"the key {_show(key)} would come back as {_show(other_key)}"
            return Difference(_path((place, key)), reason)
        if value is not other and (found := _difference(value, other, (place, key))):
            return found
    return _in_size(live, rebuilt, place)


def _in_sequence(live: Sequence[Any], rebuilt: Sequence[Any], place: Place) -> Difference | None:
    if getattr(live, "maxlen", None) != getattr(rebuilt, "maxlen", None):
        return Difference(_path(place), "its maxlen would be lost")
    return _in_list(live, rebuilt, place)


def _in_list(live: Sequence[Any], rebuilt: Sequence[Any], place: Place) -> Difference | None:
    for index, (value, other) in enumerate(zip(live, rebuilt, strict=False)):
        if value is not other and (found := _difference(value, other, (place, index))):
            return found
    return _in_size(live, rebuilt, place)


def _in_memory(live: Memory[Any], rebuilt: Memory[Any], place: Place) -> Difference | None:
    """Compare the live items: all others are unchanged."""
    others = dict(rebuilt._lazy.live())  # perhaps more: a validator may have touched some
    for index, value in live._lazy.live():
        other = others.get(index, _ABSENT)
        if other is _ABSENT:
            continue  # touched since the dump; or missing, which the size shows
        if value is not other and (found := _difference(value, other, (place, index))):
            return found
    return _in_size(live, rebuilt, place)


def _in_set(live: AbstractSet[Any], rebuilt: AbstractSet[Any], place: Place) -> Difference | None:
    """Compare sets, which have no order, by pairing members with equal encodings."""
    others = {encode(member): member for member in rebuilt}
    for member in live:
        other = others.get(encode(member), _ABSENT)
        if other is _ABSENT:
            return Difference(_path(place), f"the member {_show(member)} would be lost")
        if _difference(member, other, place):
            reason = f"the member {_show(member)} would come back as {_show(other)}"
            return Difference(_path(place), reason)
    return _in_size(live, rebuilt, place)


def _in_size(live: Any, rebuilt: Any, place: Place) -> Difference | None:
    if len(live) == len(rebuilt):
        return None
    return Difference(_path(place), f"{len(live)} items would come back as {len(rebuilt)}")


def _path(place: Place) -> list[object]:
    keys: list[object] = []
    while place is not None:
        place, key = place
        keys.append(key)
    return keys[::-1]


def _mismatch(live: object, rebuilt: object, place: Place) -> Difference:
    if isinstance(live, (Secret, SecretBytes, SecretStr)):  # its repr would not show a difference
        reason = f"a {type(live).__name__} cannot be saved; declare its field with exclude=True"
        return Difference(_path(place), reason)
    reason = f"{_show(live)} would come back as {_show(rebuilt)}"
    if isinstance(live, BaseModel):
        reason += f"; declare {type(live).__name__} in the annotation"
    return Difference(_path(place), reason)


def _show(value: object) -> str:
    """Type and value, the value cut short: it may be long, or a secret."""
    try:
        shown = repr(value)
    except Exception as exc:  # noqa: BLE001 - any error, such as of an int with 4,300 digits
        shown = f"(whose repr fails: {exc})"
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:39] + '…'}"


# --- where a value cannot be encoded at all ------------------------------------------------------


def unencodable(live: Any, *path: object, above: tuple[object, ...] = ()) -> Difference | None:
    """Return the innermost value that cannot be encoded, or None when all can.

    Slow: called only once encoding the whole has failed, for the error.

    Args:
        path: the keys that lead to the value.
        above: the values it is in.
    """
    if any(live is outer for outer in above):
        return Difference(list(path), f"{type(live).__name__} contains itself")
    try:
        if isinstance(live, BaseModel):
            decode(encode(live.model_dump(round_trip=True, by_alias=False, warnings=False)))
        else:
            decode(encode(live))
    except Exception as exc:  # noqa: BLE001 - a value's own serializers may raise anything
        if len(path) < _DEEPEST:
            if found := _unencodable_key(live, path):
                return found
            for key, value in _children(live):
                if found := unencodable(value, *path, key, above=(*above, live)):
                    return found
        return Difference(list(path), _why_not(live, exc))
    return None


_DEEPEST = 64


def _unencodable_key(live: Any, path: tuple[object, ...]) -> Difference | None:
    """The first key or member without a plain form, or with an unhashable one."""
    for key in live if isinstance(live, (Mapping, AbstractSet)) else ():
        try:
            hash(decode(encode(key)))
        except Exception as exc:  # noqa: BLE001 - as above
            return Difference([*path, key], _why_not(key, exc))
    return None


def _why_not(live: object, exc: Exception) -> str:
    text = str(exc)
    if isinstance(exc, RecursionError) or "recursion" in text or "Circular reference" in text:
        return "nested too deep"
    known = "no plain form" in text or "unknown type" in text
    return f"{type(live).__name__} cannot be saved" + ("" if known else f" ({exc})")


def _children(value: Any) -> Iterable[tuple[object, Any]]:
    if isinstance(value, BaseModel):
        saved = [(name, value.__dict__.get(name)) for name in _saved_fields(type(value))]
        saved += (value.__pydantic_extra__ or {}).items()
        # A Memory can be saved in a field that declares it, so it is checked last.
        memories = [(name, item) for name, item in saved if isinstance(item, Memory)]
        return [
            *(
                (name, dict(item._lazy.live()) if isinstance(item, Memory) else item)
                for name, item in saved
            ),
            *memories,
        ]
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, Memory):
        return value._lazy.live()
    if isinstance(value, (list, tuple)):
        return enumerate(value)
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    return ()
