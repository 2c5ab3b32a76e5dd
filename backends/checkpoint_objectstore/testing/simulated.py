"""The objects that replicas share: carries out requests and reports them to the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from random import Random
from typing import Any, cast

from checkpoint._ids import SessionKey
from checkpoint.store import AsyncStore
from checkpoint.testing.simulator.ledger import Ledger
from checkpoint.testing.simulator.network import Process, Request
from checkpoint.testing.simulator.operation import Operation
from checkpoint.testing.simulator.weather import Weather
from checkpoint.testing.simulator.world import Clock, Report, run
from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._layout import folder_of
from checkpoint_objectstore.objects import AsyncObjects, Object, Objects
from checkpoint_objectstore.testing.link import ObjectsLink
from checkpoint_objectstore.testing.seen import Seen, protected

Place = Callable[[Clock], Objects | AsyncObjects]
Over = Callable[[AsyncObjects, int], AsyncStore]

_KNOWN = (0, 5_000, 1_000_000)  # bytes of heads that a process caches


def simulate(
    seed: int,
    *,
    objects: Place,
    store: Over = AsyncObjectStore,
    operations: int = 150,
    weather: Weather | None = None,
) -> Report:
    """Run replicas, each process with its own store on the same objects.

    Args:
        seed: decides everything.
        objects: makes the driver, given a clock for the time of writes. It may not use threads or
            sockets.
        store: makes the store of a process, given a driver and a cache size in bytes.
        operations: how many calls the replicas make together.
        weather: the faults; drawn from the seed if None.
    """
    return run(
        seed, lambda rng, clock: SharedObjects(objects(clock), store, rng), operations, weather
    )


class SharedObjects:
    """Objects, with a store on them for each process.

    Args:
        objects: the driver.
        store: makes a store.
        rng: decides which byte to flip.
    """

    steps = ("put", "create", "replace", "delete")
    held = (
        ("put", "create"),
        ("put", "replace"),
        ("replace", "put"),
        ("replace", "delete"),
        ("", "put"),
        ("", "delete"),
    )

    def __init__(self, objects: Objects | AsyncObjects, store: Over, rng: Random) -> None:
        self._objects = cast("AsyncObjects", _Direct(objects))
        self._store = store
        self._rng = rng
        self._flips: dict[str, float] = {}
        self._seen: Seen

    @property
    def ledger(self) -> Ledger:
        return self._seen.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._seen = Seen(ledger)

    def reach(self, process: Process | None) -> AsyncStore:
        if process is None:
            return self._store(self._objects, _KNOWN[-1])
        return self._store(ObjectsLink(process), self._rng.choice(_KNOWN))

    async def carry_out(self, request: Request, note: Callable[[str], None]) -> Any:
        name, by = request.name, request.operation
        key, *rest = request.arguments
        if name == "fetch":
            data = (await self._objects.get_many([key], *rest)).get(key)
            note(f"{key}: {'nothing' if data is None else f'{len(data)} bytes'}")
            return data and self._flipped(key, data, by)
        if name in ("put", "delete"):
            call = self._objects.put_many({key: rest[0]}) if rest else self._objects.delete([key])
            await call
            note(_described(key, *rest))
            await (self._seen.put(key, rest[0]) if rest else self._seen.deleted(key, by))
            return None
        answer: Any = await getattr(self._objects, name)(key, *rest)
        note(f"{_described(key, *rest)}: {_answered(answer)}")
        if name == "get" and answer is not None and answer.data:
            return answer._replace(data=self._flipped(key, answer.data, by))
        if name in ("create", "replace") and answer is not None:
            await self._seen.written(key, rest[0], by)
        return answer

    # --- bytes that flip -------------------------------------------------------------------------

    def flip(self, key: SessionKey) -> str | None:
        folder = folder_of(key)
        kept = self._seen.kept
        parts = [
            found
            for prefix in (folder.head, folder.pages, folder.notes)
            if (found := sorted(name for name in kept if name.startswith(prefix)))
        ]
        if not parts:
            return None
        name = self._rng.choice(self._rng.choice(parts))
        self._flips[name] = self._rng.random()
        return name

    def heal(self) -> None:
        self._flips.clear()

    def _flipped(self, key: str, data: bytes, by: Operation | None) -> bytes:
        place = self._flips.get(key)
        if place is None:
            return data
        at = place * protected(key, self._seen.kept[key])
        if int(at) >= len(data):
            return data
        if by is not None:
            by.rotten = True
        flipped = bytearray(data)
        flipped[int(at)] ^= 1 << int(at % 1 * 8)
        return bytes(flipped)

    def check_end(self) -> None:
        self.ledger.check_garbage()
        self._seen.check_garbage()


class _Direct:
    """Awaitable objects without a network; a blocking driver blocks the loop, not a thread."""

    def __init__(self, objects: Objects | AsyncObjects) -> None:
        self._objects: Any = objects

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._objects, name)

        async def call(*arguments: Any, **more: Any) -> Any:
            answer = method(*arguments, **more)
            return await answer if isawaitable(answer) else answer

        return call


def _described(key: str, *rest: Any) -> str:
    parts = [f"{len(part)} bytes" if isinstance(part, bytes) else str(part)[:6] for part in rest]
    return " ".join([key, *parts])


def _answered(answer: Any) -> str:
    match answer:
        case None:
            return "nothing"
        case Object(data, tag):
            return f"{tag[:6]}, {len(data)} bytes"
        case [*entries]:
            return f"{len(entries)} entries"
        case _:
            return str(answer)[:6]
