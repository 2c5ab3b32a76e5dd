"""The demo: it passes, it leaves what it says, and it fails when a turn is lost or doubled."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import checkpoint
from checkpoint._cli.demo import MESSAGES, Delivery, facts, faults, turn_id

TURNS = [turn_id(number) for number in MESSAGES]
FACTS = facts(MESSAGES.values())


PLAIN = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}


@dataclass
class Played:
    """A demo that ended."""

    code: int
    out: str
    url: str

    @property
    def rows(self) -> list[list[str]]:
        """The rows of its table, each: turn, process, said and note, remembered, in a list."""
        found: list[list[str]] = []
        for line in self.out.splitlines():
            if line.startswith("│"):
                cells = [cell.strip() for cell in line.strip("│").split("│")]
                if cells[0]:
                    found.append(cells)
                else:  # a note, below what the user said
                    found[-1][2] += f" | {cells[2]}"
        return found

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^  (?:\S*/)?checkpoint (.*)$", self.out, flags=re.MULTILINE)


def play(*words: str, **environment: str) -> Played:
    ended = run("demo", *words, **environment)
    assert ended.stderr == ""
    found = re.search(
        r"^The session is kept in (\S+)\. To inspect it:$", ended.stdout, flags=re.MULTILINE
    )
    assert found is not None
    return Played(ended.returncode, ended.stdout, found[1])


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "checkpoint._cli.console", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**PLAIN, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8", **environment},
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, played once for all tests that look at it."""
    return play(TMPDIR=str(tmp_path_factory.mktemp("demo")))


# --- it passes -----------------------------------------------------------------------------------


def test_the_demo_passes_and_remembers_everything(played: Played) -> None:
    assert played.code == 0
    assert "PASSED" in played.out
    *_, last = played.rows
    assert sorted(last[3].split(", ")) == sorted(FACTS)


def test_every_delivery_has_a_process_of_its_own(played: Played) -> None:
    processes = {row[1] for row in played.rows}
    assert len(processes) == len(played.rows) == 9


def test_the_list_in_the_process_knows_its_own_message_only(played: Played) -> None:
    answered = [row for row in played.rows if row[3] != "-"]
    for number, *_, in_a_list in answered:
        assert in_a_list == (", ".join(facts([MESSAGES[int(number)]])) or "nothing")


def test_a_killed_turn_is_delivered_again_and_saved_once(played: Played) -> None:
    killed, again = (row for row in played.rows if row[0] == "3")
    assert "killed before it saved" in killed[2]
    assert killed[3] == "-"
    assert "nuts" in again[3]
    assert killed[1] not in writers(played)
    assert again[1] in writers(played)


def test_the_race_has_a_loser_that_ran_again_and_knows_what_the_winner_saved(
    played: Played,
) -> None:
    racers = [row for row in played.rows if "raced" in row[2]]
    winner, loser = sorted(racers, key=lambda row: "ran again" in row[2])
    assert {winner[0], loser[0]} == {"4", "5"}
    assert "first to save" in winner[2]
    assert "ran again" in loser[2]
    assert len(loser[3].split(", ")) == len(winner[3].split(", ")) + 1
    assert set(winner[3].split(", ")) < set(loser[3].split(", "))


def test_a_message_delivered_twice_is_answered_twice_and_saved_once(played: Played) -> None:
    first, second = (row for row in played.rows if row[0] == "6")
    assert first[3] == second[3]
    assert "saved once" in second[2]
    assert first[1] in writers(played)
    assert second[1] not in writers(played)


def writers(played: Played) -> set[str]:
    with checkpoint.open(played.url) as cp:
        return {str(snapshot.writer.pid) for snapshot in cp.history("demo-1")}


# --- it leaves what it says ----------------------------------------------------------------------


def test_it_leaves_a_session_with_one_revision_for_each_message(played: Played) -> None:
    with checkpoint.open(played.url) as cp:
        document = cp.document("demo-1")
        saved = [snapshot.turn_id for snapshot in cp.history("demo-1")]
    assert Counter(saved) == Counter(TURNS)
    said = [message["content"] for message in document["memory"] if message["role"] == "user"]
    assert Counter(said) == Counter(MESSAGES.values())
    assert document["cursors"] == {"messages": len(MESSAGES)}


