"""Lazy items: the live items of a memory, and stored ones that are built when they are touched.

A memory is a sequence of pieces: lists of live items, and spans of positions in the list as it was
last stored, whose encoded items are kept. An item of a span is decoded and built when it is
touched. An untouched one needs no building, comparison or encoding when it is saved: its bytes are
unchanged. Replacing, deleting and inserting load no items.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from typing import Any

from checkpoint._document.codec import DecodeError, decode
from checkpoint._document.encoded import array
from checkpoint._document.items import ItemList, NewItems, PageRun
from checkpoint._document.pages import PageRef
from checkpoint._ids import SessionKey
from checkpoint._state.known import is_immutable, may_be_immutable
from checkpoint._state.page_loader import PageLoader
from checkpoint._state.spans import Piece, Pieces, Span, joined, ranges, runs
from checkpoint._state.stamp import Stamp, changed, stamps

_ABSENT: Any = object()
_MANY = 64  # pieces; with more, all items are built, which makes edits cheaper


class Undecodable(Exception):
    """A stored item is not a document. Not a ``ValueError``: pydantic would catch that."""

    def __init__(self, reason: DecodeError, path: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


Validate = Callable[[list[Any], int], list[Any]]
"""Builds live items from decoded ones, given the place of the first in the whole list."""


class LazyItems(Pieces):
    """The pieces of a memory.

    Args:
        pieces: live items, and spans of ``origin``.
        origin: the list as it was last stored; None without spans.
        loader: loads the pages of ``origin``; None without spans.
        validate: builds the items of spans; None without spans.
        item_type: the declared type of the items.
    """

    __slots__ = (
        "built",
        "item_type",
        "loader",
        "origin",
        "stamps",
        "validate",
    )

    def __init__(
        self,
        pieces: list[Piece],
        origin: ItemList | None = None,
        loader: PageLoader | None = None,
        validate: Validate | None = None,
        item_type: object = None,
    ) -> None:
        super().__init__(pieces)
        self.origin = origin
        self.loader = loader
        self.validate = validate
        self.item_type = item_type
        self.built: dict[int, Any] = {}  # touched items of spans, by position
        self.stamps: dict[int, Stamp] = {}  # of these items, when last built or saved

    def copy(self, each: Callable[[list[Any], int], list[Any]]) -> LazyItems:
        """A copy.

        Args:
            each: copies live items, given the place of the first.
        """
        with self.lock:
            pieces: list[Piece] = []
            built: dict[int, Any] = {}
            at = 0
            for piece in self.pieces:
                if isinstance(piece, Span):
                    pieces.append(piece)
                    for position in self._touched(piece):
                        place = at + position - piece.start
                        (built[position],) = each([self.built[position]], place)
                else:
                    pieces.append(each(piece, at))
                at += len(piece)
            other = LazyItems(pieces, self.origin, self.loader, self.validate, self.item_type)
            other.built = built
            return other

    # --- reading ---------------------------------------------------------------------------------

    def item(self, place: int) -> Any:
        """The item at a place."""
        with self.lock:
            at = 0
            for piece in self.pieces:
                if place < at + len(piece):
                    break
                at += len(piece)
            if isinstance(piece, Span):
                found = self.built.get(piece.start + place - at, _ABSENT)
                return self.get(place, place + 1)[0] if found is _ABSENT else found
            return piece[place - at]

    def get(self, start: int, stop: int, *, keep: bool = True) -> list[Any]:
        """The items from ``start`` up to ``stop``.

        Args:
            keep: the caller may change them, so the memory keeps the mutable ones.
        """
        with self.lock:
            self.load(start, stop)
            found: list[Any] = []
            for piece, low, high in self.parts(start, stop):
                if isinstance(piece, Span):
                    first, last = piece.start + low, piece.start + high
                    found += self._items(first, last, start + len(found), keep=keep)
                else:
                    found += piece[low:high]
            return found

    def _items(self, first: int, last: int, place: int, *, keep: bool) -> list[Any]:
        """The items at positions of the stored list; the first is at ``place`` in the memory."""
        origin, loader = self._stored
        encoded = origin.items(first, last, loader.pages)
        known = loader.known
        if not self.built:
            try:
                return list(map(known.shared.__getitem__, encoded))
            except KeyError:
                pass
        found = [known.get(each, _ABSENT) for each in encoded]
        if not self.built.keys().isdisjoint(range(first, last)):
            found = [self.built.get(at, item) for at, item in enumerate(found, first)]
        for low, high in runs([item is _ABSENT for item in found]):
            made = self._build(encoded[low:high], place + low)
            found[low:high] = made
            known.share_if_immutable(encoded[low:high], made)
            if keep:
                own = list(enumerate(made, first + low))
                if any(map(may_be_immutable, set(map(type, made)))):
                    own = [(at, item) for at, item in own if not is_immutable(item)]
                self.built.update(own)
                positions, items = [at for at, _ in own], [item for _, item in own]
                self.stamps.update(zip(positions, stamps(items), strict=True))
        return found

    def live(self) -> list[tuple[int, Any]]:
        """The live items, including those built from stored ones, with their places."""
        with self.lock:
            found: list[tuple[int, Any]] = []
            at = 0
            for piece in self.pieces:
                if isinstance(piece, Span):
                    by = at - piece.start
                    found += [(place + by, self.built[place]) for place in self._touched(piece)]
                else:
                    found += enumerate(piece, at)
                at += len(piece)
            return found

    def in_parts(self) -> Iterator[list[Any]]:
        """All items, not to be changed, the loaded ones first."""
        with self.lock:
            ends = list(accumulate(map(len, self.pieces), initial=0))
            parts = [
                (isinstance(piece, Span) and not piece.is_loaded, start, stop)
                for piece, (start, stop) in zip(self.pieces, pairwise(ends), strict=True)
            ]
        for _, start, stop in sorted(parts):
            yield self.get(start, stop, keep=False)

    def size_left(self) -> int:
        """Encoded bytes of the items that are loaded and untouched."""
        if self.origin is None or self.loader is None:
            return 0
        size = 0
        for piece in self.pieces:
            if isinstance(piece, Span) and piece.is_loaded:
                encoded = self.origin.items(piece.start, piece.stop, self.loader.pages)
                left = enumerate(encoded, piece.start)
                size += sum([len(each) for at, each in left if at not in self.built])
        return size

    def _touched(self, span: Span) -> list[int]:
        """The positions of a span whose items were built, in order."""
        if len(self.built) < len(span):
            return sorted([at for at in self.built if span.start <= at < span.stop])
        return [at for at in range(span.start, span.stop) if at in self.built]

    # --- loading ---------------------------------------------------------------------------------

    def load(self, start: int, stop: int) -> None:
        """Fetch the encoded items that are not loaded yet.

        Raises:
            NotLoaded: in asynchronous code.
        """
        with self.lock:
            if (missing := self._missing(start, stop)) is None:
                return
            self._stored[1].get(
                missing,
                f"items {start} to {stop - 1} of {len(self)} are not loaded yet; in asynchronous "
                f"code, first await memory.load({start}, {stop})",
            )
            self.mark_loaded(start, stop)

    async def load_async(self, start: int, stop: int) -> None:
        """:meth:`load` for asynchronous code; also validates the items."""
        while missing := self._missing(start, stop):
            _, loader = self._stored  # each save replaces it
            fetching = loader.fetch(missing, loader.pages)
            if hasattr(fetching, "__await__"):
                await fetching
        with self.lock:
            place = start
            for piece, low, high in self.parts(start, stop):
                if isinstance(piece, Span) and not piece.is_loaded:
                    with self._stored[1].errors():
                        self.check(piece.start + low, piece.start + high, place)
                place += high - low
            self.mark_loaded(start, stop)

    def _missing(self, start: int, stop: int) -> list[PageRef] | None:
        """The pages to fetch for a range of items; None if all items are loaded."""
        spans = [
            piece[low:high]
            for piece, low, high in self.parts(start, stop)
            if isinstance(piece, Span) and not piece.is_loaded
        ]
        if not spans:
            return None
        origin, loader = self._stored
        refs = [ref for span in spans for ref in origin.refs(span.start, span.stop)]
        return list(dict.fromkeys(ref for ref in refs if ref.id not in loader.pages))

    # --- building and validating -----------------------------------------------------------------

    @property
    def _stored(self) -> tuple[ItemList, PageLoader]:
        """The list that spans refer to, and its loader."""
        assert self.origin is not None
        assert self.loader is not None
        return self.origin, self.loader

    def _build(self, encoded: list[bytes], place: int) -> list[Any]:
        """Build live items from encoded ones, the first of which is at ``place``."""
        assert self.validate is not None
        with self._stored[1].errors():
            return self.validate(decode(array(encoded)), place)

    def check(self, first: int, last: int, place: int) -> None:
        """Validate the items at positions of the stored list, except those known to be valid.

        Args:
            place: where the first of them is in the memory.

        Raises:
            ValidationError, DecodeError: an item does not fit, or is not a document.
        """
        assert self.validate is not None
        origin, loader = self._stored
        if origin.is_valid:
            return
        known = loader.known
        for run, low, high in origin.parts(first, last):
            if isinstance(run, PageRun) and high - low == run.size:
                if not known.are_valid([key := run.key]):
                    values = decode(loader.pages[run.page.id].raw)  # faster than item by item
                    self.validate(values[run.start : run.start + run.size], place)
                    known.validated([key])
            elif not known.are_valid(part := origin.items_of(run, low, high, loader.pages)):
                for start, stop in runs([not known.are_valid([item]) for item in part]):
                    fresh = part[start:stop]
                    items = self.validate(decode(array(fresh)), place + start)
                    known.validated(fresh)
                    known.share_if_immutable(fresh, items)
            place += high - low
        origin.is_valid = last - first == len(origin) and not known.keeps_nothing

    # --- changing --------------------------------------------------------------------------------

    def replace(self, start: int, stop: int, items: list[Any]) -> None:
        """Replace the items from ``start`` up to ``stop``, without building them."""
        with self.lock:
            self.edits += 1
            at = 0
            for piece in self.pieces:
                if at <= start and stop <= at + len(piece):
                    break
                at += len(piece)
            else:
                piece = []
            if isinstance(piece, list) and piece:
                piece[start - at : stop - at] = items
            elif isinstance(piece, Span) and piece.is_loaded and len(items) == stop - start:
                for position, item in enumerate(items, piece.start + start - at):
                    self.built[position], self.stamps[position] = item, None
            else:
                before = [piece[low:high] for piece, low, high in self.parts(0, start)]
                after = [piece[low:high] for piece, low, high in self.parts(stop, len(self))]
                self.pieces = joined([*before, items, *after])
                if len(self.pieces) > _MANY and self.count_loaded() == len(self):
                    self.pieces, self.built, self.stamps = [self.get(0, len(self))], {}, {}

    # --- saving ----------------------------------------------------------------------------------

    def is_of(self, key: SessionKey, saved: ItemList | None) -> bool:
        """Whether all spans refer to this list, as this session last saved it."""
        return (
            self.origin is saved and self.loader is not None and self.loader.key == key
        ) or not any(isinstance(piece, Span) for piece in self.pieces)

    def dumped(self, dump: Callable[[list[Any]], list[bytes]]) -> NewItems:
        """The items for a save: encoded, and ranges of unchanged ones."""
        with self.lock:
            pieces: list[range | list[bytes]] = []
            moved: list[tuple[Span, int]] = []
            now: dict[int, Stamp] = {}
            lists: list[Stamp] = []  # of the live pieces
            place = 0
            for piece in self.pieces:
                if isinstance(piece, Span):
                    moved.append((piece, place - piece.start))
                    at = piece.start
                    for low, high in ranges(self._changed(piece, now)):
                        fresh = dump([self.built[position] for position in range(low, high)])
                        pieces += [range(at, low), fresh]
                        at = high
                    pieces.append(range(at, piece.stop))
                else:
                    lists += stamps(piece)
                    pieces.append(dump(piece))
                place += len(piece)
            new = NewItems([piece for piece in pieces if piece], self.origin, self.loader)
            new.items, new.taken = self, (self.edits, moved, self.built.copy(), now, lists)
            return new

    def _changed(self, span: Span, now: dict[int, Stamp]) -> list[int]:
        """The positions of a span whose items may have been changed; ``now`` gets their stamps.

        The stamp is made before the item is dumped, so that a change by another thread in between
        is found by the next save.
        """
        touched = self._touched(span)
        items = [self.built[at] for at in touched]
        before = [self.stamps.get(at) for at in touched]
        found = changed(items, before)
        now.update(zip(touched, before, strict=True))
        fresh = stamps([items[at] for at in found])
        now.update((touched[at], its) for at, its in zip(found, fresh, strict=True))
        return [touched[at] for at in found]

    def saved(self, new: NewItems, origin: ItemList, loader: PageLoader) -> None:
        """Turn items that are unchanged since a save was planned into spans of the saved list.

        Live items that were saved are kept only if they are mutable.

        Args:
            new: the saved items; they may have been touched or changed since.
            origin: the list as it was saved.
            loader: loads the pages of ``origin``.
        """
        with self.lock:
            if self.origin is not new.origin:
                return  # a later save came first
            edits, moved, dumped, now, lists = new.taken
            fresh_stamps = iter(lists)
            starts = [span.start for span, _ in moved]
            kinds = {kind for kind in set(map(type, dumped.values())) if may_be_immutable(kind)}
            built: dict[int, Any] = {}
            kept: dict[int, Stamp] = {}
            for position, item in self.built.items():
                if type(item) in kinds and dumped.get(position) is item and is_immutable(item):
                    continue
                for span, by in moved[max(bisect(starts, position) - 1, 0) :][:1]:
                    if span.start <= position < span.stop:  # else it was deleted
                        built[position + by] = item
                        if dumped.get(position) is item:
                            kept[position + by] = now.get(position)
            pieces: list[Piece] = []
            at = 0
            for piece in self.pieces:
                if isinstance(piece, Span):
                    pieces += _moved(piece, moved, starts)
                elif edits == self.edits and new.proof is not None:
                    pieces.append(Span(at, at + len(piece), is_loaded=True))
                    stamped = zip(piece, fresh_stamps, strict=False)
                    for position, (item, its) in enumerate(stamped, at):
                        if not is_immutable(item):
                            built[position], kept[position] = item, its
                else:
                    pieces.append(piece)
                at += len(piece)
            self.pieces, self.built, self.stamps = joined(pieces), built, kept
            self.origin, self.loader = origin, loader
            if new.proof is not None:
                self.validate, self.item_type = new.proof.validate, new.proof.item_type


def _moved(piece: Span, moved: list[tuple[Span, int]], starts: list[int]) -> Iterator[Span]:
    """A span's positions in the saved list: several spans if items between them were deleted."""
    for span, by in moved[max(bisect(starts, piece.start) - 1, 0) :]:
        low, high = max(piece.start, span.start), min(piece.stop, span.stop)
        if span.start >= piece.stop:
            break
        if low < high:
            yield Span(low + by, high + by, is_loaded=piece.is_loaded)


def built(new: NewItems, validate: Validate, item_type: object) -> LazyItems:
    """Build the items of a list that was or will be stored, and validate the fetched ones.

    Raises:
        ValidationError: an item does not fit.
        Undecodable: an item is not a document.
    """
    lazy = LazyItems([], new.origin, new.loader, validate, item_type)
    start, place = new.start, 0
    try:
        for piece in new.pieces:
            place += len(piece)
            if isinstance(piece, list):
                lazy.pieces.append(validate(decode(array(piece)), place - len(piece)))
                continue
            if start:
                lazy.pieces.append(Span(piece.start, start, is_loaded=False))
            lazy.pieces.append(Span(start or piece.start, piece.stop, is_loaded=True))
            if start is not None:
                lazy.check(start, piece.stop, start)
    except DecodeError as exc:
        raise Undecodable(exc, new.loader.path if new.loader else ()) from exc
    return lazy
