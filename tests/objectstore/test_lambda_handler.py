"""The example of a serverless handler: each event in a process of its own, as cold starts are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from tests.servers import S3_ENVIRONMENT, S3Server

HANDLER = Path(__file__).parents[2] / "examples" / "lambda_handler.py"


@pytest.fixture(params=["s3", pytest.param("file", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/agents"
    server: S3Server = request.getfixturevalue("ministack")
    return server.url(server.new_bucket(), "agents")


def delivered(url: str, message: str, session: str = "user-42") -> tuple[str, str]:
    """The reply to an event, and where the time went."""
    event = {"session_id": session, "message_id": message, "text": f"hi, {message}"}
    done = subprocess.run(
        [sys.executable, str(HANDLER), json.dumps(event)],
        env={**os.environ, **S3_ENVIRONMENT, "CHECKPOINT_URL": url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply["reply"], done.stderr.strip()


def test_each_event_is_a_turn_and_a_redelivered_one_is_served_once(
    url: str, s3_environment: None
) -> None:
    first, went = delivered(url, "one")
    assert "0 things that I remember" in first
    assert re.fullmatch(r"import \d+ ms, restore \d+ ms, agent \d+ ms, save \d+ ms", went)
    again, went = delivered(url, "one")
    assert again == first
    assert re.fullmatch(r"import \d+ ms, look up \d+ ms", went)
    second, _ = delivered(url, "two")
    assert "1 things that I remember" in second
    assert delivered(url, "one")[0] == first
    with checkpoint.open(url) as cp:
        document = cp.document("user-42")
    asked = [message["content"] for message in document["memory"] if message["role"] == "user"]
    assert asked == ["hi, one", "hi, two"]


@pytest.mark.slow
def test_events_of_one_session_at_the_same_time_are_all_served(
    url: str, s3_environment: None
) -> None:
    messages = [f"message {number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda message: delivered(url, message)[0], messages))
    told = sorted(re.findall(r"you said (\d+) things", " ".join(replies)))
    assert told == ["0", "1", "2", "3"], "each saw what the ones before it had saved"
    with checkpoint.open(url) as cp:
        assert [snapshot.revision for snapshot in cp.history("user-42")] == [4, 3, 2, 1]
