"""How bad a run is: what can go wrong in it, and how often."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

HOUR = 3600.0


class Weather(NamedTuple):
    """Probabilities that a request meets a fault, unless said otherwise.

    Each run has some faults often, some seldom and some not at all: where all kinds mix evenly,
    what takes several of one kind in a row is never seen.

    The process ends or stands still more often between the steps of a write.

    Attributes:
        lost: it never arrives.
        unanswered: it is done, and the reply is lost.
        late: its sender gives up before it arrives, and it is done then.
        repeated: it arrives once more, later.
        slow: it takes seconds, not milliseconds.
        outage: it is lost, and all others of its process for up to minutes.
        crash: the process ends with it, before or after it is done.
        pause: the process stands still before it is sent or after it is answered, up to hours.
        cancelled: probability that an operation is given up by its caller in the middle.
        rot: probability that an operation is preceded by a byte that flips in the store.
        skew: seconds by which clocks are off, at most.
        leap: probability that an operation is preceded by a clock that is set.
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
"""Nothing goes wrong."""


def draw(rng: Random) -> Weather:
    """The weather of a run."""

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
