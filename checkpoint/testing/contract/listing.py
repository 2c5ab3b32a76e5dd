"""Tests of listing sessions: ids of any characters, distinguished and ordered by bytes."""

from __future__ import annotations

import pytest

from checkpoint._ids import SessionKey, check_id
from checkpoint._records.header import Kind
from checkpoint.store import Attachment, Head, Page, Segment, Store
from checkpoint.testing.chain import Chain, create, segment_of
from checkpoint.testing.contract.suite import Suite

# Ids that a store may confuse, take for a pattern, or sort in an order other than that of bytes.
ODD_IDS = [
    *("%", "_", "a%", "a_", "ab", "a", "A", "a ", " a", "a/b", "a\\b", "a'b", 'a"b', "a?b", "a*b"),
    *("User", "user", "USER", "é", "e\u0301", "ß", "SS", "İ", "i\u0307", "ﬁ", "fi"),
    *("a\u200b", "\ufeff", "\ud7ff", "\ud7ffa", "\ue000", "\uffff", "\U00010000", "\U0010ffff"),
    *("a\U0010ffff", "a\U0010ffffb", "b", "0", "00", "1e0", "1.0", "NULL", "None", ":memory:"),
    *(
        ".",
        "..",
        "/",
        "//",
        "../up",
        "a/",
        "a//b",
        "a.",
        "CON",
        "~",
        "-",
        "{}",
        "{a}",
        "a:b",
        "[a]",
    ),
    *("😀" * 128, "x" * 512, "x" * 511),
]

UNBORN = Head(0, b"", 0, 0, deleted=True)
"""The head of a listed session that only has pages."""


def ids_of(store: Store, prefix: str = "", after: str | None = None, limit: int = 500) -> list[str]:
    return [name for name, _ in store.sessions("default", prefix, after, limit)]


def in_byte_order(ids: list[str], prefix: str = "") -> list[str]:
    return sorted((id for id in ids if id.startswith(prefix)), key=str.encode)


