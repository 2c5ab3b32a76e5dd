"""Ways to make a turn on SQLite: those of the library, and those that people write by hand.

A turn reads the session, touches it, appends two messages and is on disk when it returns. All
write to files in WAL mode with ``synchronous = FULL``.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import MutableSequence, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from items import Kind

LAST = 50  # items of a window
EDITED = -5  # the index of the item that is changed
PLAYED = 20  # turns at the end of a session, when it is built
PLAYED_WHOLE = 3  # of one whose turns load it whole

APPEND, LAST_50, EDIT_ONE, ITERATE_ALL = "append", "last-50", "edit-one", "iterate-all"
TOUCHES = (APPEND, LAST_50, EDIT_ONE, ITERATE_ALL)


def touched(touch: str, kind: Kind, items: MutableSequence[Any], said: Sequence[Any]) -> None:
    """Do with the items what the turn is about, before what was said is appended."""
    if touch == LAST_50:
        kind.look(items[-LAST:])
    elif touch == EDIT_ONE:
        kind.edit(items, EDITED, said[0])
    elif touch == ITERATE_ALL:
        kind.look(items)


class Way(ABC):
    """A way to make turns of the sessions in a file.

    Args:
        file: where the sessions are, or are to be put.
        kind: of the items.
        sessions: their names.
        items: of each.
    """

    @abstractmethod
    def __init__(
        self, file: Path, kind: Kind, sessions: Sequence[str], items: Sequence[Any]
    ) -> None: ...

    def prepared(self, said: Sequence[Any]) -> Sequence[Any]:
        """What is to be said, as this way takes it: before the clock is looked at."""
        return said

    @abstractmethod
    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        """Make one turn."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


# --- by hand -------------------------------------------------------------------------------------


class ByHand(Way):
    """What the ways with nothing but ``sqlite3`` have in common."""

    TABLE = ""

    def __init__(
        self, file: Path, kind: Kind, sessions: Sequence[str], items: Sequence[Any]
    ) -> None:
        self._kind = kind
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL").fetchall()
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(self.TABLE)
        self._db.execute("BEGIN")
        self._fill(sessions, items)
        self._db.execute("COMMIT")

    @abstractmethod
    def _fill(self, sessions: Sequence[str], items: Sequence[Any]) -> None: ...

    def close(self) -> None:
        self._db.close()


class Bare(ByHand):
    """One SELECT, one INSERT, one commit of a few hundred bytes: a floor, whatever is in them."""

    BYTES = 400
    TABLE = """
        CREATE TABLE small (id INTEGER PRIMARY KEY, session TEXT, data BLOB);
        CREATE INDEX of_session ON small (session, id);
    """
    ADD = "INSERT INTO small (session, data) VALUES (?, ?)"

    def _fill(self, sessions: Sequence[str], items: Sequence[Any]) -> None:
        self._db.executemany(self.ADD, [(session, bytes(self.BYTES)) for session in sessions])

    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        newest = "SELECT data FROM small WHERE session = ? ORDER BY id DESC LIMIT 1"
        (data,) = self._db.execute(newest, (session,)).fetchone()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(self.ADD, (session, data))
        self._db.execute("COMMIT")


class TypedAppend(ByHand):
    """A row of JSON for each message; a turn validates the last 50 of them and adds two."""

    TABLE = """
        CREATE TABLE messages (id INTEGER PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL);
        CREATE INDEX of_session ON messages (session, id);
    """
    ADD = "INSERT INTO messages (session, body) VALUES (?, ?)"

    def _fill(self, sessions: Sequence[str], items: Sequence[Any]) -> None:
        bodies = [self._kind.dumped(item) for item in items]
        for session in sessions:
            self._db.executemany(self.ADD, [(session, body) for body in bodies])

    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        newest = "SELECT id, body FROM messages WHERE session = ? ORDER BY id DESC LIMIT ?"
        rows = self._db.execute(newest, (session, LAST)).fetchall()[::-1]
        items = [self._kind.loaded(body) for _, body in rows]
        touched(touch, self._kind, items, said)
        self._db.execute("BEGIN IMMEDIATE")
        if touch == EDIT_ONE:
            change = "UPDATE messages SET body = ? WHERE id = ?"
            self._db.execute(change, (self._kind.dumped(items[EDITED]), rows[EDITED][0]))
        self._db.executemany(self.ADD, [(session, self._kind.dumped(item)) for item in said])
        self._db.execute("COMMIT")


