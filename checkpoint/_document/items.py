"""Long lists in a document: items are encoded one by one, and the older ones are in pages.

A list is a sequence of *runs*: consecutive items of a page, or items in place. Nothing here loads a
page; callers pass the pages they have loaded, by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from checkpoint._document.codec import Node, decode
from checkpoint._document.encoded import array
from checkpoint._document.pages import PageData, PageRef

Pages = Mapping[bytes, PageData]


class PageRun(NamedTuple):
    """Consecutive items of a page."""

    page: PageRef
    start: int
    size: int

    @property
    def key(self) -> bytes:
        """Identifies the run."""
        return b"%b %d %d" % (self.page.id, self.start, self.size)


Run = PageRun | list[bytes]

_MANY_PIECES = 64


class ItemList(Node):
    """A list of encoded items. :meth:`splice` edits it in place; :meth:`copy` it first."""

    __slots__ = ("_length", "is_valid", "runs")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.is_valid = False
        """Whether all items are known to fit the checkpointer's model."""
        self.runs: list[Run] = list(runs)
        self._length = sum([run.size if type(run) is PageRun else len(run) for run in self.runs])

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<ItemList of {self._length} items in {len(self.runs)} runs>"

    def copy(self) -> ItemList:
        """A copy that can be edited independently."""
        other = ItemList()
        other.runs, other._length = self.runs.copy(), self._length
        if other.runs and isinstance(other.runs[-1], list):  # the only run that is edited in place
            other.runs[-1] = other.runs[-1].copy()
        return other

    def splice(self, start: int, delete: int, items: list[bytes]) -> None:
        """Replace ``delete`` items at ``start``. Raises IndexError if they are out of range."""
        self.is_valid = False
        if not 0 <= start <= start + delete <= self._length:
            raise IndexError(f"splice of {start}+{delete} in {self._length} items")
        if start == self._length:  # most turns only append
            self.extend(items)
            return
        after = self.slice(start + delete, self._length)
        self.runs = self.slice(0, start)
        self._length = start
        for run in (items, *after):
            self.extend(run)

    def extend(self, run: Run) -> None:
        """Add items at the end."""
        last = self.runs[-1] if self.runs else None
        if isinstance(run, list) and isinstance(last, list):
            last.extend(run)
        elif _count(run):
            self.runs.append(run.copy() if isinstance(run, list) else run)
        self._length += _count(run)

    def slice(self, start: int, stop: int) -> list[Run]:
        """The runs of the items from ``start`` up to ``stop``."""
        return [
            run[low:high]
            if isinstance(run, list)
            else PageRun(run.page, run.start + low, high - low)
            for run, low, high in self.parts(start, stop)
        ]

    def refs(self, start: int, stop: int) -> list[PageRef]:
        """The pages that hold these items, each preceded by its anchor."""
        if len(self.runs) == 1 and isinstance(self.runs[0], list):  # a short list is in place
            return []
        pages = [run.page for run, _, _ in self.parts(start, stop) if isinstance(run, PageRun)]
        return [ref for page in pages for ref in (page.anchor, page) if ref is not None]

    def items(self, start: int, stop: int, pages: Pages) -> list[bytes]:
        """The encoded items from ``start`` up to ``stop``; LookupError if a page is missing."""
        found: list[bytes] = []
        for run, low, high in self.parts(start, stop):
            found += self.items_of(run, low, high, pages)
        return found

    @staticmethod
    def items_of(run: Run, start: int, stop: int, pages: Pages) -> list[bytes]:
        """The encoded items of a part of a run; LookupError if its page is missing."""
        if isinstance(run, list):
            return run[start:stop]
        return pages[run.page.id].items[run.start + start : run.start + stop]

    def values(self, start: int, stop: int, pages: Pages) -> list[Any]:
        """The decoded items from ``start`` up to ``stop``; LookupError if a page is missing."""
        found: list[Any] = []
        for run, low, high in self.parts(start, stop):
            if isinstance(run, list):
                found += decode(array(run[low:high]))
            else:  # decoding the whole page is faster than item by item
                whole = decode(pages[run.page.id].raw)
                found += whole[run.start + low : run.start + high]
        return found

    def parts(self, start: int, stop: int) -> Iterator[tuple[Run, int, int]]:
        """The runs that overlap a range of the list, each with the range within the run."""
        end = self._length
        parts: list[tuple[Run, int, int]] = []
        if start >= stop:
            return iter(parts)
        for run in reversed(self.runs):  # from the end, where a window is
            begin = end - _count(run)
            if begin < stop and start < end:
                parts.append((run, max(start - begin, 0), min(stop, end) - begin))
            if begin <= start:
                break
            end = begin
        return reversed(parts)


