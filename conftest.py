"""What every run of pytest shares: how much is tried, and what examples in docstrings may use."""

import asyncio
import os
import re
from functools import cache
from pathlib import Path

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


# --- promises ------------------------------------------------------------------------------------

GUIDE = "docs/guide.md"


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "run the tests of a promise of docs/guide.md, the slow ones too"
    parser.addoption("--promise", metavar="NAME", help=what)


@cache
def promises(guide: Path) -> tuple[str, ...]:
    """The names in the table of promises of the guide."""
    _, _, section = guide.read_text().partition("\n## Promises\n")
    section, _, _ = section.partition("\n## ")
    return tuple(re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.MULTILINE))


def marked(item: pytest.Item) -> set[str]:
    return {mark.args[0] for mark in item.iter_markers("promise")}


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("--promise")
    if wanted is not None:
        known = promises(config.rootpath / GUIDE)
        if wanted not in known:
            raise pytest.UsageError(f"--promise {wanted}: the promises are {', '.join(known)}")
        config.option.markexpr = ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--promise")
    if wanted is not None:
        config.hook.pytest_deselected(items=[item for item in items if wanted not in marked(item)])
        items[:] = [item for item in items if wanted in marked(item)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    typos = marked(item).difference(promises(item.config.rootpath / GUIDE))
    if typos:
        pytest.fail(f"{', '.join(typos)} is no promise of {GUIDE}", pytrace=False)
