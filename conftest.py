"""What every run of pytest shares: how much is tried, and what examples in docstrings may use."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, settings

import checkpoint

# Tests say how much a full run tries; the examples of a profile are a percentage of that.
for name, percentage in (("dev", 20), ("ci", 100), ("soak", 2000)):
    settings.register_profile(
        name,
        max_examples=percentage,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile("soak" if os.environ.get("CHECKPOINT_SOAK") else "dev")


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(asyncio=asyncio, checkpoint=checkpoint)
