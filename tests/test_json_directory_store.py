"""The store among the examples passes the suite, as the tests of its author would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import checkpoint
from checkpoint import Damaged, StoreUnavailable
from checkpoint.store import Store
from checkpoint.testing import StoreSuite

EXAMPLE = Path(__file__).parents[1] / "examples" / "json_directory_store.py"


def module_of_example() -> Any:
    spec = spec_from_file_location("json_directory_store", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = module_of_example()


def values_in(place: Path) -> Iterator[bytes]:
    for path in place.glob("*/*.page"):
        yield path.read_bytes()
    for path in place.glob("*/session.json"):
        fields = json.loads(path.read_text())
        for row in fields["records"] + fields["attachments"]:
            yield from (b64decode(value) for value in row[2:])


@pytest.mark.slow
class TestJsonDirectory(StoreSuite):
    examples = 10

    def open(self, place: Path) -> Store:
        store: Store = example.JsonDirectoryStore(place)
        return store

    def raw(self, place: Path) -> Iterable[bytes]:
        return values_in(place)


def test_an_agent_is_kept_by_it(tmp_path: Path) -> None:
    for number in range(3):
        store = example.open_store(f"json:///{tmp_path}/agents")
        with checkpoint.open(store) as cp, cp.turn("user-42") as turn:
            turn.state.setdefault("seen", []).append(number)
    with checkpoint.open(example.JsonDirectoryStore(tmp_path / "agents")) as cp:
        assert cp.restore("user-42").state == {"seen": [0, 1, 2]}
        assert cp.restore("user-42", revision=2).state == {"seen": [0, 1]}


def test_turns_of_one_session_in_several_processes_are_all_kept(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(EXAMPLE.parent)!r})
import checkpoint
from json_directory_store import JsonDirectoryStore
with checkpoint.open(JsonDirectoryStore({str(tmp_path / "agents")!r})) as cp:
    for n in range(10):
        cp.run("user-42", lambda state: state.setdefault("seen", []).append(n))
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    with checkpoint.open(example.JsonDirectoryStore(tmp_path / "agents")) as cp:
        restored = cp.restore("user-42")
    assert restored.revision == 30
    assert sorted(restored.state["seen"]) == sorted(list(range(10)) * 3)


@pytest.mark.promise("not-absent")
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"head": []}', "\ud7ff", '{"head": [1, 2]}'])
def test_a_file_that_holds_no_session_is_damaged_and_not_absent(
    tmp_path: Path, content: str
) -> None:
    with checkpoint.open(example.JsonDirectoryStore(tmp_path)) as cp:
        cp.save("user-42", {"n": 1})
        (file,) = tmp_path.glob("*/session.json")
        file.write_text(content)
        for call in (cp.restore, cp.delete, lambda name: cp.overwrite(name, {})):
            with pytest.raises(Damaged, match="does not hold a session"):
                call("user-42")


def test_a_directory_that_cannot_be_one_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with checkpoint.open(example.JsonDirectoryStore(tmp_path / "file")) as cp:
        for call in (lambda: cp.restore("user-42"), lambda: cp.save("user-42", {})):
            with pytest.raises(StoreUnavailable):
                call()
