"""What a checkpointer was opened with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from checkpoint._limits import Limits
from checkpoint._records.header import Writer
from checkpoint._records.retention import Retention
from checkpoint._runtime.cache import Cache
from checkpoint._runtime.keywatch import KeyWatch
from checkpoint._state.schema import Schema

S = TypeVar("S")


def now() -> int:
    """Microseconds since 1970, by this host's clock."""
    return time.time_ns() // 1000


class Options(NamedTuple, Generic[S]):
    """What a checkpointer was opened with.

    Attributes:
        store: the store's URL without secrets, for people.
        schema: what the states are instances of.
        namespace: the namespace of all its sessions.
        replica: name of this writer, noted in what it saves.
        limits: what it reads and writes at most.
        adapter: an ``Adapter`` or ``AsyncAdapter``; None when callers work with the state.
        watch: notices session ids that are never seen again.
        cache: what was read or written last.
        retention: the rule by which old revisions are removed; None: they are all kept.
        clock: microseconds since 1970.
    """

    store: str
    schema: Schema[S]
    namespace: str
    replica: str
    limits: Limits
    adapter: Any
    watch: KeyWatch
    cache: Cache
    retention: Retention | None = None
    clock: Callable[[], int] = now

    def __str__(self) -> str:
        return f"{self.store!r}, {self.schema.id}, namespace={self.namespace!r}"

    def writer(self) -> Writer:
        """Who saves: asked each time, as a process may fork."""
        return Writer(_HOST, os.getpid(), self.replica)


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


_HOST = _host()