def test_the_commands_it_ends_with_show_what_it_left(played: Played) -> None:
    assert [words.split()[0] for words in played.commands] == ["sessions", "history", "show"]
    for words in played.commands:
        ended = run(*shlex.split(words))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert any(text in ended.stdout for text in ("demo-1", "message-7", MESSAGES[7]))


@pytest.mark.slow
def test_a_store_can_be_chosen_and_used_again(played: Played) -> None:
    again = play("--store", played.url)
    assert (again.code, again.url) == (0, played.url)
    assert all("demo-2" in words for words in again.commands[1:])


# --- it fails when a turn is lost or doubled -----------------------------------------------------


@pytest.mark.slow
def test_a_store_that_ends_with_its_process_fails_the_demo() -> None:
    forgot = play("--store", "memory://")
    assert forgot.code == 1
    assert "FAILED" in forgot.out
    assert "PASSED" not in forgot.out
    assert "turn 7 appears 0 times in memory" in forgot.out


LOSSY = '''
from checkpoint_sql.sqlite import SqliteStore

class LossyStore(SqliteStore):
    """Acknowledges the second revision of a session, and does not write it."""

    def commit(self, key, commit):
        return commit.head.revision == 2 or super().commit(key, commit)

def open_store(url):
    return LossyStore(url.removeprefix("lossy://"))
'''


@pytest.mark.slow
def test_a_store_that_loses_an_acknowledged_save_fails_the_demo(tmp_path: Path) -> None:
    (tmp_path / "lossy.py").write_text(LOSSY)
    registered = tmp_path / "lossy-1.dist-info"
    registered.mkdir()
    (registered / "METADATA").write_text("Metadata-Version: 2.1\nName: lossy\nVersion: 1\n")
    (registered / "entry_points.txt").write_text("[checkpoint.stores]\nlossy = lossy:open_store\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    lost = play("--store", f"lossy://{tmp_path}/agents.db", PYTHONPATH=path)
    assert lost.code == 1
    assert "FAILED" in lost.out
    assert "turn 2 appears 0 times in memory and was saved 0 times" in lost.out


@pytest.mark.slow
def test_replicas_that_cannot_save_fail_the_demo_with_the_reason(played: Played) -> None:
    refused = play("--store", f"{played.url}?mode=ro")
    assert refused.code == 1
    assert refused.out.count("cannot be written to") == 1


GOOD = [
    Delivery(1, 101, remembered=FACTS[:1]),
    Delivery(3, 103),  # killed
    Delivery(5, 105, remembered=[*FACTS[:3], FACTS[4]]),
    Delivery(4, 104, remembered=FACTS[:5]),
    Delivery(7, 107, remembered=FACTS),
]
SAID = list(MESSAGES.values())


def test_the_verdict_is_good_when_everybody_remembered_everything_once() -> None:
    assert faults(GOOD, SAID, list(TURNS)) == []


@pytest.mark.parametrize(
    ("done", "memory", "saved", "found"),
    [
        (GOOD, SAID[1:], TURNS, "turn 1 appears 0 times in memory and was saved 1 times"),
        (GOOD, [*SAID, SAID[5]], TURNS, "turn 6 appears 2 times in memory and was saved 1 times"),
        (GOOD, SAID, [*TURNS, TURNS[5]], "turn 6 appears 1 times in memory and was saved 2 times"),
        (GOOD, SAID, TURNS[:6], "turn 7 appears 1 times in memory and was saved 0 times"),
        (
            [*GOOD, replace(GOOD[-1], remembered=FACTS[1:])],
            SAID,
            TURNS,
            "process 107 did not remember Ada",
        ),
        ([*GOOD, Delivery(2, 102, error="it died")], SAID, TURNS, "no answer: it died"),
    ],
    ids=["lost", "doubled", "saved twice", "not saved", "forgotten", "no answer"],
)
def test_the_verdict_tells_each_fault(
    done: list[Delivery], memory: list[str], saved: list[str | None], found: str
) -> None:
    assert faults(done, memory, saved) == [found]
