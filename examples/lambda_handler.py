"""A serverless agent: each event is a turn, in whatever process the platform starts for it.

    CHECKPOINT_URL=s3://bucket/agents python examples/lambda_handler.py EVENT

The module is a handler as AWS Lambda calls it. What is outside of ``handler`` runs once for each
instance, while the platform starts it; a warm one keeps the client's connections, and asks only
whether the session has changed since it served it last. An event that is delivered again has the
same ``message_id``: it is answered as before, and nothing is said twice.

Run as a script, it serves one EVENT, a JSON object with ``session_id``, ``message_id`` and
``text``, in a process of its own, as a cold start does, and tells on standard error where the time
went.
"""

from __future__ import annotations

import time

_MARKS = [time.perf_counter()]

import json
import os
import sys
from typing import Any

from pydantic import BaseModel

import checkpoint
from checkpoint import AgentState, Memory


class Message(BaseModel):
    """A chat message."""

    role: str
    content: str


class Support(AgentState, schema="support", version=1):
    """All that the agent is."""

    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


_URL = os.environ["CHECKPOINT_URL"]
checkpoint.preload(_URL)
_MARKS.append(time.perf_counter())
cp = checkpoint.open(_URL, Support)


def answer(state: Support, text: str) -> str:
    """What an agent does in a turn; a real one asks a model here."""
    asked = sum(message.role == "user" for message in state.memory[-50:])
    reply = f"You said {text!r}; before that, you said {asked} things that I remember."
    state.memory.append(Message(role="user", content=text))
    state.memory.append(Message(role="assistant", content=reply))
    return reply


def handler(event: dict[str, str], context: object = None) -> dict[str, Any]:
    """Serve one event.

    Raises:
        checkpoint.CheckpointError: it was not served; the platform delivers it again.
    """

    def turn(state: Support) -> str:
        began = time.perf_counter()
        reply = answer(state, event["text"])
        _MARKS[2:] = began, time.perf_counter()
        return reply

    reply = cp.run(event["session_id"], turn, turn_id=event["message_id"], window=50)
    return {"reply": reply}


def _breakdown(marks: list[float]) -> str:
    """Milliseconds of each step; a delivery that is answered from the store has fewer."""
    steps = ["import", "restore", "agent", "save"] if len(marks) == 5 else ["import", "look up"]
    times = zip(steps, marks, marks[1:], strict=False)
    return ", ".join(f"{step} {(after - before) * 1e3:.0f} ms" for step, before, after in times)


if __name__ == "__main__":
    print(json.dumps(handler(json.loads(sys.argv[1]))))
    print(_breakdown([*_MARKS, time.perf_counter()]), file=sys.stderr)
