"""Long lists inside of a document: their items encoded one by one, the older ones in pages.

A list is a sequence of *runs*: a run of items of a page, or items in place. Nothing here loads a
page; where bytes of one are needed, the caller has them in a map of pages by id.
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
        """What tells it from all others."""
        return b"%b %d %d" % (self.page.id, self.start, self.size)


Run = PageRun | list[bytes]

_MANY_PIECES = 64


class ItemList(Node):
    """A list of encoded items. Changed in place by :meth:`splice` only; :meth:`copy` it first."""

    __slots__ = ("_length", "is_valid", "runs")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.is_valid = False
        """Whether all its items were found to fit the model of the checkpointer that has it."""
        self.runs: list[Run] = list(runs)
        self._length = sum([run.size if type(run) is PageRun else len(run) for run in self.runs])

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<ItemList of {self._length} items in {len(self.runs)} runs>"

    def copy(self) -> ItemList:
        """A list that can be changed without this one."""
        made = ItemList()
        made.runs, made._length = self.runs.copy(), self._length
        if made.runs and isinstance(made.runs[-1], list):  # the only run that is changed in place
            made.runs[-1] = made.runs[-1].copy()
        return made

    def splice(self, start: int, delete: int, items: list[bytes]) -> None:
        """Replace ``delete`` items at ``start``. Raises IndexError where that is outside."""
        self.is_valid = False
        if not 0 <= start <= start + delete <= self._length:
            raise IndexError(f"splice of {start}+{delete} in {self._length} items")
        if start == self._length:  # most turns only add at the end
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
        """The pages that these items are in, and before each its anchor."""
        if len(self.runs) == 1 and isinstance(self.runs[0], list):  # a short list is in place
            return []
        pages = [run.page for run, _, _ in self.parts(start, stop) if isinstance(run, PageRun)]
        return [ref for page in pages for ref in (page.anchor, page) if ref is not None]

    def items(self, start: int, stop: int, pages: Pages) -> list[bytes]:
        """The encoded items from ``start`` up to ``stop``; LookupError without their pages."""
        found: list[bytes] = []
        for run, low, high in self.parts(start, stop):
            found += self.items_of(run, low, high, pages)
        return found

    @staticmethod
    def items_of(run: Run, start: int, stop: int, pages: Pages) -> list[bytes]:
        """The encoded items of a part of a run; LookupError without its page."""
        if isinstance(run, list):
            return run[start:stop]
        return pages[run.page.id].items[run.start + start : run.start + stop]

    def values(self, start: int, stop: int, pages: Pages) -> list[Any]:
        """The items from ``start`` up to ``stop``, decoded; LookupError without their pages."""
        found: list[Any] = []
        for run, low, high in self.parts(start, stop):
            if isinstance(run, list):
                found += decode(array(run[low:high]))
            else:  # a page is decoded in one go: faster than item by item
                whole = decode(pages[run.page.id].raw)
                found += whole[run.start + low : run.start + high]
        return found

    def parts(self, start: int, stop: int) -> Iterator[tuple[Run, int, int]]:
        """The runs that lie in a range of the list, each with the range inside of it."""
        end = self._length
        parts: list[tuple[Run, int, int]] = []
        if start >= stop:
            return iter(parts)
        for run in reversed(self.runs):  # from the end: that is where a window lies
            begin = end - _count(run)
            if begin < stop and start < end:
                parts.append((run, max(start - begin, 0), min(stop, end) - begin))
            if begin <= start:
                break
            end = begin
        return reversed(parts)


class NewItems(Node):
    """The items of a live list as they are to be saved, or built.

    Attributes:
        pieces: encoded items, or a range of positions in ``origin`` that were left alone.
        origin: the list that ranges are of; None where there are none.
        loader: where the items of that list come from, a ``PageLoader``.
        start: the position from which on items were fetched just now, and are to be validated when
            these are built; None where nothing is.
        items: the live items of a memory, a ``checkpoint._state.lazy.LazyItems``; and for those:
        taken: the number of its edits, and its pieces, when these were taken from it.
        proof: what was built from these; None where their field has a validator that comes before
            that of its items, so that these alone do not make them.
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
        """Whether some items were left alone."""
        return any(isinstance(piece, range) for piece in self.pieces)

    def __iter__(self) -> Iterator[Any]:
        """The items, decoded, for a validator that runs before that of the memory."""
        advice = "a validator looks at items that are not loaded: restore it without window="
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
        """Bytes of the encoded items."""
        return sum([len(item) for piece in self.encoded() for item in piece])

    def resolved(self) -> ItemList:
        """The list on its own: what was left alone stays in its pages."""
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
    """Whether a list has become what it was to be; LookupError without pages of what is new."""
    if len(new.pieces) > _MANY_PIECES:
        try:
            return made.items(0, len(made), pages) == new.resolved().items(0, len(new), pages)
        except LookupError:
            pass  # some were not loaded: piece by piece
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
    """Whether a list has, from ``at``, the items that another has in a range of positions."""
    start = piece.start
    shared = min(len(made.runs), len(origin.runs)) - 1
    if at == start and shared > 0 and made.runs[:shared] == origin.runs[:shared]:
        # The pages at the front, by far the most of a long list: compared by their identity.
        start = max(start, len(origin) - sum(map(_count, origin.runs[shared:])))
    start = min(start, piece.stop)
    at += start - piece.start
    return made.slice(at, at + piece.stop - start) == origin.slice(start, piece.stop)


def value_at(document: Any, path: Sequence[str]) -> Any:
    """The value at a path of maps; None where there is none."""
    for name in path:
        document = document.get(name) if type(document) is dict else None
    return document


def list_at(document: Any, path: Sequence[str]) -> ItemList | None:
    """The long list at a path of maps, if there is one."""
    value = value_at(document, path)
    return value if isinstance(value, ItemList) else None


def _count(run: Run) -> int:
    return len(run) if isinstance(run, list) else run.size
