"""Choices by a seed, and sentences made of phrases with them.

In a phrase, ``[a|b|c]`` stands for one of its alternatives, and ``{name}`` for a fact of that name;
``{noun}``, ``{verb}``, ``{adjective}``, ``{adverb}`` and ``{number}`` for a new word each time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple, TypeVar

import vocabulary as words

T = TypeVar("T")

_PARTS = re.compile(r"(\[|\||\]|\{[a-z]+\})")


class Dice:
    """Choices by a seed, all made with the one method whose sequence Python keeps for ever."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def below(self, limit: int) -> int:
        """A number from 0 up to, but not including, ``limit``."""
        return int(self._random() * limit)

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def often(self, share: float) -> bool:
        """Yes, in that share of all cases."""
        return self._random() < share

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.below(len(values))]

    def usual(self, values: Sequence[T]) -> T:
        """One of the values, the first ones more often than the last, as with words in a text."""
        share = self._random()
        return values[int(share * share * len(values))]

    def code(self, letters: str, length: int) -> str:
        """A code, number or key of so many letters."""
        return "".join(self.pick(letters) for _ in range(length))

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order."""
        left = list(values)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]


class Slot(NamedTuple):
    """A place in a phrase that a fact or a word is put in."""

    name: str


class Choice(NamedTuple):
    """A place in a phrase where it goes on in one of several ways."""

    ways: list[list[str | Slot | Choice]]


class Teller:
    """Makes sentences of phrases: chooses between alternatives, fills in facts and words."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._words = {
            "noun": dice.shuffled(words.NOUNS),
            "verb": dice.shuffled(words.VERBS),
            "adjective": dice.shuffled(words.ADJECTIVES),
            "adverb": dice.shuffled(words.ADVERBS),
        }

    def say(self, phrases: Sequence[str], facts: dict[str, str]) -> str:
        """One of the phrases, told of these facts."""
        return self._told(parsed(self._dice.pick(phrases)), facts)

    def tale(self, clauses: int, facts: dict[str, str]) -> str:
        """A sentence of so many clauses, in words of one's own."""
        told = self.say(words.CLAUSES, facts)
        for _ in range(clauses - 1):
            told += f" {self._dice.usual(words.LINKS)} {self.say(words.CLAUSES, facts)}"
        return f"{told[0].upper()}{told[1:]}."

    def _told(self, part: str | Slot | Choice, facts: dict[str, str]) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Choice):
            return "".join(self._told(each, facts) for each in self._dice.pick(part.ways))
        if part.name in facts:
            return facts[part.name]
        if part.name == "number":
            return str(self._dice.between(2, 60))
        return self._dice.usual(self._words[part.name])


@cache
def parsed(phrase: str) -> Choice:
    """A phrase as what it is made of."""
    open_ = [Choice([[]])]
    for part in _PARTS.split(phrase):
        if part == "[":
            open_.append(Choice([[]]))
        elif part == "]":
            choice = open_.pop()
            # Brackets around nothing to choose from are a list in a script.
            bare = len(choice.ways) == 1
            open_[-1].ways[-1].extend(["[", choice, "]"] if bare else [choice])
        elif part == "|":
            open_[-1].ways.append([])
        else:
            name = part[1:-1]
            open_[-1].ways[-1].append(Slot(name) if _PARTS.fullmatch(part) else part)
    return open_[0]
