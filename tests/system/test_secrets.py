"""A password in a store's URL is in no error, no log record, no ``repr`` and no output."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest

import checkpoint
from checkpoint import CheckpointError, InvalidOption, UnknownStore
from checkpoint._stores import registry
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.registry import redact
from tests.effort import case, some

from .roles import SESSION

pytestmark = pytest.mark.promise("secrets-hidden")

# Each is given to people in the wild, who do not quote what a URL would have them quote.
PASSWORDS = [
    "hunter2",
    *(f"hunter2{mark}swordfish" for mark in "@/:!$*+,=|~% "),
    *("@hunter2", "hunter2@", "/hunter2", "hunter2/", ":hunter2", "hunter2@swordfish/tuna"),
    *("hunter2%40swordfish", "hunter2@/swordfish@tuna", "hünter2", "hunter2/@", "//hunter2"),
    *("hunter2#swordfish", "hunter2@swordfish?tuna"),
    *("hunter2?swordfish", "?hunter2", "hunter2/swordfish?tuna", "hunter2/swordfish?tuna@shark"),
]
PARAMETERS = [
    *(
        "password={}",
        "sslpassword={}",
        "PASSWORD={}",
        "user=app&passwd={}",
        "pwd={}&x=1",
        "pass={}",
    ),
    *(
        "aws_secret_access_key={}",
        "token={}",
        "x=1;password={}",
        "session_token={}",
        "api-key={}",
        "pass={}",
    ),
    "p%61ssword={}",
    "password={}#swordfish",
]
SCHEMES = ["postgresql", "redis", "sqlite", "memory", "SQLITE", "mysql+pymysql"]


def hidden(password: str, *texts: str) -> None:
    """No text has a word of the password."""
    words = re.findall(r"\w{5,}", password)
    assert words
    for text in texts:
        assert not [word for word in words if word in text], text


def told(call: Callable[[], object], caplog: pytest.LogCaptureFixture) -> list[str]:
    """All that anybody is told of a call that is refused."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CheckpointError) as caught:
        call()
    error = caught.value
    records = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    shown = "".join(traceback.format_exception_only(error))
    chain = [repr(e) for e in (error.__cause__, error.__context__) if e is not None]
    return [
        str(error),
        repr(error),
        repr(pickle.loads(pickle.dumps(error))),
        shown,
        *chain,
        *records,
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_password_before_the_host_is_not_told(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    rests = ("host/agents", "host", "", "host:5432/agents?x=1")
    for password, rest in product(some(PASSWORDS), rests):
        url = f"{scheme}://app:{password}@{rest}"
        caplog.clear()
        with case(url):
            hidden(password, redact(url), *told(partial(checkpoint.open, url), caplog))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_password_in_a_parameter_is_not_told(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = ("hunter2", "hunter2@swordfish", "a/hunter2?swordfish=tuna")
    places = ("/agents.db", "app@host/agents", "host", "")
    for parameter, password, place in product(some(PARAMETERS), passwords, places):
        url = f"{scheme}://{place}?{parameter.format(password)}"
        secret = f"{password} swordfish" if "swordfish" in parameter else password
        caplog.clear()
        with case(url):
            hidden(secret, redact(url), *told(partial(checkpoint.open, url), caplog))


@pytest.mark.parametrize("opener", [checkpoint.open, checkpoint.open_async, checkpoint.preload])
def test_every_way_to_open_keeps_it(
    opener: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    for url in (
        "sqlite://app:hunter2@/x.db?password=swordfish",
        "sqlite:///x.db?password=swordfish&secret=hunter2",
        "nosuch://app:hunter2@host/db?token=swordfish",
        "memory://app:hunter2@/",
    ):
        hidden("hunter2 swordfish", *told(lambda url=url: opener(url), caplog))  # type: ignore[misc]


@pytest.mark.parametrize(
    "url", ["app:hunter2@host/db", "postgresql:app:hunter2@host/db", "postgresql:/app:hunter2@host"]
)
def test_what_only_resembles_a_url_keeps_it_too(url: str, caplog: pytest.LogCaptureFixture) -> None:
    hidden("hunter2", *told(lambda: checkpoint.open(url), caplog))


def test_errors_say_what_is_left_of_the_url() -> None:
    with pytest.raises(UnknownStore, match=r"postgresql://app:\*\*\*@host/agents\?sslmode=require"):
        checkpoint.open("postgresql://app:hunter2@host/agents?sslmode=require")
    with pytest.raises(InvalidOption, match=r"sqlite:///x\.db\?password=\*\*\*"):
        checkpoint.open("sqlite:///x.db?password=hunter2")


def open_guarded(url: str) -> InMemoryStore:
    """A driver of somebody's, whose URLs have passwords."""
    assert "hunter2" in url
    return InMemoryStore()


def test_a_checkpointer_of_a_url_with_a_password_never_tells_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setitem(registry.OURS, "guarded", f"{__name__}:open_guarded")
    url = "guarded://app:hunter2@host/agents?password=hunter2"
    other = checkpoint.open_async(url)
    asyncio.run(other.close())
    with checkpoint.open(url) as cp:
        texts = [repr(cp), repr(other)]
        with cp.turn(SESSION) as turn:
            turn.state["n"] = 1
        texts.append(repr(turn))
        for call in (
            lambda: cp.save(SESSION, {"n": 2}),
            lambda: cp.restore("missing"),
            lambda: cp.restore(SESSION, revision=9),
            lambda: cp.restore(SESSION, revision="label"),
            lambda: cp.fork(SESSION, SESSION),
            lambda: cp.save(SESSION, object()),  # type: ignore[arg-type]
        ):
            texts += told(call, caplog)
        cp.overwrite(SESSION, {"n": 3})
        texts += [repr(cp.history(SESSION)), repr(list(cp.sessions())), repr(cp.restore(SESSION))]
    hidden("hunter2", *texts, *(f"{r.getMessage()} {vars(r)}" for r in caplog.records))
    assert "guarded://app:***@host/agents" in repr(cp)


@pytest.mark.parametrize("command", [["sessions"], ["show"], ["history"]])
@pytest.mark.parametrize(
    "url",
    [
        "sqlite://app:hunter2@/x.db?password=swordfish",
        "sqlite:///x.db?password=swordfish",
        "sqlite:////nowhere/x.db?mode=ro&token=swordfish",
        "nosuch://app:hunter2@swordfish@host/db",
        "nosuch://app:hunter2/swordfish@host/db?secret=tuna",
        "guarded://app:hunter2@host/agents",
    ],
)
def test_the_command_line_never_tells_it(
    command: list[str],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    console = pytest.importorskip("checkpoint._cli.console", reason="needs the extra: cli")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry.OURS, "guarded", f"{__name__}:open_guarded")
    session = [] if command == ["sessions"] else [SESSION]
    for options in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["checkpoint", *command, url, *session, *options])
        code = console.main()
        written = capsys.readouterr()
        assert code != 0 or url.startswith("guarded")
        assert written.out + written.err
        hidden("hunter2 swordfish", written.out, written.err)
        assert "Traceback" not in written.err
