"""What one long session costs on SQLite with all its history: bytes, and time for each turn.

    python benchmarks/session_size.py [FILE] [--turns 1000] [--seed 1] [--json]

A session of two-message turns of user and assistant text, every revision kept. The text is that of
FILE (a JSON list of objects with a ``traj`` list of chat messages), or comes from a seeded
generator that gives everybody the same. Every revision is restored and compared with what was said
(exit code 1 if one differs). The bytes are those of the file after VACUUM, its log included: told
apart into bases and patches, heads and bodies, and what SQLite adds.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from pydantic import BaseModel

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory

SESSION = "a-long-conversation"
REPEATS = 5  # of each timed restore

Pair = list[dict[str, str]]


class Message(BaseModel):
    """A chat message of text."""

    role: str
    content: str


class Chat(AgentState, schema="chat", version=1):
    """An agent that remembers what was said."""

    memory: Memory[Message] = Memory()


# --- the text ------------------------------------------------------------------------------------


def recorded_turns(file: Path, count: int) -> list[Pair]:
    """The user and assistant text of a file, in its order, two messages to a turn.

    Raises:
        ValueError: the file cannot be read, is something else, or has too little text.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        said = [
            {"role": message["role"], "content": message["content"]}
            for entry in entries
            for message in entry["traj"]
            if message["role"] in ("user", "assistant") and _is_text(message.get("content"))
        ]
    except OSError as exc:
        raise ValueError(f"{file}: {exc.strerror}") from exc
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ValueError(f"{file}: not a JSON list of objects with a traj of messages") from exc
    if len(said) < 2 * count:
        raise ValueError(f"{file}: {len(said)} messages of text, and {count} turns take twice")
    return [said[2 * n : 2 * n + 2] for n in range(count)]


def _is_text(content: object) -> bool:
    return isinstance(content, str) and content != ""


def generated_turns(seed: int, count: int) -> list[Pair]:
    """Turns as a support agent has them: set phrases, some in each, about ever new particulars."""
    random = Random(seed)
    words = [_word(random) for _ in range(1200)]
    phrases = [" ".join(random.choices(words, k=random.randint(4, 12))) for _ in range(300)]
    return [
        [
            {"role": "user", "content": _text(random, words, phrases, random.randint(1, 2))},
            {"role": "assistant", "content": _text(random, words, phrases, random.randint(2, 5))},
        ]
        for _ in range(count)
    ]


def _word(random: Random) -> str:
    return "".join(random.choice("bdfglmnprstv") + random.choice("aeiou") for _ in range(3))


def _text(random: Random, words: list[str], phrases: list[str], sentences: int) -> str:
    return " ".join(
        f"{random.choice(phrases).capitalize()} {random.choice(words)} {random.choice(words)} "
        f"{random.randrange(100_000)}."
        for _ in range(sentences)
    )


# --- the session ---------------------------------------------------------------------------------


def opened(file: Path) -> Checkpointer[Chat]:
    """A checkpointer on the file that has read nothing yet."""
    return checkpoint.open(f"sqlite:///{file}", Chat)


def play(file: Path, turns: list[Pair]) -> tuple[list[float], list[float]]:
    """Save the session turn by turn; return the seconds of each restore and of each save."""
    restores, saves = [], []
    with opened(file) as cp:
        for said in turns:
            started = perf_counter()
            with cp.turn(SESSION) as turn:
                restored = perf_counter()
                turn.state.memory.extend(Message.model_validate(message) for message in said)
                answered = perf_counter()
            saves.append(perf_counter() - answered)
            restores.append(restored - started)
    return restores, saves


def revisions_that_differ(file: Path, turns: list[Pair]) -> list[int]:
    """The revisions that are not what was said up to them."""
    expected: list[dict[str, str]] = []
    differing = []
    with opened(file) as cp:
        for revision, said in enumerate(turns, start=1):
            expected += said
            memory = cp.restore(SESSION, revision=revision).state.memory
            if [message.model_dump() for message in memory] != expected:
                differing.append(revision)
    return differing


def seconds(call: Callable[[], object]) -> float:
    """Median seconds of a call."""
    took = []
    for _ in range(REPEATS):
        started = perf_counter()
        call()
        took.append(perf_counter() - started)
    return median(took)


