"""A process killed at each request of a save, before the server gets it or after it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

import checkpoint
from checkpoint import Checkpointer
from tests.effort import SOAK, some
from tests.proxy import LOSE_REPLY, LOSE_REQUEST, Fault, Proxy, Request
from tests.servers import S3_ENVIRONMENT, S3Server

pytestmark = pytest.mark.promise("never-lost")

# Small pages and short segments, so that few turns have what many would.
SMALL = """
from checkpoint._records import baseline, pagination
pagination.PAGE_SIZE = 400
baseline.MAX_PATCHES = 3
"""
CHILD = (
    SMALL
    + """
import sys
import checkpoint
from datetime import timedelta
from checkpoint import Retention

def say(cp, *said):
    with cp.turn("user-42") as turn:
        turn.state.setdefault("memory", []).extend(said)

with checkpoint.open(sys.argv[1]) as cp:
    eval(sys.argv[2])
    print("done")
"""
)
WRITES = {
    "a first save": (0, "say(cp, 'hi')"),
    "a patch": (2, "say(cp, 'more')"),
    "a base that finishes a segment": (4, "say(cp, 'more')"),
    "a save with pages": (4, "say(cp, *(f'{n} of these' * 9 for n in range(30)))"),
    "a deletion": (6, "cp.delete('user-42')"),
    "a pruning": (9, "cp.prune('user-42', Retention(keep_last=1), grace=timedelta(0))"),
}


@pytest.fixture(scope="module")
def server(ministack: S3Server) -> S3Server:
    return ministack


@pytest.fixture
def small_sizes() -> Iterator[None]:
    from checkpoint._records import baseline, pagination

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pagination, "PAGE_SIZE", 400)
        patch.setattr(baseline, "MAX_PATCHES", 3)
        yield


def prepared(server: S3Server, turns: int) -> str:
    """A bucket with a session of so many turns, and another that nothing is to happen to."""
    bucket = server.new_bucket()
    with checkpoint.open(server.url(bucket)) as cp:
        cp.save("other", {"memory": ["stays"]})
        for number in range(turns):
            with cp.turn("user-42") as turn:
                turn.state.setdefault("memory", []).append(f"turn {number} was this " * 4)
    return bucket


def child(url: str, write: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, write],
        env={**os.environ, **S3_ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def state_of(cp: Checkpointer[dict[str, object]]) -> object:
    try:
        restored = cp.restore("user-42")
    except checkpoint.SessionNotFound:
        return None
    return restored.revision, restored.state, [s.revision for s in cp.history("user-42")]


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITES if SOAK else ["a base that finishes a segment"])
def test_a_process_killed_at_any_request_leaves_the_revision_before_or_after(
    name: str, server: S3Server, s3_environment: None, small_sizes: None
) -> None:
    turns, write = WRITES[name]
    bucket = prepared(server, turns)
    with checkpoint.open(server.url(bucket)) as cp:
        before = state_of(cp)
    with Proxy(server.endpoint_url) as proxy:
        out, err = child(server.url(bucket, endpoint_url=proxy.url), write).communicate()
        assert out.strip() == b"done", err.decode()
        requests = len(proxy.requests)
    with checkpoint.open(server.url(bucket)) as cp:
        after = state_of(cp)
    assert before != after
    seen = []
    for number in some(range(1, requests + 1)):
        for fault in (LOSE_REQUEST, LOSE_REPLY):
            bucket = prepared(server, turns)
            seen.append(killed(server, bucket, write, number, fault))
            with checkpoint.open(server.url(bucket)) as cp:
                now = state_of(cp)
                assert now in (before, after), (number, fault)
                assert now is None or cp.verify("user-42") == []
                assert all(pruned.problem is None for pruned in cp.sweep(grace=timedelta(0)))
                assert state_of(cp) == now, (number, fault)
                assert not any(pruned.pages for pruned in cp.sweep(grace=timedelta(0)))
                assert cp.restore("other").state == {"memory": ["stays"]}
    assert all(seen)


def killed(server: S3Server, bucket: str, write: str, number: int, fault: Fault) -> bool:
    """Kill a process when its request of this number is there, or has been done."""
    with Proxy(server.endpoint_url) as proxy:
        process = child(server.url(bucket, endpoint_url=proxy.url), write)

        def decide(request: Request) -> Fault | None:
            if len(proxy.requests) < number:
                return None
            os.kill(process.pid, signal.SIGKILL)
            return fault

        proxy.decide = decide
        out, _ = process.communicate()
        return out == b"" and process.returncode == -signal.SIGKILL
