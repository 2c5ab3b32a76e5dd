"""A store of objects, for drivers of one's own and for clients that are set up by hand."""

from __future__ import annotations

from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._sync.store import ObjectStore

__all__ = ["AsyncObjectStore", "ObjectStore"]
