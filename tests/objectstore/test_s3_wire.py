"""What turns on S3 cost, and what becomes of them on a bad network, counted and told by a proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory
from checkpoint.errors import Conflict, SaveUnclear, SessionNotFound, StoreUnavailable
from tests.objectstore.transports import without_pauses
from tests.proxy import DUPLICATE, LOSE_REPLY, LOSE_REQUEST, RESET, Fault, Proxy, Request, answer
from tests.servers import S3Server

TURNS = {"boto3": 1000, "obstore": 200}


class Agent(AgentState, schema="agent", version=1):
    memory: Memory[str] = Memory()
    cursors: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before it tries again."""
    without_pauses(monkeypatch)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def proxy(ministack: S3Server) -> Iterator[Proxy]:
    with Proxy(ministack.endpoint_url) as proxy:
        yield proxy


@pytest.fixture(params=TURNS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def url(ministack: S3Server, proxy: Proxy, s3_environment: None, transport: str) -> str:
    """A place that has a session already."""
    url = ministack.url(ministack.new_bucket(), "prod", proxy.url) + f"&transport={transport}"
    with checkpoint.open(url, Agent) as cp:
        cp.save("another", Agent(memory=Memory(["hello"])))
    proxy.forget()
    return url


@pytest.fixture
def cp(url: str) -> Iterator[Checkpointer[Agent]]:
    with checkpoint.open(url, Agent) as cp:
        yield cp


def took(proxy: Proxy) -> list[tuple[str, str, int]]:
    """Method, end of the key, and status of the requests since the last call."""
    seen = [(r.method, r.key.rpartition("/")[2], r.status) for r in proxy.requests]
    proxy.forget()
    return seen


# --- what they cost ------------------------------------------------------------------------------


@pytest.mark.promise("cost-of-turn")
def test_a_save_is_one_put_and_a_restore_one_get(
    cp: Checkpointer[Agent], proxy: Proxy, url: str
) -> None:
    cp.save("user-42", Agent(memory=Memory(["hi"])))
    looked = ("GET", "head", 404)  # for a session of that name
    checked = (
        "GET",
        "agent-checkpoint",
        200,
    )  # once in a process: whether the place is one of ours
    assert took(proxy) == [looked, checked, ("PUT", "head", 200)]
    cp.save("user-43", Agent(memory=Memory(["hi"])))
    assert took(proxy) == [looked, ("PUT", "head", 200)]
    with checkpoint.open(url, Agent) as fresh:
        snapshot = fresh.restore("user-42")
        assert took(proxy) == [("GET", "head", 200)]
        snapshot.state.memory.append("hello")
        fresh.save("user-42", snapshot.state)
        assert took(proxy) == [("PUT", "head", 200)]


def test_a_warm_restore_of_what_did_not_change_moves_no_bytes(
    cp: Checkpointer[Agent], proxy: Proxy
) -> None:
    cp.save("user-42", Agent(memory=Memory(["hi" * 10_000])))
    cp.restore("user-42")
    took(proxy)
    for _ in range(3):
        assert cp.restore("user-42").state.memory[-1] == "hi" * 10_000
        (request,) = proxy.requests
        assert request.headers["if-none-match"]
        assert took(proxy) == [("GET", "head", 304)]


@pytest.mark.promise("cost-of-turn")
def test_a_turn_is_one_get_and_one_put(cp: Checkpointer[Agent], proxy: Proxy) -> None:
    with cp.turn("user-42") as turn:
        turn.state.memory.append("hi")
    took(proxy)
    with cp.turn("user-42") as turn:
        turn.state.memory.append("hello")
    assert took(proxy) == [("GET", "head", 304), ("PUT", "head", 200)]


def test_a_session_that_is_not_there_takes_one_get(cp: Checkpointer[Agent], proxy: Proxy) -> None:
    with pytest.raises(SessionNotFound):
        cp.restore("nobody")
    assert took(proxy) == [("GET", "head", 404)]


@pytest.mark.slow
@pytest.mark.promise("cost-of-turn")
def test_many_turns_take_hardly_more_than_a_put_each(
    cp: Checkpointer[Agent], proxy: Proxy, transport: str
) -> None:
    state = Agent()
    cp.save("user-42", state)
    proxy.forget()
    for n in range(TURNS[transport]):
        state.memory.append(f"message {n}, of a length that messages have" * 5)
        cp.save("user-42", state)
    counts = Counter(request.method for request in proxy.requests)
    assert counts["PUT"] / TURNS[transport] <= 1.1
    assert counts.total() == counts["PUT"]
    assert cp.restore("user-42").state == state


# --- what becomes of them ------------------------------------------------------------------------

HARMLESS = {
    "request lost": LOSE_REQUEST,
    "reply lost": LOSE_REPLY,
    "reset": RESET,
    "delivered twice": DUPLICATE,  # the answer is the refusal of the second
    "500 before": answer(500, "InternalError"),
    "500 after": answer(500, "InternalError", after=True),
    "503 before": answer(503, "SlowDown"),
    "503 after": answer(503, after=True),
    "409": answer(409, "ConditionalRequestConflict"),
    "409 after": answer(409, "ConditionalRequestConflict", after=True),
    "cut short": Fault(keep=0),
}

QUICK = {"request lost", "reply lost", "reset", "delivered twice", "500 after", "409"}
FAULTS = [
    pytest.param(fault, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for name, fault in HARMLESS.items()
]


def on_the_first_write(fault: Fault) -> Callable[[Request], Fault | None]:
    return lambda request: fault if request.method == "PUT" and request.attempt == 1 else None


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_save_is_done_once_whatever_happens_to_its_first_request(
    cp: Checkpointer[Agent], proxy: Proxy, url: str, fault: Fault
) -> None:
    state = Agent()
    for n in range(3):
        proxy.decide = on_the_first_write(fault)
        state.memory.append(f"{n}")
        assert cp.save("user-42", state).revision == n + 1
    proxy.decide = lambda request: None
    with checkpoint.open(url, Agent) as fresh:
        assert fresh.restore("user-42").state.memory == ["0", "1", "2"]
        assert fresh.restore("user-42").revision == 3


@pytest.mark.promise("no-overwrite")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_writer_that_lost_is_told_so_whatever_happens_to_its_first_request(
    cp: Checkpointer[Agent], proxy: Proxy, url: str, fault: Fault
) -> None:
    mine = Agent(memory=Memory(["1"]))
    cp.save("user-42", mine)
    with checkpoint.open(url, Agent) as other:
        theirs = other.restore("user-42").state
        theirs.memory.append("theirs")
        other.save("user-42", theirs)
        proxy.decide = on_the_first_write(fault)
        mine.memory.append("mine")
        with pytest.raises(Conflict):
            cp.save("user-42", mine)
        assert other.restore("user-42").state.memory == ["1", "theirs"]


@pytest.mark.promise("unclear-resolved")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LOSE_REPLY, id="mute"),
        pytest.param(LOSE_REQUEST, id="lost", marks=pytest.mark.slow),
        pytest.param(answer(503, "SlowDown"), id="503", marks=pytest.mark.slow),
    ],
)
def test_a_save_in_an_outage_is_settled_by_the_next_one(
    cp: Checkpointer[Agent], proxy: Proxy, fault: Fault
) -> None:
    state = Agent(memory=Memory(["1"]))
    cp.save("user-42", state)
    state.memory.append("2")
    proxy.decide = lambda request: fault
    with pytest.raises((SaveUnclear, StoreUnavailable)):
        cp.save("user-42", state)
    proxy.decide = lambda request: None
    assert cp.save("user-42", state).revision == 2
    assert cp.restore("user-42").state.memory == ["1", "2"]


