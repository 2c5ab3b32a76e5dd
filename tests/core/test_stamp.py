"""A value that was changed in any way is never taken to be unchanged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr, RootModel

from checkpoint._document.codec import decode, encode
from checkpoint._state.stamp import changed, is_unchanged, stamps

from ..effort import examples
from ..strategies import DOCUMENTS


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    text: str = ""


class Item(BaseModel):
    n: int = 1
    text: str = "x"
    value: Any = None
    parts: list[Part] = [Part()]
    color: Color = Color.RED


class Simple(BaseModel):
    n: int = 1
    text: Any = "x"


class Private(BaseModel):
    _seen: list[int] = PrivateAttr(default_factory=list)


class Extra(BaseModel, extra="allow"):
    n: int = 0


class Root(RootModel[list[int]]):
    pass


class SubPart(Part):
    more: int = 0


CHANGES: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "a field": (Simple(), lambda item: setattr(item, "text", "y")),
    "a field to a container": (Simple(), lambda item: setattr(item, "text", [])),
    "an equal value of another type": (Simple(n=1), lambda item: setattr(item, "n", True)),
    "an equal float": (Simple(n=1), lambda item: setattr(item, "n", 1.0)),
    "a nested model": (Item(), lambda item: setattr(item.parts[0], "text", "y")),
    "a nested model for one of its subclass": (
        Item(),
        lambda item: item.parts.__setitem__(0, SubPart()),
    ),
    "appending": (Item(), lambda item: item.parts.append(Part())),
    "removing": (Item(), lambda item: item.parts.clear()),
    "a list for a tuple": (Item(value=[1]), lambda item: setattr(item, "value", (1,))),
    "a list in a list": (Item(value=[[1], 2]), lambda item: setattr(item, "value", [[1, 2]])),
    "an enum": (Item(), lambda item: setattr(item, "color", Color.BLUE)),
    "an enum for its value": (Item(), lambda item: setattr(item, "color", "red")),
    "a key": (Item(value={"a": 1}), lambda item: item.value.update(b=2)),
    "the order of keys": (
        Item(value={"a": 1, "b": 1}),
        lambda item: item.value.update(a=item.value.pop("a")),
    ),
    "a member of a set": (Item(value={1}), lambda item: item.value.add(2)),
    "a time zone": (
        Item(value=dt.datetime(2026, 1, 1, 1, tzinfo=dt.UTC)),
        lambda item: setattr(
            item, "value", item.value.astimezone(dt.timezone(dt.timedelta(hours=1)))
        ),
    ),
    "what is private": (Private(), lambda item: item._seen.append(1)),
    "an extra field": (Extra.model_validate({"more": 1}), lambda item: setattr(item, "more", 2)),
    "a new extra field": (Extra(), lambda item: setattr(item, "more", 2)),
    "the root": (Root([1]), lambda item: item.root.append(2)),
    "a field that is gone": (Simple(), lambda item: delattr(item, "text")),
}


@pytest.mark.parametrize(("value", "change"), CHANGES.values(), ids=CHANGES)
def test_any_change_is_seen(value: Any, change: Callable[[Any], object]) -> None:
    others = [type(value).model_validate(value.model_dump()) for _ in range(2)]
    values = [others[0], value, others[1]]
    before = stamps(values)
    assert None not in before
    assert is_unchanged(value, before[1])
    assert changed(values, before) == []
    change(value)
    assert not is_unchanged(value, before[1])
    assert changed(values, before) == [1]
    assert changed(values, stamps(values)) == []


@dataclass
class Data:
    n: int = 1


class Text(str):
    pass


class Slotted(BaseModel):
    __slots__ = ("more",)
    n: int = 1


@pytest.mark.parametrize(
    "value",
    [Data(), object(), bytearray(), [bytearray()], Item(value=Data()), Text("x"), Slotted()],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_told_is_taken_to_be_changed(value: Any) -> None:
    before = stamps([value, value])
    assert before == [None, None]
    assert not is_unchanged(value, before[0])
    assert changed([value, value], before) == [0, 1]


def test_what_contains_itself_is_taken_to_be_changed() -> None:
    value: list[Any] = []
    value.append(value)
    assert stamps([value]) == [None]


@examples(300)
@given(st.lists(DOCUMENTS, max_size=5), st.data())
def test_documents_are_unchanged_until_one_is_replaced(
    values: list[Any], data: st.DataObject
) -> None:
    before = stamps(values)
    assert changed(values, before) == []
    copies = decode(encode(values))
    assert set(changed(copies, before)) <= set(range(len(values)))
    for at in range(len(values)):
        if encode(copies[at]) != encode(values[at]):
            assert not is_unchanged(copies[at], before[at])
    if values:
        at = data.draw(st.integers(0, len(values) - 1))
        values[at] = data.draw(DOCUMENTS)
        if not is_unchanged(values[at], before[at]):
            assert at in changed(values, before)
