"""Timing several things fairly, and telling what came out: the harness of the benchmarks here.

Things that are to be compared are timed in rounds: in each round, each of them once, in an order
that a seed shuffles anew. So what disturbs the machine for a while disturbs them all, and none
always runs after the same other. Rounds for warming up are not counted.

Told are medians and other percentiles with confidence intervals of 95 %:

* of a percentile, by order statistics: how many of *n* samples lie below the true percentile is
  binomial, so the interval reaches from one of the samples to another, whatever their distribution;
* of a ratio of two of them, by the bootstrap: rounds are drawn again and again, with a seed, so
  that what was measured in one round stays together.

Both assume that rounds are independent, which no real machine quite grants: take an interval as the
least doubt there is.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from math import exp, lgamma, log
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

CONFIDENCE = 0.95
RESAMPLES = 1000  # of the bootstrap
PACKAGES = ("msgpack", "pydantic", "pydantic_core", "zstandard")

Samples = dict[str, list[float]]
"""By name, what each round gave, in the order of the rounds."""


# --- timing --------------------------------------------------------------------------------------


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    started = perf_counter()
    call()
    return perf_counter() - started


def interleaved(
    subjects: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: int, seed: int
) -> Samples:
    """Run each subject once in each round; return what they gave.

    Args:
        subjects: functions that do something once, and return the seconds it took. What must be
            prepared for it, they do before they look at the clock.
        rounds: how many are counted.
        warm_up: how many go before those.
        seed: of the order within each round.
    """
    random = Random(seed)
    samples: Samples = {name: [] for name in subjects}
    for number in range(warm_up + rounds):
        names = list(subjects)
        random.shuffle(names)
        gc.collect()  # here, rather than in the middle of whatever comes next
        for name in names:
            took = subjects[name]()
            if number >= warm_up:
                samples[name].append(took)
    return samples


# --- statistics ----------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A figure and the interval that holds the true one, most likely."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(*(part * factor for part in self))


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which that share of the samples lies, between two of them if need be."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(samples: Sequence[float], share: float = 0.5) -> Estimate:
    """A percentile of the samples (the median), and its interval.

    With too few samples to bound it, the interval ends at the outermost of them: of the 95th
    percentile, with fewer than 72.
    """
    ordered = sorted(samples)
    low, high = ranks(len(ordered), share)
    return Estimate(percentile(ordered, share), ordered[low], ordered[high])


def ranks(count: int, share: float) -> tuple[int, int]:
    """Which of ``count`` ordered samples, counted from 0, bound the interval of a percentile."""
    tail = (1 - CONFIDENCE) / 2
    at_most = 0.0  # the probability that no more than `rank` samples are below the true percentile
    low, high = 0, count - 1
    for rank in range(count):
        at_most += _binomial(count, rank, share)
        if at_most <= tail:
            low = rank
        if at_most >= 1 - tail:
            high = rank
            break
    return low, high


def _binomial(count: int, chosen: int, share: float) -> float:
    ways = lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)
    return exp(ways + chosen * log(share) + (count - chosen) * log(1 - share))


def ratio(
    over: Sequence[float], under: Sequence[float], share: float = 0.5, *, seed: int = 1
) -> Estimate:
    """A percentile of one thing over that of another, timed in the same rounds; its interval."""
    rounds = list(zip(over, under, strict=True))
    random = Random(seed)
    drawn = []
    for _ in range(RESAMPLES):
        again = random.choices(rounds, k=len(rounds))
        drawn.append(_quotient(again, share))
    tail = (1 - CONFIDENCE) / 2
    return Estimate(_quotient(rounds, share), percentile(drawn, tail), percentile(drawn, 1 - tail))


def _quotient(rounds: Sequence[tuple[float, float]], share: float) -> float:
    over, under = zip(*rounds, strict=True)
    return percentile(over, share) / percentile(under, share)


class Target(NamedTuple):
    """A figure, and what it should be at most."""

    what: str
    figure: Estimate
    at_most: float

    @property
    def met(self) -> bool:
        """Whether the figure is within it; its interval may reach beyond."""
        return self.figure.value <= self.at_most

    def row(self) -> list[str]:
        """As a line of a table."""
        value, low, high = (f"{part:.3g}" for part in self.figure)
        between = "" if low == high else f"{low} to {high}"
        return [self.what, value, between, f"{self.at_most:.3g}", "met" if self.met else "MISSED"]


# --- telling -------------------------------------------------------------------------------------


def environment(directory: Path) -> dict[str, Any]:
    """What figures depend on: versions, processor, system, and the disk of a directory.

    Nothing in it names the host or who ran it.
    """
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in PACKAGES},
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": _file_system(directory.resolve()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on, where Linux tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    fields = [line.split() for line in mounts]
    on = [(len(at), kind) for _, at, kind, *_ in fields if directory.is_relative_to(at)]
    return max(on, default=(0, "unknown"))[1]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def write(file: Path, result: Mapping[str, Any]) -> None:
    """Keep a result as JSON."""
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
