"""Closes the files of stores while the process forks."""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet


class Forking(Protocol):
    """A store that must act before and after a fork."""

    def before_fork(self) -> None: ...

    def after_fork(self) -> None: ...


_all: WeakSet[Forking] = WeakSet()
_one = Lock()  # held during a fork, since several threads may fork
_held: list[Forking] = []  # stores held by the current fork


def register(store: Forking) -> None:
    """Call ``before_fork`` and ``after_fork`` (in parent and child) while the store exists."""
    _all.add(store)


def _before() -> None:
    _one.acquire()
    _held.extend(_all)
    for store in _held:
        store.before_fork()


def _after() -> None:
    while _held:
        _held.pop().after_fork()
    _one.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
