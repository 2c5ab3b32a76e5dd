"""Fills a small disk with sessions, as a program of its own; the test reads what it prints.

Run as ``python full_disk.py DIRECTORY``, where the directory is a file system of some 100 KB.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import checkpoint
from checkpoint import CheckpointError

ROOM = range(0, 224, 8)  # KiB


def told(call: Callable[[], object]) -> object:
    """The type and sentence of the library's error, or what came back."""
    try:
        return call()
    except CheckpointError as exc:
        return {"error": type(exc).__name__, "says": str(exc)}


def fill(path: Path, room: int = 0) -> None:
    """Take every byte that is left but ``room`` KiB."""
    with path.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(1024))
        except OSError:
            ballast.truncate(max(0, ballast.tell() - room * 1024))


def with_little_room(directory: Path, room: int) -> dict[str, object]:
    """A store that was not there, and one that was, opened where little room is left."""
    ballast, there = directory / "ballast", f"sqlite:///{directory}/there.db"
    with checkpoint.open(there) as cp:
        cp.overwrite("user-42", {"room": room})
    fill(ballast, room)
    with (
        checkpoint.open(f"sqlite:///{directory}/new.db") as new,
        checkpoint.open(there) as old,
    ):
        result = {
            "restored": told(lambda: old.restore("user-42").state),
            "saved": told(lambda: old.save(f"later-{room}", {}).revision),
            "begun": told(lambda: new.overwrite("user-42", {"n": 1}).revision > 0),
        }
        ballast.unlink()
        result["restored later"] = old.restore("user-42").state == {"room": room}
        result["saved later"] = old.overwrite(f"later-{room}", {}).revision > 0
        result["begun later"] = new.overwrite("user-42", {"n": 1}).revision > 0
        return result


def run_out_of_space(directory: Path) -> dict[str, object]:
    """Turns until there is no room, then what is left, then turns again with room made."""
    ballast = directory / "ballast"
    ballast.write_bytes(bytes(200_000))
    cp = checkpoint.open(f"sqlite:///{directory}/sessions.db")
    cp.save("small", {"n": 1})
    noise = random.Random(1)
    kept: dict[str, Any] = {}
    refused: object = None
    while not isinstance(refused, dict):
        item = noise.randbytes(9_000).hex()
        before = list(kept.get("items", []))
        refused = told(partial(turn, cp, item))
        kept = {"items": before if isinstance(refused, dict) else [*before, item]}
    fill(directory / "rest")
    result: dict[str, object] = {
        "refused": refused,
        "again": [told(lambda: turn(cp, noise.randbytes(9_000).hex())) for _ in range(3)],
        "turns kept": len(kept["items"]),
        "intact": cp.restore("user-42").state == kept,
        "small": cp.restore("small").state,
        "sessions": sorted(info.session_id for info in cp.sessions()),
    }
    ballast.unlink()
    (directory / "rest").unlink()
    result["room"] = told(lambda: turn(cp, "after"))
    cp.close()
    with checkpoint.open(f"sqlite:///{directory}/sessions.db") as reopened:
        after = {"items": [*kept["items"], "after"]}
        result["reopened"] = reopened.restore("user-42").state == after
        result["history"] = len(reopened.history("user-42"))
    return result


def turn(cp: checkpoint.Checkpointer[dict[str, Any]], item: str) -> int:
    with cp.turn("user-42") as turn:
        turn.state.setdefault("items", []).append(item)
    return turn.revision


if __name__ == "__main__":
    mounted = Path(sys.argv[1])
    later = run_out_of_space(mounted)
    for file in mounted.iterdir():
        file.unlink()
    little = []
    for room in ROOM:
        little.append(with_little_room(mounted, room))
        (mounted / "new.db").unlink()
    print(json.dumps({"later": later, "little": little}))
