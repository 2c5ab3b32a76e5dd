"""The benchmarks' data and statistics, and that the benchmark of turns runs."""

from __future__ import annotations

import json
import platform
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # they are scripts, and import each other by name

import conversations  # noqa: E402
import harness  # noqa: E402
import items  # noqa: E402
import ways  # noqa: E402
from phrases import Dice, Teller  # noqa: E402

# Of 5,308 recorded messages of a tool-calling agent (tau-bench, gpt-4o, airline): the mean size as
# MessagePack, and the ratios of Zstandard's level 3.
RECORDED = {
    "bytes of a message": 564,
    "each alone": 0.520,
    "two together": 0.461,
    "runs of 16 KiB": 0.268,
    "runs of 128 KiB": 0.125,
    "runs of 256 KiB": 0.109,
    "all in one": 0.069,
}


# --- the generator -------------------------------------------------------------------------------


def test_everybody_gets_the_same_conversations_from_the_same_seed() -> None:
    messages = conversations.messages(seed=1, count=2000)
    digest = sha256(json.dumps(messages).encode()).hexdigest()
    assert digest == "f528c76104cabd24d90da23277bbc55787e87474662659a149805890b5ad0ed3"
    assert conversations.messages(seed=1, count=500) == messages[:500]
    assert conversations.messages(seed=2, count=500) != messages[:500]


@pytest.mark.parametrize("seed", [1, 2])
def test_generated_conversations_compress_as_recorded_ones_do(seed: int) -> None:
    generated = conversations.likeness(conversations.messages(seed, count=5308))
    assert generated.keys() == RECORDED.keys()
    for name, recorded in RECORDED.items():
        assert generated[name] == pytest.approx(recorded, rel=0.15), name


