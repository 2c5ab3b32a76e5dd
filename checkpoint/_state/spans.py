"""The pieces of a memory: lists of live items, and spans of positions in a stored list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from typing import Any


class Span:
    """Consecutive positions of a stored list, and whether their items count as loaded."""

    __slots__ = ("is_loaded", "start", "stop")

    def __init__(self, start: int, stop: int, *, is_loaded: bool) -> None:
        self.start = start
        self.stop = stop
        self.is_loaded = is_loaded

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> Span:
        start, stop, _ = part.indices(len(self))
        return Span(self.start + start, self.start + stop, is_loaded=self.is_loaded)


Piece = Span | list[Any]


class Pieces:
    """A sequence of pieces.

    Args:
        pieces: live items, and spans.
    """

    __slots__ = ("edits", "lock", "pieces")

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self.edits = 0  # number of edits so far
        self.lock = RLock()  # held by methods that change the pieces

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def parts(self, start: int, stop: int) -> Iterator[tuple[Piece, int, int]]:
        """The pieces that overlap a range, each with the range within the piece."""
        begin = 0
        for piece in self.pieces:
            end = begin + len(piece)
            if begin < stop and start < end and start < stop:
                yield piece, max(start - begin, 0), min(stop, end) - begin
            begin = end

    def lists(self) -> list[list[Any]]:
        """The pieces that are live items."""
        return [piece for piece in self.pieces if isinstance(piece, list)]

    def count_loaded(self) -> int:
        """Number of loaded items: in the window, or requested since."""
        return sum(len(p) for p in self.pieces if not isinstance(p, Span) or p.is_loaded)

    def mark_loaded(self, start: int, stop: int) -> None:
        """Note that items are loaded."""
        pieces: list[Piece] = []
        at = 0
        for piece in self.pieces:
            if isinstance(piece, Span) and not piece.is_loaded:
                low = min(max(start - at, 0), len(piece))
                high = max(low, min(stop - at, len(piece)))
                middle = Span(piece.start + low, piece.start + high, is_loaded=True)
                pieces += [piece[:low], middle, piece[high:]]
            else:
                pieces.append(piece)
            at += len(piece)
        self.pieces = joined(pieces)

    def append(self, item: Any) -> None:
        """Add an item at the end."""
        with self.lock:
            last = self.pieces[-1] if self.pieces else None
            if isinstance(last, list):
                last.append(item)
            else:
                self.pieces.append([item])
            self.edits += 1


def runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The ranges in which flags are set."""
    return ranges([at for at, flag in enumerate(flags) if flag])


def ranges(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges of consecutive ones."""
    at = 0
    while at < len(places):
        end = at + 1
        while end < len(places) and places[end] == places[end - 1] + 1:
            end += 1
        yield places[at], places[end - 1] + 1
        at = end


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces without empty ones, with neighbours merged where possible."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if not piece:
            continue
        if isinstance(piece, list) and isinstance(last, list):
            found[-1] = last + piece
        elif (
            isinstance(piece, Span)
            and isinstance(last, Span)
            and (last.stop, last.is_loaded) == (piece.start, piece.is_loaded)
        ):
            found[-1] = Span(last.start, piece.stop, is_loaded=piece.is_loaded)
        else:
            found.append(piece)
    return found