def restore_seconds(file: Path, count: int) -> dict[str, float]:
    """How long a restore takes: of the newest revision, of older ones, and of the slowest kind."""
    with opened(file) as cp:
        history = cp.history(SESSION)
        bases = [snapshot.revision for snapshot in history if snapshot.kind == "base"]
        before_base = max(1, bases[0] - 1)  # the end of a segment: it has the most patches to apply
        return {
            f"newest ({count})": seconds(lambda: cp.restore(SESSION)),
            f"before the last base ({before_base})": seconds(
                lambda: cp.restore(SESSION, revision=before_base)
            ),
            f"middle ({max(1, count // 2)})": seconds(
                lambda: cp.restore(SESSION, revision=max(1, count // 2))
            ),
            "first (1)": seconds(lambda: cp.restore(SESSION, revision=1)),
        }


# --- the bytes -----------------------------------------------------------------------------------


def bytes_of(file: Path) -> dict[str, int]:
    """Bytes of the compacted file, and what they are."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        rows = connection.execute(
            "SELECT revision = base, count(*), sum(length(head)), sum(length(body)) "
            "FROM checkpoint_records GROUP BY 1"
        ).fetchall()
    log = file.with_name(f"{file.name}-wal")
    total = file.stat().st_size + (log.stat().st_size if log.exists() else 0)
    parts = {"file": total}
    for is_base, count, heads, bodies in rows:
        kind = "base" if is_base else "patch"
        parts |= {f"{kind} records": count, f"{kind} headers": heads, f"{kind} bodies": bodies}
    stored = sum(size for name, size in parts.items() if name.endswith(("headers", "bodies")))
    return parts | {"added by SQLite": total - stored}


# --- the report ----------------------------------------------------------------------------------


def measure(file: Path, turns: list[Pair]) -> dict[str, Any]:
    restores, saves = play(file, turns)
    return {
        "turns": len(turns),
        "raw": sum(raw_bytes(message) for said in turns for message in said),
        "bytes": bytes_of(file),
        "differing": revisions_that_differ(file, turns),
        "milliseconds": {
            "turn's restore": _spread(restores),
            "turn's save": _spread(saves),
            "  of the last tenth": _spread(saves[-max(2, len(saves) // 10) :]),
        },
        "restore": {name: took * 1000 for name, took in restore_seconds(file, len(turns)).items()},
    }


def raw_bytes(message: dict[str, str]) -> int:
    """Bytes of a message as JSON in UTF-8 (half an emoji, as in text cut short, counts too)."""
    return len(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _spread(values: list[float]) -> dict[str, float]:
    """p50 and p95 in milliseconds."""
    cuts = quantiles(values, n=20, method="inclusive")
    return {"p50": cuts[9] * 1000, "p95": cuts[18] * 1000}


def tell(result: dict[str, Any]) -> None:
    sizes, raw = result["bytes"], result["raw"]
    print(f"{result['turns']:,} turns of two messages, {raw:,} B of raw JSON")
    print(f"SQLite file with all history: {sizes['file']:,} B, {sizes['file'] / raw:.3f}x raw JSON")
    for name, size in sizes.items():
        share = "" if name.endswith(("records", "file")) else f"  {size / sizes['file']:6.1%}"
        print(f"  {name:18}{size:>12,}{share}")
    for name, spread in result["milliseconds"].items():
        print(f"{name:20} p50 {spread['p50']:7.2f} ms   p95 {spread['p95']:7.2f} ms")
    for name, took in result["restore"].items():
        print(f"restore {name:32}{took:7.2f} ms")
    differing = result["differing"]
    print(f"DIFFERENT revisions: {differing}" if differing else "every revision equals its source")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="conversations to take the text from")
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the generator")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.turns < 2:
        parser.error("--turns is a number from 2 up")
    try:
        turns = (
            recorded_turns(options.file, options.turns)
            if options.file
            else generated_turns(options.seed, options.turns)
        )
    except ValueError as exc:
        parser.error(str(exc))
    with tempfile.TemporaryDirectory() as directory:
        result = measure(Path(directory) / "session.db", turns)
    if options.json:
        print(json.dumps(result))
    else:
        tell(result)
    return 1 if result["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
