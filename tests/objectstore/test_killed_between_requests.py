"""A process ends before or after each request of all that it does: that is done wholly, or not.

Enumerated, not sampled. Then a fresh process reads everything; and a sweep leaves exactly the
objects that are there where nobody ended, or never began.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from checkpoint import Retention
from checkpoint._records import baseline
from checkpoint_objectstore._format import Session
from checkpoint_objectstore._layout import ID
from tests.effort import some
from tests.objectstore.ending import Agents, Ended, EndingObjects, Notes, World, kept_in, told

pytestmark = pytest.mark.promise("never-lost")

LONG = "long " + "x" * 300  # its name is a hash
ITEMS = [f"{number} {'.' * 10_000}" for number in range(60)]  # some pages of them

Do = Callable[[Agents], object]


def turn(cp: Agents, *items: str, name: str = "a", text: str = "") -> None:
    with cp.turn(name) as turn:
        turn.state.memory.extend(items)
        turn.state.config["text"] = text or f"of {len(turn.state.memory)}"


def grown(cp: Agents) -> None:
    """Three finished segments, and a newest one with patches."""
    for number in range(8):
        turn(cp, f"item {number}")
        if number % 2:
            cp.overwrite("a", Notes(config={"text": f"overwritten {number}"}))
    turn(cp, "last")


def due(cp: Agents) -> None:
    grown(cp)
    turn(cp, "the last patch")


def grown_with_pages(cp: Agents) -> None:
    turn(cp, *ITEMS)
    cp.overwrite("a", Notes(config={"text": "no pages"}))
    turn(cp, *ITEMS[:40])
    cp.label("a", "x", revision=1)


def grown_and_deleted(cp: Agents) -> None:
    grown(cp)
    cp.label("a", "x")
    cp.delete("a")


def forked(cp: Agents) -> None:
    grown_with_pages(cp)
    cp.fork("a", "b")


def unlabelled(cp: Agents) -> None:
    grown_with_pages(cp)
    cp.unlabel("a", "x")


def fork_deleted(cp: Agents) -> None:
    forked(cp)
    cp.delete("b")


def nothing(cp: Agents) -> None:
    """An empty place."""


def other(cp: Agents) -> None:
    """A place in which there is another session."""
    turn(cp, "other", name="other")


def sweep(cp: Agents) -> None:
    for pruned in cp.sweep(Retention(keep_last=1, keep_labelled=False)):
        assert pruned.problem is None


CASES: dict[str, tuple[Do, Do]] = {
    "the first save of a place": (nothing, lambda cp: turn(cp, "first")),
    "a first save": (other, lambda cp: turn(cp, "first")),
    "a first save with pages": (other, lambda cp: turn(cp, *ITEMS)),
    "a first save under a hashed name": (other, lambda cp: turn(cp, *ITEMS, name=LONG)),
    "a patch": (grown, lambda cp: turn(cp, "one more")),
    "a base that is due": (due, lambda cp: turn(cp, "one more")),
    "a base": (grown, lambda cp: cp.overwrite("a", Notes(config={"text": "new"}))),
    "a save with pages": (grown, lambda cp: turn(cp, *ITEMS)),
    "a turn that fills pages": (grown_with_pages, lambda cp: turn(cp, *ITEMS)),
    "a rollback": (grown_with_pages, lambda cp: cp.rollback("a", 1)),
    "a tombstone": (grown_with_pages, lambda cp: cp.delete("a")),
    "a tombstone on segments": (grown, lambda cp: cp.delete("a")),
    "a save after a deletion": (grown_and_deleted, lambda cp: turn(cp, "anew")),
    "a pruning": (grown_with_pages, lambda cp: cp.prune("a", Retention(keep_last=1))),
    "a pruning of segments": (grown, lambda cp: cp.prune("a", Retention(keep_last=4))),
    "a pruning of part of a segment": (grown, lambda cp: cp.delete_revision("a", 5)),
    "a revision of the newest segment": (grown, lambda cp: cp.delete_revision("a", 12)),
    "a revision with pages": (unlabelled, lambda cp: cp.delete_revision("a", 1)),
    "a fork": (grown_with_pages, lambda cp: cp.fork("a", "b")),
    "a fork onto a tombstone": (fork_deleted, lambda cp: cp.fork("a", "b")),
    "the source of a fork": (forked, lambda cp: cp.delete("a")),
    "a fork that is deleted": (forked, lambda cp: cp.delete("b")),
    "a label": (grown, lambda cp: cp.label("a", "x", revision=3)),
    "another label": (grown_with_pages, lambda cp: cp.label("a", "x", revision=2)),
    "no label": (grown_with_pages, lambda cp: cp.unlabel("a", "x")),
    "a sweep": (forked, sweep),
}


def may_be_left(key: str, kept: bytes | Session) -> bool:
    """What stays though nobody needs it.

    Of a first save: what tells its id, and the tombstone by which it cannot come any more. And the
    pin of a fork that never came, or is gone, until the pages go that it kept.
    """
    if isinstance(kept, Session):
        return kept.head.deleted and len(kept.records) == 1
    return key.endswith(f"/{ID}") or "/notes/pins/" in key


def delete_all(world: World) -> None:
    """After that, there are only tombstones and ids."""
    for info in world.process().sessions():
        world.process().delete(info.session_id)
    world.sweep()
    for key, kept in kept_in(world).items():
        assert isinstance(kept, Session) or key.endswith(f"/{ID}"), key


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MAX_PATCHES", 2)


def randomness(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let the ids of what is written follow from what is there."""
    monkeypatch.setattr(os, "urandom", world.urandom)
    return world


@pytest.mark.parametrize("case", CASES)
def test_whoever_ends_between_two_requests_has_done_all_or_nothing(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, do = CASES[case]
    world = randomness(World(), monkeypatch)
    prepare(world.process())
    given = world.objects.kept

    def run(at: int, *, after: bool) -> tuple[World, EndingObjects]:
        world = randomness(World(given), monkeypatch)
        objects = EndingObjects(world.objects, at, after=after)
        if at < 0:
            do(world.process(objects))
        else:
            with pytest.raises(Ended):
                do(world.process(objects))
        return world, objects

    before, done = World(given), run(-1, after=False)
    states = [told(before.process()), told(done[0].process())]
    kept = []
    for clean in before, done[0]:
        clean.sweep()
        kept.append(kept_in(clean))
    asked = done[1].asked
    seen = set()
    for at in some(range(len(asked))):
        for after in False, True:
            ended, _ = run(at, after=after)
            about = f"{'after' if after else 'before'} {asked[at]}, number {at} of {asked}"
            is_ = told(ended.process())
            assert is_ in states, about
            seen.add(states.index(is_))
            ended.sweep()
            assert told(ended.process()) == is_, about
            left = kept_in(ended)
            wanted = kept[states.index(is_)]
            for key in left.keys() - wanted.keys():
                assert may_be_left(key, left.pop(key)), about
            assert left == wanted, about
            delete_all(ended)
    assert seen == {0, 1}
