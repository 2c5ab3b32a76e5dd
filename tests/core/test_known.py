"""What is known of items is bounded, and nothing is shared that could be changed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, PrivateAttr, computed_field

from checkpoint._state.known import KnownItems, is_immutable


class Color(Enum):
    RED = "red"


class Frozen(BaseModel, frozen=True):
    text: str
    at: dt.datetime | None = None
    color: Color = Color.RED
    parts: tuple[str, ...] = ()
    inside: Frozen | None = None


class Computed(BaseModel, frozen=True):
    n: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.n


class Loose(BaseModel, frozen=True):
    value: Any


class Mutable(BaseModel):
    n: int = 0


class Private(BaseModel, frozen=True):
    _n: int = PrivateAttr(0)


class Cached(BaseModel, frozen=True):
    n: int = 0

    @cached_property
    def items(self) -> list[int]:
        return []


class CachedField(BaseModel, frozen=True):
    n: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def items(self) -> list[int]:
        return []


class OfCached(Cached, frozen=True):
    pass


class Extra(BaseModel, frozen=True, extra="allow"):
    n: int = 0


class Settable(BaseModel, frozen=True):
    n: int = 0

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


class Slotted(BaseModel, frozen=True):
    __slots__ = ("more",)
    n: int = 0


class WithTags:
    @cached_property
    def tags(self) -> list[str]:
        return []


class Mixed(BaseModel, WithTags, frozen=True):
    n: int = 0


class Excluding(BaseModel, frozen=True):
    n: int = 0
    raw: str = Field(default="", exclude=True)


class Text(str):
    pass


FIXED: list[Any] = [
    None,
    1,
    "a",
    b"a",
    1.5,
    True,
    Decimal(1),
    UUID(int=1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.date(2026, 1, 1),
    Color.RED,
    (1, ("a",)),
    frozenset({1}),
    Frozen(text="a", parts=("b",), inside=Frozen(text="c")),
    Computed(n=1),
    Loose(value=(1, "a")),
]
CHANGEABLE: list[Any] = [
    [],
    {},
    set(),
    bytearray(),
    ([],),
    Text("a"),
    object(),
    Mutable(),
    Private(),
    Cached(),
    CachedField(),
    OfCached(),
    Mixed(),
    Excluding(),
    Extra(),
    Settable(),
    Slotted(),
    Loose(value=[]),
    Loose(value=Mutable()),
    Frozen.model_construct(text="a", parts=["b"]),
]


@pytest.mark.parametrize("value", FIXED, ids=lambda value: type(value).__name__)
def test_these_cannot_be_changed(value: Any) -> None:
    assert is_immutable(value)


@pytest.mark.parametrize("value", CHANGEABLE, ids=lambda value: type(value).__name__)
def test_these_can_be_changed(value: Any) -> None:
    assert not is_immutable(value)


def encoded(*numbers: int) -> list[bytes]:
    return [b"item %d" % n for n in numbers]


def test_what_was_found_valid_is_known_until_others_were_used_more_recently() -> None:
    known = KnownItems(2000)
    assert known.are_valid([])
    assert not known.are_valid(encoded(1))
    known.validated(encoded(1, 2))
    assert known.are_valid(encoded(1, 2))
    assert not known.are_valid(encoded(1, 2, 3))
    for n in range(10, 100):
        known.validated(encoded(n))
        assert known.are_valid(encoded(1)), "it is asked for all the time"
        assert known.size <= 2000
    assert not known.are_valid(encoded(2))
    assert known.are_valid(encoded(99))


def test_items_are_shared_until_others_were_used_more_recently() -> None:
    known = KnownItems(20_000)
    for n in range(200):
        known.share_if_immutable(encoded(n), [Frozen(text=str(n))])
        assert known.get(encoded(0)[0], None) == Frozen(text="0"), "it is asked for all the time"
        assert known.size <= 20_000
    assert known.get(encoded(1)[0], None) is None
    assert known.get(encoded(199)[0], None) == Frozen(text="199")
    known.share_if_immutable(encoded(300), [[]])
    assert known.get(encoded(300)[0], None) is None, "it can be changed"


def test_nothing_is_kept_where_there_is_no_room() -> None:
    known = KnownItems(0)
    known.validated(encoded(1))
    known.share_if_immutable(encoded(1), ["one"])
    assert not known.are_valid(encoded(1))
    assert known.get(encoded(1)[0], None) is None
    assert known.size == 0
