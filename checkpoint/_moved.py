"""Import errors that give the new place of names from documented modules, now private."""

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
    """The last module finder: raises ImportError for the modules that moved."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in _MOVED:
            module, _, public = _MOVED[name].rpartition(".")
            raise ImportError(
                f"{name} is private now: use `from {module} import {public}`", name=name
            )
