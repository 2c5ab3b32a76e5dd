"""The example that replays recorded conversations, and the benchmarks, run as a user runs them."""

from __future__ import annotations

import copy
import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

import checkpoint

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples/replay_transcripts.py"
SIZE = "benchmarks/session_size.py"
COLD_START = "benchmarks/cold_start.py"

Messages = list[dict[str, Any]]


def call(number: int, arguments: str) -> dict[str, Any]:
    function = {"name": "find", "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}


# Each conversation as the turns it must be cut into.
AWKWARD: list[list[Messages]] = [
    [
        [
            {"role": "system", "content": "Be brief.\r\n\tNever guess.\x00"},
            {"role": "user", "content": "Grüße 👩🏽‍🚀 — 東京へ"},
            {"content": None, "role": "assistant", "tool_calls": [call(1, '{"q": "東京"}')]},
            {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": "[]"},
            {"role": "assistant", "content": ""},
        ],
        [{"role": "user", "content": ""}],
        [
            {"role": "user", "content": "again"},
            {"role": "assistant"},
            {"role": "assistant", "tool_calls": None},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "x", "name": None, "refusal": None, "n": [1, 1.0, True]},
        ],
        [{"role": "user", "content": "again"}],
    ],
    [[{"role": "system", "content": "nobody"}, {"role": "assistant", "content": "came"}]],
    [
        [{"role": "user", "content": "e\u0301"}],
        [
            {"role": "user", "content": "\u00e9"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"n": 2**70, "x": -1.5e-7, "": {"deep": [[], {}, None, "\U0010ffff \ud83d"]}}
                ],
            },
        ],
    ],
]


@pytest.fixture(scope="module")
def replay() -> ModuleType:
    return load(EXAMPLE)


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    return write(tmp_path / "awkward.json", AWKWARD)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def replayed(replay: ModuleType, transcript: Path, store: str) -> str:
    """A store in which the awkward conversations were replayed."""
    assert replay.main([str(transcript), "--store", store]) == 0
    return store


def load(script: str) -> ModuleType:
    name = f"script_{Path(script).stem}"
    spec = spec_from_file_location(name, ROOT / script)
    assert spec
    assert spec.loader
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(file: Path, conversations: list[list[Messages]]) -> Path:
    entries = [
        {"task_id": number, "traj": [message for turn in turns for message in turn]}
        for number, turns in enumerate(conversations)
    ]
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values, null is not a missing key."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


# --- the replay ----------------------------------------------------------------------------------


@pytest.mark.promise("history-kept")
def test_every_turn_is_a_revision_that_holds_all_that_was_said_until_then(replayed: str) -> None:
    with checkpoint.open(replayed, namespace="replay") as cp:
        for number, turns in enumerate(AWKWARD, start=1):
            session = f"conversation/{number:04}"
            said: Messages = []
            for revision, turn in enumerate(turns, start=1):
                said += turn
                document = cp.document(session, revision=revision)
                assert same(document["memory"], said)
                assert document["cursors"] == {"turns": revision}
            assert len(cp.history(session)) == len(turns)


