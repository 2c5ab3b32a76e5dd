"""``save`` and ``overwrite``: a state knows its parent, and nothing is overwritten in silence."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from checkpoint import AsyncCheckpointer, Conflict, InvalidOption, NotSerializable

from .apis import Place
from .models import Support, heard, hearing, hears

Dicts = AsyncCheckpointer[dict[str, Any]]
Supports = AsyncCheckpointer[Support]


# --- the plain path ------------------------------------------------------------------------------


async def test_a_new_state_makes_a_session(support: Supports) -> None:
    snapshot = await support.save("user-42", Support(cursors={"inbox": 1}))
    assert (snapshot.revision, snapshot.parent_revision, snapshot.kind) == (1, 0, "base")
    assert (await support.restore("user-42")).snapshot == snapshot


async def test_a_new_state_is_saved_even_if_it_holds_nothing(cp: Dicts) -> None:
    assert (await cp.save("user-42", {})).revision == 1
    assert (await cp.restore("user-42")).state == {}


async def test_a_restored_state_is_saved_as_the_next_revision(support: Supports) -> None:
    await support.save("user-42", Support())
    restored = await support.restore("user-42")
    hears(restored.state, "hi")
    snapshot = await support.save("user-42", restored.state)
    assert (snapshot.revision, snapshot.parent_revision) == (2, 1)
    assert heard((await support.restore("user-42")).state) == ["hi"]


async def test_a_state_is_saved_again_and_again(place: Place, support: Supports) -> None:
    state = Support()
    for number in range(1, 6):
        hears(state, str(number))
        assert (await support.save("user-42", state)).revision == number
    for number in range(1, 6):
        restored = await place.open(Support).restore("user-42", revision=number)
        assert heard(restored.state) == [str(n) for n in range(1, number + 1)]


async def test_the_state_of_a_turn_can_be_saved_after_it(cp: Dicts) -> None:
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 1
    turn.state["n"] = 2
    assert (await cp.save("user-42", turn.state)).revision == 2


async def test_a_restored_plain_dict_remembers_its_parent(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    state = (await cp.restore("user-42")).state
    for n in (2, 3):
        state["n"] = n
        assert (await cp.save("user-42", state)).revision == n


async def test_an_unchanged_state_is_not_written_and_gives_the_snapshot_it_is_at(
    place: Place, support: Supports
) -> None:
    state = Support()
    first = await support.save("user-42", state)
    restored = await support.restore("user-42")
    place.calls.clear()
    assert await support.save("user-42", state) == first
    assert await support.save("user-42", restored.state) == first
    assert await support.save("user-42", restored.state, branch=True) == first
    assert "commit" not in place.calls
    assert len(await support.history("user-42")) == 1


@pytest.mark.promise("same-state")
async def test_what_would_not_come_back_is_not_saved_and_the_state_can_be_mended(
    place: Place, support: Supports
) -> None:
    await support.save("user-42", Support())
    state = (await support.restore("user-42")).state
    state.cursors["clock"] = "noon"  # type: ignore[assignment]  # the mistake
    place.calls.clear()
    with pytest.raises(NotSerializable) as raised:
        await support.save("user-42", state)
    assert raised.value.path == "cursors.clock"
    assert place.calls == []
    state.cursors["clock"] = 12
    assert (await support.save("user-42", state)).revision == 2


async def test_a_state_of_another_type_is_refused(place: Place, support: Supports) -> None:
    class Special(Support):
        pass

    wrongs: list[Any] = [{"memory": []}, Special(), None]
    for wrong in wrongs:
        with pytest.raises(InvalidOption, match="saves Support states"):
            await support.save("user-42", wrong)
    assert "commit" not in place.calls


async def test_a_model_given_to_a_checkpointer_of_dicts_is_told_how_to_open_it(cp: Dicts) -> None:
    with pytest.raises(InvalidOption, match=r"checkpoint\.open\(url, Support\)"):
        await cp.save("user-42", Support())  # type: ignore[arg-type]  # the mistake


# --- somebody else saved -------------------------------------------------------------------------


@pytest.mark.promise("no-overwrite")
async def test_saving_after_somebody_else_saved_raises_conflict(place: Place) -> None:
    cp, rival = place.open(), place.rival(replica="blue")
    await cp.save("user-42", {"n": 1})
    mine = (await cp.restore("user-42")).state
    for n in (2, 3):
        rival.overwrite("user-42", {"n": n})
    mine["n"] = "mine"
    place.calls.clear()
    with pytest.raises(Conflict) as raised:
        await cp.save("user-42", mine)
    error = raised.value
    assert place.calls.count("commit") == 1
    assert (error.parent_revision, error.current_revision) == (1, 3)
    assert error.writer is not None
    assert error.writer.endswith(" (blue)")
    for part in ("session 'user-42'", "revision 1", "revision 3", error.writer, "run()"):
        assert part in str(error)
    assert isinstance(error, RuntimeError)
    assert [s.revision for s in await cp.history("user-42")] == [3, 2, 1]
    assert (await cp.restore("user-42")).state == {"n": 3}


async def test_after_a_conflict_the_state_stays_stale_and_a_fresh_one_is_saved(
    place: Place, cp: Dicts
) -> None:
    await cp.save("user-42", {"n": 1})
    mine = (await cp.restore("user-42")).state
    place.rival().overwrite("user-42", {"n": 2})
    mine["mine"] = True
    for _ in "ab":
        with pytest.raises(Conflict):
            await cp.save("user-42", mine)
    fresh = (await cp.restore("user-42")).state
    fresh["mine"] = True
    assert (await cp.save("user-42", fresh)).revision == 3
    assert (await cp.restore("user-42")).state == {"n": 2, "mine": True}


@pytest.mark.promise("no-overwrite")
async def test_a_new_state_does_not_replace_a_session(place: Place, support: Supports) -> None:
    await support.save("user-42", Support())
    with pytest.raises(Conflict) as raised:
        await support.save("user-42", Support(cursors={"inbox": 1}))
    assert (raised.value.parent_revision, raised.value.current_revision) == (None, 1)
    place.before_commit.append(lambda: place.rival(Support).save("user-43", Support()))
    with pytest.raises(Conflict) as raised:
        await support.save("user-43", Support(cursors={"inbox": 1}))
    assert (raised.value.parent_revision, raised.value.current_revision) == (None, 1)
    for session in ("user-42", "user-43"):
        assert (await support.restore(session)).state == Support()


async def test_a_state_of_a_deleted_session_is_not_saved(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    mine = (await cp.restore("user-42")).state
    mine["n"] = 2
    place.rival().delete("user-42")
    with pytest.raises(Conflict, match="no longer exists") as raised:
        await cp.save("user-42", mine)
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, None)
    place.rival().save("user-42", {"n": "anew"})
    with pytest.raises(Conflict) as raised:
        await cp.save("user-42", mine)
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, 3)
    assert (await cp.restore("user-42")).state == {"n": "anew"}


# --- one state, two sessions ---------------------------------------------------------------------


async def test_a_state_of_one_session_starts_another(support: Supports) -> None:
    await support.save("a", Support())
    state = (await support.restore("a")).state
    hears(state, "hi")
    first = await support.save("b", state)
    assert (first.session_id, first.revision, first.parent_revision) == ("b", 1, 0)
    hears(state, "more")
    assert (await support.save("b", state)).revision == 2
    assert heard((await support.restore("a")).state) == []
    assert heard((await support.restore("b")).state) == ["hi", "more"]


async def test_a_state_saved_to_another_session_still_belongs_to_its_own(support: Supports) -> None:
    await support.save("a", Support())
    state = (await support.restore("a")).state
    hears(state, "hi")
    await support.save("b", state)
    assert (await support.save("a", state)).revision == 2


async def test_a_failed_save_to_another_session_does_not_make_a_state_forget_its_own(
    support: Supports,
) -> None:
    await support.save("a", Support())
    state = (await support.restore("a")).state
    state.cursors["clock"] = "noon"  # type: ignore[assignment]  # the mistake
    with pytest.raises(NotSerializable):
        await support.save("b", state)
    state.cursors["clock"] = 12
    assert (await support.save("a", state)).revision == 2


async def test_the_same_id_in_two_namespaces_is_two_sessions(place: Place) -> None:
    one, other = place.open(Support), place.open(Support, namespace="other")
    state = Support()
    await one.save("user-42", state)
    hears(state, "hi")
    assert (await other.save("user-42", state)).revision == 1
    assert (await one.save("user-42", state)).revision == 2


# --- copies, and what they were made from --------------------------------------------------------

COPIES: dict[str, Callable[[Support], Support]] = {
    "model_copy": lambda state: state.model_copy(deep=True),
    "deepcopy": copy.deepcopy,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
    "by hand": lambda state: Support(**dict(state)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
async def test_a_copy_is_saved_when_it_says_what_it_was_made_from(
    support: Supports, copied: Callable[[Support], Support]
) -> None:
    await support.save("user-42", Support())
    restored = await support.restore("user-42")
    state = copied(restored.state)
    hears(state, "hi")
    with pytest.raises(Conflict):
        await support.save("user-42", state)
    snapshot = await support.save("user-42", state, parent=restored.snapshot)
    assert (snapshot.revision, snapshot.parent_revision) == (2, 1)
    hears(state, "more")
    assert (await support.save("user-42", state)).revision == 3
    assert heard((await support.restore("user-42")).state) == ["hi", "more"]


async def test_a_conflict_of_a_state_without_a_parent_names_the_way_out(support: Supports) -> None:
    await support.save("user-42", Support())
    with pytest.raises(Conflict, match="parent="):
        await support.save("user-42", (await support.restore("user-42")).state.model_copy())


async def test_a_plain_dict_is_saved_when_it_says_what_it_was_made_from(cp: Dicts) -> None:
    state = {"n": 1}
    snapshot = await cp.save("user-42", state)
    for n in (2, 3):
        state["n"] = n
        with pytest.raises(Conflict):
            await cp.save("user-42", state)
        snapshot = await cp.save("user-42", state, parent=snapshot)
        assert snapshot.revision == n
    assert (await cp.restore("user-42")).state == {"n": 3}


async def test_a_snapshot_from_the_history_serves_as_a_parent(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    await cp.label("user-42", "first")
    newest = (await cp.history("user-42"))[0]
    assert (await cp.save("user-42", {"n": 2}, parent=newest)).revision == 2


@pytest.mark.promise("no-overwrite")
async def test_a_stale_parent_raises_conflict(cp: Dicts) -> None:
    first = await cp.save("user-42", {"n": 1})
    await cp.save("user-42", {"n": 2}, parent=first)
    with pytest.raises(Conflict) as raised:
        await cp.save("user-42", {"n": 3}, parent=first)
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, 2)
    assert len(await cp.history("user-42")) == 2


async def test_a_parent_from_before_a_delete_raises_conflict(cp: Dicts) -> None:
    old = await cp.save("user-42", {"n": 1})
    await cp.delete("user-42")
    with pytest.raises(Conflict) as raised:
        await cp.save("user-42", {"n": 2}, parent=old)
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, None)
    anew = await cp.save("user-42", {"n": "anew"})
    with pytest.raises(Conflict) as raised:
        await cp.save("user-42", {"n": 2}, parent=old)
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, 3)
    assert (await cp.restore("user-42")).snapshot == anew


async def test_a_parent_of_another_session_is_refused(place: Place, cp: Dicts) -> None:
    await cp.save("a", {"n": 1})
    other = await cp.save("b", {"n": 1})
    place.calls.clear()
    with pytest.raises(InvalidOption, match="'b'"):
        await cp.save("a", {"n": 2}, parent=other)
    assert "commit" not in place.calls


# --- branches ------------------------------------------------------------------------------------


async def test_a_branch_goes_on_from_an_older_revision_and_becomes_the_newest(
    support: Supports,
) -> None:
    for text in "abc":
        await support.run("user-42", hearing(text))
    old = (await support.restore("user-42", revision=1)).state
    hears(old, "instead")
    with pytest.raises(Conflict):
        await support.save("user-42", old)
    snapshot = await support.save("user-42", old, branch=True)
    assert (snapshot.revision, snapshot.parent_revision) == (4, 1)
    assert [(s.revision, s.parent_revision) for s in await support.history("user-42")] == [
        (4, 1),
        (3, 2),
        (2, 1),
        (1, 0),
    ]
    assert heard((await support.restore("user-42")).state) == ["a", "instead"]
    assert heard((await support.restore("user-42", revision=3)).state) == ["a", "b", "c"]
    hears(old, "and on")
    assert (await support.save("user-42", old)).revision == 5
    assert heard((await support.restore("user-42")).state) == ["a", "instead", "and on"]


async def test_a_branch_from_the_newest_is_an_ordinary_save(cp: Dicts) -> None:
    first = await cp.save("user-42", {"n": 1})
    snapshot = await cp.save("user-42", {"n": 2}, parent=first, branch=True)
    assert (snapshot.revision, snapshot.parent_revision) == (2, 1)


async def test_a_branch_that_is_overtaken_still_lands(place: Place, cp: Dicts) -> None:
    first = await cp.save("user-42", {"n": 1})
    rival = place.rival()
    for n in range(3):
        place.before_commit.append(partial(rival.overwrite, "user-42", {"rival": n}))
    snapshot = await cp.save("user-42", {"n": 2}, parent=first, branch=True)
    assert (snapshot.revision, snapshot.parent_revision) == (5, 1)
    assert (await cp.restore("user-42")).state == {"n": 2}


async def test_branches_at_once_all_land(place: Place) -> None:
    first = await place.open().save("user-42", {"n": 0})
    saves = [place.open().save("user-42", {"n": n}, parent=first, branch=True) for n in range(1, 6)]
    snapshots = await place.together(*saves)
    assert sorted(s.revision for s in snapshots) == [2, 3, 4, 5, 6]
    assert {s.parent_revision for s in snapshots} == {1}
    cp = place.open()
    for n, snapshot in enumerate(snapshots, 1):
        assert (await cp.restore("user-42", revision=snapshot.revision)).state == {"n": n}


# --- overwrite -----------------------------------------------------------------------------------


@pytest.mark.promise("history-kept")
async def test_overwrite_is_logged_and_keeps_the_history(
    place: Place, cp: Dicts, caplog: pytest.LogCaptureFixture
) -> None:
    await cp.save("user-42", {"n": 1})
    place.rival().overwrite("user-42", {"n": 2})
    caplog.clear()
    snapshot = await cp.overwrite("user-42", {"n": 3})
    assert (snapshot.revision, snapshot.parent_revision) == (3, 2)
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    fields = vars(record)["checkpoint"]
    assert (fields["session_id"], fields["revision"]) == ("user-42", 3)
    assert "user-42" in record.getMessage()
    for number in (1, 2, 3):
        assert (await cp.restore("user-42", revision=number)).state == {"n": number}


async def test_overwrite_makes_a_session_where_there_is_none(cp: Dicts) -> None:
    assert (await cp.overwrite("user-42", {"n": 1})).revision == 1
    await cp.delete("user-42")
    assert (await cp.overwrite("user-42", {"n": 3})).revision == 3
    assert (await cp.restore("user-42")).state == {"n": 3}


async def test_overwrite_does_not_mind_being_overtaken(place: Place, cp: Dicts) -> None:
    rival = place.rival()
    for n in range(3):
        place.before_commit.append(partial(rival.overwrite, "user-42", {"rival": n}))
    assert (await cp.overwrite("user-42", {"mine": True})).revision == 4
    assert (await cp.restore("user-42")).state == {"mine": True}


async def test_an_overwritten_state_is_saved_again_like_any(support: Supports) -> None:
    await support.save("user-42", Support())
    state = Support(cursors={"inbox": 1})
    await support.overwrite("user-42", state)
    hears(state, "hi")
    assert (await support.save("user-42", state)).revision == 3


async def test_who_was_overwritten_gets_the_conflict(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    mine = (await cp.restore("user-42")).state
    place.rival().overwrite("user-42", {"n": 1})
    mine["n"] = 2
    with pytest.raises(Conflict):
        await cp.save("user-42", mine)
