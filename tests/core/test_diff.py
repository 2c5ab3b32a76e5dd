"""Patches make the new document of the old one, exactly, and say no more than what changed."""

from __future__ import annotations

import copy
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.codec import decode, encode
from checkpoint.diff import DELETE, SET, SPLICE, applied, apply, diff

from ..strategies import DOCUMENTS, edits, examples


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
    ],
    ids=str,
)
def test_a_patch_that_does_not_fit_is_an_error(document: object, operation: Any) -> None:
    for use in (apply, applied):
        with pytest.raises((LookupError, TypeError, ValueError)):
            use(copy.deepcopy(document), [operation])
