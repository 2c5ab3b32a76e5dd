"""The command line: what it prints, what it refuses, and that it looks without touching."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import pytest

import checkpoint
from checkpoint._cli.commands import app
from checkpoint._cli.console import main
from checkpoint._cli.printing import to_json

URL = "sqlite:///agents.db"
SECRET = "hunter'2\"\\"
PAGE = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
HELP = {
    command.callback.__name__: command.callback.__doc__ or ""
    for command in app.registered_commands
    if command.callback
}
LOOKING = {
    "sessions": [],
    "show": ["user-42"],
    "history": ["user-42"],
    "diff": ["user-42", "1", "2"],
}
MESSAGES = [{"role": "user", "content": text} for text in ("hi", "and now?")]


@dataclass
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """The command line, run in this process in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    limit = sys.getrecursionlimit()

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["checkpoint", *words])
        code = main()
        ended = Ended(code, *capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended

    yield run
    sys.setrecursionlimit(limit)


@pytest.fixture
def store(run: Run) -> Iterator[checkpoint.Checkpointer[dict[str, Any]]]:
    """The sessions that docs/cli.md tells of, in agents.db."""
    exec(re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[0], {})
    with checkpoint.open(URL) as cp:
        yield cp


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "checkpoint._cli.console", *words]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


def rows(table: str) -> list[list[str]]:
    """The cells of a table, without those that differ each time: times, process, sizes."""
    lines = [line for line in table.splitlines() if re.search(r"\w", line)]
    varying = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\S+:\d+ \(worker-1\)|\d{3}"
    return [
        [re.sub(rf"^({varying})$", "…", cell.strip()) for cell in re.split("[│┃]", line)]
        for line in lines
    ]


# --- help and documentation ----------------------------------------------------------------------


@pytest.mark.parametrize("name", HELP)
def test_every_command_has_help_with_an_example(name: str, run: Run) -> None:
    ended = run(name, "--help")
    assert ended.code == 0
    assert HELP[name].partition("\n")[0] in ended.out
    assert re.search(rf"^ *checkpoint {name}\b", ended.out, flags=re.MULTILINE)


@pytest.mark.parametrize("name", HELP)
def test_every_command_is_documented_with_its_example_and_options(name: str, run: Run) -> None:
    assert f"## checkpoint {name}\n" in PAGE
    example = re.search(rf"^ *(checkpoint {name}.*)$", HELP[name], flags=re.MULTILINE)
    assert example is not None
    assert f"$ {example[1]}\n" in PAGE
    options = set(re.findall(r"--[a-z]+", run(name, "--help").out)) - {"--help"}
    assert options
    for option in options:
        assert option in PAGE


def test_the_documented_examples_print_what_is_documented(store: object, run: Run) -> None:
    blocks = re.findall(r"^```console\n\$ checkpoint (.*)\n((?:.*\n)*?)```", PAGE, re.MULTILINE)
    assert {words.split()[0] for words, _ in blocks} == set(HELP)
    for words, printed in blocks:
        if words == "demo":
            continue  # it has a test of its own
        assert rows(run(*words.split()).out) == rows(printed), words


def test_the_console_script_is_this_command_line() -> None:
    (script,) = entry_points(group="console_scripts", name="checkpoint")
    assert script.load() is main


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").out == f"{checkpoint.__version__}\n"


# --- JSON ----------------------------------------------------------------------------------------


def from_json(ended: Ended) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    assert ended.code == 0
    assert ended.out.isascii()
    return json.loads(ended.out, parse_constant=refuse)


def test_sessions_as_json(store: object, run: Run) -> None:
    found = from_json(run("sessions", URL, "--json"))
    assert [(s["namespace"], s["session_id"], s["revision"]) for s in found] == [
        ("default", "user-42", 2),
        ("default", "user-43", 1),
    ]
    assert dt.datetime.fromisoformat(found[0]["saved_at"]).tzinfo == dt.UTC


