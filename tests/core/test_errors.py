"""Errors say where, survive a pickle, and are also the builtin that fits them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import checkpoint
from checkpoint import CheckpointError, Conflict, SchemaChanged, StoreError, errors

BUILTINS: dict[str, type[Exception]] = {
    "CheckpointError": Exception,
    "InvalidId": ValueError,
    "InvalidOption": ValueError,
    "UnknownStore": ValueError,
    "NotSerializable": TypeError,
    "NotLoaded": RuntimeError,
    "StateTooLarge": ValueError,
    "SessionNotFound": LookupError,
    "RevisionNotFound": LookupError,
    "RevisionPruned": LookupError,
    "Conflict": RuntimeError,
    "SaveUnclear": ConnectionError,
    "Damaged": ValueError,
    "UnsupportedFormat": ValueError,
    "SchemaMismatch": TypeError,
    "SchemaChanged": TypeError,
    "InvalidState": ValueError,
    "StoreError": OSError,
    "StoreUnavailable": OSError,
    "StoreBusy": OSError,
    "StoreFull": OSError,
    "StoreDenied": OSError,
    "StoreReadOnly": OSError,
    "StoreUnsafe": OSError,
    "StoreClosed": OSError,
    "NotAStore": OSError,
    "StoreTooNew": OSError,
}
WHERE: dict[str, Any] = {
    "session_id": "user-42",
    "namespace": "tenant",
    "revision": 7,
    "path": "memory[17].role",
}
MORE: dict[str, dict[str, Any]] = {
    "Conflict": {"parent_revision": 6, "current_revision": 8, "writer": "host:42 (replica)"},
    "SchemaChanged": {"changes": ("memory[].text: str was removed",)},
}


def error_named(name: str) -> type[CheckpointError]:
    kind: type[CheckpointError] = getattr(checkpoint, name)
    return kind


def full(name: str) -> CheckpointError:
    return error_named(name)("do this", **WHERE, **MORE.get(name, {}))


def test_every_error_of_the_module_is_public_and_listed_here() -> None:
    defined = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, CheckpointError)
    }
    assert defined == set(BUILTINS)
    assert defined <= set(checkpoint.__all__)


@pytest.mark.parametrize("name", BUILTINS)
def test_an_error_is_also_its_builtin_and_says_what_it_means(name: str) -> None:
    kind = error_named(name)
    assert issubclass(kind, CheckpointError)
    assert issubclass(kind, BUILTINS[name])
    assert kind.__doc__ not in (
        None,
        "",
        CheckpointError.__doc__ if name != "CheckpointError" else 0,
    )
    with pytest.raises(BUILTINS[name], match="do this"):
        raise full(name)


@pytest.mark.parametrize("name", BUILTINS)
def test_an_error_comes_back_from_a_pickle_whole(name: str) -> None:
    error = full(name)
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    pickled = [pickle.loads(pickle.dumps(error, protocol)) for protocol in protocols]
    for other in (*pickled, copy.copy(error)):
        assert type(other) is type(error)
        assert other.args == error.args
        assert str(other) == str(error)
        assert vars(other) == vars(error)
        assert {name: getattr(other, name) for name in WHERE} == WHERE


@pytest.mark.promise("checked-restores")
@pytest.mark.parametrize("name", BUILTINS)
def test_an_error_names_session_namespace_revision_and_path(name: str) -> None:
    told = "session 'user-42', namespace 'tenant', revision 7, at memory[17].role: do this"
    assert str(full(name)) == told


@pytest.mark.parametrize("name", BUILTINS)
def test_an_error_names_no_place_it_does_not_know(name: str) -> None:
    error = error_named(name)("do this")
    assert str(error) == "do this"
    assert all(getattr(error, attribute) is None for attribute in WHERE)
    assert str(error_named(name)("do this", namespace="default")) == "do this"


def test_errors_tell_what_is_theirs_alone() -> None:
    conflict, changed = full("Conflict"), full("SchemaChanged")
    assert isinstance(conflict, Conflict)
    assert (conflict.parent_revision, conflict.current_revision) == (6, 8)
    assert conflict.writer == "host:42 (replica)"
    assert isinstance(changed, SchemaChanged)
    assert changed.changes == ("memory[].text: str was removed",)


@pytest.mark.promise("not-absent")
def test_an_error_of_a_store_is_not_taken_for_absence() -> None:
    for name in BUILTINS:
        if issubclass(error_named(name), StoreError):
            assert not issubclass(error_named(name), LookupError)
