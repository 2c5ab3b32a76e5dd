"""``checkpoint demo``: one conversation, with a new process for every message.

Each process is a replica that has never met the user, as behind a load balancer or on a serverless
platform. It restores the agent, answers, saves and exits. One process is killed before it saves,
two answer at the same time, and one message is delivered twice. For comparison, an agent that
keeps its memory in a list answers the same messages. No language model is needed: the agent repeats
the facts it finds in its memory.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import BaseModel

import checkpoint
from checkpoint import AgentState, CheckpointError, Memory, SessionNotFound
from checkpoint._stores.registry import redact

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MESSAGES = {
    1: "My name is Ada.",
    2: "I live in Oslo.",
    3: "I cannot eat nuts.",
    4: "We will be six.",
    5: "Make it Friday.",
    6: "I pay cash.",
    7: "What do you know about me?",
}
RACERS = (4, 5)

# --- the agent -----------------------------------------------------------------------------------


class Message(BaseModel):
    """One message of the conversation."""

    role: str
    content: str


class Settings(BaseModel):
    """Settings of the agent."""

    model: str = "a fake one"
    prompt: str = "List everything you know about the user."


class Agent(AgentState, schema="demo", version=1):
    """The state of the agent: everything a replica needs to continue."""

    config: Settings = Settings()
    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


def answer(agent: Agent, text: str) -> list[str]:
    """Take a turn: store the message, and list all remembered facts."""
    agent.memory.append(Message(role="user", content=text))
    remembered = facts(message.content for message in agent.memory if message.role == "user")
    agent.memory.append(Message(role="assistant", content=f"I know: {', '.join(remembered)}"))
    agent.cursors["messages"] = agent.cursors.get("messages", 0) + 1
    return remembered


def facts(messages: Iterable[str]) -> list[str]:
    """The facts to remember: the last word of every statement."""
    return [text.rstrip(".").split()[-1] for text in messages if text.endswith(".")]


# --- a replica: python -m checkpoint._cli.demo, which reads its task from standard input ----------


def replica() -> None:
    """Answer one message; in the middle of the turn, wait until standard input is closed."""
    url, session_id, number = json.loads(sys.stdin.readline())
    text = MESSAGES[number]
    tries = 0

    def turn(agent: Agent) -> list[str]:
        nonlocal tries
        tries += 1
        remembered = answer(agent, text)
        print("changed, and not saved", flush=True)
        sys.stdin.read()
        return remembered

    try:
        with checkpoint.open(url, Agent, replica=f"replica {number}") as cp:
            remembered = cp.run(session_id, turn, turn_id=turn_id(number))  # restore, turn, save
    except CheckpointError as exc:
        sys.exit(str(exc))
    in_a_list = answer(Agent(), text)  # this process is new, and so is its list
    print(json.dumps([remembered, in_a_list, tries]))


def turn_id(number: int) -> str:
    """The id of a turn: the same for each delivery of the message."""
    return f"message-{number}"


# --- the director --------------------------------------------------------------------------------


def play(console: Console, url: str | None = None) -> bool:
    """Run the demo and print it; return whether every turn was remembered once.

    Args:
        url: URL of the store; None for a SQLite file in a new temporary directory, which stays.
    """
    from rich.live import Live

    if url is None:
        directory = Path(tempfile.mkdtemp(prefix="checkpoint-demo-"))
        url = f"sqlite:///{quote((directory / 'agents.db').as_posix())}"
    session_id = _unused_session(url)
    console.print("One conversation, with a new process for every message:\n")
    done: list[Delivery] = []
    with Live(_table(done), console=console, auto_refresh=False, transient=True) as live:
        for delivery in perform(url, session_id):
            done.append(delivery)
            live.update(_table(done), refresh=True)
    console.print(_table(done))
    found = faults(done, *_stored(url, session_id))
    _print_verdict(console, done, found)
    _print_where(console, redact(url), session_id)
    return not found


def perform(url: str, session_id: str) -> Iterator[Delivery]:
    """Deliver each message to a new process; yield each delivery when it has ended."""

    def deliver(number: int, note: str = "") -> Process:
        return Process(url, session_id, number, note)

    yield deliver(1).finish()
    yield deliver(2).finish()
    yield deliver(3).kill()
    yield deliver(3, "delivered again").finish()
    racers = [deliver(number, "raced, first to save") for number in RACERS]
    for racer in racers:  # both have restored the same revision, and none has saved
        racer.release()
    for racer in racers:
        yield racer.finish()
    yield deliver(6).finish()
    yield deliver(6).finish()
    yield deliver(7).finish()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of delivering a message to a new process.

    Attributes:
        number: number of the message; a second delivery has the same number and turn id.
        pid: process id.
        note: a remark for the table.
        remembered, in_a_list: the facts that each agent knew; None if there was no answer.
        error: why an expected answer is missing.
    """

    number: int
    pid: int
    note: str = ""
    remembered: list[str] | None = None
    in_a_list: list[str] | None = None
    error: str = ""


