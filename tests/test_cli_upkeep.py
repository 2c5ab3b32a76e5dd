"""``checkpoint prune`` and ``checkpoint verify``: what they do, print, refuse, and exit with."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from checkpoint._cli.console import main

URL = "sqlite:///agents.db"


@dataclass
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]
Dicts = checkpoint.Checkpointer[dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, run in this process in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "setrecursionlimit", lambda limit: None)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["checkpoint", *words])
        code = main()
        ended = Ended(code, *capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended

    return run


@pytest.fixture
def store(run: Run) -> Iterator[Dicts]:
    """Two sessions in agents.db, of three segments each."""
    with checkpoint.open(URL, cache_bytes=0) as cp:
        for session_id in ("user-1", "user-2"):
            for n in (1, 2, 3):
                cp.overwrite(session_id, {"n": n})
        yield cp


def damage(sql: str) -> None:
    connection = sqlite3.connect("agents.db")
    with connection:
        connection.execute(sql)
    connection.close()


def revisions(cp: Dicts, session_id: str) -> list[int]:
    return [snapshot.revision for snapshot in cp.history(session_id)]


def cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if re.search(r"\w", line)]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


# --- prune ---------------------------------------------------------------------------------------


def test_prune_removes_from_all_sessions_and_tells_it_in_a_table(store: Dicts, run: Run) -> None:
    store.label("user-2", "good", revision=1)
    ended = run("prune", URL, "--keep-last", "1")
    assert ended.code == 0
    header, first, second = cells(ended.out)
    assert header == ["Session", "Removed", "Revisions", "Pages", "Bytes"]
    assert first[:4] == ["user-1", "1-2", "2", "0"]
    assert second[:4] == ["user-2", "2", "1", "0"]
    assert revisions(store, "user-1") == [3]
    assert revisions(store, "user-2") == [3, 1]
    assert run("prune", URL, "--keep-last", "1").out == "nothing to remove\n"


def test_prune_of_one_session_leaves_the_others(store: Dicts, run: Run) -> None:
    assert run("prune", URL, "user-2", "--keep-last", "1").code == 0
    assert revisions(store, "user-1") == [3, 2, 1]
    assert revisions(store, "user-2") == [3]


def test_prune_without_a_rule_removes_no_revision(store: Dicts, run: Run) -> None:
    assert run("prune", URL, "--no-keep-labelled").out == "nothing to remove\n"
    assert revisions(store, "user-1") == [3, 2, 1]


def test_prune_can_do_without_labels(store: Dicts, run: Run) -> None:
    store.label("user-1", "good", revision=1)
    run("prune", URL, "--keep-last", "1", "--no-keep-labelled")
    assert revisions(store, "user-1") == [3]


def test_a_dry_run_tells_the_same_and_leaves_the_file_as_it_was(store: Dicts, run: Run) -> None:
    store.close()
    before = Path("agents.db").read_bytes()
    told = run("prune", URL, "--keep-last", "1", "--dry-run")
    assert Path("agents.db").read_bytes() == before
    assert run("prune", URL, "--keep-last", "1").out == told.out


def test_prune_as_json(store: Dicts, run: Run) -> None:
    sizes = [snapshot.size for snapshot in store.history("user-1")]
    ended = run("prune", URL, "user-1", "--keep-last", "1", "--dry-run", "--json")
    assert json.loads(ended.out) == [
        {
            "namespace": "default",
            "session_id": "user-1",
            "removed": [[1, 2]],
            "revisions": 2,
            "pages": 0,
            "bytes": sum(sizes[1:]),
            "deleted": False,
            "dry_run": True,
            "problem": None,
        }
    ]
    assert json.loads(run("prune", URL, "--json").out) == []


@pytest.mark.parametrize("time", ["1s", "60m", "24h", "30d", "52w"])
def test_times_are_a_number_and_a_unit(time: str, store: Dicts, run: Run) -> None:
    ended = run("prune", URL, "--keep-for", time, "--ttl", time, "--grace", time)
    assert (ended.code, ended.out) == (0, "nothing to remove\n")


def test_prune_deletes_a_session_whose_time_is_over(store: Dicts, run: Run) -> None:
    damage("UPDATE checkpoint_sessions SET saved_at = 0 WHERE session_id = 'user-1'")
    ended = run("prune", URL, "--ttl", "30d")
    assert cells(ended.out)[1][0] == "user-1"
    assert cells(ended.out)[1][-1] == "deleted"
    assert [session.session_id for session in store.sessions()] == ["user-2"]


def test_prune_removes_pages_that_are_older_than_the_grace(store: Dicts, run: Run) -> None:
    store.save("user-3", {"memory": [os.urandom(5000).hex() for _ in range(60)]})
    store.overwrite("user-3", {"memory": []})
    run("prune", URL, "user-3", "--keep-last", "1")
    assert run("prune", URL, "user-3").out == "nothing to remove\n"
    ended = run("prune", URL, "user-3", "--grace", "0s")
    assert int(cells(ended.out)[1][3]) > 0
    assert run("prune", URL, "user-3", "--grace", "0s").out == "nothing to remove\n"


def test_a_session_that_cannot_be_pruned_is_told_and_the_rest_is_pruned(
    store: Dicts, run: Run
) -> None:
    store.label("user-1", "good")
    damage("UPDATE checkpoint_attachments SET data = x'00'")
    ended = run("prune", URL, "--keep-last", "1")
    assert ended.code == 1
    assert "the label 'good' was changed" in ended.out
    assert revisions(store, "user-2") == [3]
    (told,) = json.loads(run("prune", URL, "--keep-last", "1", "--json").out)
    assert "the label 'good'" in told["problem"]


# --- verify --------------------------------------------------------------------------------------


def test_verify_finds_nothing_in_a_store_that_is_well(store: Dicts, run: Run) -> None:
    ended = run("verify", URL)
    assert (ended.code, ended.out) == (0, "no problems in 2 sessions\n")
    assert run("verify", URL, "user-1").out == "no problems in 1 session\n"
    assert json.loads(run("verify", URL, "--json").out) == []
    assert run("verify", URL, "--namespace", "none").out == "no problems in 0 sessions\n"


def test_verify_tells_what_is_damaged_and_fails(store: Dicts, run: Run) -> None:
    damage("UPDATE checkpoint_records SET body = x'00' WHERE session = 1 AND revision = 2")
    for words in (["verify", URL], ["verify", URL, "user-1"]):
        ended = run(*words)
        assert ended.code == 1
        header, row, *_ = cells(ended.out)
        assert header == ["Session", "Problem", "Revisions affected", "Details"]
        assert row[:3] == ["user-1", "revision", "2"]
        assert "digest" in row[3]
        assert ended.out.count("user-1") == 1
    assert run("verify", URL, "user-2").code == 0
    ended = run("verify", URL, "--json")
    (problem,) = json.loads(ended.out)
    assert ended.code == 1
    assert problem["revisions"] == [[2, 2]]
    assert problem["what"] == "revision"
    assert problem["page"] is None


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["prune", URL, "nobody", "--keep-last", "1"], 1, "session 'nobody'"),
        (["prune", URL, "--keep-last", "0"], 1, "keep_last is a number of revisions from 1"),
        (["prune", URL, "--keep-for", "0d"], 1, "a timedelta above 0"),
        (["prune", URL, "--keep-for", "30"], 2, "a number followed by s, m, h, d or w"),
        (["prune", URL, "--ttl", "soon"], 2, "a number followed by s, m, h, d or w"),
        (["prune", URL, "--ttl", "9999999999w"], 2, "a number followed by s, m, h, d or w"),
        (["prune", URL, "--ttl", "999999999w"], 2, "too long"),
        (["prune", URL, "--keep-for", "30d", "--ttl", "1d"], 1, "make ttl longer"),
        (["prune", "sqlite:///missing.db", "--keep-last", "1"], 1, "'missing.db'"),
        (["prune", "sqlite:///missing.db", "nobody"], 1, "'missing.db'"),
        (["verify", "sqlite:///missing.db"], 1, "'missing.db'"),
        (["verify", URL, "nobody"], 1, "session 'nobody'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_message_and_an_exit_code(
    words: list[str], code: int, told: str, store: Dicts, run: Run
) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("checkpoint: ")
    assert told in ended.err
    assert ended.err.count("checkpoint: ") == 1
    assert not Path("missing.db").exists()
    assert revisions(store, "user-1") == [3, 2, 1]


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(
    store: Dicts, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("verify", URL).err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert "sessions verified" in run("verify", URL).err
    assert "sessions pruned" in run("prune", URL).err
    assert run("verify", URL, "--json").err == ""
    assert run("prune", URL, "--json").err == ""
