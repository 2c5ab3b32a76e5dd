"""Long lists as tests make them: items in pages and in place, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st

from checkpoint._document.codec import decode, encode
from checkpoint._document.encoded import array
from checkpoint._document.items import ItemList, NewItems, PageRun, Run
from checkpoint._document.pages import PageData, PageRef

VALUES: st.SearchStrategy[Any] = st.integers(0, 3) | st.sampled_from(
    ["a", 1.0, True, None, (1,), {"k": [1]}, [], "text" * 9]
)
"""Items, few enough that some are equal, and some equal and not the same."""

_numbers = count()


Pages = dict[bytes, PageData]


class Long(NamedTuple):
    """A long list.

    Attributes:
        items: the list under test.
        values: what it holds.
        pages: all its pages.
    """

    items: ItemList
    values: list[Any]
    pages: Pages


def encoded(values: Sequence[Any]) -> list[bytes]:
    return list(map(encode, values))


def plain(items: Sequence[bytes]) -> list[Any]:
    return list(map(decode, items))


def new_page(values: Sequence[Any]) -> tuple[PageRef, PageData]:
    """A page of these items, with an id that no other page has."""
    ref = PageRef(next(_numbers).to_bytes(24, "big"), None, 1)
    return ref, PageData(array(encoded(values)))


def held(items: ItemList, pages: Pages) -> list[bytes]:
    """What a list holds, item by item, by a judge that shares no code with it."""
    found: list[bytes] = []
    for run in items.runs:
        if isinstance(run, list):
            found += run
        else:
            values = decode(pages[run.page.id].raw)
            found += encoded(values[run.start : run.start + run.size])
    return found


def with_lists(document: Any, pages: Pages) -> Any:
    """A document with its long lists as plain ones."""
    if isinstance(document, (ItemList, NewItems)):
        items = document if isinstance(document, ItemList) else document.resolved()
        return decode(array(held(items, pages)))
    if type(document) is dict:
        return {key: with_lists(value, pages) for key, value in document.items()}
    if type(document) is list:
        return [with_lists(value, pages) for value in document]
    return document


@st.composite
def long_lists(draw: st.DrawFn, max_runs: int = 4) -> Long:
    """Runs of whole pages, of parts of pages, of one page twice, and of items in place."""
    runs: list[Run] = []
    values: list[Any] = []
    pages: Pages = {}
    refs: list[tuple[PageRef, list[Any]]] = []
    for _ in range(draw(st.integers(0, max_runs))):
        if draw(st.booleans()):
            part = draw(st.lists(VALUES, min_size=1, max_size=5))
            values += part
            runs.append(encoded(part))
            continue
        if not refs or draw(st.integers(0, 3)):
            inside = draw(st.lists(VALUES, min_size=1, max_size=6))
            ref, data = new_page(inside)
            pages[ref.id] = data
            refs.append((ref, inside))
        ref, inside = draw(st.sampled_from(refs))
        start = draw(st.integers(0, len(inside) - 1))
        size = draw(st.integers(1, len(inside) - start))
        runs.append(PageRun(ref, start, size))
        values += inside[start : start + size]
    made = ItemList()
    for run in runs:
        made.extend(run)
    return Long(made, values, pages)


class Edited(NamedTuple):
    """A long list as it is to be saved next.

    Attributes:
        new: the list under test.
        values: what it holds.
        at_hand: the pages of what was loaded of it.
    """

    new: NewItems
    values: list[Any]
    at_hand: Pages


@st.composite
def edited(draw: st.DrawFn, long: Long) -> Edited:
    """Parts left alone, parts deleted unseen, parts loaded and edited, and parts that are new."""
    pieces: list[range | list[bytes]] = []
    values: list[Any] = []
    at_hand: Pages = {}
    at = 0
    while at < len(long.values):
        stop = draw(st.integers(at + 1, len(long.values)))
        what = draw(st.sampled_from(["left", "left", "deleted", "loaded", "edited"]))
        if what == "left":
            pieces.append(range(at, stop))
            values += long.values[at:stop]
        elif what != "deleted":
            at_hand |= {ref.id: long.pages[ref.id] for ref in long.items.refs(at, stop)}
            part = long.values[at:stop]
            if what == "edited":
                where = draw(st.integers(0, len(part)))
                part[where : where + draw(st.integers(0, 2))] = draw(st.lists(VALUES, max_size=2))
            pieces.append(encoded(part))
            values += part
        if not draw(st.integers(0, 3)):
            part = draw(st.lists(VALUES, max_size=3))
            pieces.append(encoded(part))
            values += part
        at = stop
    return Edited(NewItems(pieces, long.items), values, at_hand)
