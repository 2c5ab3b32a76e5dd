"""How many examples a state machine tries: few as a rule, many with CHECKPOINT_SOAK=1."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.strategies import SOAK


def steps(examples: int, length: int) -> settings:
    """Settings of a state machine; a soak tries twenty times as many."""
    return settings(
        max_examples=examples * (20 if SOAK else 1),
        stateful_step_count=length,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
