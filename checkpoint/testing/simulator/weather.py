"""The weather of a run: which faults happen, and how often."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

HOUR = 3600.0


class Weather(NamedTuple):
    """Probabilities that a request meets a fault, unless stated otherwise.

    Each run has some faults often, some seldom and some never: with an even mix, several faults of
    one kind in a row would be too rare.

    Crashes and pauses are more frequent between the steps of a write.

    Attributes:
        lost: it never arrives.
        unanswered: it is done, but the reply is lost.
        late: it is done after its sender has given up.
        repeated: it arrives again later.
        slow: it takes seconds, not milliseconds.
        outage: it is lost, with all others of its process for up to minutes.
        crash: the process ends before or after it is done.
        pause: the process is paused before it is sent or after it is answered, for up to hours.
        cancelled: probability that the caller cancels an operation.
        rot: probability that a stored byte flips before an operation.
        skew: maximum error of clocks, in seconds.
        leap: probability that a clock is set before an operation.
        idle: probability that hours pass between two operations.
    """

    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    slow: float = 0.0
    outage: float = 0.0
    crash: float = 0.0
    pause: float = 0.0
    cancelled: float = 0.0
    rot: float = 0.0
    skew: float = 0.0
    leap: float = 0.0
    idle: float = 0.0


CALM = Weather()
"""No faults."""


def draw(rng: Random) -> Weather:
    """Draw the weather of a run."""

    def chance(seldom: float, often: float) -> float:
        return rng.choice((0.0, seldom, seldom, often))

    return Weather(
        lost=chance(0.01, 0.15),
        unanswered=chance(0.01, 0.15),
        late=chance(0.01, 0.1),
        repeated=chance(0.02, 0.2),
        slow=chance(0.02, 0.2),
        outage=chance(0.002, 0.01),
        crash=chance(0.001, 0.01),
        pause=chance(0.002, 0.015),
        cancelled=chance(0.01, 0.05),
        rot=chance(0.0, 0.02),
        skew=rng.choice((0.0, 60.0, 600.0)),
        leap=chance(0.01, 0.05),
        idle=rng.choice((0.01, 0.05, 0.2)),
    )
