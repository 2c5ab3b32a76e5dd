"""Stores that each break one promise, and which test of the suite has to see it.

Not collected as such: test_suite_can_fail.py runs these tests, and wants every one of them red.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, settings

from checkpoint._ids import SessionKey
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import PIN, Attachment, Commit, Head, Page, Pruning, Record, Segment, Store
from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint.testing.chain import Chain
from checkpoint_sql.sqlite import SqliteStore

from .test_contract import rows_in

MODEL = "test_any_calls_in_any_order_are_answered_as_the_reference_does"


class Broken(StoreSuite):
    """A suite of a broken store.

    Attributes:
        store_class: what is tested.
        red: tests that have to fail.
    """

    durable = False
    examples = 400
    store_class: ClassVar[type[Store]]
    red: ClassVar[tuple[str, ...]]

    @pytest.fixture(autouse=True)
    def _that_it_fails_is_enough(self) -> None:
        settings.register_profile("unshrunk", phases=[Phase.generate])
        settings.load_profile("unshrunk")

    def open(self, place: Path) -> Store:
        return self.store_class()


# --- guards --------------------------------------------------------------------------------------


class GuardsByRevision(InMemoryStore):
    """Compares numbers: whoever writes the next one may, whatever was there."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        if segment and segment.head.revision + 1 == commit.head.revision:
            commit = commit._replace(parent=segment.head.write_id)
        return super().commit(key, commit)


class BrokenGuard(Broken):
    store_class = GuardsByRevision
    red = (
        "test_the_guard_is_the_write_id_and_not_the_revision",
        "test_a_commit_for_a_session_with_the_same_numbers_is_refused",
        MODEL,
    )


class IgnoresEpochs(InMemoryStore):
    """Compares the write_id alone."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        epoch = segment.head.epoch if segment else commit.head.epoch
        return super().commit(key, commit._replace(head=commit.head._replace(epoch=epoch)))


class BrokenEpoch(Broken):
    store_class = IgnoresEpochs
    red = (
        "test_a_writer_that_read_before_a_pruning_is_refused_though_the_head_did_not_change",
        "test_no_other_epoch_than_that_of_the_head_is_accepted",
        "test_of_a_commit_a_deletion_and_a_pruning_exactly_one_wins",
    )


class ProtectedByUniqueNumbers(InMemoryStore):
    """Refuses a revision that is there, and has nothing against one that is there no more."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        here = {record.revision for record, _ in self.headers(key, None, 1000)}
        if segment is None or commit.parent is None or commit.record.revision in here:
            return super().commit(key, commit)
        head = segment.head
        newer = commit.head if commit.head.revision > head.revision else head
        newer = newer._replace(epoch=head.epoch)
        return super().commit(key, commit._replace(parent=head.write_id, head=newer))


class BrokenUniqueness(Broken):
    store_class = ProtectedByUniqueNumbers
    red = ("test_a_revision_that_was_taken_out_cannot_be_written_by_one_who_stalled",)


class LooksBeforeItWrites(InMemoryStore):
    """Checks the guard, and writes later."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        if (segment.head.write_id if segment else None) != commit.parent:
            return False
        time.sleep(0.001)
        later = self.read(key)
        parent = later.head.write_id if later else None
        return super().commit(key, commit._replace(parent=parent))


class BrokenRace(Broken):
    store_class = LooksBeforeItWrites
    red = (
        "test_of_commits_on_one_head_exactly_one_wins",
        "test_of_a_commit_that_is_sent_twice_at_once_one_wins",
    )


class AgreesTwice(InMemoryStore):
    """Says yes to a commit that it has already."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        segment = self.read(key)
        known = segment is not None and segment.head.write_id == commit.head.write_id
        return known or super().commit(key, commit)


class BrokenRepetition(Broken):
    store_class = AgreesTwice
    red = ("test_a_commit_that_is_sent_again_does_not_happen_again",)


# --- moments -------------------------------------------------------------------------------------


class PrunesInTwoSteps(SqliteStore):
    """Takes out what goes, and writes what comes in its place after that."""

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        if not super().prune(key, pruning._replace(records=())):
            return False
        time.sleep(0.001)
        return super().prune(key, pruning._replace(guard=pruning.head, remove=()))


