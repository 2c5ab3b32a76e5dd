"""Says where to import names from that the documentation once placed in modules now private."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

_MOVED = {
    "checkpoint.ids": "checkpoint.store.SessionKey",
    "checkpoint.inmemory": "checkpoint.store.InMemoryStore",
    "checkpoint.record": "checkpoint.store.Record",
    "checkpoint.registry": "checkpoint.store.open_store",
    "checkpoint.threads": "checkpoint.store.ThreadedStore",
}


class MovedFinder:
    """The last finder of modules: it knows those that are gone, and raises ImportError for them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in _MOVED:
            module, _, public = _MOVED[name].rpartition(".")
            raise ImportError(
                f"{name} is private now: use `from {module} import {public}`", name=name
            )
