"""How long a fresh process takes to have an agent of 100 messages back, against the least possible.

    python benchmarks/cold_start.py [--rounds 15] [--messages 100] [--profile] [--json]

Three fresh processes, in turn for each round: python alone; one that imports pydantic, defines the
agent's model, reads its JSON from a SQLite table and validates it; and one that does the same with
this library, from a store that holds the agent as the turns left it. Each is timed from before it
is started to the agent in hand; medians are told, after a round that is not counted. Needs a clock
that processes share, as Linux and macOS have.

``--profile`` adds what the library imports beyond the other process, by ``-X importtime``: the
least self time of each module in as many runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from string import Template

from session_size import generated_turns

TARGET = 60  # milliseconds that the library may add
NO_BYTE_CODE = "PYTHONDONTWRITEBYTECODE"

BARE = "import time; print([time.monotonic_ns()])"

MODEL = """
class Config(BaseModel):
    model: str = "large"
    temperature: float = 0.2

class Message(BaseModel):
    role: str
    content: str

class Agent($base):
    config: Config = Config()
    memory: $memory[Message] = $memory()
    cursors: dict[str, int] = {}
"""

OTHER = """
import time
marks = [time.monotonic_ns()]
import sqlite3
from pydantic import BaseModel
$model
marks.append(time.monotonic_ns())
connection = sqlite3.connect("plain.db")
(found,) = connection.execute("SELECT state FROM agents WHERE id = 'user-42'").fetchone()
agent = Agent.model_validate_json(found)
marks.append(time.monotonic_ns())
print(marks if len(agent.memory) == $messages else [])
"""

OURS = """
import time
marks = [time.monotonic_ns()]
import checkpoint
from checkpoint import AgentState, Memory
from pydantic import BaseModel
$model
marks.append(time.monotonic_ns())
cp = checkpoint.open("sqlite:///agents.db", Agent)
marks.append(time.monotonic_ns())
agent = cp.restore("user-42").state
marks.append(time.monotonic_ns())
print(marks if len(agent.memory) == $messages else [])
"""

# Not timed: saves the agent turn by turn, and once more as JSON in a table of one's own.
PREPARE = """
import json, sqlite3, sys
import checkpoint
from checkpoint import AgentState, Memory
from pydantic import BaseModel
$model
with checkpoint.open("sqlite:///agents.db", Agent) as cp:
    for said in json.load(sys.stdin):
        with cp.turn("user-42") as turn:
            turn.state.memory.extend(Message(**message) for message in said)
connection = sqlite3.connect("plain.db")
connection.execute("CREATE TABLE agents (id TEXT PRIMARY KEY, state TEXT)")
connection.execute("INSERT INTO agents VALUES ('user-42', ?)", (turn.state.model_dump_json(),))
connection.commit()
connection.close()
"""

# The scripts, and what each does between its marks.
STAGES = {
    "python alone": ["start"],
    "pydantic + sqlite3": ["start", "imports, model", "read"],
    "with checkpoint": ["start", "imports, model", "open", "restore"],
}
PLAIN = {"base": "BaseModel", "memory": "list"}
STATE = {"base": "AgentState, schema='agent', version=1", "memory": "Memory"}
SCRIPTS = {
    "python alone": (BARE, PLAIN),
    "pydantic + sqlite3": (OTHER, PLAIN),
    "with checkpoint": (OURS, STATE),
    "prepare": (PREPARE, STATE),
}

Samples = dict[str, list[list[float]]]


# --- what is read --------------------------------------------------------------------------------


def prepare(directory: Path, messages: int) -> None:
    """Write the scripts, a store with the agent, and the plain table with the same agent."""
    for name, (text, model) in SCRIPTS.items():
        script = Template(text.replace("$model", MODEL)).substitute(model, messages=messages)
        (directory / f"{name}.py").write_text(script, encoding="utf-8")
    turns = generated_turns(seed=1, count=messages // 2)
    python(directory, "prepare.py", given=json.dumps(turns))


# --- timing --------------------------------------------------------------------------------------


def sample(directory: Path, scripts: Iterable[str], rounds: int) -> Samples:
    """Milliseconds of each stage of each script, interleaved, one round for warming up."""
    samples: Samples = {name: [] for name in scripts}
    for number in range(rounds + 1):
        for name, taken in samples.items():
            stages = run(directory, name)
            if number:
                taken.append(stages)
    return samples


def run(directory: Path, name: str) -> list[float]:
    """Run a script in a fresh process; return the milliseconds from mark to mark."""
    started = time.monotonic_ns()
    marks = json.loads(python(directory, f"{name}.py")[0])
    if not marks:
        sys.exit("cold_start: the agent that came back is not the one that was saved")
    times = [started, *marks]
    return [(end - begin) / 1e6 for begin, end in zip(times, marks, strict=False)]


def python(directory: Path, *arguments: str, given: str = "") -> tuple[str, str]:
    """Run python in the directory; return what it wrote, and wrote as errors.

    Byte code is kept, whatever this process was told: installed packages have theirs.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if name != NO_BYTE_CODE},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"cold_start: {arguments[-1]} failed\n{done.stderr}")
    return done.stdout, done.stderr


