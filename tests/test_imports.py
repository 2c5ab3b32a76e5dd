"""What is imported and when, what is public and documented, and that generated code is fresh."""

from __future__ import annotations

import asyncio
import dataclasses
import doctest
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import checkpoint
import checkpoint.errors
import checkpoint.store
from checkpoint import AsyncCheckpointer, Checkpointer, CheckpointError
from checkpoint._stores.registry import GROUP, OURS
from checkpoint.store import AsyncStore, InMemoryStore, Store, ThreadedStore
from checkpoint_objectstore.store import ObjectStore
from checkpoint_sql.sqlite import SqliteStore

ROOT = Path(__file__).parent.parent

HEAVY = ["sqlalchemy", "boto3", "redis", "psycopg", "asyncio", "typer", "rich"]
DRIVERS = ["pydantic", "sqlite3", "zstandard", "msgpack", "logging"]

TURN = """
import checkpoint
from checkpoint import AgentState, Memory

class Support(AgentState, schema="support", version=1):
    memory: Memory[str] = Memory()

with checkpoint.open("sqlite:///{path}", Support) as cp:
    for text in "ab":
        with cp.turn("user-42") as turn:
            turn.state.memory.append(text)
    assert cp.restore("user-42").state.memory[-2:] == ["a", "b"]
"""


def loaded_by(code: str, names: list[str]) -> list[str]:
    """Which of these modules a fresh process has loaded after running some code."""
    told = f"{code}\nimport sys\nprint(*sorted(set({names!r}) & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- what is imported ----------------------------------------------------------------------------


def test_importing_the_library_loads_no_driver_and_nothing_heavy() -> None:
    assert loaded_by("import checkpoint", [*HEAVY, *DRIVERS]) == []


def test_listing_the_public_names_loads_nothing() -> None:
    assert loaded_by("import checkpoint; dir(checkpoint)", [*HEAVY, *DRIVERS]) == []


def test_a_turn_on_sqlite_loads_nothing_heavy(tmp_path: Path) -> None:
    """Neither the one that creates the store, nor those after it."""
    code = TURN.format(path=tmp_path / "agents.db")
    for _ in range(2):
        assert loaded_by(code, [*HEAVY, "logging", "concurrent.futures", "sqlite3"]) == ["sqlite3"]


def test_an_error_on_sqlite_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import checkpoint
cp = checkpoint.open("sqlite:///{tmp_path}/agents.db")
try:
    cp.restore("nobody")
except checkpoint.SessionNotFound:
    pass
"""
    assert loaded_by(code, HEAVY) == []


def test_a_turn_after_preload_imports_nothing_more(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    code = f"""
import sys
import checkpoint
checkpoint.preload({url!r})
before = set(sys.modules)
cp = checkpoint.open({url!r})
for n in 1, 2:
    with cp.turn("user-42") as turn:
        turn.state["n"] = n