def test_a_user_gets_the_figures_and_exit_code_0(transcript: Path, store: str) -> None:
    done = run(EXAMPLE, transcript, "--store", store)
    assert done.returncode == 0, done.stderr
    raw = sum(
        len(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        for turns in AWKWARD
        for turn in turns
        for message in turn
    )
    size = Path(store.removeprefix("sqlite:///")).stat().st_size
    for line in (
        r"sessions +3\n",
        r"turns +7\n",
        r"messages +17\n",
        r"save +p50 \d+\.\d+ ms +p95 \d+\.\d+ ms\n",
        r"restore +p50 \d+\.\d+ ms +p95 \d+\.\d+ ms\n",
        rf"raw JSON +{raw:,} B",
        rf"store +{size:,} B .* {size / raw:.3f}x",
        r"all 7 revisions equal their source\n",
    ):
        assert re.search(line, done.stdout), f"{line} is not in\n{done.stdout}"
    assert "7/7" in done.stderr  # the progress bar


def test_without_a_store_none_is_left_behind(
    replay: ModuleType,
    transcript: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    assert replay.main([str(transcript)]) == 0
    assert sorted(tmp_path.iterdir()) == before


def test_another_process_finds_all_revisions_again(transcript: Path, replayed: str) -> None:
    done = run(EXAMPLE, transcript, "--store", replayed, "--check")
    assert done.returncode == 0, done.stderr
    assert "all 7 revisions equal their source" in done.stdout


# --- what differs --------------------------------------------------------------------------------


def changed(change: Callable[[list[list[Messages]]], Any]) -> list[list[Messages]]:
    conversations = copy.deepcopy(AWKWARD)
    change(conversations)
    return conversations


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda c: c[0][0][1].update(content="Grüße"),
            r"conversation/0001, revision 1: memory\[1\]\.content: 'Gr",
        ),
        (
            lambda c: c[0][2][1].update(content=None),
            r"0001, revision 3: memory\[7\]\.content: only in the file",
        ),
        (
            lambda c: c[0][2][2].pop("tool_calls"),
            r"0001, revision 3: memory\[8\]\.tool_calls: only in the store",
        ),
        (
            lambda c: c[0][2][4].pop("refusal"),
            r"0001, revision 3: memory\[10\]\.refusal: only in the store",
        ),
        (
            lambda c: c[0][2][4].update(n=[1, 1, True]),
            r"0001, revision 3: memory\[10\]\.n\[1\]: 1 in the file, 1\.0 in the store",
        ),
        (
            lambda c: c[2][0][0].update(content="\u00e9"),
            r"0003, revision 1: memory\[0\]\.content: '\\xe9' in the file, 'e\\u0301' in the",
        ),
        (
            lambda c: c[1][0].append({"role": "assistant", "content": "late"}),
            r"0002, revision 1: memory: 3 items in the file, 2 in the store",
        ),
        (
            lambda c: c[1][0].pop(),
            r"0002, revision 1: memory: 1 items in the file, 2 in the store",
        ),
        (
            lambda c: c[2].append([{"role": "user", "content": "more"}]),
            r"0003, revision 3: .* there is no such revision; the newest is 2",
        ),
        (lambda c: c[2].pop(), r"conversation/0003: 2 revisions, 1 turns in the file"),
        (
            lambda c: c.append([[{"role": "user", "content": "new"}]]),
            r"conversation/0004: .* there is no session with this id",
        ),
    ],
)
def test_a_source_that_is_not_what_was_saved_is_told_with_session_revision_and_path(
    replay: ModuleType,
    replayed: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[list[Messages]]], Any],
    told: str,
) -> None:
    other = write(tmp_path / "other.json", changed(change))
    capsys.readouterr()
    assert replay.main([str(other), "--store", replayed, "--check"]) == 1
    assert re.search(f"DIFFERENT .*{told}", capsys.readouterr().out)


def test_a_difference_is_told_at_each_revision_that_has_it(
    replay: ModuleType, replayed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "other.json", changed(lambda c: c[0][1][0].update(content="x")))
    capsys.readouterr()
    assert replay.main([str(other), "--store", replayed, "--check"]) == 1
    found = re.findall(r"DIFFERENT  conversation/0001, revision (\d)", capsys.readouterr().out)
    assert found == ["2", "3", "4"]