# --- what is imported ----------------------------------------------------------------------------


def imported_beyond(directory: Path, runs: int) -> dict[str, float]:
    """Modules that the library's script imports and the other does not; least self time in ms."""
    other, ours = (
        _import_times(directory, f"{name}.py", runs)
        for name in ("pydantic + sqlite3", "with checkpoint")
    )
    return {module: took for module, took in ours.items() if module not in other}


def _import_times(directory: Path, script: str, runs: int) -> dict[str, float]:
    least: dict[str, float] = defaultdict(lambda: float("inf"))
    for _ in range(runs):
        _, told = python(directory, "-X", "importtime", script)
        for microseconds, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", told):
            least[module] = min(least[module], int(microseconds) / 1000)
    return dict(least)


# --- the report ----------------------------------------------------------------------------------


def tell(samples: Samples, scripts: Mapping[str, Sequence[str]], messages: int) -> None:
    """Print the times of scripts and of their stages."""
    rounds = len(samples["python alone"])
    print(f"to a restored agent of {messages} messages: ms, median of {rounds} rounds (quartiles)")
    for name, stages in scripts.items():
        totals = [sum(taken) for taken in samples[name]]
        low, middle, high = quantiles(totals, n=4, method="inclusive")
        parts = zip(stages, map(median, zip(*samples[name], strict=True)), strict=True)
        detail = "  ".join(f"{stage} {took:.1f}" for stage, took in parts)
        print(f"  {name:20}{middle:7.1f} ({low:.1f} to {high:.1f})   {detail}")


def added(samples: Samples, other: str, ours: str) -> float:
    """Milliseconds by which the median of one script exceeds that of another."""
    least, most = (median(sum(stages) for stages in samples[name]) for name in (other, ours))
    return most - least


def tell_imports(modules: dict[str, float]) -> None:
    packages: dict[str, float] = defaultdict(float)
    for module, took in modules.items():
        packages[module.partition(".")[0]] += took
    print(f"imported beyond the other: {len(modules)} modules, {sum(modules.values()):.1f} ms")
    for title, times in (("package", packages), ("module", modules)):
        print(f"  by {title}, ms:")
        for name, took in sorted(times.items(), key=lambda item: -item[1])[:20]:
            print(f"    {name:36}{took:6.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=100, help="an even number")
    parser.add_argument("--profile", action="store_true", help="also tell what is imported")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.rounds < 2 or options.messages < 2 or options.messages % 2:
        parser.error("--rounds is 2 or more, --messages an even number from 2 up")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, options.messages)
        samples = sample(directory, STAGES, options.rounds)
        modules = imported_beyond(directory, options.rounds) if options.profile else {}
    more = added(samples, *list(STAGES)[1:])
    if options.json:
        print(json.dumps({"samples": samples, "added": more, "imports": modules}))
        return 0
    tell(samples, STAGES, options.messages)
    print(f"the library adds {more:.1f} ms (target: at most {TARGET})")
    if options.profile:
        tell_imports(modules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
