"""Ids as names: one for each, safe anywhere, in the order of ids."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from checkpoint.testing.contract.listing import ODD_IDS
from checkpoint_objectstore._names import END, STEM, encoded, id_of, is_hashed, name_of

SAFE = re.compile(r"[0-9a-z=~-]*!")

ids = st.text(min_size=1, max_size=90).filter(lambda text: not re.search("[\ud800-\udfff]", text))
# Ids that begin alike for long, of which some have to be hashed.
long_ids = st.builds(lambda tail: "x" * 174 + tail, st.text("az0AZ-/é", max_size=12))


@given(st.lists(ids, min_size=2, max_size=9))
def test_names_sort_as_ids_do(some: list[str]) -> None:
    short = [id for id in some if not is_hashed(name_of(id))]
    assert sorted(short, key=name_of) == sorted(short, key=str.encode)


@given(ids)
@example("")
def test_a_name_is_safe_and_tells_its_id(id: str) -> None:
    name = name_of(id)
    assert SAFE.fullmatch(name)
    assert len(name) <= 215
    assert name not in (".!", "..!")
    if is_hashed(name):
        assert id_of(name) is None
        assert len(encoded(id)) > STEM
    else:
        assert id_of(name) == id


@given(ids, ids)
def test_the_name_of_a_start_is_the_start_of_the_name(start: str, rest: str) -> None:
    assert encoded(start + rest).startswith(encoded(start))
    assert name_of(start + rest).startswith(encoded(start)[:STEM])


@given(st.lists(st.one_of(long_ids, ids), min_size=2, max_size=20))
def test_only_names_that_begin_alike_for_long_may_be_out_of_order(some: list[str]) -> None:
    """What a listing rests on, that sorts those again."""
    by_name = sorted(some, key=name_of)
    by_id = sorted(some, key=str.encode)
    assert [name_of(id)[:STEM] for id in by_name] == [name_of(id)[:STEM] for id in by_id]


def test_ids_that_file_systems_take_for_one_another_have_names_of_their_own() -> None:
    names = {name_of(id).casefold() for id in ODD_IDS}
    assert len(names) == len(ODD_IDS)


def test_what_is_no_name_has_no_id() -> None:
    for other in ("", "a", "head", "a-!", "a-2!", "-zz!", "A!", "~ff!", "a b!", "a!!"):
        assert id_of(other) is None, other
    assert id_of(END) == ""
