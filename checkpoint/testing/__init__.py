"""Test support: a suite for stores, and a simulator. Needs the extra ``[testing]``.

>>> from pathlib import Path
>>> from checkpoint._stores.inmemory import InMemoryStore
>>> from checkpoint.testing import StoreSuite
>>> class TestMyStore(StoreSuite):  # in a file that pytest collects
...     durable = False
...
...     def open(self, place: Path) -> InMemoryStore:
...         return InMemoryStore()
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkpoint.testing.stores import AsyncStoreSuite as AsyncStoreSuite
    from checkpoint.testing.stores import StoreSuite as StoreSuite

__all__ = ["AsyncStoreSuite", "StoreSuite"]

if "pytest" in sys.modules:  # failed asserts of the suites show both sides
    import pytest

    pytest.register_assert_rewrite(f"{__name__}.chain", f"{__name__}.contract")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from checkpoint.testing import stores

    return getattr(stores, name)