def test_history_as_json(store: checkpoint.Checkpointer[dict[str, Any]], run: Run) -> None:
    newest, first = from_json(run("history", URL, "user-42", "--json"))
    snapshot = store.history("user-42")[0]
    assert newest == {
        "revision": 2,
        "kind": "patch",
        "parent_revision": 1,
        "source": None,
        "saved_at": snapshot.saved_at.isoformat(),
        "writer": {"host": snapshot.writer.host, "pid": os.getpid(), "name": "worker-1"},
        "turn_id": "message-2",
        "size": snapshot.size,
        "labels": [],
        "schema": {"name": "dict", "version": 0, "fingerprint": ""},
        "write_id": snapshot.write_id,
    }
    assert first["labels"] == ["before the upgrade"]
    (copied,) = from_json(run("history", URL, "user-43", "--json"))
    assert copied["source"] == ["user-42", 2]


def test_show_as_json(store: object, run: Run) -> None:
    assert from_json(run("show", URL, "user-42", "--json")) == {
        "config": {"model": "large"},
        "memory": MESSAGES,
        "cursors": {"inbox": {"$tuple": [7, {"$bytes": "aGk="}]}},
    }


def test_diff_as_json(store: object, run: Run) -> None:
    found = from_json(run("diff", URL, "user-42", "2", "1", "--json"))
    assert sorted(found, key=lambda change: str(change["path"])) == [
        {"kind": "set", "path": "config.model", "start": 0, "deleted": 0, "value": "small"},
        {"kind": "delete", "path": "cursors", "start": 0, "deleted": 0, "value": None},
        {"kind": "splice", "path": "memory", "start": 1, "deleted": 1, "value": []},
    ]


