"""agent-checkpoint saves the whole state of an AI agent after each turn, to restore it anywhere.

>>> import checkpoint
>>> cp = checkpoint.open("memory://")
>>> with cp.turn("user-42") as turn:
...     turn.state["memory"] = ["hi"]
>>> cp.restore("user-42").state
{'memory': ['hi']}
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from checkpoint._moved import MovedFinder

if TYPE_CHECKING:
    from checkpoint._async.checkpointer import AsyncCheckpointer as AsyncCheckpointer
    from checkpoint._async.turn import AsyncTurn as AsyncTurn
    from checkpoint._document.changes import Change as Change
    from checkpoint._opening import open as open
    from checkpoint._opening import open_async as open_async
    from checkpoint._opening import preload as preload
    from checkpoint._records.header import SchemaId as SchemaId
    from checkpoint._records.header import Writer as Writer
    from checkpoint._records.retention import Pruned as Pruned
    from checkpoint._records.retention import Retention as Retention
    from checkpoint._runtime.adapter import Adapter as Adapter
    from checkpoint._runtime.adapter import AsyncAdapter as AsyncAdapter
    from checkpoint._runtime.problems import Problem as Problem
    from checkpoint._runtime.snapshot import Restored as Restored
    from checkpoint._runtime.snapshot import SessionInfo as SessionInfo
    from checkpoint._runtime.snapshot import Snapshot as Snapshot
    from checkpoint._state.agent_state import AgentState as AgentState
    from checkpoint._state.memory import Memory as Memory
    from checkpoint._sync.checkpointer import Checkpointer as Checkpointer
    from checkpoint._sync.turn import Turn as Turn
    from checkpoint.errors import CheckpointError as CheckpointError
    from checkpoint.errors import Conflict as Conflict
    from checkpoint.errors import Damaged as Damaged
    from checkpoint.errors import InvalidId as InvalidId
    from checkpoint.errors import InvalidOption as InvalidOption
    from checkpoint.errors import InvalidState as InvalidState
    from checkpoint.errors import NotAStore as NotAStore
    from checkpoint.errors import NotLoaded as NotLoaded
    from checkpoint.errors import NotSerializable as NotSerializable
    from checkpoint.errors import RevisionNotFound as RevisionNotFound
    from checkpoint.errors import RevisionPruned as RevisionPruned
    from checkpoint.errors import SaveUnclear as SaveUnclear
    from checkpoint.errors import SchemaChanged as SchemaChanged
    from checkpoint.errors import SchemaMismatch as SchemaMismatch
    from checkpoint.errors import SessionNotFound as SessionNotFound
    from checkpoint.errors import StateTooLarge as StateTooLarge
    from checkpoint.errors import StoreBusy as StoreBusy
    from checkpoint.errors import StoreClosed as StoreClosed
    from checkpoint.errors import StoreDenied as StoreDenied
    from checkpoint.errors import StoreError as StoreError
    from checkpoint.errors import StoreFull as StoreFull
    from checkpoint.errors import StoreReadOnly as StoreReadOnly
    from checkpoint.errors import StoreTooNew as StoreTooNew
    from checkpoint.errors import StoreUnavailable as StoreUnavailable
    from checkpoint.errors import StoreUnsafe as StoreUnsafe
    from checkpoint.errors import UnknownStore as UnknownStore
    from checkpoint.errors import UnsupportedFormat as UnsupportedFormat

# Public names by their module. They are imported when first used, so that `import checkpoint` is
# cheap and a cold start loads only the modules it needs.
_HOME = {
    "_document.changes": "Change",
    "errors": (
        "CheckpointError Conflict Damaged InvalidId InvalidOption InvalidState NotAStore "
        "NotLoaded NotSerializable RevisionNotFound RevisionPruned SaveUnclear SchemaChanged "
        "SchemaMismatch SessionNotFound StateTooLarge StoreBusy StoreClosed StoreDenied StoreError "
        "StoreFull StoreReadOnly StoreTooNew StoreUnavailable StoreUnsafe UnknownStore "
        "UnsupportedFormat"
    ),
    "_state.memory": "Memory",
    "_opening": "open open_async preload",
    "_runtime.adapter": "Adapter AsyncAdapter",
    "_runtime.problems": "Problem",
    "_records.header": "SchemaId Writer",
    "_records.retention": "Pruned Retention",
    "_runtime.snapshot": "Restored SessionInfo Snapshot",
    "_state.agent_state": "AgentState",
    "_async.checkpointer": "AsyncCheckpointer",
    "_async.turn": "AsyncTurn",
    "_sync.checkpointer": "Checkpointer",
    "_sync.turn": "Turn",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605
__version__ = "0.1.0"


sys.meta_path.append(MovedFinder)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
