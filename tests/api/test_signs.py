"""What the library says by itself: its log records, and a warning when sessions never repeat."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer

from .apis import Place

Dicts = AsyncCheckpointer[dict[str, Any]]

ENOUGH = 50  # sessions that were created and none restored: something is wrong with the ids


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = vars(record)["checkpoint"]
    return fields


def events(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [
        fields for fields in map(fields_of, caplog.records) if fields["event"].startswith(event)
    ]


# --- the key watch -------------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "sessions were created" in r.getMessage()]


async def test_sessions_that_never_repeat_are_noticed_once_and_named(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(ENOUGH - 1):
        await cp.save(f"request-{n}", {"n": n})
    assert warnings(caplog) == []
    for n in range(ENOUGH - 1, 3 * ENOUGH):
        await cp.save(f"request-{n}", {"n": n})
    (warning,) = warnings(caplog)
    assert f"{ENOUGH} sessions" in warning
    assert f"'request-{ENOUGH - 1}'" in warning


async def test_turns_and_runs_that_never_repeat_are_noticed_too(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(ENOUGH // 2):
        async with cp.turn(f"turn-{n}") as turn:
            turn.state["n"] = n
        await cp.run(f"run-{n}", lambda state: state.update(ran=True))
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("when", [0, ENOUGH - 2])
async def test_sessions_that_repeat_are_no_reason_to_warn(
    cp: Dicts, caplog: pytest.LogCaptureFixture, when: int
) -> None:
    for n in range(2 * ENOUGH):
        await cp.save(f"user-{n}", {"n": n})
        if n == when:
            await cp.restore(f"user-{n}")
    assert warnings(caplog) == []


async def test_a_turn_that_goes_on_is_a_session_that_repeats(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(2 * ENOUGH):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
        await cp.save(f"request-{n}", {})
    assert warnings(caplog) == []


async def test_one_session_saved_often_is_no_reason_to_warn(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = await cp.save("user-42", {})
    for n in range(ENOUGH + 1):
        snapshot = await cp.save("user-42", {"n": n}, parent=snapshot)
    assert warnings(caplog) == []


# --- log records ---------------------------------------------------------------------------------

SILENT = """
import asyncio, sys, checkpoint
cp = checkpoint.open(sys.argv[1])
with cp.turn("user-42") as turn:
    turn.state["n"] = 1
cp.restore("user-42")
cp.overwrite("user-42", {})  # a warning, for who has set up logging

async def main():
    async with checkpoint.open_async(sys.argv[1]) as cp:
        await cp.run("user-42", lambda state: state.update(n=2))

asyncio.run(main())
"""


def test_nothing_is_printed_by_default(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENT, url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_ordinary_work_logs_nothing_above_debug(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "checkpoint")
    caplog.clear()
    for n in (1, 2):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
    await cp.label("user-42", "good")
    await cp.rollback("user-42", 1)
    await cp.fork("user-42", "what-if")
    await cp.delete("user-42")
    assert caplog.records == []


async def test_a_save_is_logged_with_its_session_revision_writer_bytes_and_time(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    cp = place.open(replica="blue")
    caplog.set_level(logging.DEBUG, "checkpoint")
    for n in (1, 2):
        async with cp.turn("user-42") as turn:
            turn.state["n"] = n
    saved = events(caplog, "saved")
    assert [(s["session_id"], s["revision"]) for s in saved] == [("user-42", 1), ("user-42", 2)]
    history = await cp.history("user-42")
    for fields, snapshot in zip(saved, reversed(history), strict=True):
        assert fields["writer"] == str(snapshot.writer)
        assert f":{os.getpid()} (blue)" in fields["writer"]
        assert fields["bytes"] == snapshot.size
        assert fields["milliseconds"] > 0


async def test_a_restore_is_logged_with_its_session_and_revision(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    await cp.save("user-42", {"n": 1})
    caplog.set_level(logging.DEBUG, "checkpoint")
    await cp.restore("user-42")
    (fields,) = events(caplog, "restored")
    assert (fields["session_id"], fields["revision"]) == ("user-42", 1)


async def test_the_text_of_a_record_tells_its_fields_too(
    cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "checkpoint")
    await cp.save("user-42", {"secret": "hunter2"})
    for record in caplog.records:
        assert record.name == "checkpoint"
        for name, value in fields_of(record).items():
            assert name == "event" or f"{name}={value!r}" in record.getMessage()
        assert "hunter2" not in record.getMessage()


@pytest.mark.parametrize("url", ["memory://"])
async def test_a_store_that_forgets_says_so_when_it_is_opened(
    api: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    Place(api, url).close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "this process only" in record.getMessage()
