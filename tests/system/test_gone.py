"""Rows that were removed behind the store's back: typed errors, and nothing passes for absence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from checkpoint import Checkpointer, Damaged

pytestmark = pytest.mark.promise("not-absent")

CALLS: dict[str, Callable[[Checkpointer[Any]], object]] = {
    "restore": lambda cp: cp.restore("user-42"),
    "turn": lambda cp: cp.turn("user-42").__enter__(),
    "save": lambda cp: cp.save("user-42", {"n": 2}),
    "overwrite": lambda cp: cp.overwrite("user-42", {"n": 2}),
    "rollback": lambda cp: cp.rollback("user-42", 1),
    "delete": lambda cp: cp.delete("user-42"),
    "fork": lambda cp: cp.fork("user-42", "other"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_head_without_its_records_is_damage_and_not_absence(
    tmp_path: Path, call: Callable[[Checkpointer[Any]], object]
) -> None:
    with checkpoint.open(f"sqlite:///{tmp_path}/sessions.db", cache_bytes=0) as cp:
        cp.save("user-42", {"n": 1})
        connection = sqlite3.connect(tmp_path / "sessions.db")
        with connection:
            connection.execute("DELETE FROM checkpoint_records")
        connection.close()
        with pytest.raises(Damaged, match="session 'user-42': the store has no record"):
            call(cp)
