"""From a URL to a store; and whatever is wrong with the URL, its secrets are not told."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpoint
from checkpoint import InvalidOption, UnknownStore
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.registry import GROUP, open_async_store, open_store, redact
from checkpoint._stores.threads import ThreadedStore

from ..effort import case, examples

SHOWN = {
    "sqlite:///agents.db": "sqlite:///agents.db",
    "sqlite:////tmp/a.db?timeout=3": "sqlite:////tmp/a.db?timeout=3",
    "memory://": "memory://",
    "postgresql://db.example.org:5432/agents": "postgresql://db.example.org:5432/agents",
    "postgresql://app@db/agents": "postgresql://app@db/agents",
    "s3://bucket/prefix?region=eu-west-1": "s3://bucket/prefix?region=eu-west-1",
    "postgresql://app:hunter2@db/agents": "postgresql://app:***@db/agents",
    "redis://:hunter2@cache:6379/0": "redis://:***@cache:6379/0",
    "x://a:hunter2@b?password=hunter2&x=1": "x://a:***@b?password=***&x=1",
    "s3://b/p?aws_secret_access_key=hunter2&region=r": (
        "s3://b/p?aws_secret_access_key=***&region=r"
    ),
    "x://h?TOKEN=hunter2": "x://h?TOKEN=***",
    "x://h;pwd=hunter2": "x://h;pwd=***",
}
HIDDEN = [
    "x://app:hun@hunter2@db/agents",
    "x://app:/hunter2@db/agents",
    "x://app:#hunter2@db/agents",
    "x://app:?hunter2@db/agents",
    "x://app:a:hunter2@db/agents",
    "x:/app:hunter2@db/agents",
    "x:app:hunter2@db/agents",
    "//app:hunter2@db/agents",
    "app:hunter2@db/agents",
    " x://app:hunter2@db/agents",
    "x://db/agents?user=a&Password=hunter2",
    "x://db/agents?access_token=hunter2#part",
    "x://db/agents?sslkey=hunter2",
    "x://db/agents?credentials=hunter2",
    "x://db/agents?api-key=hunter2",
]
OURS = [
    "sqlite://app:hunter2@host/agents.db",
    "sqlite:///agents.db?password=hunter2",
    "sqlite:///agents.db?mode=ro&key=hunter2",
    "memory://app:hunter2@host",
    "memory://?token=hunter2",
]


@pytest.mark.promise("secrets-hidden")
@pytest.mark.parametrize("url", SHOWN)
def test_a_url_is_shown_without_its_secrets(url: str) -> None:
    assert redact(url) == SHOWN[url]


@pytest.mark.promise("secrets-hidden")
@pytest.mark.parametrize("url", HIDDEN)
def test_a_secret_is_hidden_wherever_it_stands(url: str) -> None:
    assert "hunter2" not in redact(url)


_odd = st.text("@/?#:&;=% aé'\"\\", max_size=3)


@pytest.mark.promise("secrets-hidden")
@examples(300)
@given(_odd, _odd, st.sampled_from(["", "app", "a b"]), st.sampled_from(["/x", "", "?x=1", "#x"]))
def test_a_password_of_any_characters_is_hidden(
    before: str, after: str, user: str, rest: str
) -> None:
    assert "hunter2" not in redact(f"postgresql://{user}:{before}hunter2{after}@db{rest}")


def opened_async(url: str, **options: Any) -> object:
    return checkpoint.open_async(url, **options)


@pytest.mark.promise("secrets-hidden")
@pytest.mark.parametrize("open_", [checkpoint.open, opened_async, checkpoint.preload])
def test_an_error_about_a_url_does_not_tell_its_secrets(
    open_: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    refusals = (InvalidOption, UnknownStore)
    for url in (*HIDDEN, *OURS):
        with case(url):
            with caplog.at_level(logging.DEBUG), pytest.raises(refusals) as caught:
                open_(url)
            assert "hunter2" not in "".join(traceback.format_exception_only(caught.value))
            assert "hunter2" not in repr(caught.value)
            assert "hunter2" not in caplog.text


@pytest.mark.promise("secrets-hidden")
def test_a_checkpointer_shows_its_store_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, lambda _: InMemoryStore())
    url = "strange://app:hunter2@db/agents?token=hunter2"
    with checkpoint.open(url) as cp:
        assert repr(cp) == (
            "Checkpointer('strange://app:***@db/agents?token=***', dict v0, namespace='default')"
        )


# --- which store ---------------------------------------------------------------------------------


class Driver:
    """What a stranger's package would hold; its function is set by each test."""

    open_store: Callable[[str], InMemoryStore]


