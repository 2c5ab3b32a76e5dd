"""What a deletion leaves of a session: nothing of what was said, also when its answer was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import checkpoint
from checkpoint import Checkpointer, StoreUnavailable
from checkpoint_objectstore.store import ObjectStore
from tests.objectstore.in_memory import InMemoryObjects

NO_GRACE = timedelta(0)


class Failing:
    """Objects of which some calls fail, after they were done or instead."""

    def __init__(self, objects: InMemoryObjects) -> None:
        self._objects = objects
        self.lost: list[str] = []
        self.refused: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if name in self.refused:
                self.refused.remove(name)
                raise StoreUnavailable("refused")
            answer = getattr(self._objects, name)(*arguments, **named)
            if name in self.lost:
                self.lost.remove(name)
                raise StoreUnavailable("the answer was lost")
            return answer

        return call


@pytest.fixture
def place() -> InMemoryObjects:
    return InMemoryObjects()


@pytest.fixture
def objects(place: InMemoryObjects) -> Failing:
    return Failing(place)


@pytest.fixture
def cp(objects: Failing, monkeypatch: pytest.MonkeyPatch) -> Checkpointer[dict[str, Any]]:
    monkeypatch.setattr("checkpoint._runtime.waiting.sleep", lambda seconds: None)
    monkeypatch.setattr("checkpoint._records.baseline.MAX_PATCHES", 3)
    opened = checkpoint.open(ObjectStore(objects))
    for number in range(9):
        with opened.turn("user-42") as turn:
            turn.state[f"n{number}"] = f"secret {number}"
    opened.label("user-42", "mine", revision=3)
    return opened


def said(place: InMemoryObjects) -> list[str]:
    """The objects in which there is something of what was said, or of its labels."""
    return [key for key, (data, _) in place.kept.items() if b"secret" in data or b"mine" in data]


def test_what_was_said_is_gone_when_a_deletion_returns(
    cp: Checkpointer[dict[str, Any]], place: InMemoryObjects
) -> None:
    assert len(said(place)) > 2
    assert cp.delete("user-42") is True
    assert said(place) == []


def test_also_when_the_answer_to_it_was_lost(
    cp: Checkpointer[dict[str, Any]], place: InMemoryObjects, objects: Failing
) -> None:
    objects.lost.append("replace")
    assert cp.delete("user-42") is True
    assert said(place) == []


def test_also_when_it_could_not_be_removed_at_first(
    cp: Checkpointer[dict[str, Any]], place: InMemoryObjects, objects: Failing
) -> None:
    objects.refused.append("delete")
    assert cp.delete("user-42") is True
    assert said(place) == []


def test_what_cannot_be_removed_is_told_and_removed_when_it_is_deleted_again(
    cp: Checkpointer[dict[str, Any]], place: InMemoryObjects, objects: Failing
) -> None:
    objects.refused += ["delete"] * 2
    with pytest.raises(StoreUnavailable):
        cp.delete("user-42")
    assert said(place) != []
    assert cp.delete("user-42") is False
    assert said(place) == []


def test_what_others_put_into_a_session_is_left_alone(
    cp: Checkpointer[dict[str, Any]], place: InMemoryObjects
) -> None:
    (folder,) = {key.rpartition("/")[0] for key in place.kept if key.endswith("/head")}
    theirs = {
        f"{folder}/{name}": b"theirs"
        for name in ("pages/readme", "notes/x", "notes/pins/0/x!", "pages/" + "A" * 48, "other")
    }
    place.put_many(theirs)
    assert cp.verify("user-42") == []
    assert cp.restore("user-42", revision="mine").revision == 3
    assert all(pruned.problem is None for pruned in cp.sweep(grace=NO_GRACE))
    assert cp.delete("user-42") is True
    assert place.get_many(list(theirs)) == theirs
