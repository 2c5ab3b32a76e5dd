"""A serverless agent: each event is a turn, in any process that the platform starts.

    CHECKPOINT_URL=s3://bucket/agents python examples/lambda_handler.py EVENT

``handler`` has the signature that AWS Lambda expects. The code outside of it runs once for each
instance, while the platform starts it. A warm instance keeps the connections of the client, and
only asks whether the session has changed since it last served it. A duplicate
delivery of an event has the same ``message_id``: it gets the same answer, and changes nothing.

Run as a script, the module serves one EVENT, a JSON object with ``session_id``, ``message_id`` and
``text``. This takes as long as a cold start. The time of each step is printed to standard error.
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
    """The state of the agent."""

    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


_URL = os.environ["CHECKPOINT_URL"]
checkpoint.preload(_URL)
_MARKS.append(time.perf_counter())
cp = checkpoint.open(_URL, Support)


def answer(state: Support, text: str) -> str:
    """Answer a message. A real agent would call a language model here."""
    asked = sum(message.role == "user" for message in state.memory[-50:])
    reply = f"You said {text!r}; before that, you said {asked} things that I remember."
    state.memory.append(Message(role="user", content=text))
    state.memory.append(Message(role="assistant", content=reply))
    return reply


def handler(event: dict[str, str], context: object = None) -> dict[str, Any]:
    """Serve one event.

    Raises:
        checkpoint.CheckpointError: if it was not served. The platform then delivers it again.
    """

    def turn(state: Support) -> str:
        began = time.perf_counter()
        reply = answer(state, event["text"])
        _MARKS[2:] = began, time.perf_counter()
        return reply

    reply = cp.run(event["session_id"], turn, turn_id=event["message_id"], window=50)
    return {"reply": reply}


def _breakdown(marks: list[float]) -> str:
    """The milliseconds of each step. A duplicate delivery has fewer steps."""
    steps = ["import", "restore", "agent", "save"] if len(marks) == 5 else ["import", "look up"]
    times = zip(steps, marks, marks[1:], strict=False)
    return ", ".join(f"{step} {(after - before) * 1e3:.0f} ms" for step, before, after in times)


if __name__ == "__main__":
    print(json.dumps(handler(json.loads(sys.argv[1]))))
    print(_breakdown([*_MARKS, time.perf_counter()]), file=sys.stderr)