def test_generated_messages_are_those_of_a_tool_calling_agent() -> None:
    messages = conversations.messages(seed=3, count=3000)
    assert {message["role"] for message in messages} == {"system", "user", "assistant", "tool"}
    called = {
        call["id"]: (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for message in messages
        for call in message.get("tool_calls", [])
    }
    answered = {m["tool_call_id"]: m["name"] for m in messages if m["role"] == "tool"}
    assert answered.items() <= {key: name for key, (name, _) in called.items()}.items()
    assert len(called) - len(answered) <= 1  # the last call may be cut off
    scripts = [given["code"] for name, given in called.values() if name == "run_python"]
    assert scripts
    for script in scripts:
        compile(script, "script", "exec")
    assert not any(re.search(r"[{}|\[\]]", m["content"]) for m in messages if m["role"] == "user")


def test_a_phrase_takes_one_way_of_each_choice_and_fills_in_facts() -> None:
    teller = Teller(Dice(1))
    phrase = "[a|b [c|d]] {fact} x[0] {noun}"
    told = {teller.say([phrase], {"fact": "[1|2]", "noun": "n"}) for _ in range(100)}
    assert told == {f"{begun} [1|2] x[0] n" for begun in ("a", "b c", "b d")}


# --- the harness ---------------------------------------------------------------------------------


def test_percentiles_lie_between_samples() -> None:
    samples = [30.0, 10.0, 20.0, 40.0]
    assert harness.percentile(samples, 0.5) == 25
    assert harness.percentile(samples, 0) == 10
    assert harness.percentile(samples, 1) == 40
    assert harness.percentile(samples, 0.9) == pytest.approx(37)
    assert harness.percentile([7.0], 0.95) == 7


@pytest.mark.parametrize(
    ("count", "share", "low", "high"),
    # From the tables of order statistics, there counted from 1.
    [(10, 0.5, 2, 9), (20, 0.5, 6, 15), (100, 0.5, 40, 61), (5, 0.5, 1, 5), (1, 0.5, 1, 1)],
)
def test_intervals_are_those_of_order_statistics(
    count: int, share: float, low: int, high: int
) -> None:
    assert harness.ranks(count, share) == (low - 1, high - 1)
    samples = [float(number) for number in range(1, count + 1)]
    Random(1).shuffle(samples)
    assert harness.estimate(samples, share) == ((count + 1) / 2, low, high)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_an_interval_holds_the_true_percentile_in_95_of_100_cases(share: float) -> None:
    random = Random(5)
    held = 0
    for _ in range(1000):
        found = harness.estimate([random.random() ** 3 for _ in range(150)], share)
        held += found.low <= share**3 <= found.high
    assert 940 <= held <= 985


def test_a_ratio_keeps_together_what_was_measured_in_one_round() -> None:
    random = Random(2)
    under = [random.uniform(1, 10) for _ in range(40)]
    over = [2 * took for took in under]
    assert harness.ratio(over, under) == pytest.approx((2, 2, 2))
    noisy = [took + random.random() for took in over]
    found = harness.ratio(noisy, under)
    assert found.low < found.value < found.high
    assert found == harness.ratio(noisy, under)
    with pytest.raises(ValueError, match="zip"):
        harness.ratio(over, under[1:])


def test_rounds_are_interleaved_and_the_first_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It collects garbage before each call, which takes long beside thousands of tests.
    monkeypatch.setattr("gc.collect", lambda: 0)
    calls: list[str] = []

    def subject(name: str) -> Callable[[], float]:
        def once() -> float:
            calls.append(name)
            return float(len(calls))

        return once

    names = ["a", "b", "c"]
    samples = harness.interleaved(
        {name: subject(name) for name in names}, rounds=20, warm_up=5, seed=1
    )
    rounds = [calls[place : place + 3] for place in range(0, 75, 3)]
    assert len(calls) == 75
    assert all(sorted(each) == names for each in rounds)
    assert len({tuple(each) for each in rounds}) > 3  # in changing order
    for name in names:
        assert samples[name] == [3 * n + each.index(name) + 1 for n, each in enumerate(rounds)][5:]


def test_a_target_is_met_by_its_figure_and_told_with_its_interval() -> None:
    close = harness.Target("flat", harness.Estimate(1.3, 1.2, 1.4), 1.3)
    assert close.met
    assert close.row() == ["flat", "1.3", "1.2 to 1.4", "1.3", "met"]
    exact = harness.Target("size", harness.Estimate(2, 2, 2), 1.5)
    assert exact.row() == ["size", "2", "", "1.5", "MISSED"]


def test_a_table_has_its_names_on_the_left_and_its_figures_on_the_right() -> None:
    assert harness.table([["name", "ms"], ["a", "10.5"]]) == "name    ms\na     10.5"


def test_the_environment_tells_versions_but_not_the_host(tmp_path: Path) -> None:
    around = harness.environment(tmp_path)
    assert {"python", "sqlite", "msgpack", "zstandard", "pydantic", "cores"} <= around.keys()
    assert around["processor"] or not Path("/proc/cpuinfo").exists()
    assert platform.node() not in json.dumps(around)


# --- turns ---------------------------------------------------------------------------------------


def run(*arguments: object, script: str = "turns.py") -> str:
    command = [sys.executable, "-W", "error", BENCHMARKS / script, *arguments]
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_benchmark_of_turns_tells_its_figures_and_writes_them(tmp_path: Path) -> None:
    file, kept = tmp_path / "figures.json", tmp_path / "kept"
    told = run("--quick", "--json", file, "--keep", kept)
    assert "built 400 messages: 200 turns" in told
    result = json.loads(file.read_text())
    assert {"environment", "scale", "turns", "restores", "bytes", "targets"} <= result.keys()
    assert len(result["turns"]) == 8
    for measured in result["turns"]:
        assert len(measured["took"]) == len(measured["bare"]) == 6
        assert min(measured["took"]) > 0
        assert min(measured["written"]) > 0
    assert result["bytes"]["messages"] == 400
    assert result["bytes"]["revisions"] == 200
    for what, *_, verdict in result["targets"]:
        assert re.search(rf"^{re.escape(what)} .*{verdict}$", told, re.MULTILINE)

    told = run("--quick", "--profile", "--keep", kept)
    assert "built 4" not in told  # found where they were kept
    assert told.count("function calls") == 3
    assert sorted(file.name for file in kept.iterdir()) == [
        "sessions of 40.db",
        "sessions of 400.db",
    ]


# --- by hand -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_benchmark_of_turns_by_hand_tells_every_way(tmp_path: Path) -> None:
    file, kinds = tmp_path / "figures.json", ["plain", "rich-frozen", "dict", "list"]
    told = run("--quick", "--json", file, "--kinds", *kinds, script="by_hand.py")
    result = json.loads(file.read_text())
    measured = result["turns"]
    assert {each["kind"] for each in measured} == set(kinds)
    told_ways = {each["way"] for each in measured}
    assert told_ways | {"openai"} == set(ways.COMPARED[ways.APPEND])
    assert ("openai" in told_ways) != ("openai: left out, its package is not installed" in told)
    assert {each["touch"] for each in measured} == set(ways.TOUCHES)
    for each in measured:
        assert len(each["cpu"]) == len(each["wall"]) == 2
        assert 0 < min(each["cpu"]) < 10
    for what, *_, verdict in result["targets"]:
        assert re.search(rf"^{re.escape(what)} .*{verdict}$", told, re.MULTILINE)


@pytest.mark.slow
def test_the_benchmark_of_turns_by_hand_tells_the_memory_of_one(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    run("--quick", "--memory", "--json", file, script="by_hand.py")
    result = json.loads(file.read_text())
    assert len(result["targets"]) == 3
    for took in result["memory"].values():
        assert took["peak"] > result["encoded"] / 100


@pytest.mark.slow
@pytest.mark.parametrize("way", ["naive-row", "turn", "cold-turn-window"])
def test_turns_of_one_way_are_made_for_others_to_count(way: str) -> None:
    assert run("--once", way, "rich", "edit-one", 20, "--times", 2, script="by_hand.py") == ""


@pytest.mark.parametrize("touch", ways.TOUCHES)
@pytest.mark.parametrize("kind", items.kinds().values(), ids=lambda kind: kind.name)
def test_a_turn_by_hand_leaves_what_a_turn_of_the_library_does(
    kind: items.Kind, touch: str, tmp_path: Path
) -> None:
    before = [kind.made(number) for number in range(12)]
    said = [kind.made(12), kind.made(13)]
    ours, one_row, rows = (tmp_path / f"{name}.db" for name in ("ours", "row", "rows"))
    ways.build(ours, kind, ["a"], before)
    for way, file in (
        (ways.Ours, ours),
        (ways.NaiveRow, one_row),
        (ways.TypedAppend, rows),
    ):
        its = way(file, kind, ["a"], before)
        its.turn("a", touch, said)
        its.close()
    with kind.open(f"sqlite:///{ours}") as cp:
        left = [kind.dumped(item) for item in kind.items(cp.restore("a").state)]
    assert left[-2:] == [kind.dumped(item) for item in said]
    assert (left[:12] != [kind.dumped(item) for item in before]) == (touch == ways.EDIT_ONE)
    with closing(sqlite3.connect(one_row)) as db:
        (body,) = db.execute("SELECT body FROM states").fetchone()
    assert left == [kind.dumped(item) for item in kind.items(kind.loaded_row(body))]
    with closing(sqlite3.connect(rows)) as db:
        assert left == [body for (body,) in db.execute("SELECT body FROM messages ORDER BY id")]


# --- S3 ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_benchmark_of_objects_counts_requests_and_dollars(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    told = run("--quick", "--delay", 1, "--json", file, script="objects.py")
    result = json.loads(file.read_text())
    for requests in result["requests"].values():
        assert 40 <= requests["PUT"] <= 50
        assert 40 <= requests["GET"] <= 45
    assert result["dollars"]["one replica"] == pytest.approx(5.5, abs=1)
    assert all(min(taken) > 0.001 for taken in result["samples"].values())
    for what, *_, verdict in result["targets"]:
        assert re.search(rf"^{re.escape(what)} .*{verdict}$", told, re.MULTILINE)


@pytest.mark.slow
def test_the_benchmark_of_cold_starts_from_s3_tells_both_clients() -> None:
    result = json.loads(run("--rounds", 2, "--messages", 4, "--json", script="cold_start_s3.py"))
    assert result["added"].keys() == {"boto3", "obstore"}
    assert [len(taken) for taken in result["samples"].values()] == [2] * 5
