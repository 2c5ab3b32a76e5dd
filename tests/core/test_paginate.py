"""Documents laid out for a base: all comes back, it stays small, and old pages are left alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._document.codec import encode
from checkpoint._document.items import ItemList, PageRun
from checkpoint._records.pagination import Paginator

from ..effort import examples, times
from ..strategies import SCALARS, edits
from .layouts import KEY, PAGE, Session, message, messages
from .lists import with_lists

pytestmark = pytest.mark.usefixtures("_small_pages")


# --- all comes back ------------------------------------------------------------------------------

_texts = st.builds(
    lambda part, times: part * times, st.text(min_size=1, max_size=9), st.integers(1, 60)
)
_lists = st.lists(SCALARS | _texts.map(lambda text: {"text": text}), max_size=40)
_maps = st.dictionaries(st.integers(0, 99) | st.text(max_size=4), SCALARS | _texts, max_size=40)
_big = st.one_of(_texts, _lists, _maps, st.binary(max_size=600), _lists.map(tuple))
BIG = st.recursive(
    _big,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples(150)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), BIG), min_size=1, max_size=3), st.data())
def test_every_document_comes_back_however_often_it_is_edited(
    documents: list[dict[str, Any]], data: st.DataObject
) -> None:
    session = Session()
    for document in documents:
        session.save(document)
        session.save(data.draw(edits(document)))


@examples(100)
@given(st.integers(0, 90), st.data())
def test_a_long_list_comes_back_whatever_is_done_to_it_in_windows(
    length: int, data: st.DataObject
) -> None:
    session = Session({"memory": messages(length)})
    expected = messages(length)
    for _ in range(data.draw(st.integers(1, 5))):
        session.window()
        items = session.document["memory"]
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(expected)))
            if isinstance(items, ItemList):
                session.touch(items, at)
            kind = data.draw(st.sampled_from(["edit", "delete", "insert", "append"]))
            if kind == "append":
                expected += messages(100, 100 + data.draw(st.integers(0, 15)))
            elif kind == "insert":
                expected[at:at] = messages(200, 200 + data.draw(st.integers(0, 15)))
            elif at < len(expected):
                expected[at : at + 1] = [message(300, 30)] if kind == "edit" else []
        session.at_hand |= session.pages  # a plain list is compared with all of the old one
        session.save({"memory": expected})


# --- the base stays small ------------------------------------------------------------------------

GROWING: dict[str, Callable[[int], Any]] = {
    "a list": lambda n: {"a": messages(n)},
    "a list, deep inside": lambda n: {"a": {"b": {"c": [{"d": messages(n)}]}}},
    "a list of lists": lambda n: {"a": [[k, k] for k in range(10 * n)]},
    "a list with one big item": lambda n: {"a": [*messages(n), "x" * 5 * PAGE, *messages(n)]},
    "a list of big items": lambda n: {"a": [f"{k} " * PAGE for k in range(n)]},
    "a text": lambda n: {"a": "".join(map(str, range(15 * n)))},
    "bytes": lambda n: {"a": "".join(map(str, range(15 * n))).encode()},
    "a map": lambda n: {"a": {f"key {k}": k for k in range(5 * n)}},
    "a map of maps": lambda n: {"a": {f"{k}": {f"key {j}": j for j in range(3)} for k in range(n)}},
    "a map of big texts": lambda n: {"a": {f"key {k}": "x" * 150 for k in range(n)}},
    "a map of numbers": lambda n: {"a": dict.fromkeys(range(5 * n), 1)},
    "the top": lambda n: {f"key {k}": k for k in range(5 * n)},
    "a tuple": lambda n: {"a": tuple(messages(n))},
    "a set": lambda n: {"a": set(range(10 * n))},
    "a list and a map and a text": lambda n: {
        "memory": messages(n),
        "cursors": {f"key {k}": k for k in range(n)},
        "config": {"prompt": "be kind. " * n},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_a_base_is_as_small_however_large_the_document_is(make: Callable[[int], Any]) -> None:
    for size in (10, 100, max(500, times(1000, soak=1000))):
        written = Session().save(make(size))
        # What is named in the header, and the runs of it, is all that grows.
        assert written.base <= 4 * PAGE + 12 * len(written.named), size
        assert written.header <= 100 + 40 * len(written.named)
    assert len(written.pages) > 50


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_a_document_laid_out_again_writes_no_page_again(make: Callable[[int], Any]) -> None:
    session = Session()
    first = session.save(make(100))
    assert first.pages
    again = session.save(make(100))
    assert again.pages == {}
    assert set(again.named) == set(first.named)


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_pages_are_neither_tiny_nor_huge(make: Callable[[int], Any]) -> None:
    written = Session().save(make(300))
    sizes = [len(page.raw) for page in written.pages.values()]
    largest_item = 5 * PAGE
    assert max(sizes) <= 2 * PAGE + largest_item
    assert sum(sizes) / len(sizes) >= PAGE / 2


def test_a_document_that_fits_in_a_page_is_left_as_it_is() -> None:
    document = {"memory": messages(3), "n": 1}
    written = Session().save(document)
    assert written.named == ()
    assert written.base == len(encode({2: {}, 0: encode(document)}))


def test_the_end_of_a_list_stays_in_the_base() -> None:
    session = Session({"memory": messages(100)})
    *pages, last = session.document["memory"].runs
    assert all(isinstance(run, PageRun) for run in pages)
    assert isinstance(last, list)
    assert PAGE // 4 <= sum(map(len, last)) <= PAGE + PAGE // 4 + 50


# --- old pages stay as they are ------------------------------------------------------------------

ONE_ITEM: dict[str, Callable[[list[Any]], object]] = {
    "edited": lambda items: items.__setitem__(70, message(-1)),
    "deleted": lambda items: items.__delitem__(70),
    "inserted": lambda items: items.insert(70, message(-1)),
    "the first is deleted": lambda items: items.__delitem__(0),
    "one is put first": lambda items: items.insert(0, message(-1)),
    "many are deleted": lambda items: items.__delitem__(slice(40, 170)),
    "the front is trimmed": lambda items: items.__delitem__(slice(0, 123)),
    "one is appended": lambda items: items.append(message(-1)),
}


@pytest.mark.parametrize("where", ["flat", "nested"])
@pytest.mark.parametrize("change", ONE_ITEM.values(), ids=ONE_ITEM)
def test_a_change_of_a_long_list_rewrites_no_old_page(
    change: Callable[[list[Any]], object], where: str
) -> None:
    def document(items: list[Any]) -> Any:
        return {"memory": items} if where == "flat" else {"a": [{"b": {"memory": items}}, 1]}

    session = Session()
    before = session.save(document(messages(200)))
    items = messages(200)
    for _ in range(3):
        change(items)
        after = session.save(document(items))
        assert len(after.pages) <= 1, "only what was added may have filled a page"
        assert {ref.id for ref in after.named} - after.pages.keys() <= {r.id for r in before.named}
        assert after.base <= 6 * PAGE + 12 * len(after.named)
        before = after


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 7, 30])
def test_a_list_that_grows_turn_by_turn_writes_each_item_to_one_page(length: int) -> None:
    session = Session({"memory": []})
    expected: list[Any] = []
    written = 0
    for turn in range(100):
        session.window()
        new = messages(turn * length, (turn + 1) * length)
        expected += new
        session.at_hand |= session.pages
        saved = session.save({"memory": expected})
        written += sum(len(page.items) for page in saved.pages.values())
    assert written <= len(expected)


def test_scattered_edits_are_gathered_and_the_base_stays_small() -> None:
    session = Session({"memory": messages(600)})
    expected = messages(600)
    random = Random(7)
    bases, pages = [], []
    for round in range(60):
        for _ in range(5):
            expected[random.randrange(500)] = message(-round)
        written = session.save({"memory": expected})
        bases.append(written.base)
        pages.append(len(written.pages))
    runs = session.document["memory"].runs
    assert max(bases) <= 4 * PAGE + 12 * len(written.named)
    assert len(runs) <= 5 * len({run.page for run in runs if isinstance(run, PageRun)})
    assert sum(pages) <= 2 * 60 * 5, "no more than what was edited, and what is beside it"


def test_a_page_that_is_not_at_hand_is_never_gathered() -> None:
    session = Session({"memory": messages(200)})
    expected = messages(200)
    whole = {ref.id for ref in session.document["memory"].refs(0, 200)}
    for index in range(0, 180, 12):
        del expected[index]
        session.at_hand |= session.pages
        document = session.edited({"memory": expected})
        session.window()
        layout = Paginator(KEY, b"8 bytes.", 1, {}, (), without=whole)
        laid, _ = layout.lay(document)
        kept = {ref.id for ref in laid["memory"].refs(0, 200)}
        assert kept - layout.written.keys() <= whole
        assert with_lists(laid, session.pages | layout.made)["memory"] == expected
        session.at_hand |= session.pages
        session.save({"memory": expected})