class BrokenMoment(Broken):
    red = ("test_readers_see_one_moment_while_others_write_prune_and_delete",)

    def open(self, place: Path) -> Store:
        return PrunesInTwoSteps(str(place / "sessions.db"))


class ReadsTwice(InMemoryStore):
    """Reads the head, and the records a little later."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        first = super().read(key, revision, since=since)
        time.sleep(0.0001)
        second = super().read(key, revision, since=since)
        return second._replace(head=first.head) if first and second else None


class BrokenView(Broken):
    store_class = ReadsTwice
    red = ("test_readers_see_one_moment_while_others_write_prune_and_delete",)


class SinceOneTooMany(InMemoryStore):
    """Sends the record that the caller has."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        return super().read(key, revision, since=max(0, since - 1))


class BrokenSince(Broken):
    store_class = SinceOneTooMany
    red = ("test_records_that_the_caller_has_are_not_sent", MODEL)


# --- what is kept --------------------------------------------------------------------------------


class CutsZeros(InMemoryStore):
    """Pads with zeros, as some columns do, and takes them for padding."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        record = commit.record._replace(body=commit.record.body.rstrip(b"\0"))
        return super().commit(key, commit._replace(record=record))


class BrokenBytes(Broken):
    store_class = CutsZeros
    red = ("test_bytes_of_any_kind_come_back_as_they_were",)


class Encodes(SqliteStore):
    """Keeps pages in a form of its own."""

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        super().put_pages(key, [page._replace(data=b64encode(page.data)) for page in pages])

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return {id: b64decode(data) for id, data in super().pages(key, ids).items()}


class BrokenForm(Broken):
    red = (
        "test_the_bytes_that_are_kept_are_the_very_bytes_given",
        "test_pages_are_listed_in_byte_order_with_time_and_size",
    )

    def open(self, place: Path) -> Store:
        return Encodes(str(place / "sessions.db"))

    def raw(self, place: Path) -> Iterable[bytes]:
        return rows_in(place)


class BrokenDurability(Broken):
    """Nothing is there when the store is opened again."""

    durable = True
    store_class = InMemoryStore
    red = (
        "test_all_is_there_when_the_store_is_opened_again",
        "test_another_store_at_the_same_place_sees_what_is_written_at_once",
    )


class BrokenPlaces(Broken):
    """All places are one."""

    store_class = InMemoryStore
    red = ("test_places_are_apart",)
    _only = InMemoryStore()

    def open(self, place: Path) -> Store:
        return self._only


class StaysOpen(InMemoryStore):
    """Answers after it was closed."""

    def close(self) -> None:
        pass


class BrokenEnd(Broken):
    store_class = StaysOpen
    red = ("test_a_closed_store_says_so",)


# --- what goes -----------------------------------------------------------------------------------


class DropsPins(InMemoryStore):
    """A tombstone takes all attachments."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        committed = super().commit(key, commit)
        if committed and commit.head.deleted:
            for note in self.attachments(key):
                self.detach(key, note.revision, note.name)
        return committed


class BrokenPins(Broken):
    store_class = DropsPins
    red = ("test_a_tombstone_leaves_pins_and_nothing_that_only_looks_like_one", MODEL)


