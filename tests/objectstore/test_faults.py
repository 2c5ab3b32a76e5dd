"""Writers on S3 across a network that loses, doubles and refuses one request in five."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import checkpoint
from checkpoint import AgentState, Checkpointer, Conflict, Memory, Retention, SaveUnclear
from checkpoint.errors import StoreUnavailable
from checkpoint_objectstore.s3 import S3Objects
from checkpoint_objectstore.store import ObjectStore
from tests.effort import SOAK, times
from tests.proxy import DUPLICATE, LOSE_REPLY, LOSE_REQUEST, RESET, Fault, Proxy, Request, answer
from tests.servers import S3Server

pytestmark = pytest.mark.promise("never-lost")

WRITERS = 8
SESSIONS = 20 if SOAK else 4
OPERATIONS = times(160, soak=20_000)
SHARE = 0.2  # of requests that something happens to
KEEP = Retention(keep_last=3)

FAULTS = [
    *[LOSE_REPLY] * 4,
    *(LOSE_REQUEST, RESET, DUPLICATE),
    *(answer(503, "SlowDown"), answer(500, "InternalError", after=True)),
    answer(409, "ConditionalRequestConflict"),
]


class Log(AgentState, schema="log", version=1):
    memory: Memory[str] = Memory()


@dataclass
class Ledger:
    """What the writers were told."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    conflicts: list[tuple[str, int, str]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def bad_weather(seed: int) -> Any:
    rng = random.Random(seed)
    lock = threading.Lock()

    def decide(request: Request) -> Fault | None:
        with lock:
            return rng.choice(FAULTS) if rng.random() < SHARE else None

    return decide


def write(cp: Checkpointer[Log], ledger: Ledger, session: str, turn_id: str) -> None:
    """Apply a turn until it is acknowledged, as whoever got the message once would."""
    while True:
        try:
            with cp.turn(session, turn_id=turn_id, window=5) as turn:
                if not turn.replayed:
                    turn.state.memory.append(turn_id)
        except Conflict as exc:
            with ledger.lock:
                ledger.seen["conflict"] += 1
                ledger.conflicts.append((session, exc.parent_revision or 0, turn_id))
        except (StoreUnavailable, SaveUnclear) as exc:
            with ledger.lock:
                ledger.seen[type(exc).__name__] += 1
        else:
            with ledger.lock:
                ledger.seen["replayed" if turn.replayed else "acknowledged"] += 1
                ledger.acknowledged.setdefault(session, []).append(turn_id)
            return


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few items and segments of a few turns, so that a few turns have many of them."""
    monkeypatch.setattr("checkpoint._records.pagination.PAGE_SIZE", 150)
    monkeypatch.setattr("checkpoint._records.baseline.MAX_PATCHES", 20 if SOAK else 2)


@pytest.mark.parametrize("name", ["ministack", pytest.param("seaweedfs", marks=pytest.mark.slow)])
def test_every_turn_is_there_once_whatever_the_network_does(
    name: str, request: pytest.FixtureRequest, s3_environment: None, small_sizes: None
) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.new_bucket()
    ledger = Ledger()
    with Proxy(server.endpoint_url) as proxy:
        from botocore.config import Config

        def opened() -> Checkpointer[Log]:
            client = server.client(
                proxy.url,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": 2},
                    connect_timeout=2,
                    read_timeout=5,
                ),
            )
            return checkpoint.open(ObjectStore(S3Objects(bucket, client=client)), Log)

        with opened() as first:  # in good weather: the trial of the conditions is not on trial
            first.save("session-0", Log())
        proxy.decide = bad_weather(1)
        over = threading.Event()

        def work(writer: int) -> None:
            rng = random.Random(writer)
            cp = opened()
            for number in range(OPERATIONS // WRITERS):
                session = f"session-{rng.randrange(SESSIONS)}"
                write(cp, ledger, session, f"turn {number} of {writer}")

        def tidy() -> None:
            cp, rng = opened(), random.Random(99)
            # Also when they are done, until something was removed: most of its requests fail, too.
            while not over.wait(0.02) or not ledger.seen["revisions pruned"]:
                session = f"session-{rng.randrange(SESSIONS)}"
                try:
                    pruned = cp.prune(session, KEEP, grace=timedelta(0))
                except (StoreUnavailable, Conflict, LookupError):
                    ledger.seen["not pruned"] += 1
                else:
                    ledger.seen["revisions pruned"] += pruned.revisions
                    ledger.seen["pages collected"] += pruned.pages

        with ThreadPoolExecutor(WRITERS + 1) as pool:
            tidying = pool.submit(tidy)
            for done in [pool.submit(work, writer) for writer in range(WRITERS)]:
                done.result()
            over.set()
            tidying.result()
        proxy.decide = lambda request: None
        print(name, dict(ledger.seen), len(proxy.requests), "requests")
        check(opened(), ledger)


def check(cp: Checkpointer[Log], ledger: Ledger) -> None:
    """No acknowledged turn is lost or there twice, no conflict was with oneself, all verifies."""
    for session, turns in ledger.acknowledged.items():
        stored = Counter(cp.restore(session).state.memory)
        assert stored == Counter(turns), session
        assert cp.verify(session) == []
        by_revision = {s.revision: s.turn_id for s in cp.history(session)}
        for revision in [*by_revision][:: len(by_revision) // 20 + 1]:  # verify has read them all
            cp.restore(session, revision=revision)
        for where, parent, turn_id in ledger.conflicts:
            if where == session:
                assert by_revision.get(parent + 1) != turn_id, "a conflict with one's own write"
    list(cp.sweep(grace=timedelta(0)))
    for session in ledger.acknowledged:
        assert cp.verify(session) == []
