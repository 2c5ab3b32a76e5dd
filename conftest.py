"""What the examples in docstrings take as imported."""

import asyncio

import pytest

import checkpoint


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(asyncio=asyncio, checkpoint=checkpoint)