class KeepsWhatLooksLikeAPin(InMemoryStore):
    """A tombstone leaves what LIKE 'pin_%' finds."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        notes = self.attachments(key)
        committed = super().commit(key, commit)
        for note in notes:
            if note.name.lower().startswith(PIN[:-1]) and len(note.name) > len(PIN) - 1:
                self.attach(key, note)
        return committed


class BrokenPattern(Broken):
    store_class = KeepsWhatLooksLikeAPin
    red = ("test_a_tombstone_leaves_pins_and_nothing_that_only_looks_like_one",)


class LeavesAttachments(InMemoryStore):
    """A pruning takes out the records alone."""

    def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        notes = self.attachments(key)
        pruned = super().prune(key, pruning)
        for note in notes:
            self.attach(key, note)
        return pruned


class BrokenRemains(Broken):
    store_class = LeavesAttachments
    red = ("test_attachments_go_with_their_revisions_and_pages_stay", MODEL)


class TakesPages(InMemoryStore):
    """A tombstone takes the pages, though another session may need them."""

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        committed = super().commit(key, commit)
        if committed and commit.head.deleted:
            self.drop_pages(key, [info.id for info in self.list_pages(key)])
        return committed


class BrokenTombstone(Broken):
    store_class = TakesPages
    red = ("test_a_tombstone_leaves_the_pages", "test_commits_and_prunings_leave_pages_alone")


# --- ids, pages ----------------------------------------------------------------------------------


class ListsByPattern(InMemoryStore):
    """A prefix is a pattern to it."""

    def sessions(
        self, namespace: str, prefix: str, after: str | None, limit: int, *, deleted: bool = False
    ) -> list[tuple[str, Head]]:
        found = super().sessions(namespace, "", after, 10_000, deleted=deleted)
        pattern = prefix.replace("%", "*").replace("_", "?") + "*"
        return [pair for pair in found if fnmatchcase(pair[0], pattern)][:limit]


class BrokenPrefix(Broken):
    store_class = ListsByPattern
    red = ("test_a_prefix_is_taken_literally", MODEL)


class FoldsCase(InMemoryStore):
    """As a database does by default."""

    def read(
        self, key: SessionKey, revision: int | None = None, *, since: int = 0
    ) -> Segment | None:
        return super().read(_folded(key), revision, since=since)

    def commit(self, key: SessionKey, commit: Commit) -> bool:
        return super().commit(_folded(key), commit)


def _folded(key: SessionKey) -> SessionKey:
    return key._replace(session_id=key.session_id.casefold())


class BrokenIds(Broken):
    store_class = FoldsCase
    red = ("test_odd_ids_are_sessions_of_their_own",)


class PagesOfSessionsOnly(InMemoryStore):
    """Has no place for pages before there is a session."""

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        if self.read(key):
            super().put_pages(key, pages)


class BrokenPages(Broken):
    store_class = PagesOfSessionsOnly
    red = (
        "test_pages_need_no_session_and_make_none",
        "test_deleted_sessions_and_those_of_only_pages_are_listed_when_asked_for",
    )


class OnePoolOfPages(InMemoryStore):
    """Keeps pages by their id, whoever owns them."""

    def put_pages(self, key: SessionKey, pages: Sequence[Page]) -> None:
        super().put_pages(SessionKey("", ""), pages)

    def pages(self, key: SessionKey, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return super().pages(SessionKey("", ""), ids)

    def drop_pages(self, key: SessionKey, ids: Sequence[bytes]) -> None:
        super().drop_pages(SessionKey("", ""), ids)


class BrokenOwners(Broken):
    store_class = OnePoolOfPages
    red = ("test_pages_of_other_sessions_are_untouched",)


class SizesOfHeads(InMemoryStore):
    """Tells the size of a head for that of a record."""

    def headers(
        self, key: SessionKey, before: int | None, limit: int, *, bases: bool = False
    ) -> list[tuple[Record, int]]:
        found = super().headers(key, before, limit, bases=bases)
        return [(record, len(record.header)) for record, _ in found]


class BrokenSizes(Broken):
    store_class = SizesOfHeads
    red = ("test_heads_are_newest_first_without_bodies_and_with_whole_sizes", MODEL)


class AttachesToNothing(InMemoryStore):
    """Keeps attachments of sessions that are not there."""

    def attach(self, key: SessionKey, attachment: Attachment) -> None:
        if self.read(key) is None:
            Chain(self, key).add()
        super().attach(key, attachment)


class BrokenAttaching(Broken):
    store_class = AttachesToNothing
    red = ("test_nothing_is_attached_to_a_session_that_is_not_there", MODEL)


# --- asynchronous --------------------------------------------------------------------------------


class PrunesInTwoAwaits(ThreadedStore):
    """A cancellation may come between the two."""

    async def prune(self, key: SessionKey, pruning: Pruning) -> bool:
        if not await super().prune(key, pruning._replace(remove=())):
            return False
        later = pruning._replace(guard=pruning.head, records=())
        keep = {record.revision for record, _ in pruning.records}
        ranges = tuple(pair for pair in later.remove if not keep & set(range(*pair)))
        return await super().prune(key, later._replace(remove=ranges))


class BrokenCancellation(AsyncStoreSuite):
    durable = False
    red = ("test_a_cancelled_pruning_is_wholly_done_or_wholly_not",)

    async def open(self, place: Path) -> ThreadedStore:
        return PrunesInTwoAwaits(InMemoryStore())