def test_json_is_ascii_whatever_was_said(run: Run) -> None:
    said = "Zoë 東京 🎭 \udcff \x1b"
    with checkpoint.open(URL) as cp:
        cp.save("user-42", {"said": said})
    assert from_json(run("show", URL, "user-42", "--json")) == {"said": said}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"hi", {"$bytes": "aGk="}),
        ((1, (2,)), {"$tuple": [1, {"$tuple": [2]}]}),
        ({"c", "a", "b"}, {"$set": ["a", "b", "c"]}),
        (frozenset({b"b", b"a"}), {"$frozenset": [{"$bytes": "YQ=="}, {"$bytes": "Yg=="}]}),
        (
            dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            {"$datetime": "2026-01-02T03:04:05+00:00"},
        ),
        (dt.date(2026, 1, 2), {"$date": "2026-01-02"}),
        (dt.time(3, 4), {"$time": "03:04:00"}),
        (dt.timedelta(days=1, seconds=2), {"$timedelta": "1 day, 0:00:02"}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
        ({1: "one", "two": 2}, {"$map": [[1, "one"], ["two", 2]]}),
        (2**64 - 1, 2**64 - 1),
        (2**64, {"$int": "0x10000000000000000"}),
        (-(10**5000), {"$int": hex(-(10**5000))}),  # too long to be told in base 10
        (float("nan"), {"$float": "nan"}),
        (float("-inf"), {"$float": "-inf"}),
        ([1.5, True, None, {}], [1.5, True, None, {}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_has_no_word_for_is_shown_all_the_same(
    value: object, shown: object, run: Run
) -> None:
    assert to_json(value) == shown
    with checkpoint.open(URL) as cp:
        cp.save("user-42", {"value": value})
    for ended in run("show", URL, "user-42", "--json"), run("show", URL, "user-42"):
        assert from_json(ended) == {"value": shown}


def test_the_deepest_document_is_shown(run: Run) -> None:
    document: dict[str, Any] = {}
    for _ in range(480):
        document = {"inside": document}
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    with checkpoint.open(URL) as cp:
        cp.save("user-42", document)
    sys.setrecursionlimit(limit)
    shown = from_json(run("show", URL, "user-42", "--json"))
    depth = 0
    while shown:
        shown, depth = shown["inside"], depth + 1
    assert depth == 480


# --- what is shown to people ---------------------------------------------------------------------


def test_a_revision_is_named_by_number_or_label(store: object, run: Run) -> None:
    for name in ("1", "before the upgrade"):
        shown = json.loads(run("show", URL, "user-42", "--revision", name).out)
        assert shown["memory"] == MESSAGES[:1]


def test_listings_can_be_narrowed(store: object, run: Run) -> None:
    assert "user-43" not in run("sessions", URL, "--prefix", "user-42").out
    assert "message-1" not in run("history", URL, "user-42", "--limit", "1").out


@pytest.mark.parametrize("name", LOOKING)
def test_every_look_is_at_one_namespace(name: str, store: object, run: Run) -> None:
    with checkpoint.open(URL, namespace="tenant") as cp:
        cp.save("only-there", {"n": 1})
    assert (
        run(name, URL, *LOOKING[name], "--namespace", "tenant").out
        != run(name, URL, *LOOKING[name]).out
    )
    assert "only-there" in run("sessions", URL, "--namespace", "tenant").out
    assert "only-there" not in run("sessions", URL).out


def test_nothing_to_list_is_said(store: object, run: Run) -> None:
    assert run("sessions", URL, "--namespace", "none").out == "no sessions in namespace 'none'\n"
    assert run("diff", URL, "user-42", "1", "1").out == "no difference\n"


def test_sessions_of_any_schema_are_shown(run: Run) -> None:
    class Support(checkpoint.AgentState, schema="support", version=7):
        cursors: dict[str, int] = {}

    with checkpoint.open(URL, Support) as cp:
        cp.save("user-42", Support(cursors={"inbox": 3}))
    assert json.loads(run("show", URL, "user-42").out)["cursors"] == {"inbox": 3}
    assert "support v7" in run("history", URL, "user-42").out


def test_history_notes_where_a_revision_came_from(
    store: checkpoint.Checkpointer[dict[str, Any]], run: Run
) -> None:
    store.rollback("user-42", 1)
    earlier = store.restore("user-42", revision=2)
    earlier.state["branch"] = True
    store.save("user-42", earlier.state, branch=True)
    listed = rows(run("history", URL, "user-42").out)
    assert [row[-2] for row in listed] == [
        "Notes",
        "based on revision 2",
        "copied from 'user-42', revision 1",
        "",
        "'before the upgrade'",
    ]


def test_nothing_is_taken_for_markup_or_sent_to_the_terminal_as_control(run: Run) -> None:
    with checkpoint.open(URL) as cp:
        cp.save("[red]user[/]", {"said": "", "\x1b[2J": 0})
        cp.save(
            "[red]user[/]",
            {"said": "\x1b]0;title\x07 \x9b31m [bold]"},
            parent=cp.history("[red]user[/]")[0],
        )
    listed = (
        run("sessions", URL),
        run("show", URL, "[red]user[/]"),
        run("diff", URL, "[red]user[/]", "1", "2"),
    )
    printed = "".join(ended.out for ended in listed)
    assert "[red]user[/]" in printed
    assert "[bold]" in printed
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed) is None
    assert json.loads(listed[1].out) == {"said": "\x1b]0;title\x07 \x9b31m [bold]"}


def test_lines_are_cut_to_a_terminal_and_nowhere_else(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with checkpoint.open(URL) as cp:
        cp.save("user-42", {"n": 1})
        with cp.turn("user-42") as turn:
            turn.state["long"] = "x" * 500
    look = ("diff", URL, "user-42", "1", "2")
    assert "x" * 500 in run(*look).out
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("COLUMNS", "60")
    (line,) = re.sub(r"\x1b\[[\d;]*m", "", run(*look).out).splitlines()
    assert len(line) == 60
    assert line.endswith("…")


def test_what_standard_output_cannot_encode_is_spelled_out(store: object) -> None:
    with checkpoint.open(URL) as cp:
        cp.save("Zoë", {"said": "\udcff"})
    for words, printed in (["sessions", URL], "Zo\\xeb"), (["show", URL, "Zoë"], "\\udcff"):
        process = start(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert printed in out


# --- looking does not touch ----------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOKING)
@pytest.mark.parametrize("parameters", ["", "?timeout=1"])
def test_looking_at_a_missing_file_fails_and_creates_none(
    name: str, parameters: str, run: Run, tmp_path: Path
) -> None:
    ended = run(name, f"{URL}{parameters}", *LOOKING[name])
    assert (ended.code, ended.out) == (1, "")
    assert "'agents.db'" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_looking_leaves_the_file_as_it_was(store: object, run: Run) -> None:
    with sqlite3.connect("agents.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = Path("agents.db").read_bytes()
    for name, words in LOOKING.items():
        assert run(name, URL, *words).code == 0
    assert Path("agents.db").read_bytes() == before
    assert Path("agents.db-wal").stat().st_size == 0


def test_a_mode_given_in_the_url_counts(run: Run) -> None:
    assert run("sessions", f"{URL}?mode=rwc").code == 0
    assert Path("agents.db").exists()


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["sessions", "nope://db"], 1, "no driver is installed for the scheme 'nope'"),
        (["sessions", "agents.db"], 1, "a store URL looks like sqlite:///agents.db"),
        (["sessions", f"{URL}?colour=red"], 1, "takes ?timeout=SECONDS and ?mode=ro"),
        (["sessions", "sqlite:///text.db"], 1, "'text.db' is not a SQLite database"),
        (["sessions", "sqlite:///other.db"], 1, "holds other tables (birds)"),
        (["sessions", "sqlite:///no/such/directory.db"], 1, "no/such/directory.db"),
        (["show", URL, "nobody"], 1, "session 'nobody': there is no session with this id"),
        (["history", URL, "nobody"], 1, "session 'nobody'"),
        (["diff", URL, "nobody", "1", "2"], 1, "session 'nobody'"),
        (["show", URL, "user-42", "--revision", "3"], 1, "revision 3: there is no such revision"),
        (["show", URL, "user-42", "--revision", "0"], 1, "revision 0: there is no such revision"),
        (["show", URL, "user-42", "--revision", "9" * 18], 1, "there is no such revision"),
        (["show", URL, "user-42", "--revision", "9" * 5000], 1, "it has no label"),
        (["show", URL, "user-42", "--revision", ""], 1, "it has no label ''"),
        (["show", URL, "user-42", "--revision", "x"], 1, "its labels: 'before the upgrade'"),
        (["diff", URL, "user-42", "1", "x"], 1, "it has no label 'x'"),
        (["show", URL, ""], 1, "the session id is empty"),
        (["show", URL, "a\nb"], 1, "control character"),
        (["show", URL, "a\udcff"], 1, "cannot be written as UTF-8"),
        (["sessions", URL, "--namespace", ""], 1, "the namespace is empty"),
        (["sessions", "sqlite:///a%00b.db"], 2, "control characters"),
        (["sessions", "sqlite:///\udcff.db"], 2, "UTF-8"),
        (["demo", "--store", "sqlite:///\udcff.db"], 2, "UTF-8"),
        (["demo", "--store", "sqlite:///text.db"], 1, "'text.db' is not a SQLite database"),
        (["sessions"], 2, "Missing argument 'URL'"),
        (["sessions", URL, "more"], 2, "unexpected extra argument"),
        (["history", URL, "user-42", "--limit", "0"], 2, "--limit"),
        (["history", URL, "user-42", "--limit", "x"], 2, "--limit"),
        (["show", URL, "user-42", "--bogus"], 2, "--bogus"),
        (["burn"], 2, "No such command 'burn'"),
    ],
    ids=lambda value: (
        " ".join(value)[:60].encode("ascii", "replace").decode() if isinstance(value, list) else ""
    ),
)
def test_an_error_is_one_message_and_an_exit_code(
    words: list[str], code: int, told: str, store: object, run: Run
) -> None:
    Path("text.db").write_text("this is text, and long enough to be read as the head of a file")
    with sqlite3.connect("other.db") as connection:
        connection.execute("CREATE TABLE birds (name)")
    connection.close()
    ended = run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("checkpoint: ")
    assert told in ended.err
    assert ended.err.count("checkpoint: ") == 1


def test_wrong_usage_names_the_help_to_read(run: Run) -> None:
    assert "Try: checkpoint show --help" in run("show").err
    assert "Usage" in run().out


@pytest.mark.promise("secrets-hidden")
@pytest.mark.parametrize(
    "words",
    [
        ["sessions", "nope://app:{}@db/agents"],
        ["sessions", "sqlite://app:{}@db/agents.db"],
        ["sessions", "sqlite:///agents.db?password={}"],
        ["demo", "--store", "nope://app:{}@db/agents"],
        ["demo", "--store", "sqlite:///agents.db?password={}"],
        ["nope://app:{}@db/agents"],
        ["--nope://app:{}@db/agents"],
        ["sessions", URL, "nope://app:{}@db/agents"],
        ["history", URL, "user-42", "--limit", "nope://app:{}@db/agents"],
        ["history", URL, "user-42", "--limit=nope://app:{}@db/agents"],
        ["show", URL, "nope://app:{}@db/agents"],
        ["diff", URL, "user-42", "1", "nope://app:{}@db/agents"],
        ["show", URL, "user-42", "--revision=nope://app:{}@db/agents"],
    ],
    ids=" ".join,
)
def test_a_password_in_a_url_is_never_shown(words: list[str], store: object, run: Run) -> None:
    ended = run(*(word.format(SECRET) for word in words))
    assert ended.code in (1, 2)
    for form in (SECRET, repr(SECRET)[1:-1], "hunter"):
        assert form not in ended.out + ended.err
    assert "***" in ended.err or "--limit" in ended.err


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rich", "typer"])
def test_a_missing_extra_is_told_in_one_line(name: str) -> None:
    code = f"""
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == {name!r} else find(name, *rest)

from checkpoint._cli.console import main

sys.exit(main())
"""
    command = [sys.executable, "-c", code, "demo"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "checkpoint: the command line needs an extra: pip install 'agent-checkpoint[cli]'\n"
    )


@pytest.mark.parametrize("words", ["show URL s", "show URL s --json", "diff URL s 1 2"])
def test_a_reader_that_leaves_early_ends_it_quietly(words: str, run: Run) -> None:
    with checkpoint.open(URL) as cp:
        cp.save("s", {"memory": []})
        with cp.turn("s") as turn:
            turn.state["memory"] += ["x" * 1000] * 300  # more than a pipe holds
    with start(*words.replace("URL", URL).split()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["sessions"], ["sessions", "--json"]], ids=" ".join)
def test_output_that_cannot_be_written_is_an_error(words: list[str], store: object) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "checkpoint._cli.console", *words, URL]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("checkpoint: ")
    assert ended.stderr.count("\n") == 1


def test_an_interrupt_ends_it_quietly(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    with checkpoint.open(f"sqlite:///{file}") as cp:
        cp.save("other", {})
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # no save gets through, so the demo cannot end first
        # A shell starts what it runs in the background with interrupts ignored, these tests too.
        default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        words = ("demo", "--store", f"sqlite:///{file}")
        with start(*words, preexec_fn=default) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()  # the demo is under way
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.stdout.read()
            assert process.stderr.read() == ""
    assert process.returncode == 130