def test_a_damaged_record_is_told_as_a_difference(
    replay: ModuleType, transcript: Path, replayed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(replayed.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(
            "UPDATE checkpoint_records SET body = substr(body, 2) WHERE revision = 3"
        )
    capsys.readouterr()
    assert replay.main([str(transcript), "--store", replayed, "--check"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"0001, revision 3: .*digest", told)
    assert "0001, revision 2" not in told


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not JSON"),
        ("{'traj': []}", "not JSON"),
        ('[{"traj": [{"role": "user", "n": NaN}]}]', "not JSON: NaN"),
        ("[" * 100_000, "not JSON"),
        (b"\xff\xfe[]", "not JSON"),
        ("{}", "the whole: Input should be a valid list"),
        ("[]", "the whole: List should have at least 1 item"),
        ("[5]", r"\[0\]: Input should be"),
        ('[{"messages": []}]', r"\[0\]\['traj'\]: Field required"),
        ('[{"traj": []}]', r"\[0\]\['traj'\]: List should have at least 1 item"),
        ('[{"traj": "hi"}]', r"\[0\]\['traj'\]: Input should be a valid list"),
        ('[{"traj": [{"content": "hi"}]}]', r"\['traj'\]\[0\]\['role'\]: Field required"),
        ('[{"traj": [{"role": "user", "content": 5}]}]', r"\['content'\]: Input should be a valid"),
        ('[{"traj": [{"role": "user", "tool_calls": {}}]}]', r"\['tool_calls'\]: Input should be"),
    ],
)
def test_a_file_that_is_no_list_of_conversations_is_refused_in_one_line(
    replay: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes,
    told: str,
) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert replay.main([str(file)]) == 2
    assert_one_line(capsys, rf"bad\.json: .*{told}")


@pytest.mark.parametrize(("name", "told"), [("none.json", "No such file"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    replay: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert replay.main([str(tmp_path / name)]) == 2
    assert_one_line(capsys, told)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuch://x", "no driver is installed for the scheme 'nosuch'"),
        ("store.db", "a store URL looks like"),
        ("memory://", "name a store that outlives"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_line(
    replay: ModuleType,
    transcript: Path,
    capsys: pytest.CaptureFixture[str],
    url: str,
    told: str,
) -> None:
    assert replay.main([str(transcript), "--store", url]) == 2
    assert_one_line(capsys, told)


def test_a_store_with_an_earlier_replay_is_refused_and_left_as_it_is(
    replay: ModuleType, transcript: Path, replayed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert replay.main([str(transcript), "--store", replayed]) == 2
    assert_one_line(capsys, "has sessions in the namespace 'replay'")
    assert replay.main([str(transcript), "--store", replayed, "--check"]) == 0


def assert_one_line(capsys: pytest.CaptureFixture[str], told: str) -> None:
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert re.search(told, errors), errors


# --- bytes ---------------------------------------------------------------------------------------


def test_all_history_of_conversations_with_tool_calls_takes_less_than_their_json(
    tmp_path: Path, store: str
) -> None:
    transcript = write(tmp_path / "generated.json", generated_conversations(30))
    done = run(EXAMPLE, transcript, "--store", store)
    assert done.returncode == 0, done.stderr
    ratio = re.search(r"([\d.]+)x raw JSON", done.stdout)
    assert ratio
    assert float(ratio[1]) <= 0.63


def generated_conversations(count: int) -> list[list[Messages]]:
    """Seeded, in the shape of recorded ones: one long system prompt, tool calls and results."""
    size = load(SIZE)
    pairs = iter(size.generated_turns(seed=7, count=60 + count * 8))
    prompt = " ".join(message["content"] for _ in range(20) for message in next(pairs))
    random = Random(7)
    conversations = []
    for _ in range(count):
        turns: list[Messages] = [[{"role": "system", "content": prompt}]]
        for number in range(random.randint(5, 8)):
            asked, answered = next(pairs)
            if number:
                turns.append([])
            turns[-1] += [asked, *tool_use(random, number), answered]
        conversations.append(turns)
    return conversations


def tool_use(random: Random, number: int) -> Messages:
    order = f"W{random.randrange(10**6)}"
    found = {
        "order": order,
        "items": [{"id": random.randrange(10**9), "left": n} for n in range(9)],
    }
    return [
        {"content": None, "role": "assistant", "tool_calls": [call(number, json.dumps([order]))]},
        {
            "role": "tool",
            "tool_call_id": f"call_{number}",
            "name": "find",
            "content": json.dumps(found),
        },
    ]


def test_the_bytes_are_those_of_the_compacted_file_with_its_log(
    replay: ModuleType, replayed: str, tmp_path: Path
) -> None:
    file = Path(replayed.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:  # keeps the log from going
        other.execute("CREATE TABLE filler AS SELECT zeroblob(1000000)")
        other.execute("DROP TABLE filler")
        other.execute(f"VACUUM INTO '{tmp_path}/compact.db'")
        assert replay.bytes_in_store(replayed) == (tmp_path / "compact.db").stat().st_size


def test_a_long_session_with_all_history_stays_within_its_bytes() -> None:
    done = run(SIZE, "--turns", "200", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    sizes, raw = told["bytes"], told["raw"]
    assert told["differing"] == []
    assert sizes["base records"] + sizes["patch records"] == 200
    # A turn is written once and compressed against the turns before it …
    assert sizes["patch bodies"] <= 0.44 * raw
    # … and once or twice more with the whole, in a base.
    assert sizes["base bodies"] <= 0.32 * raw
    assert sizes["patch headers"] <= (75 + len(socket.gethostname())) * sizes["patch records"]
    assert sizes["file"] <= 1.5 * raw + 200 * len(socket.gethostname())


# --- the benchmarks ------------------------------------------------------------------------------


def test_the_size_benchmark_takes_the_text_of_a_file(tmp_path: Path, transcript: Path) -> None:
    done = run(SIZE, transcript, "--turns", "3")
    assert done.returncode == 0, done.stderr
    assert "every revision equals its source" in done.stdout
    assert re.search(r"patch records +\d", done.stdout)
    few = run(SIZE, transcript, "--turns", "400")
    assert few.returncode == 2
    assert "6 messages of text" in few.stderr


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "", "[5]", '[{"traj": [5]}]', "{}"])
def test_the_size_benchmark_refuses_a_bad_file(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_text(content)
    done = run(SIZE, file)
    assert done.returncode == 2
    assert "bad.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_size_benchmark_notices_a_revision_that_differs(tmp_path: Path) -> None:
    size = load(SIZE)
    turns = size.generated_turns(seed=2, count=6)
    file = tmp_path / "session.db"
    size.play(file, turns)
    assert size.revisions_that_differ(file, turns) == []
    turns[3][1]["content"] += "."
    assert size.revisions_that_differ(file, turns) == [4, 5, 6]


def test_the_generator_gives_the_same_for_the_same_seed() -> None:
    generated = load(SIZE).generated_turns
    assert generated(seed=3, count=20) == generated(seed=3, count=20)
    assert generated(seed=3, count=20) != generated(seed=4, count=20)


@pytest.mark.slow
def test_the_cold_start_benchmark_tells_each_process_and_what_is_imported() -> None:
    done = run(COLD_START, "--rounds", "2", "--messages", "10", "--profile", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    stages = {name: [len(taken) for taken in rounds] for name, rounds in told["samples"].items()}
    assert stages == {
        "python alone": [1] * 2,
        "pydantic + sqlite3": [3] * 2,
        "with checkpoint": [4] * 2,
    }
    assert all(
        took > 0 for rounds in told["samples"].values() for taken in rounds for took in taken
    )
    assert {"checkpoint._records.segment", "zstandard"} <= told["imports"].keys()
    assert not {"pydantic", "sqlite3"} & told["imports"].keys()


@pytest.mark.slow
def test_the_cold_start_benchmark_prints_a_table() -> None:
    done = run(COLD_START, "--rounds", "2", "--messages", "2")
    assert done.returncode == 0, done.stderr
    for line in ("python alone", "pydantic [+] sqlite3", "with checkpoint"):
        assert re.search(rf"{line} +\d+\.\d \(", done.stdout)
    assert re.search(r"the library adds -?\d+\.\d ms \(target: at most 60\)", done.stdout)
