"""``turn``: restored on entry, saved on exit, and nothing saved when the body raises."""

# ruff: noqa: PT012 - what a turn raises, it raises when its whole block is left

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import Any

import pytest
from pydantic import BaseModel

from checkpoint import (
    AgentState,
    AsyncCheckpointer,
    Conflict,
    InvalidOption,
    NotSerializable,
    SessionNotFound,
    Snapshot,
    StateTooLarge,
)
from checkpoint._records.header import RecordHeader

from .apis import Place
from .models import Support, SupportConfig, heard, hears, said

Dicts = AsyncCheckpointer[dict[str, Any]]
Supports = AsyncCheckpointer[Support]


# --- what a turn starts from and leaves ----------------------------------------------------------


async def test_a_fresh_session_starts_with_the_models_defaults(support: Supports) -> None:
    async with support.turn("user-42") as turn:
        assert turn.state == Support()
        assert (turn.revision, turn.snapshot, turn.replayed) == (0, None, False)


async def test_the_first_turn_of_a_session_is_revision_1(support: Supports) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
    async with support.turn("user-42") as turn:
        hears(turn.state, "hi")
    assert turn.revision == 1
    assert turn.snapshot is not None
    assert (turn.snapshot.session_id, turn.snapshot.namespace) == ("user-42", "default")
    assert (turn.snapshot.parent_revision, turn.snapshot.turn_id) == (0, None)
    assert turn.snapshot.writer.pid == os.getpid()
    assert str(turn.snapshot.schema) == "support v1"
    assert before <= turn.snapshot.saved_at <= dt.datetime.now(dt.UTC)