class NewItems(Node):
    """The items of a memory to be saved or built.

    Attributes:
        pieces: encoded items, and ranges of unchanged positions in ``origin``.
        origin: the list that the ranges refer to; None without ranges.
        loader: the ``PageLoader`` of that list.
        start: the first position whose items were just fetched, and are validated when the list is
            built; None if there are none.
        items: in a save, the memory's ``checkpoint._state.lazy.LazyItems``.
        taken: in a save, the edit count, pieces and stamps of ``items`` when it was dumped.
        proof: the ``LazyItems`` built from these in the proof of a save; None if a validator of the
            field runs before that of the items, so that these alone do not determine them.
    """

    __slots__ = ("items", "loader", "origin", "pieces", "proof", "start", "taken")

    def __init__(
        self,
        pieces: list[range | list[bytes]],
        origin: ItemList | None = None,
        loader: Any = None,
        start: int | None = None,
    ) -> None:
        self.pieces = pieces
        self.origin = origin
        self.loader = loader
        self.start = start
        self.items: Any = None
        self.taken: Any = None
        self.proof: Any = None

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def has_ranges(self) -> bool:
        """Whether some items are ranges of ``origin``."""
        return any(isinstance(piece, range) for piece in self.pieces)

    def __iter__(self) -> Iterator[Any]:
        """The decoded items, for a validator that runs before that of the memory."""
        advice = "a validator reads items that are not loaded; restore without window="
        for piece in self.pieces:
            if isinstance(piece, list):
                yield from decode(array(piece))
            else:
                assert self.origin is not None
                self.loader.get(self.origin.refs(piece.start, piece.stop), advice)
                yield from self.origin.values(piece.start, piece.stop, self.loader.pages)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def encoded(self) -> list[list[bytes]]:
        """The pieces that are encoded items."""
        return [piece for piece in self.pieces if isinstance(piece, list)]

    def size(self) -> int:
        """Total bytes of the encoded items."""
        return sum([len(item) for piece in self.encoded() for item in piece])

    def resolved(self) -> ItemList:
        """The complete list; unchanged items stay in their pages."""
        found = ItemList()
        for piece in self.pieces:
            if isinstance(piece, list):
                found.extend(piece)
            else:
                assert self.origin is not None
                for run in self.origin.slice(piece.start, piece.stop):
                    found.extend(run)
        return found


def is_same(made: ItemList, new: NewItems, pages: Pages) -> bool:
    """Whether a list has the items of ``new``; LookupError if a page of its items is missing."""
    if len(new.pieces) > _MANY_PIECES:
        try:
            return made.items(0, len(made), pages) == new.resolved().items(0, len(new), pages)
        except LookupError:
            pass  # some are not loaded: compare piece by piece
    at = 0
    for piece in new.pieces:
        end = at + len(piece)
        if isinstance(piece, list):
            same = made.items(at, end, pages) == piece
        else:
            assert new.origin is not None
            same = _same_part(made, at, new.origin, piece)
        if not same:
            return False
        at = end
    return at == len(made)


def _same_part(made: ItemList, at: int, origin: ItemList, piece: range) -> bool:
    """Whether a list has at ``at`` the items that ``origin`` has at a range of positions."""
    start = piece.start
    shared = min(len(made.runs), len(origin.runs)) - 1
    if at == start and shared > 0 and made.runs[:shared] == origin.runs[:shared]:
        # The runs at the front, most of a long list, are the same: compare only the rest.
        start = max(start, len(origin) - sum(map(_count, origin.runs[shared:])))
    start = min(start, piece.stop)
    at += start - piece.start
    return made.slice(at, at + piece.stop - start) == origin.slice(start, piece.stop)


def value_at(document: Any, path: Sequence[str]) -> Any:
    """The value at a path of maps; None if there is none."""
    for name in path:
        document = document.get(name) if type(document) is dict else None
    return document


def list_at(document: Any, path: Sequence[str]) -> ItemList | None:
    """The long list at a path of maps; None if there is none."""
    value = value_at(document, path)
    return value if isinstance(value, ItemList) else None


def _count(run: Run) -> int:
    return len(run) if isinstance(run, list) else run.size
