"""Encoded documents taken apart are the same as decoded ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._document.codec import DecodeError, decode, encode, is_exact
from checkpoint._document.encoded import (
    array,
    has_nodes,
    is_array,
    is_map,
    node_number,
    open_array,
    split_array,
    split_map,
)
from checkpoint._document.items import ItemList
from checkpoint._state.fidelity import difference

from ..effort import examples
from ..strategies import DOCUMENTS

SIZES = [0, 1, 15, 16, 17, 65535, 65536, 65537]


@examples(300)
@given(DOCUMENTS)
def test_what_a_value_is_can_be_seen_of_its_bytes(value: Any) -> None:
    data = encode(value)
    assert is_map(data) == (type(value) is dict)
    assert is_array(data) == (type(value) is list)
    assert node_number(data) is None
    assert not has_nodes(data)


@examples(300)
@given(st.lists(DOCUMENTS, max_size=20))
def test_a_list_is_split_into_its_items_and_put_together(values: list[Any]) -> None:
    data = encode(values)
    items = split_array(data)
    assert items == list(map(encode, values))
    assert array(items) == data
    assert open_array(data) == (len(values), b"".join(items))


@pytest.mark.parametrize("size", SIZES)
def test_lists_and_maps_of_any_length_are_taken_apart(size: int) -> None:
    values = [n % 7 for n in range(size)]
    assert open_array(encode(values)) == (size, bytes(values))
    assert len(split_array(encode(values))) == size
    entries = split_map(encode(dict.fromkeys(range(size))))
    assert [decode(name) for name, _ in entries] == list(range(size))


@examples(300)
@given(st.dictionaries(st.text(max_size=5) | st.integers(), DOCUMENTS, max_size=20))
def test_a_map_is_split_into_its_entries(value: dict[Any, Any]) -> None:
    entries = split_map(encode(value))
    assert entries == [(encode(name), encode(each)) for name, each in value.items()]


def test_nodes_are_told_by_their_number() -> None:
    nodes: list[Any] = []
    data = encode({"a": ItemList(), "b": [ItemList()]}, nodes)
    assert has_nodes(data)
    assert node_number(split_map(data)[0][1]) == 0
    assert not has_nodes(encode({"bytes that look like one": b"\xd6\x0b\0\0\0\0"}))


@pytest.mark.parametrize("data", [b"", b"\x93\x01", b"\x01", b"\xdd\xff\xff\xff\xff", b"\x81\xa1"])
def test_bytes_that_are_cut_short_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        split_array(data)
    with pytest.raises(DecodeError):
        split_map(data)


class Text(str):
    __slots__ = ()


NOT_EXACT: list[Any] = [
    bytearray(b"x"),
    memoryview(b"x"),
    (1,),
    {1},
    Text("x"),
    {"a": [bytearray()]},
    {Text("a"): 1},
    [[[(1,)]]],
]


@pytest.mark.parametrize("value", NOT_EXACT, ids=lambda value: type(value).__name__)
def test_other_types_are_not_taken_to_be_exact(value: Any) -> None:
    assert not is_exact(value)


@examples(500)
@given(DOCUMENTS)
def test_what_is_exact_comes_back_as_it_is(value: Any) -> None:
    if is_exact(value):
        assert difference(value, decode(encode(value))) is None
