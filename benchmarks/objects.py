"""What a turn costs on S3: requests, time against the bare client, and money.

    python benchmarks/objects.py [--quick] [--delay 20] [--json FILE]

A server of S3 runs on this machine (ministack, from the packages for tests), behind a proxy that
holds every request for some milliseconds, as if it were in another building. Then:

a. a save and a restore of a session of 100 messages by this library, against ``put_object`` and
   ``get_object`` of as many bytes by boto3 alone, in the same rounds; and the processor's time for
   each without the delay;
b. the requests of 1,000 turns of one session, counted on the wire, by a replica that keeps serving
   it and by one that has never seen it, and what a million such turns cost on AWS.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from harness import (
    Samples,
    Target,
    environment,
    estimate,
    interleaved,
    ratio,
    seconds,
    table,
    write,
)
from s3_server import Served, served
from sessions import SEED, Agent, Pair, pairs

import checkpoint
from checkpoint import Checkpointer
from checkpoint_objectstore.s3 import S3Objects
from checkpoint_objectstore.store import ObjectStore
from tests.proxy import Proxy

OVER_BARE = 1.15
PUTS = 1.1  # for each save
LENGTH = 100  # messages of a session that is timed, about
SESSIONS = 20  # that are timed in turn, so that none gets much longer
SESSION = "user-42"

# Dollars for each request of S3 Standard in us-east-1, by the price list of 2025.
PRICES = {"PUT": 5e-6, "POST": 5e-6, "GET": 0.4e-6, "DELETE": 0.0}


class Scale(NamedTuple):
    """How often things are timed, and how many turns are counted."""

    rounds: int
    warm_up: int
    turns: int


FULL = Scale(rounds=200, warm_up=10, turns=1000)
QUICK = Scale(rounds=5, warm_up=1, turns=40)


# --- a. time -------------------------------------------------------------------------------------


class Subjects:
    """Calls of the library and of the bare client, through one proxy."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._said = pairs()
        self._keys = cycle([f"bare-{number}" for number in range(SESSIONS)])
        self._cp = self._replica()
        states = {f"session-{number}": Agent() for number in range(SESSIONS)}
        self._saved = cycle(states.items())
        self._restored = cycle(states)
        for said in islice(self._said, SESSIONS * LENGTH // 2):
            self._say(*next(self._saved), said)
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
        self._size = int(mean(item["Size"] for item in listed if item["Key"].endswith("/head")))
        for _ in range(SESSIONS):
            self.put()

    def _replica(self) -> Checkpointer[Agent]:
        """A replica that knows nothing yet, but has its client."""
        return checkpoint.open(ObjectStore(S3Objects(self._bucket, client=self._client)), Agent)

    def _say(self, session: str, state: Agent, said: Pair) -> None:
        state.memory.extend(said)
        self._cp.save(session, state)

    def save(self) -> float:
        """Save a turn of two messages."""
        return seconds(partial(self._say, *next(self._saved), next(self._said)))

    def restore(self) -> float:
        """Restore in a replica that has never seen the session."""
        return seconds(partial(self._replica().restore, next(self._restored)))

    def put(self) -> float:
        """Write as many bytes as a save does, by the client alone."""
        key, data = next(self._keys), bytes(self._size)
        return seconds(partial(self._client.put_object, Bucket=self._bucket, Key=key, Body=data))

    def get(self) -> float:
        """Read them."""

        def read() -> None:
            self._client.get_object(Bucket=self._bucket, Key=next(self._keys))["Body"].read()

        return seconds(read)


def time_calls(subjects: Subjects, scale: Scale) -> Samples:
    """Seconds of each call."""
    calls: dict[str, Callable[[], float]] = {
        "put": subjects.put,
        "save": subjects.save,
        "get": subjects.get,
        "restore": subjects.restore,
    }
    return interleaved(calls, rounds=scale.rounds, warm_up=scale.warm_up, seed=SEED)


def processor_time(subjects: Subjects, scale: Scale) -> dict[str, float]:
    """Milliseconds of this process for each call, the median."""
    taken: dict[str, list[float]] = {}
    for _ in range(scale.rounds):
        for name in ("put", "save", "get", "restore"):
            began = time.process_time()
            getattr(subjects, name)()
            taken.setdefault(name, []).append((time.process_time() - began) * 1e3)
    return {name: median(times) for name, times in taken.items()}


# --- b. requests ---------------------------------------------------------------------------------


def count_requests(server: Served, turns: int) -> dict[str, Counter[str]]:
    """Requests of so many turns, by method."""
    counted: dict[str, Counter[str]] = {}
    with Proxy(server.endpoint) as proxy:
        for kind in ("one replica", "a new replica each turn"):
            client, bucket = server.client(proxy.url), server.new_bucket()

            def opened(client: Any = client, bucket: str = bucket) -> Checkpointer[Agent]:
                return checkpoint.open(ObjectStore(S3Objects(bucket, client=client)), Agent)

            cp = opened()
            proxy.forget()
            for said in islice(pairs(), turns):
                with cp.turn(SESSION, window=50) as turn:
                    turn.state.memory.extend(said)
                if kind != "one replica":
                    cp = opened()
            counted[kind] = Counter(request.method for request in proxy.requests)
    return counted


def dollars(counted: Counter[str], turns: int) -> float:
    """What a million turns like those counted cost."""
    return sum(PRICES[method] * number for method, number in counted.items()) / turns * 1e6


# --- the report ----------------------------------------------------------------------------------


def measure(directory: Path, scale: Scale, delay: float) -> dict[str, Any]:
    """Measure all there is, and tell it on the way."""
    around = environment(directory)
    print("\n".join(f"{name}: {value}" for name, value in around.items()))
    with served() as server:
        with Proxy(server.endpoint, delay=delay / 1e3) as proxy:
            subjects = Subjects(server.client(proxy.url), server.new_bucket())
            samples = time_calls(subjects, scale)
        used = processor_time(Subjects(server.client(), server.new_bucket()), scale)
        counted = count_requests(server, scale.turns)

    print(f"\na. {LENGTH} messages, {delay:g} ms of added delay, {scale.rounds} rounds")
    rows = [["", "p50 ms", "processor ms"]]
    for name, taken in samples.items():
        value, low, high = estimate(taken).scaled(1e3)
        rows.append([name, f"{value:.2f} ({low:.2f} to {high:.2f})", f"{used[name]:.2f}"])
    print(table(rows))

    print(f"\nb. requests of {scale.turns} turns")
    methods = ["PUT", "GET", "POST", "DELETE"]
    cost = {kind: dollars(each, scale.turns) for kind, each in counted.items()}
    print(
        table(
            [
                ["", *methods, "$ a million turns"],
                *(
                    [kind, *(str(each[method]) for method in methods), f"{cost[kind]:.2f}"]
                    for kind, each in counted.items()
                ),
            ]
        )
    )
    puts = counted["one replica"]["PUT"] / scale.turns
    targets = [
        Target("a. save over put", ratio(samples["save"], samples["put"]), OVER_BARE),
        Target("a. restore over get", ratio(samples["restore"], samples["get"]), OVER_BARE),
        Target("b. puts of a turn", estimate([puts]), PUTS),
    ]
    print("\ntargets")
    print(table([target.row() for target in targets]))
    return {
        "environment": around,
        "scale": scale._asdict(),
        "delay": delay,
        "samples": samples,
        "processor": used,
        "requests": counted,
        "dollars": cost,
        "targets": [target.row() for target in targets],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds and turns")
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds, 20 by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), QUICK if options.quick else FULL, options.delay)
    if options.json:
        write(options.json, result)


if __name__ == "__main__":
    main()
