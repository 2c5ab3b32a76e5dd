"""Whether two values are the same, types and all, by a judge that shares no code with ours."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from checkpoint import Memory


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types, in equal order, all the way down; NaN is the same as NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, BaseModel):
        return same(_fields(a), _fields(b)) and same(a.__pydantic_extra__, b.__pydantic_extra__)
    if isinstance(a, Enum):
        return a is b
    if dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        return all(same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, dict):
        return _same_items([*a, *a.values()], [*b, *b.values()])
    if isinstance(a, (list, tuple, Memory)):
        return _same_items(a, b)
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    return _same_scalars(a, b)


def _fields(model: BaseModel) -> dict[str, Any]:
    return {name: model.__dict__[name] for name in type(model).model_fields}


def _same_items(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def _same_scalars(a: Any, b: Any) -> bool:
    if isinstance(a, float):
        if math.isnan(a):
            return math.isnan(b)
        return bool(a == b) and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, Decimal):
        return bool(a.as_tuple() == b.as_tuple())
    if isinstance(a, (dt.datetime, dt.time)):
        walls = a.replace(tzinfo=None) == b.replace(tzinfo=None)
        return bool(walls) and a.fold == b.fold and _zone(a.tzinfo) == _zone(b.tzinfo)
    return bool(a == b)


def _zone(tz: dt.tzinfo | None) -> object:
    """A named zone by its name, a fixed offset by offset and name; pydantic's have no name."""
    if tz is None or isinstance(tz, ZoneInfo):
        return tz and tz.key
    offset = tz.utcoffset(None)
    assert offset is not None
    own = tz.tzname(None) if isinstance(tz, dt.timezone) else dt.timezone(offset).tzname(None)
    return offset, own
