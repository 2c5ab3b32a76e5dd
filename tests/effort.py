"""How much a test tries, and which of many cases failed.

A number given here is that of a full run, ``make test-all``. The profile of Hypothesis says how
much of it is tried: ``dev`` a fifth, ``ci`` all, ``soak`` twenty times as much. The profiles are in
the ``conftest.py`` of the root; ``--hypothesis-profile`` chooses one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

SOAK = bool(os.environ.get("CHECKPOINT_SOAK"))


def examples(number: int) -> settings:
    """The settings of a test of a property: this many examples in a full run."""
    return settings(max_examples=times(number))


def steps(number: int, length: int) -> settings:
    """The settings of a state machine: this many runs of so many steps in a full run."""
    return settings(
        max_examples=times(number),
        stateful_step_count=length,
        suppress_health_check=list(HealthCheck),
    )


def times(number: int, *, soak: int | None = None) -> int:
    """How often something is tried.

    Args:
        number: in a full run.
        soak: in a soak; None: twenty times as often.
    """
    if SOAK and soak is not None:
        return soak
    return max(1, number * settings().max_examples // 100)


def some(items: Sequence[T]) -> Sequence[T]:
    """All items in a full run; as a rule each fifth, with the first and the last."""
    step = max(1, 100 // settings().max_examples)
    return items if step == 1 else [*items[:-1:step], *items[-1:]]


@contextmanager
def case(*what: object) -> Iterator[None]:
    """One of many cases in a test: a failure in it tells which it was."""
    try:
        yield
    except BaseException as exc:
        exc.add_note(f"in the case {', '.join(map(repr, what))}")
        raise
