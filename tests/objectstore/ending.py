"""A process that ends between two requests, and what is there then, as others find it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory
from checkpoint._ids import SessionKey
from checkpoint._sync.loading import Loader
from checkpoint_objectstore._format import Session, unpack_session, unpack_start
from checkpoint_objectstore._layout import HEAD, MARKER
from checkpoint_objectstore._names import id_of
from checkpoint_objectstore._sync.store import ObjectStore
from checkpoint_objectstore.objects import Entry, Object
from tests.objectstore.in_memory import InMemoryObjects

T = TypeVar("T")

DAY = 24 * 60 * 60 * 10**6


class Ended(BaseException):
    """The process is gone: nothing of it goes on, whatever it catches."""


class Notes(AgentState, schema="notes", version=1):
    memory: Memory[str] = Memory()
    config: dict[str, str] = {}


Agents = Checkpointer[Notes]


class EndingObjects:
    """Objects as a process reaches them that ends before or after one of its requests.

    Each object of a batch is a request of its own, in order.

    Args:
        at: the number of the request.
        after: it is done, but not answered.

    Attributes:
        asked: what was asked for, in order.
    """

    def __init__(self, objects: InMemoryObjects, at: int = -1, *, after: bool = False) -> None:
        self.asked: list[str] = []
        self._objects = objects
        self._at = at
        self._after = after

    def get(self, key: str, unless: str = "") -> Object | None:
        return self._ask("get", self._objects.get, key, unless)

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        get = self._objects.get_many
        found = [self._ask(f"get {key}", get, [key], first) for key in keys]
        return {key: data for some in found for key, data in some.items()}

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self._ask(f"put {key}", self._objects.put_many, {key: data})

    def create(self, key: str, data: bytes) -> str | None:
        return self._ask("create", self._objects.create, key, data)

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        return self._ask("replace", self._objects.replace, key, data, tag)

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        return self._ask("list", self._objects.list, prefix, after)

    def folders(self, folder: str, prefix: str, after: str = "") -> Sequence[str]:
        return self._ask("folders", self._objects.folders, folder, prefix, after)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._ask(f"delete {key}", self._objects.delete, [key])

    def close(self) -> None:
        pass

    def _ask(self, name: str, request: Callable[..., T], *arguments: Any) -> T:
        number = len(self.asked)
        if 0 <= self._at < number or (number == self._at and not self._after):
            raise Ended
        self.asked.append(f"{name} {arguments[0]}" if " " not in name else name)
        answer = request(*arguments)
        if number == self._at:
            raise Ended
        return answer


class World:
    """One place of objects, with a time and a randomness that are the same each time.

    Attributes:
        now: microseconds since 1970.
    """

    def __init__(self, kept: Mapping[str, tuple[bytes, int]] = {}) -> None:
        self.now = 1_700_000_000_000_000
        self.objects = InMemoryObjects(lambda: self.now)
        self.objects.kept = dict(kept)
        self.urandom = Random(len(kept)).randbytes

    def process(self, objects: Any = None) -> Agents:
        """The checkpointer of a new process."""
        cp = checkpoint.open(ObjectStore(objects or self.objects), Notes)
        loader: Loader[Notes] = cp._engine
        loader.options = loader.options._replace(clock=lambda: self.now)
        return cp

    def sweep(self) -> None:
        """Remove all that nothing needs, as someone does long after, without any grace."""
        self.now += 2 * DAY  # no fork is under way for so long
        for _ in range(3):  # what a fork lets go is for the next round
            for pruned in self.process().sweep(grace=dt.timedelta(0)):
                assert pruned.problem is None


class Told(NamedTuple):
    """What sessions are, as users see them: each revision with its state; the labels."""

    revisions: dict[str, dict[int, dict[str, Any]]]
    labels: dict[str, dict[str, int]]


def told(cp: Agents) -> Told:
    """All that users see; all of it can be read, and nothing is damaged."""
    revisions, labels = {}, {}
    for info in cp.sessions():
        name = info.session_id
        numbers = [snapshot.revision for snapshot in cp.history(name)]
        assert numbers[0] == info.revision == cp.restore(name).revision
        states = {number: cp.restore(name, revision=number).state for number in numbers}
        revisions[name] = {number: state.model_dump() for number, state in states.items()}
        labels[name] = cp._engine.labels(SessionKey("default", name))
        assert cp.verify(name) == []
    return Told(revisions, labels)


def kept_in(world: World) -> dict[str, bytes | Session]:
    """The objects of sessions, to be compared: heads without their epochs."""
    found: dict[str, bytes | Session] = {}
    for key, (data, _) in world.objects.kept.items():
        if key.endswith("/" + HEAD):
            session = unpack_session(_session(key, data), data)
            found[key] = session._replace(head=session.head._replace(epoch=0))
        elif key != MARKER:
            found[key] = data
    return found


def _session(key: str, data: bytes) -> SessionKey:
    namespace, name, _ = key.split("/")
    session, _ = unpack_start(data)
    assert id_of(namespace) == session.namespace
    assert id_of(name) in (None, session.session_id)
    return session
