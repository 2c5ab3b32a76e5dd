"""What only the SQLite store does: its statements, its file, and the files it refuses."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from urllib.parse import quote

import pytest

import checkpoint
from checkpoint import (
    Checkpointer,
    InvalidOption,
    NotAStore,
    StoreBusy,
    StoreError,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from checkpoint._ids import SessionKey
from checkpoint._records.header import Kind
from checkpoint._stores.registry import open_store
from checkpoint.store import Attachment, Page
from checkpoint.testing.chain import KEY, Chain, segment_of
from checkpoint.testing.contract.races import at_once
from checkpoint_sql import _sqlite_statements as sql
from checkpoint_sql.sqlite import SqliteStore

Dicts = Checkpointer[dict[str, Any]]


def behind(path: Path, statement: str, *values: object) -> list[Any]:
    """What SQLite itself says of the file, behind the store's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def cp(url: str) -> Iterator[Dicts]:
    with checkpoint.open(url) as opened:
        yield opened


# --- the statements ------------------------------------------------------------------------------


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite is given by all connections opened from now on, and CONNECT for each of them."""
    seen: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        seen.append("CONNECT")
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return seen


def verbs(statements: list[str]) -> list[str]:
    return [" ".join(re.findall(r"\w+", text)[:1]) for text in statements]


def take_turn(cp: Dicts, item: str) -> None:
    with cp.turn("user-42") as turn:
        turn.state.setdefault("memory", []).append(item)


@pytest.mark.promise("cost-of-turn")
def test_a_turn_of_a_session_is_one_select_and_one_transaction(
    statements: list[str], cp: Dicts
) -> None:
    take_turn(cp, "first")
    for item in ("second", "third"):
        statements.clear()
        take_turn(cp, item)
        assert verbs(statements) == ["SELECT", "BEGIN", "UPDATE", "INSERT", "COMMIT"]


def test_the_first_turn_of_a_session_is_as_short(statements: list[str], cp: Dicts) -> None:
    cp.save("another", {})
    statements.clear()
    take_turn(cp, "first")
    assert verbs(statements) == ["SELECT", "BEGIN", "INSERT", "INSERT", "COMMIT"]


def test_a_turn_that_changed_nothing_only_reads(statements: list[str], cp: Dicts) -> None:
    take_turn(cp, "first")
    statements.clear()
    with cp.turn("user-42"):
        pass
    assert verbs(statements) == ["SELECT"]


def test_a_restore_of_any_revision_is_one_select(statements: list[str], cp: Dicts) -> None:
    for item in "abc":
        take_turn(cp, item)
    for revision in (None, 2):
        statements.clear()
        cp.restore("user-42", revision=revision)
        assert verbs(statements) == ["SELECT"]


def test_the_statements_of_a_turn_use_an_index(path: Path, cp: Dicts) -> None:
    take_turn(cp, "first")
    asked = (sql.READ_NEWEST, sql.READ_REVISION, sql.MOVE_HEAD, sql.ADD_RECORD, sql.READ_PAGE)
    values = dict.fromkeys(re.findall(r":(\w+)", " ".join(asked)))
    with closing(sqlite3.connect(path)) as connection:
        for statement in asked:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            assert plan
            assert not [step for *_, step in plan if step.startswith("SCAN")]


@pytest.mark.promise("cost-of-turn")
def test_reading_a_segment_costs_the_same_however_long_the_history_before_it(
    path: Path, sqlite: SqliteStore
) -> None:
    chain, costs = Chain(sqlite), []
    for _ in range(2):
        chain.grow("b" * 200 + "pp")
        with closing(sqlite3.connect(path)) as connection:
            steps: list[None] = []
            connection.set_progress_handler(lambda: steps.append(None), 1)  # noqa: B023
            values = {**KEY._asdict(), "revision": chain.tip().revision, "since": 0}
            for statement in (sql.READ_NEWEST, sql.READ_REVISION):
                assert len(connection.execute(statement, values).fetchall()) == 3
        costs.append(len(steps))
    assert costs[0] == costs[1]


@pytest.mark.promise("never-lost")
def test_every_connection_syncs_each_commit_to_disk(
    statements: list[str], sqlite: SqliteStore
) -> None:
    Chain(sqlite).add()
    chains = [Chain(sqlite, SessionKey("default", f"{number}")) for number in range(4)]
    at_once([partial(chain.grow, "bpp") for chain in chains])
    synced = [text for text in statements if "synchronous" in text]
    assert set(synced) == {"PRAGMA synchronous = FULL"}
    assert len(synced) == statements.count("CONNECT")


def test_the_file_has_a_write_ahead_log_so_that_readers_do_not_wait(
    path: Path, sqlite: SqliteStore
) -> None:
    chain = Chain(sqlite)
    chain.add()
    assert behind(path, "PRAGMA journal_mode") == [("wal",)]
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM checkpoint_records")
        assert list(segment_of(sqlite).records) == chain.records


# --- what is in the file -------------------------------------------------------------------------


def test_the_rows_are_the_bytes_of_the_records(path: Path, sqlite: SqliteStore) -> None:
    chain = Chain(sqlite)
    chain.grow("bpbp")
    head = chain.tip()
    assert behind(path, "SELECT version FROM checkpoint_layout") == [(sql.LAYOUT,)]
    assert behind(path, "SELECT revision, base, head, body FROM checkpoint_records") == [
        (record.revision, base, record.header, record.body)
        for record, base in zip(chain.records, (1, 1, 3, 3), strict=True)
    ]
    assert behind(
        path,
        "SELECT namespace, session_id, revision, write_id, base, saved_at, deleted"
        " FROM checkpoint_sessions",
    ) == [(*KEY, 4, head.write_id, 3, head.saved_at, 0)]


def test_a_tombstone_leaves_no_row_of_the_session_but_its_own_and_pages(
    path: Path, sqlite: SqliteStore
) -> None:
    chain = Chain(sqlite)
    chain.grow("bp")
    kept = Chain(sqlite, SessionKey("default", "another"))
    kept.add(Kind.BASE)
    sqlite.attach(KEY, Attachment(0, "label/x", b"1"))
    sqlite.attach(kept.key, Attachment(0, "label/x", b"1"))
    sqlite.put_pages(KEY, [Page(bytes(24), b"page", 1)])
    chain.add(Kind.TOMBSTONE)
    assert behind(path, "SELECT revision FROM checkpoint_records ORDER BY session") == [(3,), (1,)]
    assert len(behind(path, "SELECT * FROM checkpoint_attachments")) == 1
    assert behind(path, "SELECT * FROM checkpoint_pages") == [(*KEY, bytes(24), 1, b"page")]


def test_a_commit_that_fails_half_way_leaves_the_head_where_it_was(
    path: Path, sqlite: SqliteStore
) -> None:
    chain = Chain(sqlite)
    chain.add()
    lost = chain.draft()
    behind(
        path, "INSERT INTO checkpoint_records SELECT id, 2, 1, x'', x'' FROM checkpoint_sessions"
    )
    with pytest.raises(StoreError):
        sqlite.commit(KEY, lost)
    assert segment_of(sqlite, revision=1).head == chain.head
    behind(path, "DELETE FROM checkpoint_records WHERE revision = 2")
    assert sqlite.commit(KEY, lost) is True


def test_a_pruning_that_fails_half_way_takes_nothing_out(path: Path, sqlite: SqliteStore) -> None:
    chain = Chain(sqlite)
    chain.grow("bpb")
    sqlite.attach(KEY, Attachment(1, "label/x", b"1"))
    pruning = chain.draft_pruning((1, 2), records=((chain.records[2], 3),))
    behind(
        path,
        "CREATE TRIGGER fails BEFORE INSERT ON checkpoint_records"
        " BEGIN SELECT RAISE(FAIL, ''); END",
    )
    with pytest.raises(StoreError):
        sqlite.prune(KEY, pruning)
    assert segment_of(sqlite).head == chain.head
    assert [record.revision for record, _ in sqlite.headers(KEY, None, 9)] == [3, 2, 1]
    assert len(sqlite.attachments(KEY)) == 1
    behind(path, "DROP TRIGGER fails")
    assert sqlite.prune(KEY, pruning) is True


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{path}"])
def test_turns_of_one_session_in_many_threads_are_all_kept(url: str, path: Path) -> None:
    with checkpoint.open(url.format(path=path)) as cp:

        def work(number: int) -> None:
            for _ in range(5):
                cp.run("user-42", lambda state: state.setdefault("said", []).append(number))

        at_once([partial(work, number) for number in range(8)])
        restored = cp.restore("user-42")
        assert restored.revision == 40
        assert sorted(restored.state["said"]) == sorted(list(range(8)) * 5)


def test_many_threads_create_one_file(path: Path) -> None:
    for number in range(5):
        with closing(SqliteStore(f"{path}-{number}")) as store:
            at_once([Chain(store, SessionKey("default", f"{n}")).add for n in range(10)])
            assert len(store.sessions("default", "", None, 99)) == 10


# --- files that are refused ----------------------------------------------------------------------


def calls(url: str) -> dict[str, Callable[[], object]]:
    """What a program does first with a store that it opened."""

    def with_(call: Callable[[Dicts], object]) -> Callable[[], object]:
        def run() -> object:
            with checkpoint.open(url) as cp:
                return call(cp)

        return run

    return {
        "save": with_(lambda cp: cp.save("user-42", {"n": 1})),
        "turn": with_(lambda cp: take_turn(cp, "hi")),
        "restore": with_(lambda cp: cp.restore("user-42")),
        "sessions": with_(lambda cp: list(cp.sessions())),
        "delete": with_(lambda cp: cp.delete("user-42")),
        "overwrite": with_(lambda cp: cp.overwrite("user-42", {"n": 1})),
    }


def refused(url: str, error: type[StoreError], *words: str) -> None:
    """Every call is refused with this very error, that says all of these words."""
    for name, call in calls(url).items():
        with pytest.raises(StoreError) as caught:
            call()
        assert type(caught.value) is error, name
        for word in words:
            assert word in str(caught.value), name


def files(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.iterdir() if entry.is_file()}


def test_a_missing_directory_is_named(path: Path) -> None:
    refused(f"sqlite:///{path.parent}/missing/sessions.db", StoreUnavailable, "missing/sessions.db")
    assert list(path.parent.iterdir()) == []


def test_a_directory_is_no_file(path: Path) -> None:
    path.mkdir()
    refused(f"sqlite:///{path}", StoreUnavailable, str(path))
    assert list(path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"not a database " * 100, b"\0" * 4096, b"SQLite format 2\0" * 64, os.urandom(5000)]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    path: Path, url: str, content: bytes
) -> None:
    path.write_bytes(content)
    refused(url, NotAStore, str(path))
    assert files(path.parent) == {path.name: content}


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE invoices (id INTEGER); INSERT INTO invoices VALUES (1)",
        "CREATE TABLE checkpoint_sessions (id INTEGER)",
        "CREATE TABLE checkpoint_layout (version INTEGER)",
        "CREATE VIEW checkpoint_layout AS SELECT 1 AS version UNION SELECT 2",
        "CREATE TABLE checkpoint_layout (colour TEXT)",
        "CREATE TABLE checkpoint_layout (version); INSERT INTO checkpoint_layout VALUES ('x')",
        "CREATE TABLE checkpoint_layout (version); INSERT INTO checkpoint_layout VALUES (NULL)",
        "CREATE TABLE checkpoint_layout (version); INSERT INTO checkpoint_layout VALUES (1)",
    ],
)
def test_a_database_that_is_not_ours_is_refused_and_left_alone(
    path: Path, url: str, script: str, journal: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript(script)
    before = files(path.parent)
    refused(url, NotAStore, str(path))
    assert files(path.parent) == before


def test_a_newer_layout_is_refused_and_left_alone(path: Path, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save("user-42", {"n": 1})
    behind(path, "UPDATE checkpoint_layout SET version = version + 1")
    before = files(path.parent)
    refused(url, StoreTooNew, str(path), "upgrade")
    assert files(path.parent) == before


def test_a_refused_file_can_be_put_right_under_an_open_store(path: Path, url: str) -> None:
    path.write_bytes(b"not a database " * 100)
    with checkpoint.open(url) as cp:
        with pytest.raises(NotAStore):
            cp.save("user-42", {"n": 1})
        path.unlink()
        assert cp.save("user-42", {"n": 1}).revision == 1


def test_an_empty_file_becomes_a_store(path: Path, cp: Dicts) -> None:
    path.touch()
    assert cp.save("user-42", {"n": 1}).revision == 1


@pytest.mark.promise("not-absent")
def test_a_damaged_page_of_the_file_is_a_store_error_and_no_absence(path: Path, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save("user-42", {"text": os.urandom(50_000)})
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    for call in calls(url).values():
        with pytest.raises(StoreError):
            call()


# --- reading only --------------------------------------------------------------------------------


def test_a_store_opened_for_reading_reads_and_refuses_to_write(path: Path, url: str) -> None:
    with checkpoint.open(url) as cp:
        cp.save("user-42", {"n": 1})
    with checkpoint.open(f"{url}?mode=ro") as reader:
        assert reader.restore("user-42").state == {"n": 1}
        writes: list[Callable[[], object]] = [
            lambda: reader.save("new", {}),
            lambda: take_turn(reader, "hi"),
            lambda: reader.overwrite("user-42", {}),
            lambda: reader.rollback("user-42", 1),
            lambda: reader.fork("user-42", "new"),
            lambda: reader.delete("user-42"),
            lambda: reader.label("user-42", "x"),
            lambda: reader.unlabel("user-42", "x"),
        ]
        for write in writes:
            with pytest.raises(StoreReadOnly, match=re.escape(str(path))):
                write()
        assert [info.revision for info in reader.sessions()] == [1]


def test_a_missing_file_is_not_made_by_a_reader(path: Path, url: str) -> None:
    refused(f"{url}?mode=ro", StoreUnavailable, str(path))
    assert not path.exists()


def test_a_reader_sees_what_a_writer_saves_meanwhile(url: str, cp: Dicts) -> None:
    cp.save("user-42", {"n": 1})
    with checkpoint.open(f"{url}?mode=ro") as reader:
        for n in (2, 3):
            cp.overwrite("user-42", {"n": n})
            assert reader.restore("user-42").state == {"n": n}


# --- a lock --------------------------------------------------------------------------------------


@pytest.fixture
def lock(path: Path, cp: Dicts) -> Iterator[sqlite3.Connection]:
    """Another program in the middle of a write."""
    cp.save("user-42", {"n": 1})
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


@pytest.mark.parametrize("timeout", ["0", "0.05"])
def test_a_store_locked_by_others_is_busy_and_nothing_is_written(
    url: str, lock: sqlite3.Connection, timeout: str
) -> None:
    with checkpoint.open(f"{url}?timeout={timeout}") as cp:
        restored = cp.restore("user-42")
        restored.state["n"] = 2
        for write in (
            lambda: cp.save("user-42", restored.state),
            lambda: cp.save("new", {}),
            lambda: cp.label("user-42", "x"),
            lambda: cp.delete("user-42"),
        ):
            with pytest.raises(StoreBusy, match=rf"locked by other writers for {timeout} s"):
                write()
        lock.execute("ROLLBACK")
        assert [s.revision for s in cp.history("user-42")] == [1]
        assert cp.save("user-42", restored.state).revision == 2


def test_a_save_waits_for_the_lock_until_it_is_free(url: str, lock: sqlite3.Connection) -> None:
    began, saved = Barrier(2), []

    def save() -> None:
        with checkpoint.open(f"{url}?timeout=60") as cp:
            restored = cp.restore("user-42")
            restored.state["n"] = 2
            began.wait()
            saved.append(cp.save("user-42", restored.state).revision)

    waiting = Thread(target=save)
    waiting.start()
    began.wait()
    lock.execute("COMMIT")
    waiting.join()
    assert saved == [2]


# --- the URL -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        *("timeout=", "timeout=soon", "timeout=-1", "timeout=1e3", "timeout=nan", "timeout=inf"),
        *("timeout=1,5", "timeout=.", "mode=", "mode=rw", "mode=RO", "mode=memory", "Timeout=1"),
        *("cache=shared", "vfs=unix-none", "immutable=1", "synchronous=off", "timeout", "x"),
        *("timeout=²", "timeout=٣", "timeout=1 ", "timeout=1%00"),
    ],
)
def test_a_parameter_without_a_meaning_is_refused(path: Path, url: str, query: str) -> None:
    with pytest.raises(InvalidOption, match=r"timeout=SECONDS and \?mode=ro"):
        open_store(f"{url}?{query}")
    assert not path.exists()


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///", "sqlite://agents.db", "sqlite://host/agents.db"),
        *("sqlite:///:memory:", "sqlite://:memory:", "sqlite:///?timeout=1", "sqlite://./a.db"),
        *("sqlite:///%3Amemory%3A", "sqlite:///a%00b.db", "sqlite:///%00"),
    ],
)
def test_a_url_that_names_no_file_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption):
        open_store(url)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *((mode, f"a{char}b.db") for mode in ("rwc", "ro") for char in " %?#&=:;'\"ä😀"),
        *((mode, "file:a.db") for mode in ("rwc", "ro")),
    ],
)
def test_a_file_of_any_name_is_opened_by_its_quoted_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with checkpoint.open(f"sqlite:///{tmp_path}/{quote(name)}") as cp:
        cp.save("user-42", {"n": 1})
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    for there in (quote(name), quote(str(tmp_path / name))):
        with checkpoint.open(f"sqlite:///{there}?mode={mode}") as cp:
            assert cp.restore("user-42").state == {"n": 1}


def test_a_relative_path_stays_the_file_it_was_when_the_store_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with checkpoint.open("sqlite:///sessions.db") as cp:
        monkeypatch.chdir(tmp_path / "elsewhere")
        cp.save("user-42", {"n": 1})
    assert (tmp_path / "sessions.db").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_one_slash_too_many_reads_as_it_writes(path: Path) -> None:
    with checkpoint.open(f"sqlite:////{path}") as cp:
        cp.save("user-42", {"n": 1})
    with checkpoint.open(f"sqlite:////{path}?mode=ro") as cp:
        assert cp.restore("user-42").state == {"n": 1}


@pytest.mark.parametrize("seconds", ["2592000", "9" * 400, "1.5", "0"])
def test_however_long_the_timeout_sqlite_waits_for_it(url: str, seconds: str) -> None:
    with closing(open_store(f"{url}?timeout={seconds}")) as store:
        assert isinstance(store, SqliteStore)
        with store._connection() as connection:
            (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
    assert milliseconds == min(float(seconds), 1e6) * 1000, "SQLite has 32 bits for it"