class Process:
    """A running replica; once constructed, it is in the middle of its turn."""

    def __init__(self, url: str, session_id: str, number: int, note: str = "") -> None:
        self._number, self._note = number, note
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "checkpoint._cli.demo"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin
        print(json.dumps([url, session_id, number]), file=self._to, flush=True)
        self._line = self._process.stdout.readline()  # the agent is changed now, and not saved

    def kill(self) -> Delivery:
        """Kill it, as a crash would: it runs no further line."""
        self._process.kill()
        self._process.communicate()
        return Delivery(self._number, self._process.pid, "killed before it saved")

    def release(self) -> None:
        """Let it save, without waiting for it."""
        self._to.close()
        self._process.stdin = None  # communicate() fails if it is closed

    def finish(self) -> Delivery:
        """Let it save, and read its answer."""
        output, errors = self._process.communicate()
        if self._process.returncode != 0:
            error = errors.strip().rpartition("\n")[2] or "the process died"
            return Delivery(self._number, self._process.pid, "no answer", error=error)
        remembered, in_a_list, tries = json.loads((self._line + output).splitlines()[-1])
        again = {0: "delivered again, saved once", 2: "raced, second: ran again"}
        note = again.get(tries, self._note)
        return Delivery(self._number, self._process.pid, note, remembered, in_a_list)


# --- the verdict ---------------------------------------------------------------------------------


def faults(done: list[Delivery], memory: list[str], saved: list[str | None]) -> list[str]:
    """Turns that were lost or saved twice; empty if every turn was remembered once.

    Args:
        memory: messages of the user in the newest revision.
        saved: turn ids of all revisions.
    """
    if errors := {f"no answer: {delivery.error}" for delivery in done if delivery.error}:
        return sorted(errors)
    found = []
    for number, text in MESSAGES.items():
        times, revisions = memory.count(text), saved.count(turn_id(number))
        if times != 1 or revisions != 1:
            found.append(
                f"turn {number} appears {times} times in memory and was saved {revisions} times"
            )
    for delivery in done:
        if delivery.remembered is not None:
            forgotten = set(_known_at(delivery.number)) - set(delivery.remembered)
            if forgotten:
                words = ", ".join(sorted(forgotten))
                found.append(f"process {delivery.pid} did not remember {words}")
    return found


def _known_at(number: int) -> list[str]:
    """Facts an agent must know when it answers: those of its message and of earlier turns."""
    first = min(RACERS) if number in RACERS else number
    return facts(text for n, text in MESSAGES.items() if n < first or n == number)


def _stored(url: str, session_id: str) -> tuple[list[str], list[str | None]]:
    """Messages of the user in the newest revision, and the turn ids of all revisions."""
    with checkpoint.open(url, Agent) as cp:
        try:
            memory = cp.restore(session_id).state.memory
            history = cp.history(session_id)
        except SessionNotFound:
            return [], []
    said = [message.content for message in memory if message.role == "user"]
    return said, [snapshot.turn_id for snapshot in history]


def _unused_session(url: str) -> str:
    with checkpoint.open(url, Agent) as cp:
        taken = {session.session_id for session in cp.sessions("demo-")}
    return next(name for name in map("demo-{}".format, count(1)) if name not in taken)


# --- output --------------------------------------------------------------------------------------


def _table(done: list[Delivery]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    table.add_column("Turn", justify="right")
    table.add_column("Process", justify="right", style="dim")
    table.add_column("The user said")
    table.add_column("Remembered with checkpoint", style="green")
    table.add_column("With a list", style="red")
    for delivery in done:
        said = Text(MESSAGES[delivery.number])
        if delivery.note:
            said.append(f"\n{delivery.note}", style="yellow")
        table.add_row(
            str(delivery.number),
            str(delivery.pid),
            said,
            _words(delivery.remembered),
            _words(delivery.in_a_list),
        )
    return table


def _words(remembered: list[str] | None) -> str:
    return "-" if remembered is None else ", ".join(remembered) or "nothing"


def _print_verdict(console: Console, done: list[Delivery], found: list[str]) -> None:
    if found:
        console.print("\n[bold red]FAILED:[/] a turn was lost, saved twice or not answered:")
        for fault in found:
            console.print(f"  {fault}", markup=False, style="red")
        return
    console.print(
        f"\n[bold green]PASSED:[/] {len(MESSAGES)} turns in {len(done)} processes, one of them "
        "killed.\nNo turn was lost or saved twice. The list started empty in each process."
    )


def _print_where(console: Console, url: str, session_id: str) -> None:
    console.print(f"\nThe session is kept in {url}. To inspect it:\n", markup=False, soft_wrap=True)
    for words in ("sessions", url), ("history", url, session_id), ("show", url, session_id):
        command = shlex.join([_program(), *words])
        console.print(f"  {command}", markup=False, soft_wrap=True, style="bold")


def _program() -> str:
    """The name of this command, or its path if the shell would not find it."""
    started = Path(sys.argv[0])
    hidden = started.name == "checkpoint" and shutil.which("checkpoint") is None
    return str(started) if hidden else "checkpoint"


if __name__ == "__main__":
    replica()
