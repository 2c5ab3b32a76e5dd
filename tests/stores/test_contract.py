"""What every store must do, whatever it keeps its records in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkpoint.errors import StoreClosed
from checkpoint.ids import SessionKey, check_id
from checkpoint.record import Kind, Record
from checkpoint.store import Attachment, Store

from .chain import KEY, Chain

# Ids that a store may take for one another, or for a pattern, or sort in another order than bytes.
ODD_IDS = [
    *("%", "_", "a%", "a_", "ab", "a", "A", "a ", " a", "a/b", "a\\b", "a'b", 'a"b', "a?b", "a*b"),
    *("User", "user", "USER", "é", "e\u0301", "ß", "SS", "İ", "i\u0307", "ﬁ", "fi"),
    *("a\u200b", "\ufeff", "\ud7ff", "\ud7ffa", "\ue000", "\uffff", "\U00010000", "\U0010ffff"),
    *("a\U0010ffff", "a\U0010ffffb", "b", "0", "00", "1e0", "1.0", "NULL", "None", ":memory:"),
    *("😀" * 128, "x" * 512, "x" * 511),
]


def ids_of(store: Store, prefix: str = "", after: str | None = None, limit: int = 500) -> list[str]:
    return [name for name, _ in store.sessions("default", prefix, after, limit)]


def create(store: Store, *ids: str, namespace: str = "default") -> list[Chain]:
    chains = [Chain(store, SessionKey(namespace, name)) for name in ids]
    for chain in chains:
        chain.add(Kind.BASE)
    return chains


# --- the head and its guard ----------------------------------------------------------------------


def test_a_session_that_never_was_is_absent_everywhere(store: Store) -> None:
    assert store.read(KEY) is None
    assert store.read(KEY, 1) is None
    assert store.heads(KEY, None, 10) == []
    assert store.attachments(KEY) == []
    assert store.detach(KEY, 0, "label/x") is False
    assert ids_of(store) == []


def test_a_created_session_reads_back_as_it_was_written(store: Store) -> None:
    chain = Chain(store)
    record = chain.add(Kind.BASE, bytes(range(256)) * 5)
    segment = store.read(KEY)
    assert segment is not None
    assert segment.head == chain.head
    assert segment.records == (record,)
    assert segment.head.deleted is False
    assert {type(segment.head.write_id), type(record.head), type(record.body)} == {bytes}


def test_an_empty_body_and_a_large_one_are_kept(store: Store) -> None:
    chain = Chain(store)
    records = [chain.add(Kind.BASE, b""), chain.add(Kind.PATCH, b"\0" * 3_000_000)]
    segment = store.read(KEY)
    assert segment is not None
    assert list(segment.records) == records


def test_the_second_creation_is_refused(store: Store) -> None:
    chain = Chain(store)
    first, second = chain.draft(), chain.draft()
    assert store.commit(KEY, first) is True
    assert store.commit(KEY, second) is False
    segment = store.read(KEY)
    assert segment is not None
    assert (segment.head, segment.records) == (first.head, (first.record,))


def test_a_move_of_a_session_that_is_not_there_is_refused_and_leaves_nothing(store: Store) -> None:
    chain = Chain(store)
    chain.add()
    lost = chain.draft()
    elsewhere = SessionKey("default", "elsewhere")
    assert store.commit(elsewhere, lost) is False
    assert store.read(elsewhere) is None
    assert ids_of(store) == [KEY.session_id]


def test_the_guard_is_the_write_id_and_not_the_revision(store: Store) -> None:
    chain = Chain(store)
    chain.add()
    here = chain.draft()
    parent = here.parent
    assert parent is not None
    for wrong in (b"", parent[:-1], parent + b"\0", bytes(16), parent.hex().encode()):
        assert store.commit(KEY, here._replace(parent=wrong)) is False
    segment = store.read(KEY)
    assert segment is not None
    assert segment.head == chain.head
    assert store.commit(KEY, here) is True


def test_of_two_writers_on_one_parent_one_is_refused_whole(store: Store) -> None:
    chain = Chain(store)
    chain.grow("bp")
    mine, theirs = chain.draft(), chain.draft()
    assert [store.commit(KEY, theirs), store.commit(KEY, mine)] == [True, False]
    segment = store.read(KEY)
    assert segment is not None
    assert segment.head == theirs.head
    assert segment.records == (*chain.records, theirs.record)


def test_a_commit_that_is_sent_again_does_not_happen_again(store: Store) -> None:
    chain = Chain(store)
    first, _ = chain.draft(), chain.add()
    second = chain.draft()
    assert store.commit(KEY, second) is True
    assert store.commit(KEY, second) is False
    assert store.commit(KEY, first) is False
    assert [record.revision for record, _ in store.heads(KEY, None, 10)] == [2, 1]


# --- segments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", ["b", "bp", "bppp", "bbb", "bppbpbpp"])
def test_each_revision_is_read_as_its_segment_up_to_it(store: Store, kinds: str) -> None:
    chain = Chain(store)
    records = chain.grow(kinds)
    for revision in range(1, len(kinds) + 1):
        base = kinds[:revision].rindex("b")
        segment = store.read(KEY, revision)
        assert segment is not None
        assert list(segment.records) == records[base:revision]
        assert segment.head == chain.head, "the head is that of the session, not of the revision"
    assert store.read(KEY) == store.read(KEY, len(kinds))


@pytest.mark.parametrize("revision", [0, -1, 4, 2**31, 2**63 - 1, 2**63, -(2**63), 2**200])
def test_a_revision_that_is_not_there_has_a_head_and_no_records(
    store: Store, revision: int
) -> None:
    chain = Chain(store)
    chain.grow("bpp")
    segment = store.read(KEY, revision)
    assert segment is not None
    assert (segment.head, segment.records) == (chain.head, ())


def test_long_segments_come_whole_and_in_order(store: Store) -> None:
    chain = Chain(store)
    records = chain.grow("b" + "p" * 300)
    segment = store.read(KEY)
    assert segment is not None
    assert list(segment.records) == records


# --- history -------------------------------------------------------------------------------------


def test_heads_are_newest_first_without_bodies_and_with_whole_sizes(store: Store) -> None:
    chain = Chain(store)
    chain.add(Kind.BASE, b"x" * 1000)
    chain.add(Kind.PATCH, b"")
    assert store.heads(KEY, None, 10) == [
        (Record(record.revision, record.head, b""), len(record.head) + len(record.body))
        for record in reversed(chain.records)
    ]


@pytest.mark.parametrize(
    ("before", "limit", "expected"),
    [
        (None, 0, []),
        (None, 2, [6, 5]),
        (None, 6, [6, 5, 4, 3, 2, 1]),
        (None, 1000, [6, 5, 4, 3, 2, 1]),
        (7, 1, [6]),
        (6, 2, [5, 4]),
        (2, 9, [1]),
        (1, 9, []),
        (0, 9, []),
        (-5, 9, []),
        (2**63, 1, [6]),
        (2**200, 1, [6]),
        (-(2**200), 9, []),
    ],
)
def test_heads_are_paged_by_before_and_limit(
    store: Store, before: int | None, limit: int, expected: list[int]
) -> None:
    Chain(store).grow("bppbpp")
    assert [record.revision for record, _ in store.heads(KEY, before, limit)] == expected


def test_history_is_paged_without_gaps_while_writes_go_on(store: Store) -> None:
    chain = Chain(store)
    chain.grow("bppbppbp")
    seen: list[int] = []
    before: int | None = None
    while page := store.heads(KEY, before, 3):
        seen += [record.revision for record, _ in page]
        before = seen[-1]
        chain.grow("pb")
    assert seen == [8, 7, 6, 5, 4, 3, 2, 1]


# --- listing -------------------------------------------------------------------------------------


def test_odd_ids_are_sessions_of_their_own(store: Store) -> None:
    chains = create(store, *(check_id(name, "session id") for name in ODD_IDS))
    for chain in chains:
        segment = store.read(chain.key)
        assert segment is not None
        assert (segment.head, list(segment.records)) == (chain.head, chain.records)


def test_sessions_are_listed_in_byte_order_with_their_heads(store: Store) -> None:
    chains = {chain.key.session_id: chain for chain in create(store, *ODD_IDS)}
    chains["user"].add()
    expected = sorted(ODD_IDS, key=str.encode)
    assert store.sessions("default", "", None, 500) == [
        (name, chains[name].head) for name in expected
    ]


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "%", "_", "a", "A", "a%", "a_", "user", "User", "x" * 511, "x" * 512, "x" * 600),
        *("\ud7ff", "\ue000", "\uffff", "\U0010ffff", "a\U0010ffff", "\U0010ffff" * 3),
        *("e", "é", "😀", "😀" * 128, "nothing", "a'", "a\\", "*", "?", "[a]", " ", ":"),
    ],
)
def test_a_prefix_is_taken_literally(store: Store, prefix: str) -> None:
    create(store, *ODD_IDS)
    expected = sorted((i for i in ODD_IDS if i.startswith(prefix)), key=str.encode)
    assert ids_of(store, prefix) == expected


@pytest.mark.parametrize("prefix", ["", "a", "\ud7ff"])
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_paging_with_after_lists_each_session_once(store: Store, prefix: str, limit: int) -> None:
    create(store, *ODD_IDS)
    seen: list[str] = []
    after: str | None = None
    while page := ids_of(store, prefix, after, limit):
        assert len(page) <= limit
        seen += page
        after = page[-1]
    assert seen == ids_of(store, prefix)


def test_after_need_not_be_a_session_nor_have_the_prefix(store: Store) -> None:
    create(store, "a1", "a2", "b1")
    assert ids_of(store, "a", "a11") == ["a2"]
    assert ids_of(store, "b", "a1") == ["b1"]
    assert ids_of(store, "a", "b") == []
    assert ids_of(store, "", "\U0010ffff") == []
    assert ids_of(store, "", "") == ["a1", "a2", "b1"]


def test_sessions_that_stay_are_listed_once_while_others_come_and_go(store: Store) -> None:
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


def test_deleted_sessions_are_not_listed_until_they_are_made_again(store: Store) -> None:
    first, second = create(store, "one", "two")
    first.add(Kind.TOMBSTONE)
    assert ids_of(store) == ["two"]
    assert ids_of(store, limit=1) == ["two"], "a deleted one does not use up the page"
    first.add(Kind.BASE)
    assert store.sessions("default", "", None, 9) == [("one", first.head), ("two", second.head)]


# --- deletion ------------------------------------------------------------------------------------


def test_a_tombstone_clears_older_records_and_attachments(store: Store) -> None:
    chain = Chain(store)
    chain.grow("bpbp")
    store.attach(KEY, Attachment(0, "label/x", b"1"))
    store.attach(KEY, Attachment(2, "note", b"2"))
    tombstone = chain.add(Kind.TOMBSTONE)
    segment = store.read(KEY)
    assert segment is not None
    assert segment.head.deleted is True
    assert (segment.head, segment.records) == (chain.head, (tombstone,))
    assert [record.revision for record, _ in store.heads(KEY, None, 9)] == [5]
    assert store.attachments(KEY) == []
    for revision in range(1, 5):
        assert store.read(KEY, revision) == segment._replace(records=())


def test_a_session_made_again_goes_on_counting_after_its_tombstone(store: Store) -> None:
    chain = Chain(store)
    chain.grow("bpt")
    records = chain.grow("bp")
    assert [record.revision for record in records] == [4, 5]
    segment = store.read(KEY)
    assert segment is not None
    assert list(segment.records) == records
    assert [record.revision for record, _ in store.heads(KEY, None, 9)] == [5, 4, 3]
    chain.grow("t")
    assert [record.revision for record, _ in store.heads(KEY, None, 9)] == [6]


def test_a_tombstone_is_a_head_like_any_other_to_the_guard(store: Store) -> None:
    chain = Chain(store)
    chain.add()
    stalled = chain.draft()
    chain.add(Kind.TOMBSTONE)
    assert store.commit(KEY, stalled) is False
    assert store.commit(KEY, Chain(store).draft()) is False, "it is not absent"
    chain.add(Kind.BASE)
    assert store.commit(KEY, stalled) is False


def test_a_refused_tombstone_clears_nothing(store: Store) -> None:
    chain = Chain(store)
    chain.add()
    stale = chain.draft(Kind.TOMBSTONE)
    chain.add()
    store.attach(KEY, Attachment(0, "label/x", b"1"))
    assert store.commit(KEY, stale) is False
    segment = store.read(KEY)
    assert segment is not None
    assert list(segment.records) == chain.records
    assert store.attachments(KEY) == [Attachment(0, "label/x", b"1")]


# --- attachments ---------------------------------------------------------------------------------


def test_attachments_are_listed_by_revision_and_name_in_byte_order(store: Store) -> None:
    Chain(store).grow("bp")
    places = [(r, name) for r in (2, 0, 1) for name in ("b", "a", "\U0010ffff", "\uffff", "B", "")]
    for revision, name in places:
        store.attach(KEY, Attachment(revision, name, f"{revision} {name}".encode()))
    expected = sorted(places, key=lambda place: (place[0], place[1].encode()))
    assert [(a.revision, a.name) for a in store.attachments(KEY)] == expected
    assert all(a.data == f"{a.revision} {a.name}".encode() for a in store.attachments(KEY))


def test_an_attachment_of_the_same_place_is_replaced(store: Store) -> None:
    Chain(store).add()
    for data in (b"one", b"", b"\0two\xff"):
        store.attach(KEY, Attachment(0, "label/x", data))
        assert store.attachments(KEY) == [Attachment(0, "label/x", data)]


def test_an_attachment_is_removed_once(store: Store) -> None:
    Chain(store).add()
    for revision in (0, 1):
        store.attach(KEY, Attachment(revision, "x", b""))
    assert [store.detach(KEY, 0, "x"), store.detach(KEY, 0, "x")] == [True, False]
    assert store.detach(KEY, 1, "X") is False
    assert store.attachments(KEY) == [Attachment(1, "x", b"")]


def test_nothing_is_attached_to_a_session_that_is_not_there(store: Store) -> None:
    store.attach(KEY, Attachment(0, "label/x", b"1"))
    assert store.attachments(KEY) == []
    Chain(store).add()
    assert store.attachments(KEY) == []


def test_attaching_does_not_touch_the_head(store: Store) -> None:
    chain = Chain(store)
    chain.add()
    before = store.read(KEY)
    store.attach(KEY, Attachment(0, "label/x", b"1"))
    store.detach(KEY, 0, "label/x")
    assert store.read(KEY) == before
    chain.add()


# --- namespaces, and the end ---------------------------------------------------------------------


@pytest.mark.parametrize("other", ["Default", "default ", "default/user-42", "défaut", "😀" * 128])
def test_namespaces_do_not_see_each_other(store: Store, other: str) -> None:
    (mine,) = create(store, "user-42")
    there = SessionKey(other, "user-42")
    store.attach(mine.key, Attachment(0, "label/x", b"1"))
    assert store.read(there) is None
    assert store.sessions(other, "", None, 9) == []
    (theirs,) = create(store, "user-42", namespace=other)
    theirs.add(Kind.TOMBSTONE)
    assert store.attachments(mine.key) == [Attachment(0, "label/x", b"1")]
    segment = store.read(mine.key)
    assert segment is not None
    assert list(segment.records) == mine.records


def test_namespace_and_id_do_not_run_into_each_other(store: Store) -> None:
    keys = [SessionKey("a", "b/c"), SessionKey("a/b", "c"), SessionKey("ab", "/c")]
    chains = [Chain(store, key) for key in keys]
    for chain in chains:
        chain.add(Kind.BASE)
    for chain in chains:
        assert store.sessions(chain.key.namespace, "", None, 9) == [
            (chain.key.session_id, chain.head)
        ]


CALLS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read(KEY),
    "read a revision": lambda store: store.read(KEY, 1),
    "commit": lambda store: store.commit(KEY, Chain(store).draft()),
    "heads": lambda store: store.heads(KEY, None, 1),
    "sessions": lambda store: store.sessions("default", "", None, 1),
    "attach": lambda store: store.attach(KEY, Attachment(0, "x", b"")),
    "detach": lambda store: store.detach(KEY, 0, "x"),
    "attachments": lambda store: store.attachments(KEY),
}


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_closed_store_says_so(
    store: Store, call: Callable[[Store], object], *, used: bool
) -> None:
    if used:
        Chain(store).add()
    store.close()
    with pytest.raises(StoreClosed):
        call(store)


def test_closing_twice_is_once(store: Store) -> None:
    Chain(store).add()
    store.close()
    store.close()
