"""Replicas on objects, with faults between their requests: no promise is broken."""

from __future__ import annotations

from collections import Counter

import pytest

from checkpoint.errors import StoreUnavailable
from checkpoint.testing.simulator import CALM, Report, Weather
from checkpoint_objectstore.testing import simulate, simulated
from checkpoint_objectstore.testing.link import ObjectsLink
from tests.effort import SOAK, times
from tests.objectstore.in_memory import InMemoryObjects

CHUNKS = range(24 if SOAK else 2)
SEEDS = times(12, soak=50)  # of each chunk
OPERATIONS = 250 if SOAK else 150


def run(seed: int, **given: object) -> Report:
    report = simulate(seed, objects=InMemoryObjects, **given)  # type: ignore[arg-type]
    assert report.violation is None, "\n".join(report.trace.lines[-60:])
    return report


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("chunk", CHUNKS)
def test_whatever_goes_wrong_between_two_requests_no_promise_is_broken(chunk: int) -> None:
    requests, kinds = 0, Counter[str]()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        report = run(seed, operations=OPERATIONS)
        requests += report.requests
        kinds += report.operations
    assert requests >= SEEDS * OPERATIONS
    assert min(kinds.values()) > 0


def test_where_nothing_goes_wrong_nothing_fails() -> None:
    for seed in range(3):
        report = run(seed, weather=CALM)
        assert not [line for line in report.trace.lines if "StoreUnavailable" in line]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = run(7, operations=60), run(7, operations=60)
    assert first.trace.lines == second.trace.lines
    assert run(8, operations=60).trace.digest() != first.trace.digest()


@pytest.mark.slow
def test_the_requests_of_a_batch_are_lost_one_by_one() -> None:
    """Some are done and others not, and a process ends in the middle of them."""
    lines = [line for seed in range(6) for line in run(seed).trace.lines]
    for name in "put", "replace", "create", "delete", "fetch":
        assert [line for line in lines if f" {name}/" in line and line.endswith(" lost")]
    ends = "the process ends before it is"
    for what in f"{ends} sent", f"{ends} answered", "the process pauses before it is sent":
        assert [line for line in lines if what in line and ("put/" in line or "delete/" in line)]


class Resending(ObjectsLink):
    """Sends a write again where the reply was lost, and tells what it is told then."""

    async def create(self, key: str, data: bytes) -> str | None:
        try:
            return await super().create(key, data)
        except StoreUnavailable:
            return await super().create(key, data)

    async def replace(self, key: str, data: bytes, tag: str) -> str | None:
        try:
            return await super().replace(key, data, tag)
        except StoreUnavailable:
            return await super().replace(key, data, tag)


@pytest.mark.promise("unclear-resolved")
def test_a_driver_that_takes_its_own_first_try_for_another_writer_breaks_no_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must not tell a refusal then; but every refusal is looked up, too."""
    monkeypatch.setattr(simulated, "ObjectsLink", Resending)
    for seed in range(times(8, soak=100)):
        run(seed, weather=Weather(unanswered=0.2, late=0.05, slow=0.05, idle=0.01))