class Listing(Suite):
    """Ids, prefixes, paging, namespaces."""

    def test_odd_ids_are_sessions_of_their_own(self, store: Store) -> None:
        chains = create(store, *(check_id(name, "session id") for name in ODD_IDS))
        for chain in chains:
            store.put_pages(chain.key, [Page(bytes(24), chain.key.session_id.encode(), 1)])
            store.attach(chain.key, Attachment(0, "x", chain.key.session_id.encode()))
        for chain in chains:
            assert segment_of(store, chain.key) == Segment(chain.tip(), tuple(chain.records))
            data = chain.key.session_id.encode()
            assert store.pages(chain.key, [bytes(24)]) == {bytes(24): data}
            assert store.attachments(chain.key) == [Attachment(0, "x", data)]

    def test_sessions_are_listed_in_byte_order_with_their_heads(self, store: Store) -> None:
        chains = {chain.key.session_id: chain for chain in create(store, *ODD_IDS)}
        chains["user"].add()
        chains["User"].prune()
        assert store.sessions("default", "", None, 500) == [
            (name, chains[name].head) for name in in_byte_order(ODD_IDS)
        ]

    def test_a_prefix_is_taken_literally(self, store: Store) -> None:
        create(store, *ODD_IDS)
        for prefix in (
            *("", "%", "_", "a", "A", "a%", "a_", "user", "User", "x" * 511, "x" * 512, "x" * 600),
            *("\ud7ff", "\ue000", "\uffff", "\U0010ffff", "a\U0010ffff", "\U0010ffff" * 3),
            *("e", "é", "😀", "😀" * 128, "nothing", "a'", "a\\", "*", "?", "[a]", " ", ":", ".."),
        ):
            assert ids_of(store, prefix) == in_byte_order(ODD_IDS, prefix), prefix

    def test_paging_with_after_lists_each_session_once(self, store: Store) -> None:
        create(store, *ODD_IDS)
        for prefix in ("", "a", "\ud7ff"):
            for limit in (1, 2, 7):
                seen: list[str] = []
                after: str | None = None
                while page := ids_of(store, prefix, after, limit):
                    assert len(page) <= limit
                    seen += page
                    after = page[-1]
                assert seen == in_byte_order(ODD_IDS, prefix)
        assert ids_of(store, limit=0) == []

    def test_after_need_not_be_a_session_nor_have_the_prefix(self, store: Store) -> None:
        create(store, "a1", "a2", "b1")
        assert ids_of(store, "a", "a11") == ["a2"]
        assert ids_of(store, "b", "a1") == ["b1"]
        assert ids_of(store, "a", "b") == []
        assert ids_of(store, "", "\U0010ffff") == []
        assert ids_of(store, "", "") == ["a1", "a2", "b1"]

    def test_sessions_that_stay_are_listed_once_while_others_come_and_go(
        self, store: Store
    ) -> None:
        staying = [f"stay-{n}" for n in range(9)]
        create(store, *staying)
        going = create(store, *(f"stay-{n}-going" for n in range(9)))
        seen: list[str] = []
        after: str | None = None
        while page := ids_of(store, "", after, 2):
            seen += page
            after = page[-1]
            for chain in going:
                chain.add(Kind.TOMBSTONE)
            going = create(store, f"a-{len(seen)}", f"stay-9-{len(seen)}") if len(seen) < 9 else []
        assert [name for name in seen if name in staying] == staying
        assert len(seen) == len(set(seen))

    def test_deleted_sessions_are_not_listed_until_they_are_made_again(self, store: Store) -> None:
        first, second = create(store, "one", "two")
        first.add(Kind.TOMBSTONE)
        assert ids_of(store) == ["two"]
        assert ids_of(store, limit=1) == ["two"], "a deleted one does not use up the page"
        first.add(Kind.BASE)
        assert store.sessions("default", "", None, 9) == [("one", first.head), ("two", second.head)]

    def test_deleted_sessions_and_those_of_only_pages_are_listed_when_asked_for(
        self, store: Store
    ) -> None:
        kept, gone, emptied = create(store, "b", "d", "f")
        gone.add(Kind.TOMBSTONE)
        for name in ("a", "b", "c", "d", "e"):
            pages = [Page(bytes([n]) * 24, b"page", 1) for n in range(3)]
            store.put_pages(SessionKey("default", name), pages)
            store.put_pages(SessionKey("default ", name + name), pages)
        everything = [
            *(("a", UNBORN), ("b", kept.head), ("c", UNBORN), ("d", gone.head), ("e", UNBORN)),
            ("f", emptied.head),
        ]
        assert store.sessions("default", "", None, 99, deleted=True) == everything
        for limit in range(7):
            assert store.sessions("default", "", None, limit, deleted=True) == everything[:limit]
        for at, (name, _) in enumerate(everything):
            assert (
                store.sessions("default", "", name, 2, deleted=True) == everything[at + 1 : at + 3]
            )
            assert store.sessions("default", name, None, 9, deleted=True) == [everything[at]]
        assert [name for name, _ in store.sessions("default", "", None, 9)] == ["b", "f"]
        for name in ("a", "b", "c", "d", "e"):
            store.drop_pages(SessionKey("default", name), [bytes([n]) * 24 for n in range(3)])
        assert store.sessions("default", "", None, 9, deleted=True) == [
            *(("b", kept.head), ("d", gone.head), ("f", emptied.head))
        ]

    # --- namespaces ------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "other", ["Default", "default ", "default/user-42", "défaut", "😀" * 128]
    )
    def test_namespaces_do_not_see_each_other(self, store: Store, other: str) -> None:
        (mine,) = create(store, "user-42")
        there = SessionKey(other, "user-42")
        store.attach(mine.key, Attachment(0, "label/x", b"1"))
        store.put_pages(mine.key, [Page(bytes(24), b"page", 1)])
        assert store.read(there) is None
        assert store.list_pages(there) == []
        assert store.sessions(other, "", None, 9, deleted=True) == []
        (theirs,) = create(store, "user-42", namespace=other)
        store.drop_pages(theirs.key, [bytes(24)])
        theirs.add(Kind.BASE)
        theirs.prune((1, 1))
        theirs.add(Kind.TOMBSTONE)
        assert store.attachments(mine.key) == [Attachment(0, "label/x", b"1")]
        assert store.pages(mine.key, [bytes(24)]) == {bytes(24): b"page"}
        assert segment_of(store, mine.key) == Segment(mine.tip(), tuple(mine.records))

    def test_namespace_and_id_do_not_run_into_each_other(self, store: Store) -> None:
        keys = [SessionKey("a", "b/c"), SessionKey("a/b", "c"), SessionKey("ab", "/c")]
        chains = [Chain(store, key) for key in keys]
        for number, chain in enumerate(chains):
            chain.add(Kind.BASE)
            store.put_pages(chain.key, [Page(bytes(24), b"%d" % number, 1)])
        for number, chain in enumerate(chains):
            assert store.pages(chain.key, [bytes(24)]) == {bytes(24): b"%d" % number}
            assert store.sessions(chain.key.namespace, "", None, 9, deleted=True) == [
                (chain.key.session_id, chain.head)
            ]
