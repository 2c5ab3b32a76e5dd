"""The items of a memory of which the older ones are still in the store.

Like the memory's list, in pieces: items that are loaded, and ranges of positions in the saved list
that are not. Replacing, deleting and inserting need no item; looking at one loads the page it is
in, or in asynchronous code asks for :meth:`checkpoint.Memory.load` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from checkpoint.codec import DecodeError, MissingTimeZone, array, decode
from checkpoint.errors import Damaged, InvalidState, NotLoaded
from checkpoint.ids import SessionKey
from checkpoint.items import ItemList, NewItems
from checkpoint.pages import PageData
from checkpoint.paths import format_path
from checkpoint.record import PageRef


class Source(NamedTuple):
    """Where a session's pages come from.

    Attributes:
        key, revision: what was restored.
        path: where the memory is in the state.
        pages: those at hand, by id.
        fetch: fetches pages into ``pages``; asynchronous code has to await what it returns.
    """

    key: SessionKey
    revision: int
    path: tuple[str, ...]
    pages: dict[bytes, PageData]
    fetch: Callable[[Sequence[PageRef], dict[bytes, PageData]], Any]

    def get(self, refs: Sequence[PageRef], told: str) -> None:
        """Have pages at hand.

        Raises:
            NotLoaded: this is asynchronous code.
        """
        missing = [ref for ref in refs if ref.id not in self.pages]
        if missing:
            fetching = self.fetch(missing, self.pages)
            if hasattr(fetching, "__await__"):
                fetching.close()
                raise NotLoaded(told, **self.key._asdict())


class LazyItems:
    """See the module.

    Args:
        pieces: loaded items, and ranges of positions in ``origin``.
        origin: the list as it was saved last.
        source: where its pages come from.
        validate: makes live items of decoded ones, given the place of the first in the list.
    """

    __slots__ = ("origin", "pieces", "source", "validate")

    def __init__(
        self,
        pieces: list[range | list[Any]],
        origin: ItemList,
        source: Source,
        validate: Callable[[list[Any], int], list[Any]],
    ) -> None:
        self.pieces = pieces
        self.origin = origin
        self.source = source
        self.validate = validate

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def copy(
        self,
        each: Callable[[list[Any]], list[Any]] = list,
        validate: Callable[[list[Any], int], list[Any]] | None = None,
    ) -> LazyItems:
        """Another, with ``each`` list of loaded items copied, and perhaps another validator."""
        pieces = [each(piece) if isinstance(piece, list) else piece for piece in self.pieces]
        return LazyItems(pieces, self.origin, self.source, validate or self.validate)

    # --- looking ---------------------------------------------------------------------------------

    def get(self, start: int, stop: int) -> list[Any]:
        """The items from ``start`` up to ``stop``, loaded if they are not."""
        self.load(start, stop)
        found: list[Any] = []
        for piece, low, high in self._parts(start, stop):
            assert isinstance(piece, list)
            found += piece[low:high]
        return found

    def loaded(self) -> Iterator[Any]:
        """The items that are loaded."""
        for piece in self.pieces:
            if isinstance(piece, list):
                yield from piece

    def load(self, start: int, stop: int) -> None:
        """Load items, with those of the same page.

        Raises:
            NotLoaded: this is asynchronous code.
        """
        missing, wanted = self._missing(start, stop)
        self.source.get(
            missing,
            f"items {start} to {stop - 1} of {len(self)} are not loaded yet; in asynchronous code, "
            f"first await memory.load({start}, {stop})",
        )
        self._fill(wanted)

    async def load_async(self, start: int, stop: int) -> None:
        """:meth:`load`, in asynchronous code."""
        missing, wanted = self._missing(start, stop)
        while missing:
            fetching = self.source.fetch(missing, self.source.pages)
            if hasattr(fetching, "__await__"):
                await fetching
            missing, wanted = self._missing(start, stop)  # it may have been saved meanwhile
        self._fill(wanted)

    def _missing(self, start: int, stop: int) -> tuple[list[PageRef], list[range]]:
        """The pages to fetch for items, and the positions that are then to be loaded."""
        wanted: list[range] = []
        for piece, low, high in self._parts(start, stop):
            if not isinstance(piece, range):
                continue
            first, last = piece[low], piece[high - 1] + 1
            begin = 0  # whole runs: what lies in the same page comes along
            for run in self.origin.runs:
                end = begin + (len(run) if isinstance(run, list) else run.size)
                if begin < last and first < end:
                    first, last = min(first, begin), max(last, end)
                begin = end
            wanted.append(range(max(first, piece.start), min(last, piece.stop)))
        refs = [ref for span in wanted for ref in self.origin.refs(span.start, span.stop)]
        pages = self.source.pages
        return list(dict.fromkeys(ref for ref in refs if ref.id not in pages)), wanted

    def _fill(self, wanted: list[range]) -> None:
        pieces: list[range | list[Any]] = []
        by = 0  # from a position in the saved list to the place in this one
        for piece in self.pieces:
            if isinstance(piece, range):
                by = sum(map(len, pieces)) - piece.start
                inside = [w for w in wanted if piece.start <= w.start and w.stop <= piece.stop]
                at = piece.start
                for span in inside:
                    pieces += [range(at, span.start), self._built(span, span.start + by)]
                    at = span.stop
                pieces.append(range(at, piece.stop))
            else:
                pieces.append(piece)
        self.pieces = _joined(pieces)

    def _built(self, span: range, place: int) -> list[Any]:
        """The live items of a range of positions, the first of which is at ``place``.

        Raises:
            InvalidState: the model's own validation refuses one.
            Damaged: one is no document.
        """
        key, revision, path, pages, _ = self.source
        about: dict[str, Any] = {**key._asdict(), "revision": revision}
        try:
            return self.validate(self.origin.values(span.start, span.stop, pages), place)
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_context=False)[0]
            more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
            raise InvalidState(
                f"{error['msg']}{more}; the stored value does not fit the model",
                **about,
                path=format_path((*path, *error["loc"])),
            ) from exc
        except MissingTimeZone as exc:
            raise InvalidState(str(exc), **about, path=format_path(path)) from exc
        except DecodeError as exc:
            told = f"an item cannot be decoded ({exc})"
            raise Damaged(told, **about, path=format_path(path)) from exc

    def _parts(self, start: int, stop: int) -> Iterator[tuple[range | list[Any], int, int]]:
        """The pieces that lie in a range, each with the range inside of it."""
        begin = 0
        for piece in self.pieces:
            end = begin + len(piece)
            if begin < stop and start < end and start < stop:
                yield piece, max(start - begin, 0), min(stop, end) - begin
            begin = end

    # --- changing --------------------------------------------------------------------------------

    def replace(self, start: int, stop: int, items: list[Any]) -> None:
        """Put items in the place of those from ``start`` up to ``stop``; nothing is loaded."""
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, list) and start == stop == len(self):  # the most common: an append
            last += items
            return
        before = [piece[low:high] for piece, low, high in self._parts(0, start)]
        after = [piece[low:high] for piece, low, high in self._parts(stop, len(self))]
        self.pieces = _joined([*before, items, *after])

    # --- saving ----------------------------------------------------------------------------------

    def dumped(self, dump: Callable[[list[Any]], list[bytes]]) -> NewItems:
        """The items as they are to be saved."""
        pieces = [dump(piece) if isinstance(piece, list) else piece for piece in self.pieces]
        return NewItems(pieces, self.origin, self.source)

    def saved(self, new: NewItems, origin: ItemList, pages: dict[bytes, PageData]) -> None:
        """What was left alone is from now on told by its position in the list just saved.

        Args:
            new: what was saved; items may have been loaded or changed since.
            origin: the list as it was saved.
            pages: those that its next save is compared with; what is loaded is put there.
        """
        if self.origin is not new.origin:
            return  # it was told before
        moved: list[tuple[range, int]] = []
        at = 0
        for piece in new.pieces:
            if isinstance(piece, range):
                moved.append((piece, at - piece.start))
            at += len(piece)
        pieces: list[range | list[Any]] = []
        for piece in self.pieces:
            if isinstance(piece, list):
                pieces.append(piece)
                continue
            for span, by in moved:  # more than one, where what was between them was deleted since
                first, last = max(piece.start, span.start), min(piece.stop, span.stop)
                pieces.append(range(first + by, last + by))
        self.pieces = _joined(pieces)
        self.origin = origin
        self.source = self.source._replace(pages=pages)


def whole(new: NewItems) -> list[Any]:
    """All items, decoded but not validated."""
    found: list[Any] = []
    for piece in new.pieces:
        if isinstance(piece, list):
            found += decode(array(piece))
        else:
            assert new.origin is not None
            told = "a validator looks at items that are not loaded: restore it without window="
            new.source.get(new.origin.refs(piece.start, piece.stop), told)
            found += new.origin.values(piece.start, piece.stop, new.source.pages)
    return found


def built(new: NewItems, validate: Callable[[list[Any], int], list[Any]]) -> LazyItems:
    """The live items of a saved list of which some are left in the store."""
    assert new.origin is not None
    assert isinstance(new.source, Source)
    pieces: list[range | list[Any]] = []
    place = 0
    for piece in new.pieces:
        if isinstance(piece, list):
            pieces.append(validate(decode(array(piece)), place))
        else:
            pieces.append(piece)
        place += len(piece)
    return LazyItems(pieces, new.origin, new.source, validate)


def _joined(pieces: list[range | list[Any]]) -> list[range | list[Any]]:
    """Pieces without empty ones, neighbours of a kind in one."""
    found: list[range | list[Any]] = []
    for piece in pieces:
        last = found[-1] if found else None
        if not piece:
            continue
        if isinstance(piece, list) and isinstance(last, list):
            found[-1] = last + piece
        elif isinstance(piece, range) and isinstance(last, range) and last.stop == piece.start:
            found[-1] = range(last.start, piece.stop)
        else:
            found.append(piece)
    return found
