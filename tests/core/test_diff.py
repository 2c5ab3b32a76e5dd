"""Patches make the new document of the old one, exactly, and say no more than what changed."""

from __future__ import annotations

import copy
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._document.codec import decode, encode
from checkpoint._document.diff import DELETE, ITEMS, SET, SPLICE, applied, apply, diff
from checkpoint._document.items import ItemList, NewItems, PageRun
from checkpoint._records.body import patch_body, read_body, standalone
from checkpoint._records.header import Kind

from ..effort import examples
from ..strategies import DOCUMENTS, edits
from .lists import VALUES, Pages, edited, encoded, long_lists, new_page, with_lists


@st.composite
def versions(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two versions of a document; mostly the second is an edit of the first."""
    old = draw(DOCUMENTS)
    return old, draw(edits(old) if draw(st.integers(0, 4)) else DOCUMENTS)


def check_patch(old: Any, new: Any) -> list[Any]:
    """The patch between two documents, once it was stored, read back and applied both ways."""
    patch: list[Any] = decode(encode(diff(old, new)))
    before, stored = encode(old), encode(patch)
    assert encode(applied(old, patch)) == encode(new)
    assert encode(old) == before, "applied() changed the original"
    assert encode(patch) == stored, "applied() changed the patch"
    assert encode(apply(copy.deepcopy(old), patch)) == encode(new)
    return patch


@examples(600)
@given(versions())
def test_a_patch_makes_the_new_document_of_the_old_one(pair: tuple[Any, Any]) -> None:
    check_patch(*pair)


@examples(300)
@given(versions())
def test_a_patch_is_empty_if_and_only_if_nothing_changed(pair: tuple[Any, Any]) -> None:
    old, new = pair
    assert (diff(old, new) == []) == (encode(old) == encode(new))
    assert diff(old, copy.deepcopy(old)) == []


@examples(200)
@given(st.lists(DOCUMENTS, min_size=1, max_size=5))
def test_patches_apply_one_after_the_other(states: list[Any]) -> None:
    patches = [diff(old, new) for old, new in zip([None, *states], states, strict=False)]
    document: Any = None
    for patch, state in zip(patches, states, strict=True):
        document = applied(document, decode(encode(patch)))
        assert encode(document) == encode(state)


@examples(200)
@given(versions(), st.data())
def test_what_applied_returns_shares_nothing_that_later_patches_change(
    pair: tuple[Any, Any], data: st.DataObject
) -> None:
    old, new = pair
    middle = applied(old, diff(old, new))
    third = data.draw(edits(new))
    applied(middle, diff(middle, third))
    assert encode(middle) == encode(new)


# --- what counts as a change ---------------------------------------------------------------------


class Level(Enum):
    LOW = "low"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1, 2], [True, 2]),
        ((1,), [1]),
        ({1}, frozenset({1})),
        ("a", b"a"),
        ({1: "a"}, {True: "a"}),
        ({1: "a", 2: "b"}, {1.0: "a", 2: "b"}),
        ({0.0: 1}, {-0.0: 1}),
        ({"a": {1: 2}}, {"a": {True: 2}}),
        ({(1, 2): 0}, {(True, 2): 0}),
        ([{"n": 0}], [{"n": False}]),
    ],
    ids=str,
)
def test_values_that_are_equal_and_not_the_same_are_a_change(old: object, new: object) -> None:
    assert old != new or diff(old, new) != []
    check_patch(old, new)


def test_the_order_of_keys_is_part_of_a_document() -> None:
    check_patch({"a": 1, "b": 2}, {"b": 2, "a": 1})
    check_patch({"a": 1, "b": 2}, {"b": 2, "c": 3, "a": 1})
    check_patch({"a": 1, "b": 2}, {"b": 2, "a": 1, "c": {"x": 1}})
    check_patch([{"a": 1, "b": 2}], [{"b": 2, "a": 1}])


def test_a_value_with_a_plain_form_is_compared_by_that_form() -> None:
    assert diff({"level": "low"}, {"level": Level.LOW}) == []
    assert decode(encode(diff({"level": "high"}, {"level": Level.LOW}))) == [
        [SET, ["level"], "low"]
    ]


def test_a_change_in_place_is_seen() -> None:
    item = {"tags": ["a"]}
    old = decode(encode({"memory": [item]}))
    item["tags"].append("b")
    assert diff(old, {"memory": [item]}) == [[SPLICE, ["memory", 0, "tags"], 1, 0, ["b"]]]


@pytest.mark.parametrize("key", [float("nan"), (float("nan"),)], ids=str)
def test_a_key_that_is_not_equal_to_itself_does_no_harm(key: object) -> None:
    old = {"scores": {key: 1, "other": 2}}
    for new in ({"scores": {key: 2, "other": 3}}, {"scores": {"other": 2}}, {"scores": {key: 1}}):
        check_patch(decode(encode(old)), decode(encode(new)))


# --- no more than what changed -------------------------------------------------------------------


def items(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"message {n}", "id": n} for n in range(count)]


def test_two_items_appended_to_a_thousand_are_one_splice_of_two_items() -> None:
    old, new = {"memory": items(1000)}, {"memory": items(1002)}
    assert check_patch(old, new) == [[SPLICE, ["memory"], 1000, 0, new["memory"][1000:]]]


def test_items_trimmed_from_the_front_are_named_by_number_only() -> None:
    assert check_patch(items(1000), items(1000)[10:]) == [[SPLICE, [], 0, 10, []]]


def test_an_item_inserted_in_the_middle_is_one_splice_of_it() -> None:
    old = items(1000)
    new = [*old[:500], {"role": "system"}, *old[500:]]
    assert check_patch(old, new) == [[SPLICE, [], 500, 0, [{"role": "system"}]]]


def test_an_edit_inside_an_item_touches_only_its_key() -> None:
    old, new = items(1000), items(1000)
    new[17]["content"] = "edited"
    assert check_patch(old, new) == [[SET, [17, "content"], "edited"]]


def test_edits_inside_several_items_touch_only_their_keys() -> None:
    old, new = items(100), items(100)
    new[3]["id"], new[97]["role"] = -1, "assistant"
    del new[50]["id"]
    patch = check_patch(old, new)
    assert sorted(patch, key=str) == sorted(
        [[SET, [3, "id"], -1], [DELETE, [50, "id"]], [SET, [97, "role"], "assistant"]], key=str
    )


def test_an_edit_and_an_append_in_one_turn_are_two_operations() -> None:
    old, new = {"memory": items(50)}, {"memory": items(52)}
    new["memory"][49]["content"] = "edited"
    patch = check_patch(old, new)
    assert len(encode(patch)) < 200


def test_text_appended_to_a_long_text_is_a_splice_of_what_was_added() -> None:
    old, new = {"log": "a line\n" * 1000}, {"log": "a line\n" * 1000 + "another\n"}
    assert check_patch(old, new) == [[SPLICE, ["log"], 7000, 0, "another\n"]]


def test_bytes_cut_out_of_many_are_a_splice_without_bytes() -> None:
    old, new = bytes(range(256)) * 10, bytes(range(256)) * 9 + bytes(range(100, 256))
    (operation,) = check_patch(old, new)
    assert operation[0] == SPLICE
    assert operation[3:] == [100, b""]


def test_a_short_text_is_set_whole() -> None:
    assert diff({"role": "user"}, {"role": "users"}) == [[SET, ["role"], "users"]]


def test_a_key_of_a_large_map_is_set_alone() -> None:
    old = {"cursors": {f"feed {n}": n for n in range(1000)}}
    new = {"cursors": {**old["cursors"], "feed 7": 70, "new": 0}}
    del new["cursors"]["feed 9"]
    patch = check_patch(old, new)
    assert len(patch) == 3
    assert [DELETE, ["cursors", "feed 9"]] in patch
    assert [SET, ["cursors", "feed 7"], 70] in patch
    assert [SET, ["cursors", "new"], 0] in patch


def test_long_lists_without_anything_in_common_are_replaced_at_once() -> None:
    old, new = list(range(5000)), list(range(5000, 11000))
    assert len(check_patch(old, new)) == 1


# --- long lists ----------------------------------------------------------------------------------

LISTS = st.lists(VALUES, max_size=4)


def check_long_patch(old: Any, new: Any, at_hand: Pages, pages: Pages) -> list[Any]:
    """The patch between two documents with long lists, stored, read back and applied.

    Args:
        at_hand: the pages of what is loaded: all that the patch may be made of.
        pages: all pages, to see what came of it.
    """
    patch = standalone(diff(old, new, at_hand))
    before, wanted = encode(with_lists(old, pages)), encode(with_lists(new, pages))
    body, refs = patch_body(patch, {})
    stored = read_body(Kind.PATCH, encode(body), refs).build({})
    for operations in (patch, stored):
        made = applied(old, operations)
        assert encode(with_lists(made, pages)) == wanted
        assert encode(with_lists(old, pages)) == before, "applied() changed the original"
        applied(made, standalone(diff(made, with_lists(old, pages), pages)))
        assert encode(with_lists(made, pages)) == wanted, "a later patch changed it"
    return patch


@examples(300)
@given(st.data())
def test_a_patch_of_a_long_list_is_made_without_the_pages_that_were_not_loaded(
    data: st.DataObject,
) -> None:
    long = data.draw(long_lists())
    new, _, at_hand = data.draw(edited(long))
    config, later = data.draw(versions())
    old_document = {"config": config, "memory": long.items}
    new_document = {"config": later, "memory": new, "n": 1}
    check_long_patch(old_document, new_document, at_hand, long.pages)


@examples(200)
@given(long_lists(), st.data())
def test_a_long_list_that_was_left_alone_is_no_part_of_a_patch(
    long: Any, data: st.DataObject
) -> None:
    whole = range(len(long.values))
    assert diff(long.items, NewItems([whole], long.items), {}) == []
    assert diff(long.items, long.values, long.pages) == []
    _, values, _ = data.draw(edited(long))
    changed = bool(diff(long.items, values, long.pages))
    assert changed == (encoded(values) != encoded(long.values))


@examples(200)
@given(long_lists(), long_lists(), st.data())
def test_long_lists_inside_of_lists_are_compared_item_by_item(
    first: Any, second: Any, data: st.DataObject
) -> None:
    """Nested anywhere they are loaded whole, and their live form is a plain list."""
    pages = first.pages | second.pages
    old = {"threads": [[first.items, 1], {"of": second.items}], "a": [second.items.copy()]}
    new = with_lists(old, pages)
    for place in (new["threads"][0], new["threads"][1], new["a"], new["threads"], new):
        if not data.draw(st.booleans()):
            continue
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        value = place[key]
        place[key] = value + data.draw(LISTS) if isinstance(value, list) else 7
        if isinstance(place, list) and data.draw(st.booleans()):
            del place[0]
    check_long_patch(old, new, pages, pages)


@examples(150)
@given(long_lists(), st.lists(DOCUMENTS, max_size=3), DOCUMENTS, st.booleans())
def test_a_list_becomes_long_and_plain_and_something_else(
    long: Any, plain: list[Any], other: Any, nested: bool
) -> None:
    def at(value: Any) -> Any:
        return {"a": {"b": value}} if nested else {"a": value}

    of_its_own = NewItems([encoded(long.values)])
    for old in (plain, other, long.items):
        for new in (long.values, of_its_own, plain, other):
            check_long_patch(at(old), at(new), long.pages, long.pages)


@examples(100)
@given(long_lists(), long_lists())
def test_a_list_left_alone_in_another_place_is_put_there_whole(first: Any, second: Any) -> None:
    """As where two memories were swapped: what is not loaded goes by its pages."""
    old = {"a": first.items, "b": second.items}
    new = {
        "a": NewItems([range(len(second.values))], second.items),
        "b": NewItems([range(len(first.values)), encoded([1])], first.items),
    }
    check_long_patch(old, new, {}, first.pages | second.pages)


def long_list(count: int, in_place: int = 10) -> tuple[ItemList, Pages]:
    """A list of pages of ten items each, and a few in place."""
    made = [new_page(items(count)[n : n + 10]) for n in range(0, count - in_place, 10)]
    runs = [PageRun(ref, 0, 10) for ref, _ in made]
    return ItemList([*runs, encoded(items(count)[-in_place:])]), {ref.id: d for ref, d in made}


def test_what_is_done_to_a_long_list_is_said_in_few_words() -> None:
    old, pages = long_list(1000)
    end = old.items(990, 1000, {})
    more, edit = encode({"more": 1}), encode({"edited": 1})

    def patch(*pieces: range | list[bytes]) -> list[Any]:
        new = {"memory": NewItems(list(pieces), old)}
        return check_long_patch({"memory": old}, new, {}, pages)

    assert patch(range(990), [*end, more]) == [[ITEMS, ["memory"], 1000, 0, [more]]]
    assert patch(range(100, 990), end) == [[ITEMS, ["memory"], 0, 100, []]]
    assert patch(range(500), [more], range(500, 990), end) == [[ITEMS, ["memory"], 500, 0, [more]]]
    assert patch(range(500), range(501, 990), end) == [[ITEMS, ["memory"], 500, 1, []]]
    assert patch(range(990), [*end[:3], edit, *end[4:]]) == [[ITEMS, ["memory"], 993, 1, [edit]]]
    assert patch(range(10), [edit], range(11, 990), [*end, more]) == [
        [ITEMS, ["memory"], 10, 1, [edit]],
        [ITEMS, ["memory"], 1000, 0, [more]],
    ]
    assert patch([]) == [[ITEMS, ["memory"], 0, 1000, []]]


def test_an_edit_of_a_loaded_page_is_that_item_alone() -> None:
    old, pages = long_list(100)
    page = old.items(20, 30, pages)
    edit = encode({"edited": 1})
    new = NewItems([range(20), [*page[:5], edit, *page[6:]], range(30, 100)], old)
    at_hand = {ref.id: pages[ref.id] for ref in old.refs(20, 30)}
    assert check_long_patch(old, new, at_hand, pages) == [[ITEMS, [], 25, 1, [edit]]]


@pytest.mark.parametrize("instead", ["the same", "gone"])
def test_an_edit_of_a_long_list_inside_of_a_list_is_that_item_alone(instead: str) -> None:
    long, pages = long_list(100)
    more = {"more": 1}
    old: dict[str, Any] = {"threads": [{"of": long}, 1], "other": [long.copy()], "plain": items(50)}
    new = with_lists(old, pages)
    new["threads"][0]["of"].append(more)
    new["other"] = new["other"] if instead == "the same" else "gone"
    del new["plain"][0]
    patch = check_long_patch(old, new, pages, pages)
    assert patch == [
        [ITEMS, ["threads", 0, "of"], 100, 0, [encode(more)]],
        *([] if instead == "the same" else [[SET, ["other"], "gone"]]),
        [SPLICE, ["plain"], 0, 1, []],
    ]


# --- patches that do not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        ({}, [SET, ["a", "b"], 1]),
        ({}, [DELETE, ["a"]]),
        ([], [SET, [0], 1]),
        ([1], [SPLICE, [], 2, 0, [1]]),
        ([1], [SPLICE, [], 0, 2, []]),
        ([1], [SPLICE, [], -1, 0, [1]]),
        ([1], [SPLICE, [], 0, -1, [1]]),
        ("text", [SPLICE, [], 0, 1, [1]]),
        ({"a": 1}, [SPLICE, ["a"], 0, 0, []]),
        ({"a": 1}, [9, [], 1]),
        ({"a": 1}, [9, ["a"], 1]),
        ({"a": 1}, [DELETE, []]),
        ({"a": 1}, [SET, []]),
        ({"a": 1}, [SET]),
        ({"a": 1}, 7),
        ([[1]], [SET, [10**30, 0], 1]),
        ([1], [ITEMS, [], 0, 2, []]),
        ([1], [ITEMS, [], 0, 1, [1]]),
        ([1], [ITEMS, [], 0, 1, [b"\xc1"]]),
        ("text", [ITEMS, [], 0, 1, [b"\x01"]]),
        (ItemList([[b"\x01"]]), [SPLICE, [], 0, 1, [b"\x01"]]),
        (ItemList([[b"\x01"]]), [ITEMS, [], 0, 1, [1]]),
        (ItemList([[b"\x01"]]), [ITEMS, [], 1, 1, []]),
        (ItemList([[b"\x01"]]), [SET, [0], 1]),
        ({"a": ItemList()}, [SET, ["a", 0], 1]),
    ],
    ids=str,
)
def test_a_patch_that_does_not_fit_is_an_error(document: object, operation: Any) -> None:
    for use in (apply, applied):
        with pytest.raises((LookupError, TypeError, ValueError)):
            use(copy.deepcopy(document), [operation])


def test_items_at_an_end_are_told_without_aligning_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in most turns."""
    monkeypatch.setattr("difflib.SequenceMatcher", None)
    old = {"memory": ItemList([encoded(range(50))])}
    for new in (range(52), range(-2, 50), range(48), range(2, 50), range(0)):
        patch = diff(old, {"memory": NewItems([encoded(new)])})
        assert len(patch) == 1
        assert encoded(new) == applied(old, patch)["memory"].items(0, len(new), {})
