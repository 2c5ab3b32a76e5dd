"""Tests of attachments: small side records, written without changing the head."""

from __future__ import annotations

from checkpoint.store import Attachment, Store
from checkpoint.testing.chain import KEY, Chain, create
from checkpoint.testing.contract.suite import Suite


class Attachments(Suite):
    """Attachments by revision and name."""

    def test_attachments_are_listed_by_revision_and_name_in_byte_order(self, store: Store) -> None:
        Chain(store).grow("bp")
        names = ("b", "a", "\U0010ffff", "\uffff", "B", "", "a/b", "a.", "%", "..", "é", "x" * 512)
        places = [(revision, name) for revision in (2, 0, 1) for name in names]
        for revision, name in places:
            store.attach(KEY, Attachment(revision, name, f"{revision} {name}".encode()))
        expected = sorted(places, key=lambda place: (place[0], place[1].encode()))
        assert store.attachments(KEY) == [
            Attachment(revision, name, f"{revision} {name}".encode()) for revision, name in expected
        ]

    def test_revisions_are_numbers_to_the_order_of_attachments(self, store: Store) -> None:
        Chain(store).add()
        for revision in (10, 9, 100, 1):
            store.attach(KEY, Attachment(revision, "x", b""))
        assert [a.revision for a in store.attachments(KEY)] == [1, 9, 10, 100]

    def test_an_attachment_of_the_same_place_is_replaced(self, store: Store) -> None:
        Chain(store).add()
        for data in (b"one", b"", b"\0two\xff"):
            store.attach(KEY, Attachment(0, "label/x", data))
            assert store.attachments(KEY) == [Attachment(0, "label/x", data)]
            assert type(store.attachments(KEY)[0].data) is bytes

    def test_an_attachment_is_removed_once(self, store: Store) -> None:
        Chain(store).add()
        for revision in (0, 1):
            store.attach(KEY, Attachment(revision, "x", b""))
        assert [store.detach(KEY, 0, "x"), store.detach(KEY, 0, "x")] == [True, False]
        assert store.detach(KEY, 1, "X") is False
        assert store.attachments(KEY) == [Attachment(1, "x", b"")]

    def test_nothing_is_attached_to_a_session_that_is_not_there(self, store: Store) -> None:
        store.attach(KEY, Attachment(0, "label/x", b"1"))
        assert store.attachments(KEY) == []
        assert store.read(KEY) is None
        Chain(store).add()
        assert store.attachments(KEY) == []

    def test_attaching_does_not_touch_the_head(self, store: Store) -> None:
        chain = Chain(store)
        chain.add()
        before = store.read(KEY)
        store.attach(KEY, Attachment(0, "label/x", b"1"))
        store.detach(KEY, 0, "label/x")
        assert store.read(KEY) == before
        chain.add()

    def test_attachments_stay_through_commits_and_are_those_of_their_session(
        self, store: Store
    ) -> None:
        mine, theirs = create(store, "mine", "theirs")
        store.attach(mine.key, Attachment(1, "x", b"1"))
        store.attach(theirs.key, Attachment(1, "x", b"2"))
        assert store.detach(theirs.key, 1, "x") is True
        mine.grow("pbp")
        assert store.attachments(mine.key) == [Attachment(1, "x", b"1")]
