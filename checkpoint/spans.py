"""The pieces of a memory: lists of live items, and spans of positions in a stored list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Span:
    """Consecutive positions of a stored list; whether their items are meant to be loaded."""

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


def runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """From where to where flags are set."""
    return ranges([at for at, flag in enumerate(flags) if flag])


def ranges(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Rising numbers as ranges of consecutive ones."""
    at = 0
    while at < len(places):
        end = at + 1
        while end < len(places) and places[end] == places[end - 1] + 1:
            end += 1
        yield places[at], places[end - 1] + 1
        at = end


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces without empty ones, neighbours that belong together in one."""
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
