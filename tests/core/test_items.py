"""Long lists in pieces do what plain lists do, and look at no page that they need not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from checkpoint._document.codec import decode, encode
from checkpoint._document.items import ItemList, NewItems, PageRun, Run, is_same, list_at, value_at
from checkpoint._document.pages import PageData

from ..effort import examples
from .lists import VALUES, Long, edited, encoded, held, long_lists, new_page, plain

PLACES = st.integers(0, 40)
LISTS = st.lists(VALUES, max_size=4)


class ItemListMachine(RuleBasedStateMachine):
    """The same steps on a long list and on a plain one; copies made on the way stay as they are."""

    @initialize(long=long_lists())
    def begin(self, long: Long) -> None:
        self.items, self.plain, self.pages = long.items, encoded(long.values), dict(long.pages)
        self.copies: list[tuple[ItemList, list[bytes]]] = []

    @rule(start=PLACES, delete=st.integers(0, 9), values=LISTS)
    def splice(self, start: int, delete: int, values: list[Any]) -> None:
        start = min(start, len(self.plain))
        delete = min(delete, len(self.plain) - start)
        given_items = encoded(values)
        self.items.splice(start, delete, given_items)
        self.plain[start : start + delete] = encoded(values)
        assert given_items == encoded(values)

    @rule(values=LISTS)
    def append(self, values: list[Any]) -> None:
        self.items.splice(len(self.plain), 0, encoded(values))
        self.plain += encoded(values)

    @rule(values=LISTS.filter(bool))
    def extend_by_a_page(self, values: list[Any]) -> None:
        ref, data = new_page(values)
        self.pages[ref.id] = data
        self.items.extend(PageRun(ref, 0, len(values)))
        self.plain += encoded(values)

    @rule(go_on_with_it=st.booleans())
    def copy(self, go_on_with_it: bool) -> None:
        other = self.items.copy()
        if go_on_with_it:
            self.items, other = other, self.items
        self.copies.append((other, self.plain.copy()))

    @rule(start=PLACES, stop=PLACES)
    def look(self, start: int, stop: int) -> None:
        start, stop = min(start, len(self.plain)), min(stop, len(self.plain))
        expected = self.plain[start:stop]
        assert self.items.items(start, stop, self.pages) == expected
        assert encoded(self.items.values(start, stop, self.pages)) == expected
        part = ItemList(self.items.slice(start, stop))
        assert held(part, self.pages) == expected
        needed = {run.page for run in part.runs if isinstance(run, PageRun)}
        assert set(self.items.refs(start, stop)) == needed

    @rule(start=PLACES, stop=PLACES)
    def look_with_no_more_pages_than_needed(self, start: int, stop: int) -> None:
        refs = self.items.refs(min(start, len(self.plain)), min(stop, len(self.plain)))
        some = {ref.id: self.pages[ref.id] for ref in refs}
        assert self.items.items(start, stop, some) == self.plain[start:stop]
        for ref in refs:
            with pytest.raises(LookupError):
                self.items.items(start, stop, {k: v for k, v in some.items() if k != ref.id})

    @rule(start=st.integers(-3, 50), delete=st.integers(-3, 50))
    def splice_outside(self, start: int, delete: int) -> None:
        if not 0 <= start <= start + delete <= len(self.plain):
            with pytest.raises(IndexError):
                self.items.splice(start, delete, [b"\x01"])

    @invariant()
    def it_holds_what_the_plain_one_holds(self) -> None:
        assert len(self.items) == len(self.plain)
        assert held(self.items, self.pages) == self.plain

    @invariant()
    def no_run_is_empty_and_no_two_beside_each_other_are_in_place(self) -> None:
        in_place = [isinstance(run, list) for run in self.items.runs]
        assert not any(a and b for a, b in pairwise(in_place))
        assert all(run if isinstance(run, list) else run.size for run in self.items.runs)

    def teardown(self) -> None:
        for other, expected in getattr(self, "copies", []):
            assert held(other, self.pages) == expected
            assert len(other) == len(expected)


TestItemListMachine = ItemListMachine.TestCase
TestItemListMachine.settings = examples(60)


class Untouchable(Mapping[bytes, PageData]):
    """Pages of which none may be asked for."""

    def __getitem__(self, id: bytes) -> PageData:
        raise AssertionError("a page was asked for")

    def __iter__(self) -> Any:
        raise AssertionError("pages were asked for")

    def __len__(self) -> int:
        return 0


@examples(200)
@given(st.data(), long_lists())
def test_a_list_to_be_saved_holds_what_its_pieces_say(data: st.DataObject, long: Long) -> None:
    new, values, _ = data.draw(edited(long))
    assert len(new) == len(values)
    assert held(new.resolved(), long.pages) == encoded(values)
    loaded = [item for piece in new.pieces if isinstance(piece, list) for item in piece]
    assert new.size() == sum(map(len, loaded))
    assert new.has_ranges == any(isinstance(piece, range) for piece in new.pieces)
    if not new.has_ranges:
        assert encoded(list(new)) == encoded(values)
    assert held(long.items, long.pages) == encoded(long.values)


@examples(200)
@given(st.data(), long_lists())
def test_a_list_resolved_shares_nothing_that_is_changed_later(
    data: st.DataObject, long: Long
) -> None:
    new, values, _ = data.draw(edited(long))
    pieces = [piece.copy() if isinstance(piece, list) else piece for piece in new.pieces]
    made = new.resolved()
    made.splice(len(made), 0, [b"\x07"])
    made.splice(0, min(1, len(made)), [])
    assert new.pieces == pieces
    assert held(long.items, long.pages) == encoded(long.values)
    assert held(new.resolved(), long.pages) == encoded(values)


@examples(300)
@given(st.data(), long_lists())
def test_a_list_is_the_same_as_what_it_was_to_be_and_as_nothing_else(
    data: st.DataObject, long: Long
) -> None:
    new, values, at_hand = data.draw(edited(long))
    made = new.resolved()
    assert is_same(made, new, Untouchable()), "what is loaded is in place, the rest was left alone"
    assert is_same(made, new, at_hand)
    other = made.copy()
    start = data.draw(st.integers(0, len(values)))
    delete = min(data.draw(st.integers(0, 2)), len(values) - start)
    other.splice(start, delete, encoded(data.draw(LISTS)))
    same_items = held(other, long.pages) == encoded(values)
    assert is_same(other, new, long.pages) <= same_items


def test_an_item_in_place_where_a_page_was_left_alone_is_not_the_same() -> None:
    ref, data = new_page([1, 2, 3])
    old = ItemList([PageRun(ref, 0, 3)])
    new = NewItems([range(3)], old)
    assert is_same(ItemList([PageRun(ref, 0, 3)]), new, {})
    others: list[list[Run]] = [
        [PageRun(ref, 0, 2)],
        [PageRun(ref, 1, 2)],
        [PageRun(ref, 0, 3), [b"\x01"]],
        [],
    ]
    for runs in others:
        assert not is_same(ItemList(runs), new, {ref.id: data})


def test_items_behind_pages_that_are_the_same_are_compared_too() -> None:
    made = [new_page([n, n + 1]) for n in range(3)]
    front: list[Run] = [PageRun(ref, 0, 2) for ref, _ in made]
    pages = {ref.id: data for ref, data in made}
    old = ItemList([*front, encoded([7, 8, 9])])
    for runs in ([*front, encoded([7, 0, 9])], [*front[:2], encoded([4, 5]), encoded([7, 8, 9])]):
        assert not is_same(ItemList(runs), NewItems([range(9)], old), {})
    shorter = ItemList([*front, encoded([7, 8])])
    assert is_same(shorter, NewItems([range(8)], old), {})
    assert not is_same(shorter, NewItems([range(1, 9)], old), {}), "the first was deleted"
    moved = NewItems([range(1, 4), encoded([2, 2, 3])], old)
    assert held(moved.resolved(), pages) == encoded([1, 1, 2, 2, 2, 3])
    assert not is_same(ItemList(front), moved, pages), "that is 0, 1, 1, 2, 2, 3"


def test_comparing_the_front_of_a_long_list_takes_no_page_and_little_work() -> None:
    refs = [new_page([n])[0] for n in range(2000)]
    old = ItemList([*(PageRun(ref, 0, 1) for ref in refs), encoded(range(10))])
    new = NewItems([range(2000), encoded(range(11))], old)
    made = old.copy()
    made.splice(2010, 0, encoded([10]))
    assert is_same(made, new, Untouchable())
    made.splice(1999, 1, [])
    assert not is_same(made, new, Untouchable())


def test_the_end_of_a_list_is_found_without_walking_it_all() -> None:
    """A window at the end of a list of many runs: the runs before it are not looked at."""
    ref, data = new_page([1])

    class Counted(list[Any]):
        looked = 0

        def __len__(self) -> int:
            Counted.looked += 1
            return super().__len__()

    many = [Counted(encoded([n])) for n in range(1000)]
    items = ItemList([*many, PageRun(ref, 0, 1), encoded([2, 3])])
    Counted.looked = 0
    assert plain(items.items(1000, 1003, {ref.id: data})) == [1, 2, 3]
    assert Counted.looked < 5


def test_lists_are_found_by_their_path() -> None:
    items = ItemList()
    document = {"a": {"b": items, "c": [1]}, "d": [{"b": items}]}
    assert list_at(document, ("a", "b")) is items
    assert value_at(document, ("a", "c")) == [1]
    for path in (("a", "c"), ("a",), ("x", "b"), ("d", "b"), ("a", "b", "c")):
        assert list_at(document, path) is None
    assert value_at(document, ("x", "y")) is None
    assert list_at(None, ("a",)) is None


@examples(100)
@given(long_lists())
def test_a_page_is_decoded_item_by_item_or_whole_to_the_same(long: Long) -> None:
    for data in long.pages.values():
        assert encoded(decode(data.raw)) == data.items
        assert encode(decode(data.raw)) == data.raw