async def test_a_turn_makes_no_snapshot_that_nobody_asks_for(
    support: Supports, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[RecordHeader] = []

    def counted(namespace: str, session_id: str, header: RecordHeader) -> Snapshot:
        made.append(header)
        return make(namespace, session_id, header)

    make = Snapshot.of
    monkeypatch.setattr(Snapshot, "of", counted)
    for revision in (1, 2):
        async with support.turn("user-42") as turn:
            hears(turn.state, "hi")
        assert turn.revision == revision
    assert made == []
    assert turn.snapshot is not None
    assert [header.revision for header in made] == [2]


async def test_another_replica_goes_on_where_a_turn_ended(place: Place) -> None:
    async with place.open(Support).turn("user-42") as turn:
        hears(turn.state, "hi")
        turn.state.config.model = "large"
        turn.state.cursors["inbox"] = 7
    left = turn.state
    async with place.open(Support).turn("user-42") as turn:
        assert turn.state == left
        assert turn.state is not left
        assert turn.revision == 1
        hears(turn.state, "and now?")
    assert turn.revision == 2
    restored = await place.open(Support).restore("user-42")
    assert heard(restored.state) == ["hi", "and now?"]
    assert restored.state.config.model == "large"
    assert restored.state.cursors == {"inbox": 7}


async def test_revision_and_snapshot_are_those_of_the_restore_until_the_save(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    async with cp.turn("user-42") as turn:
        assert turn.snapshot is not None
        restored = turn.snapshot
        assert (turn.revision, restored.revision) == (1, 1)
        turn.state["n"] = 2
    assert turn.snapshot.revision == turn.revision == 2
    assert turn.snapshot.parent_revision == 1
    assert turn.snapshot.write_id != restored.write_id


async def test_the_state_can_be_read_after_the_turn(cp: Dicts) -> None:
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 1
    assert turn.state == {"n": 1}


async def test_an_item_changed_in_place_deep_inside_is_saved(support: Supports) -> None:
    async with support.turn("user-42") as turn:
        turn.state.memory.extend(map(said, "abc"))
        turn.state.config.stop_words.append("old")
    async with support.turn("user-42") as turn:
        turn.state.memory[1].content = "edited"
        turn.state.config.stop_words[0] = "new"
    state = (await support.restore("user-42")).state
    assert heard(state) == ["a", "edited", "c"]
    assert state.config.stop_words == ["new"]


async def test_two_sessions_in_turn_at_once_do_not_mix(cp: Dicts) -> None:
    async with cp.turn("a") as one, cp.turn("b") as other:
        one.state["n"] = 1
        other.state["n"] = 2
    assert (await cp.restore("a")).state == {"n": 1}
    assert (await cp.restore("b")).state == {"n": 2}


# --- an aborted turn leaves no trace -------------------------------------------------------------


@pytest.mark.promise("no-trace")
async def test_a_turn_that_raises_raises_the_very_exception(cp: Dicts) -> None:
    error = RuntimeError("the model timed out")
    with pytest.raises(RuntimeError) as raised:
        async with cp.turn("user-42") as turn:
            turn.state["n"] = 1
            raise error
    assert raised.value is error


@pytest.mark.promise("no-trace")
async def test_a_first_turn_that_raises_saves_nothing(place: Place, support: Supports) -> None:
    with pytest.raises(ZeroDivisionError):
        async with support.turn("user-42") as turn:
            hears(turn.state, "lost")
            turn.state.config.stop_words.append("lost")
            turn.state.cursors["lost"] = 1
            raise ZeroDivisionError
    assert place.calls == ["read"]
    assert (turn.revision, turn.snapshot) == (0, None)
    with pytest.raises(SessionNotFound):
        await support.restore("user-42")
    async with support.turn("user-42") as turn:
        assert turn.state == Support()


@pytest.mark.promise("no-trace")
async def test_a_later_turn_that_raises_saves_nothing(place: Place, support: Supports) -> None:
    async with support.turn("user-42") as turn:
        hears(turn.state, "hi")
    place.calls.clear()
    with pytest.raises(ZeroDivisionError):
        async with support.turn("user-42") as turn:
            turn.state.memory[0].content = "lost"
            turn.state.memory.append(said("lost"))
            turn.state = Support(cursors={"lost": 1})
            raise ZeroDivisionError
    assert place.calls == ["read"]
    for replica in (support, place.open(Support)):
        restored = await replica.restore("user-42")
        assert restored.revision == 1
        assert heard(restored.state) == ["hi"]
        assert restored.state.cursors == {}
        async with replica.turn("user-42") as turn:
            assert heard(turn.state) == ["hi"]


@pytest.mark.promise("no-trace")
@pytest.mark.parametrize("api", ["async"])
async def test_a_turn_cancelled_in_its_body_saves_nothing(place: Place, cp: Dicts) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with cp.turn("user-42") as turn:
            turn.state["n"] = 1
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.calls == ["read"]


async def test_a_value_that_would_not_come_back_is_told_and_nothing_is_saved(
    place: Place, support: Supports
) -> None:
    await support.save("user-42", Support())
    place.calls.clear()
    with pytest.raises(NotSerializable, match=r"'user-42', at cursors\.clock: ") as raised:
        async with support.turn("user-42") as turn:
            hears(turn.state, "hi")
            turn.state.cursors["clock"] = print  # type: ignore[assignment]  # the mistake
    assert raised.value.path == "cursors.clock"
    assert isinstance(raised.value, TypeError)
    assert place.calls == ["read"]
    assert (await support.restore("user-42")).state == Support()


async def test_a_state_over_the_limit_is_told_and_nothing_is_saved(place: Place) -> None:
    cp = place.open(max_bytes=1000)
    with pytest.raises(StateTooLarge, match="limit of 1000") as raised:
        async with cp.turn("user-42") as turn:
            turn.state["text"] = "x" * 1001
    assert raised.value.session_id == "user-42"
    assert place.calls == ["read"]


# --- a turn that changed nothing writes nothing --------------------------------------------------


async def test_a_turn_that_changed_nothing_writes_nothing(place: Place, support: Supports) -> None:
    await support.save("user-42", Support(cursors={"inbox": 1}))
    place.calls.clear()
    async with support.turn("user-42") as turn:
        turn.state.cursors["inbox"] += 1
        hears(turn.state, "draft")
        turn.state.cursors["inbox"] -= 1
        turn.state.memory.pop()
    assert turn.revision == 1
    assert place.calls == ["read"]


async def test_a_first_turn_that_changed_nothing_makes_no_session(
    place: Place, support: Supports
) -> None:
    async with support.turn("user-42") as turn:
        pass
    assert (turn.revision, turn.snapshot) == (0, None)
    assert place.calls == ["read"]
    with pytest.raises(SessionNotFound):
        await support.restore("user-42")


async def test_a_turn_that_changed_nothing_does_not_mind_that_others_saved(
    place: Place, cp: Dicts
) -> None:
    await cp.save("user-42", {"n": 1})
    async with cp.turn("user-42") as turn:
        place.rival().overwrite("user-42", {"n": 2})
    assert turn.revision == 1


# --- another state, a first state ----------------------------------------------------------------


async def test_a_state_assigned_in_a_turn_is_what_is_saved(support: Supports) -> None:
    async with support.turn("user-42") as turn:
        hears(turn.state, "hi")
    async with support.turn("user-42") as turn:
        turn.state = Support(config=SupportConfig(model="large"))
        hears(turn.state, "from the new one")
    assert turn.revision == 2
    state = (await support.restore("user-42")).state
    assert state == turn.state
    assert heard(state) == ["from the new one"]


async def test_a_plain_dict_assigned_in_a_turn_is_what_is_saved(cp: Dicts) -> None:
    for n in (1, 2):
        async with cp.turn("user-42") as turn:
            turn.state = {"n": n}
    assert turn.revision == 2
    assert (await cp.restore("user-42")).state == {"n": 2}


async def test_a_state_of_another_type_is_refused_and_nothing_is_saved(
    place: Place, support: Supports
) -> None:
    class Other(AgentState, schema="other", version=1):
        pass

    wrongs: list[Any] = [{"memory": []}, Other(), None]
    for wrong in wrongs:
        place.calls.clear()
        with pytest.raises(InvalidOption, match="saves Support states"):
            async with support.turn("user-42") as turn:
                turn.state = wrong
        assert place.calls == ["read"]


async def test_new_makes_the_first_state_and_only_that(support: Supports) -> None:
    made: list[Support] = []

    def new() -> Support:
        made.append(Support(config=SupportConfig(model="large")))
        return made[-1]

    async with support.turn("user-42", new=new) as turn:
        assert turn.state is made[0]
        hears(turn.state, "hi")
    async with support.turn("user-42", new=new) as turn:
        hears(turn.state, "again")
    assert len(made) == 1
    assert (await support.restore("user-42")).state.config.model == "large"


async def test_new_makes_the_first_state_after_a_delete(cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    await cp.delete("user-42")
    async with cp.turn("user-42", new=lambda: {"born": "again"}) as turn:
        assert turn.revision == 0
        turn.state["n"] = 2
    assert (await cp.restore("user-42")).state == {"born": "again", "n": 2}


async def test_a_first_state_that_nothing_was_added_to_is_not_saved(place: Place) -> None:
    cp = place.open()
    async with cp.turn("user-42", new=lambda: {"system": "be kind"}) as turn:
        pass
    assert turn.revision == 0
    assert place.calls == ["read"]


async def test_a_first_state_of_the_wrong_type_is_refused(support: Supports) -> None:
    wrong: Any = dict
    with pytest.raises(InvalidOption, match="saves Support states"):
        async with support.turn("user-42", new=wrong):
            pytest.fail("the turn was entered")


async def test_a_model_without_defaults_asks_for_new(place: Place) -> None:
    class Tutor(BaseModel):
        pupil: str

    cp = place.open(Tutor)
    with pytest.raises(InvalidOption, match=r"default for pupil; pass new=lambda: Tutor\(\.\.\.\)"):
        async with cp.turn("user-42"):
            pytest.fail("the turn was entered")
    assert place.calls == ["read"]
    async with cp.turn("user-42", new=lambda: Tutor(pupil="Ada")) as turn:
        turn.state.pupil = "Bob"
    async with cp.turn("user-42") as turn:
        assert turn.state.pupil == "Bob"


# --- somebody else saved -------------------------------------------------------------------------


@pytest.mark.promise("no-overwrite")
async def test_a_turn_that_others_overtook_raises_conflict_and_saves_nothing(place: Place) -> None:
    cp, rival = place.open(), place.rival(replica="blue")
    await cp.save("user-42", {"n": 1})
    with pytest.raises(Conflict) as raised:
        async with cp.turn("user-42") as turn:
            with rival.turn("user-42") as theirs:
                theirs.state["n"] = 2
            turn.state["n"] = 3
    error = raised.value
    assert (error.parent_revision, error.current_revision) == (1, 2)
    assert error.writer is not None
    assert "(blue)" in error.writer
    for part in ("'user-42'", "revision 1", "revision 2", error.writer, "nothing was written"):
        assert part in str(error)
    assert turn.revision == 1
    assert (await cp.restore("user-42")).state == {"n": 2}
    assert len(await cp.history("user-42")) == 2


@pytest.mark.promise("no-overwrite")
async def test_two_first_turns_at_once_make_one_session(place: Place, cp: Dicts) -> None:
    with pytest.raises(Conflict) as raised:
        async with cp.turn("user-42") as turn:
            place.rival().save("user-42", {"first": True})
            turn.state["second"] = True
    assert (raised.value.parent_revision, raised.value.current_revision) == (None, 1)
    assert (await cp.restore("user-42")).state == {"first": True}


async def test_a_session_deleted_during_a_turn_stays_deleted(place: Place, cp: Dicts) -> None:
    await cp.save("user-42", {"n": 1})
    with pytest.raises(Conflict, match="no longer exists") as raised:
        async with cp.turn("user-42") as turn:
            place.rival().delete("user-42")
            turn.state["n"] = 2
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, None)
    with pytest.raises(SessionNotFound):
        await cp.restore("user-42")


async def test_a_session_deleted_and_made_again_during_a_turn_is_not_overwritten(
    place: Place, cp: Dicts
) -> None:
    rival = place.rival()
    await cp.save("user-42", {"n": 1})
    with pytest.raises(Conflict) as raised:
        async with cp.turn("user-42") as turn:
            rival.delete("user-42")
            rival.save("user-42", {"n": "anew"})
            turn.state["n"] = 2
    assert (raised.value.parent_revision, raised.value.current_revision) == (1, 3)
    assert (await cp.restore("user-42")).state == {"n": "anew"}


# --- used wrongly --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "agent", "result"])
async def test_what_a_turn_has_only_when_entered_says_so(cp: Dicts, name: str) -> None:
    turn = cp.turn("user-42")
    with pytest.raises(InvalidOption, match=r"not entered.*with statement"):
        getattr(turn, name)


async def test_a_state_cannot_be_assigned_before_the_turn_is_entered(cp: Dicts) -> None:
    turn = cp.turn("user-42")
    with pytest.raises(InvalidOption, match="not entered"):
        turn.state = {}


async def test_a_turn_tells_its_session_before_it_is_entered(cp: Dicts) -> None:
    turn = cp.turn("user-42", turn_id="message-1")
    assert (turn.session_id, turn.turn_id, turn.revision) == ("user-42", "message-1", 0)
    assert "'user-42'" in repr(turn)


async def test_a_turn_is_entered_once(place: Place, cp: Dicts) -> None:
    async with cp.turn("user-42") as turn:
        turn.state["n"] = 1
    place.calls.clear()
    with pytest.raises(InvalidOption, match=r"entered once; make another with turn\(\)"):
        async with turn:
            pytest.fail("the turn was entered again")
    assert place.calls == []
