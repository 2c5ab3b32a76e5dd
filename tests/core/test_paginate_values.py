"""Big maps, texts and bytes in pages: a change rewrites only the part that it is in."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from .layouts import PAGE, Session

pytestmark = pytest.mark.usefixtures("_small_pages")


def big_map(n: int = 300) -> dict[str, Any]:
    return {f"key {k}": k for k in range(n)}


@pytest.mark.parametrize("where", [0, 7, 150, 299])
@pytest.mark.parametrize("how", ["changed", "deleted", "grown"])
def test_an_entry_of_a_big_map_rewrites_only_its_part(where: int, how: str) -> None:
    session = Session({"cursors": big_map()})
    parts = len(session.pages)
    new = big_map()
    if how == "deleted":
        del new[f"key {where}"]
    else:
        new[f"key {where}"] = -1 if how == "changed" else "x" * 150
    written = session.save({"cursors": new})
    assert parts >= 15
    assert 1 <= len(written.pages) <= 2


def test_entries_added_to_a_big_map_rewrite_only_its_end() -> None:
    session = Session({"cursors": big_map()})
    for n in range(300, 400, 10):
        assert len(session.save({"cursors": big_map(n + 10)}).pages) <= 2


def test_many_changes_of_a_big_map_leave_it_in_parts_of_some_size() -> None:
    session = Session({"cursors": big_map()})
    new = big_map()
    random = Random(7)
    for n in range(200):
        del new[random.choice(list(new))]
        new[f"new {n}"] = n
        written = session.save({"cursors": new})
        assert len(written.pages) <= 3
    assert len(written.named) <= 2 * 15 + 20


def test_a_map_whose_entries_change_places_comes_back_in_its_order() -> None:
    session = Session({"cursors": big_map()})
    for new in (dict(reversed(big_map().items())), dict(sorted(big_map().items()))):
        session.save({"cursors": new})


def test_a_text_that_grows_at_its_end_rewrites_only_its_end() -> None:
    text = "".join(map(str, range(1000)))
    session = Session({"log": text})
    for n in range(20):
        text += f"more {n}"
        # The first page has the length of it.
        assert len(session.save({"log": text}).pages) <= 3
    assert len(session.spilled) > 15


def test_the_same_part_twice_is_one_page() -> None:
    part = "x" * (PAGE - 1)
    written = Session().save({"a": part * 40, "b": part * 40})
    assert len(written.pages) <= 6


def test_big_values_that_become_small_and_big_again_come_back() -> None:
    session = Session()
    documents: list[Any] = [
        {"a": big_map()},
        {"a": {}},
        {"a": "text"},
        {"a": big_map()},
        {"b": 1},
        {},
    ]
    for document in documents:
        session.save(document)
    assert session.spilled == ()