class NaiveRow(ByHand):
    """The whole state as JSON in one row, read, validated, changed, and written again."""

    TABLE = "CREATE TABLE states (session TEXT PRIMARY KEY, body TEXT NOT NULL);"

    def _fill(self, sessions: Sequence[str], items: Sequence[Any]) -> None:
        body = self._kind.dumped_row(self._kind.new_row(items))
        add = "INSERT INTO states (session, body) VALUES (?, ?)"
        self._db.executemany(add, [(session, body) for session in sessions])

    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        find = "SELECT body FROM states WHERE session = ?"
        (body,) = self._db.execute(find, (session,)).fetchone()
        row = self._kind.loaded_row(body)
        items = self._kind.items(row)
        touched(touch, self._kind, items, said)
        items.extend(said)
        self._db.execute("BEGIN IMMEDIATE")
        change = "UPDATE states SET body = ? WHERE session = ?"
        self._db.execute(change, (self._kind.dumped_row(row), session))
        self._db.execute("COMMIT")


# --- by the library ------------------------------------------------------------------------------


def build(file: Path, kind: Kind, sessions: Sequence[str], items: Sequence[Any]) -> None:
    """Build the sessions that the library's ways take a copy of.

    The first save has most of the items; the rest come by turns, so that a replica that knows
    nothing of the session has turns to read, as it has with a session that grew.
    """
    window: dict[str, Any] = {"window": LAST} if kind.windowed else {}
    turns = min(PLAYED if kind.windowed else PLAYED_WHOLE, len(items) // 4)
    first = len(items) - 2 * turns
    with kind.open(f"sqlite:///{file}") as cp:
        for session in sessions:
            cp.save(session, kind.state(items[:first]))
            for at in range(first, len(items), 2):
                with cp.turn(session, **window) as turn:
                    kind.items(turn.state).extend(items[at : at + 2])


def copied(file: Path, copy: Path) -> Path:
    """A copy of a file of sessions, with what is in its log."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


class Ours(Way):
    """``cp.turn(session)`` as it is typed first, in a process that keeps serving the session."""

    OPENED: dict[str, Any] = {}
    ARGUMENTS: dict[str, Any] = {}

    def __init__(
        self, file: Path, kind: Kind, sessions: Sequence[str], items: Sequence[Any]
    ) -> None:
        self._kind = kind
        self._cp = kind.open(f"sqlite:///{file}", **self.OPENED)

    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        with self._cp.turn(session, **self.ARGUMENTS) as turn:
            items = self._kind.items(turn.state)
            touched(touch, self._kind, items, said)
            items.extend(said)

    def close(self) -> None:
        self._cp.close()


class Windowed(Ours):
    """``cp.turn(session, window=50)``."""

    ARGUMENTS = {"window": LAST}


class Cold(Ours):
    """``cp.turn(session)`` in a replica that keeps nothing."""

    OPENED = {"cache_bytes": 0}


class ColdWindowed(Cold, Windowed):
    """``cp.turn(session, window=50)`` in a replica that keeps nothing."""


# --- which ways are there ------------------------------------------------------------------------

BARE, TYPED, NAIVE = "bare", "typed-append", "naive-row"
TURN, WINDOW, COLD, COLD_WINDOW = "turn", "turn-window", "cold-turn", "cold-turn-window"
OPENAI = "openai"


def ways() -> dict[str, type[Way]]:
    """All ways, by their name; that of OpenAI Agents only where its package is installed."""
    found: dict[str, type[Way]] = {
        BARE: Bare,
        TYPED: TypedAppend,
        NAIVE: NaiveRow,
        TURN: Ours,
        WINDOW: Windowed,
        COLD: Cold,
        COLD_WINDOW: ColdWindowed,
    }
    if find_spec("agents"):
        from openai_session import OpenAI

        found[OPENAI] = OpenAI
    return found


COMPARED = {
    APPEND: (BARE, TYPED, NAIVE, TURN, WINDOW, COLD, COLD_WINDOW, OPENAI),
    LAST_50: (TYPED, NAIVE, TURN, WINDOW),
    EDIT_ONE: (TYPED, NAIVE, TURN, WINDOW),
    ITERATE_ALL: (NAIVE, TURN),
}
"""By what is touched, the ways that do it."""

WITHOUT_WINDOW = (NAIVE, TURN, COLD)  # of those, for a state that is always loaded whole


def compared(kind: Kind, touch: str) -> dict[str, type[Way]]:
    """The ways to be compared with each other."""
    return {
        name: way
        for name, way in ways().items()
        if name in COMPARED[touch] and (kind.windowed or name in WITHOUT_WINDOW)
    }