def register(monkeypatch: pytest.MonkeyPatch, opener: Callable[[str], InMemoryStore]) -> None:
    """Register a driver for ``strange://``, as an installed package does."""
    monkeypatch.setattr(Driver, "open_store", staticmethod(opener), raising=False)
    entry = EntryPoint("strange", f"{__name__}:Driver.open_store", GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: EntryPoints([entry]))


def test_an_unknown_scheme_names_the_known_ones_and_what_to_install() -> None:
    with pytest.raises(UnknownStore) as caught:
        checkpoint.open("redsi://h")
    for word in ("'redsi'", "memory", "sqlite", "extra", GROUP):
        assert word in str(caught.value)


def test_a_strangers_driver_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def opener(url: str) -> InMemoryStore:
        seen.append(url)
        return InMemoryStore()

    register(monkeypatch, opener)
    with checkpoint.open("strange://place") as cp:
        cp.save("user-42", {"n": 1})
        assert cp.restore("user-42").state == {"n": 1}

    async def run() -> int:
        async with checkpoint.open_async("STRANGE://place") as acp:
            return (await acp.save("user-42", {"n": 1})).revision

    assert asyncio.run(run()) == 1
    assert seen == ["strange://place", "STRANGE://place"]


def test_a_strangers_driver_may_open_asynchronous_stores_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores = [ThreadedStore(InMemoryStore()), ThreadedStore(InMemoryStore())]
    register(monkeypatch, lambda _: InMemoryStore())
    opener = staticmethod(lambda url: stores.pop())
    monkeypatch.setattr(Driver, "open_async_store", opener, raising=False)
    last = stores[-1]
    assert open_async_store("strange://place") is last
    assert isinstance(open_store("strange://place"), InMemoryStore)


def test_each_memory_url_is_a_store_of_its_own() -> None:
    with checkpoint.open("memory://") as one, checkpoint.open("memory://") as other:
        one.save("user-42", {})
        assert list(other.sessions()) == []


def test_a_store_object_may_be_shared() -> None:
    store = InMemoryStore()
    checkpoint.open(store).save("user-42", {"n": 1})
    assert checkpoint.open(store).restore("user-42").state == {"n": 1}
    assert list(checkpoint.open(store, namespace="other").sessions()) == []


def test_opening_connects_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with checkpoint.open(f"sqlite:///{path}"):
        checkpoint.preload(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", [None, 42, b"sqlite:///a.db", Path("a.db"), "", "a.db", object()])
def test_what_names_no_store_is_refused(store: Any) -> None:
    for open_ in (checkpoint.open, checkpoint.open_async):
        with pytest.raises(InvalidOption, match=r"sqlite:///agents\.db"):
            open_(store)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_bytes": 0}, "max_bytes"),
        ({"capture": dict}, "build="),
        ({"build": dict}, "capture="),
        ({"schema": "a"}, "model"),
        ({"version": 1}, "model"),
        ({"replica": "a\n"}, "replica"),
        ({"namespace": ""}, "namespace"),
    ],
    ids=str,
)
def test_an_option_without_a_meaning_is_refused(options: dict[str, Any], word: str) -> None:
    for open_ in (checkpoint.open, opened_async):
        with pytest.raises(ValueError, match=word):
            open_("memory://", **options)
