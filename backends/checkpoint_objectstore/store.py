"""Object stores for custom drivers and for clients configured by hand."""

from __future__ import annotations

from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._sync.store import ObjectStore

__all__ = ["AsyncObjectStore", "ObjectStore"]
