"""Simulates replicas on one store, in one thread, with faults decided by a seed.

Each replica runs the real asynchronous code. Its requests to the store are lost, late, repeated and
overtaken; processes crash and pause; clocks are wrong. A ledger records every request that takes
effect and checks the rules: no acknowledged write is lost, no write is applied twice, and reads
return only stored revisions. Runs with the same seed are identical, so every failure can be
repeated::

    python -m checkpoint.testing.simulator --seed 17 --verbose
"""

from checkpoint.testing.simulator.history import Violation
from checkpoint.testing.simulator.trace import Trace
from checkpoint.testing.simulator.weather import CALM, Weather
from checkpoint.testing.simulator.world import Report, simulate

__all__ = ["CALM", "Report", "Trace", "Violation", "Weather", "simulate"]
