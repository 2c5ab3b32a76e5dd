"""What pages of a list are compressed against: the first of a few of them, their anchor."""

from __future__ import annotations

from typing import Any

import pytest

from checkpoint._document.codec import encode
from checkpoint._document.items import PageRun
from checkpoint._document.pages import PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.pagination import AnchorNeeded, Paginator

from .layouts import ANCHORED, KEY, Session, message, messages

pytestmark = pytest.mark.usefixtures("_small_pages")


def anchors(session: Session) -> list[PageRef]:
    items = session.document["memory"]
    return [run.page for run in items.runs if isinstance(run, PageRun)]


def test_pages_of_a_list_are_in_groups_with_an_anchor_at_their_start() -> None:
    pages = anchors(Session({"memory": messages(500)}))
    assert len(pages) > 4 * ANCHORED
    for at, page in enumerate(pages):
        start = at - at % ANCHORED
        assert page.anchor == (None if at == start else pages[start])


def needed(document: Any, without: set[bytes]) -> PageRef | None:
    """The page that a layout of it needs at hand to compress a new one against."""
    try:
        Paginator(KEY, b"8 bytes.", 1, {}, (), without).lay(document)
    except AnchorNeeded as exc:
        return exc.page
    return None


def test_a_session_that_grows_in_windows_asks_for_one_anchor_now_and_then() -> None:
    session = Session({"memory": messages(200)})
    expected = messages(200)
    asked = 0
    for n in range(100):
        session.at_hand = dict(session.pages)
        expected += messages(300 + n, 301 + n)
        document = session.edited({"memory": expected})
        if (anchor := needed(document, set())) is not None:
            asked += 1
            assert anchor in anchors(session)
            assert anchor.anchor is None
            assert needed(document, {anchor.id}) is None
            layout = Paginator(KEY, b"8 bytes.", 1, {}, (), without={anchor.id})
            laid, _ = layout.lay(document)
            new = [run.page for run in laid["memory"].runs if isinstance(run, PageRun)]
            assert all(ref.anchor != anchor for ref in new if ref.id in layout.written)
        session.save({"memory": expected})
    assert 0 < asked <= 15


def test_pages_of_another_session_are_no_anchors_here() -> None:
    owner = SessionKey("default", "the source")
    session = Session({"memory": messages(200)})
    lists = session.document["memory"].copy()
    lists.runs = [
        run._replace(page=run.page._replace(owner=owner)) if isinstance(run, PageRun) else run
        for run in lists.runs
    ]
    lists.splice(200, 0, [encode(message(n)) for n in range(100)])
    laid, _ = Paginator(KEY, b"8 bytes.", 1, session.pages, ()).lay({"memory": lists})
    new = [run.page for run in laid["memory"].runs if isinstance(run, PageRun)]
    mine = [ref for ref in new if ref.owner is None]
    assert mine
    assert mine[0].anchor is None
    assert all(ref.anchor == mine[0] for ref in mine[1:ANCHORED])
