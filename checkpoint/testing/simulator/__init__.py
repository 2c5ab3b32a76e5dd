"""Many replicas on one store, in one thread, with all that goes wrong decided by a seed.

Each replica runs the real asynchronous code. Its requests are lost, late, repeated and overtaken
on their way to the store; processes end and stand still; clocks are wrong. A ledger notes all that
took effect and holds the rules: nothing that was acknowledged is lost, nothing is applied twice,
nobody reads what is not there. The same seed is the same run, so what was found once is found
again::

    python -m checkpoint.testing.simulator --seed 17 --verbose
"""

from checkpoint.testing.simulator.history import Violation
from checkpoint.testing.simulator.trace import Trace
from checkpoint.testing.simulator.weather import CALM, Weather
from checkpoint.testing.simulator.world import Report, simulate

__all__ = ["CALM", "Report", "Trace", "Violation", "Weather", "simulate"]