@pytest.mark.promise("not-absent")
@pytest.mark.parametrize(
    "fault",
    [LOSE_REPLY, RESET, answer(503), answer(404), Fault(keep=10)],
    ids=["mute", "reset", "503", "404 of a gateway", "cut short"],
)
def test_an_outage_is_never_a_session_that_is_not_there(
    proxy: Proxy, url: str, fault: Fault
) -> None:
    with checkpoint.open(url, Agent) as cp:
        proxy.decide = lambda request: fault
        for session_id in ("another", "nobody"):
            with pytest.raises(OSError) as raised:
                cp.restore(session_id)
            assert not isinstance(raised.value, LookupError)
            with pytest.raises(OSError), cp.turn(session_id):
                pytest.fail("an outage began a new session")
        proxy.decide = lambda request: None
        assert cp.restore("another").state.memory == ["hello"]


def test_saves_go_on_while_the_network_is_bad(cp: Checkpointer[Agent], proxy: Proxy) -> None:
    faults = list(HARMLESS.values())
    seen: list[Any] = []

    def decide(request: Request) -> Fault | None:
        if request.method != "PUT":
            return None
        seen.append(request)
        return faults[len(seen) // 2 % len(faults)] if len(seen) % 2 == 0 else None

    proxy.decide = decide
    state = Agent()
    for n in range(2 * len(faults)):
        state.memory.append(f"{n}")
        cp.save("user-42", state)
    proxy.decide = lambda request: None
    assert cp.restore("user-42").state.memory == [f"{n}" for n in range(2 * len(faults))]
    assert cp.restore("user-42").revision == 2 * len(faults)
