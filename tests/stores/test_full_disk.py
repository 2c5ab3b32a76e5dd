"""A disk that is full: a typed error, nothing lost, and all well again once there is room."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import full_disk

# In a mount namespace of its own, so that nothing stays mounted whatever happens to the test.
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
MOUNT = 'mount -t tmpfs -o size=512k tmpfs "$0" && exec "$@"'


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``full_disk.py`` saw on a small disk."""
    directory = tmp_path_factory.mktemp("disk")
    within = [*NAMESPACE, "sh", "-c", MOUNT, str(directory)]
    if not shutil.which("unshare") or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip(
            "a small disk needs a mount: run as root with CAP_SYS_ADMIN, or where users may make "
            "namespaces (sysctl kernel.unprivileged_userns_clone=1; util-linux's unshare)"
        )
    program = [sys.executable, str(Path(full_disk.__file__)), str(directory)]
    done = subprocess.run([*within, *program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_save_on_a_full_disk_says_so(told: dict[str, Any]) -> None:
    for refused in (told["later"]["refused"], *told["later"]["again"]):
        assert refused["error"] == "StoreFull"
        assert "sessions.db" in refused["says"]
        assert "nothing was written" in refused["says"]


@pytest.mark.promise("never-lost")
def test_what_was_saved_before_is_all_there(told: dict[str, Any]) -> None:
    later = told["later"]
    assert later["turns kept"] >= 3, "some turns went before the disk was full"
    assert later["intact"] is True
    assert later["small"] == {"n": 1}
    assert later["sessions"] == ["small", "user-42"]


def test_saving_goes_on_where_it_was_once_there_is_room(told: dict[str, Any]) -> None:
    later = told["later"]
    assert later["room"] == later["turns kept"] + 1
    assert later["reopened"] is True
    assert later["history"] == later["room"]


def test_what_had_no_room_is_done_when_there_is(told: dict[str, Any]) -> None:
    for little in told["little"]:
        assert little["restored later"] is True
        assert little["saved later"] is True
        assert little["begun later"] is True


def test_with_room_enough_all_goes(told: dict[str, Any]) -> None:
    last = told["little"][-1]
    assert isinstance(last["restored"], dict)
    assert "error" not in last["restored"]
    assert [last["saved"], last["begun"]] == [1, True]


@pytest.mark.promise("never-lost")
@pytest.mark.parametrize("what", ["restored", "saved", "begun"])
def test_whatever_room_is_left_what_does_not_go_is_told_as_a_full_disk(
    told: dict[str, Any], what: str
) -> None:
    answers = [little[what] for little in told["little"]]
    errors = {
        answer["error"] for answer in answers if isinstance(answer, dict) and "error" in answer
    }
    assert errors == {"StoreFull"}
