"""Replicas on a store across a bad network, seed after seed: no promise is broken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from checkpoint._stores.registry import open_store
from checkpoint.testing.simulator import CALM, Report, simulate
from checkpoint.testing.simulator.__main__ import main
from tests.effort import SOAK, times

CHUNKS = range(12 if SOAK else 2)
SEEDS = times(15, soak=60)  # of each chunk
OPERATIONS = 250 if SOAK else 150


def run(seed: int, **given: object) -> Report:
    report = simulate(seed, **given)  # type: ignore[arg-type]
    assert report.violation is None, "\n".join(report.trace.lines[-60:])
    return report


# --- many seeds ----------------------------------------------------------------------------------


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("chunk", CHUNKS)
def test_whatever_goes_wrong_no_promise_is_broken(chunk: int) -> None:
    requests, kinds = 0, Counter[str]()
    for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS):
        report = run(seed, operations=OPERATIONS)
        requests += report.requests
        kinds += report.operations
    assert requests >= SEEDS * OPERATIONS
    assert min(kinds.values()) > 0


def test_where_nothing_goes_wrong_nothing_fails() -> None:
    """The network's faults are what operations fail by, and not the simulator itself."""
    for seed in range(5):
        report = run(seed, weather=CALM)
        assert not [line for line in report.trace.lines if "StoreUnavailable" in line]


@pytest.mark.parametrize("seed", range(times(2, soak=20)))
def test_a_run_on_sqlite_is_that_on_the_reference(seed: int, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/simulated.db")
    on_sqlite = run(seed, store=lambda: store)
    store.close()
    assert on_sqlite.trace.lines == run(seed).trace.lines


# --- the same again ------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_run() -> None:
    first, second = simulate(7), simulate(7)
    assert first.trace.lines == second.trace.lines
    assert first.trace.digest() == second.trace.digest()
    assert simulate(8).trace.digest() != first.trace.digest()


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_runs_the_same(hash_seed: str) -> None:
    """Neither the order of sets, nor the process id, nor the time of day comes into it."""
    code = "from checkpoint.testing.simulator import simulate; print(simulate(7).trace.digest())"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    printed = subprocess.check_output(command, text=True, env=environment)
    assert printed.strip() == simulate(7).trace.digest()


def test_the_process_is_as_before_after_a_run() -> None:
    from checkpoint._records import baseline, pagination

    def changed() -> list[object]:
        sizes = [vars(pagination)["PAGE_SIZE"], baseline.MAX_PATCHES]
        return [os.urandom, time.time_ns, time.monotonic, random.getstate(), *sizes]

    before = changed()
    simulate(1, operations=5)
    assert changed() == before


# --- for people ----------------------------------------------------------------------------------


def test_the_command_prints_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--operations", "5", "-v"]) == 0
    printed = capsys.readouterr().out
    assert "seed 3" in printed
    assert "#5 " in printed
    assert "no rule was broken" in printed