more = {{name for name in set(sys.modules) - before if "checkpoint" in name}}
assert not more, more
"""
    loaded_by(code, [])


def test_a_debug_log_line_is_written_where_logging_is_set_up(tmp_path: Path) -> None:
    code = f"""
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
{TURN.format(path=tmp_path / "agents.db")}
"""
    done = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert done.count("DEBUG:checkpoint:saved session_id='user-42' revision=") == 2


# --- what is public ------------------------------------------------------------------------------


def test_every_public_name_resolves_and_is_documented() -> None:
    assert checkpoint.__all__ == sorted(set(checkpoint.__all__))
    for name in checkpoint.__all__:
        value = getattr(checkpoint, name)
        assert inspect.getdoc(value), name
        assert value.__name__ == name
    assert set(checkpoint.__all__) <= set(dir(checkpoint))


def test_every_public_name_is_known_to_type_checkers_too() -> None:
    source = inspect.getsource(checkpoint)
    declared = re.findall(r"^    from [\w.]+ import (\w+) as \1$", source, flags=re.MULTILINE)
    assert sorted(declared) == checkpoint.__all__


def test_public_names_are_those_of_the_package_and_its_public_modules() -> None:
    """So that tracebacks, pickles and ``help()`` say what users import, wherever the code lies."""
    for name in checkpoint.__all__:
        value = getattr(checkpoint, name)
        home = "checkpoint.errors" if hasattr(checkpoint.errors, name) else "checkpoint"
        assert value.__module__ == home, name
        assert pickle.loads(pickle.dumps(value)) is value


def test_the_values_that_users_get_can_be_fields_of_their_models() -> None:
    for value in filter(dataclasses.is_dataclass, classes()):
        assert typing.get_type_hints(value)
    assert TypeAdapter(checkpoint.Snapshot).json_schema()


@pytest.mark.parametrize("name", [*checkpoint.__all__])
def test_the_examples_of_a_public_name_run(name: str) -> None:
    """pytest looks for examples by the module of an object, and would not find these."""
    names: dict[str, Any] = {"asyncio": asyncio, "checkpoint": checkpoint, "__name__": "__main__"}
    names |= {each: getattr(checkpoint, each) for each in checkpoint.__all__ if each[0].isupper()}
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(getattr(checkpoint, name), name, False, names):
        runner.run(test)
    found = runner.summarize()
    assert found.failed == 0
    assert found.attempted > 10 or not name.endswith("Checkpointer")  # else none was found


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        checkpoint.nothing_such  # noqa: B018


MOVED = {
    "checkpoint.ids": "SessionKey",
    "checkpoint.inmemory": "InMemoryStore",
    "checkpoint.record": "Record",
    "checkpoint.registry": "open_store",
    "checkpoint.threads": "ThreadedStore",
}


def test_an_import_from_where_the_docs_once_said_names_the_new_place() -> None:
    for module, name in MOVED.items():
        with pytest.raises(ImportError, match=f"from checkpoint.store import {name}") as raised:
            importlib.import_module(module)
        assert raised.value.name == module
        assert hasattr(checkpoint.store, name)
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'checkpoint\.nothing_such'"):
        importlib.import_module("checkpoint.nothing_such")


FLAGS = {"read": "since", "headers": "bases", "sessions": "deleted"}


@pytest.mark.parametrize(
    "store", [Store, AsyncStore, InMemoryStore, ThreadedStore, SqliteStore, ObjectStore]
)
def test_the_flags_of_a_store_are_given_by_name(store: type) -> None:
    for method, flag in FLAGS.items():
        parameter = inspect.signature(getattr(store, method)).parameters[flag]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, (method, flag)


def test_the_version_is_that_of_the_distribution() -> None:
    assert checkpoint.__version__ == project()["version"]


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in inspect.getmembers(cls, inspect.isfunction):  # inherited ones too
        if not name.startswith("_"):
            yield f"{cls.__name__}.{name}", value


def users_functions() -> dict[str, Any]:
    functions = {name: getattr(checkpoint, name) for name in ("open", "open_async", "preload")}
    for cls in (Checkpointer, AsyncCheckpointer):
        functions.update(public_methods(cls))
    return functions


def test_every_function_a_user_calls_has_an_example_that_runs() -> None:
    for name, function in users_functions().items():
        documentation = inspect.getdoc(function) or ""
        assert "Example:\n" in documentation, name
        assert ">>> " in documentation, name


def classes() -> list[type]:
    values = [getattr(checkpoint, name) for name in checkpoint.__all__]
    return [value for value in values if inspect.isclass(value)]


def test_every_public_method_and_property_is_documented() -> None:
    for cls in classes():
        if issubclass(cls, CheckpointError):
            continue  # its one sentence is held by the tests of the errors
        ours = [base for base in cls.__mro__ if base.__module__.startswith("checkpoint")]
        members = {name: value for base in reversed(ours) for name, value in vars(base).items()}
        for member, value in members.items():
            callable_ = inspect.isroutine(value) or isinstance(value, property)
            if member.startswith("_") or not callable_:
                continue
            inherited = [getattr(base, member, None) for base in cls.__mro__[1:]]
            documented = inspect.getdoc(value) or any(map(inspect.getdoc, inherited))
            assert documented, f"{cls.__name__}.{member}"


def test_every_attribute_of_a_public_value_is_documented() -> None:
    for cls in filter(dataclasses.is_dataclass, classes()):
        for field in dataclasses.fields(cls):
            told = re.search(rf"\b{field.name}\b", cls.__doc__ or "")
            assert told, f"{cls.__name__}.{field.name}"


def test_the_two_apis_have_the_same_names_and_parameters() -> None:
    blocking = dict(public_methods(Checkpointer))
    asynchronous = dict(public_methods(AsyncCheckpointer))
    assert [name.partition(".")[2] for name in blocking] == [
        name.partition(".")[2] for name in asynchronous
    ]
    for name, function in blocking.items():
        twin = asynchronous[f"Async{name}"]
        assert [*inspect.signature(function).parameters] == [*inspect.signature(twin).parameters]


# --- what is declared and generated ---------------------------------------------------------------


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def test_our_drivers_are_the_entry_points_of_the_distribution() -> None:
    assert project()["entry-points"][GROUP] == OURS


def test_every_driver_that_is_declared_can_be_loaded() -> None:
    for target in OURS.values():
        module, _, function = target.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["unasync.py", "compile_sql.py"])
def test_generated_code_is_up_to_date(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_longer_than_a_newcomer_reads_at_a_sitting() -> None:
    for path in [*(ROOT / "checkpoint").rglob("*.py"), *(ROOT / "backends").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 500, path
        assert path.read_text().startswith('"""') or path.name == "__init__.py", path
