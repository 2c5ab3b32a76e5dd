"""The options of a checkpointer."""

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
    """The options of a checkpointer.

    Attributes:
        store: the store's URL without secrets, for messages.
        schema: the schema of the states.
        namespace: the namespace of the sessions.
        replica: name of this writer, stored with each save.
        limits: size limits for reading and writing.
        adapter: an ``Adapter`` or ``AsyncAdapter``; None if callers work with the state.
        watch: detects session ids that change with each request.
        cache: the revisions read or written last.
        retention: the rule that removes old revisions; None keeps them all.
        clock: returns microseconds since 1970.
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
        """The writer of a save; not stored, since a process may fork."""
        return Writer(_HOST, os.getpid(), self.replica)


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


_HOST = _host()
