"""The read cache: the sessions that were served last, within a number of bytes."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkpoint._document.pages import PageData, PageRef
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.baseline import Baseline
from checkpoint._records.body import base_body
from checkpoint._records.header import Kind, RecordHeader, SchemaId, Writer
from checkpoint._records.segment import encode_record, read
from checkpoint._runtime.cache import Cache


def key(name: object) -> SessionKey:
    return SessionKey("default", str(name))


def loaded(size: int, pages: dict[bytes, int] | None = None, spilled: bytes = b"") -> Baseline:
    """A session of a text of this size, and pages of these sizes; one may be of a big value."""
    body, _ = base_body({"text": "x" * size}, {}, {})
    header = RecordHeader(1, Kind.BASE, b"w" * 16, 0, Writer("host", 1), SchemaId("dict", 0))
    record, _ = encode_record(key("any"), header, body, None, Limits(10**9))
    found = read(key("any"), [record], Limits(10**9)).build(key("any"), {})
    refs = (PageRef(spilled, None, 1),) if spilled else ()
    made = {id: PageData(bytes(number)) for id, number in (pages or {}).items()}
    return found._replace(pages=made, spilled=refs)


def size_of(what: Baseline) -> int:
    """What a session takes, found out by the smallest cache that keeps it."""
    low, high = 1, 10**7
    while low < high:
        middle = (low + high) // 2
        cache = Cache(middle)
        cache.put(key("a"), what)
        low, high = (low, middle) if cache.get(key("a")) else (middle + 1, high)
    return low


def test_what_was_put_is_there_until_it_is_dropped() -> None:
    cache = Cache(10**6)
    assert cache.get(key("a")) is None
    first, second = loaded(10), loaded(20)
    cache.put(key("a"), first)
    assert cache.get(key("a")) == first
    cache.put(key("a"), second)
    assert cache.get(key("a")) == second
    assert cache.get(key("b")) is None
    assert cache.get(SessionKey("tenant", "a")) is None
    cache.drop(key("a"))
    cache.drop(key("a"))
    assert cache.get(key("a")) is None


def test_sizes_are_those_of_the_encoded_bytes_about() -> None:
    for size in (1000, 50_000, 500_000):
        assert size <= size_of(loaded(size)) <= 2 * size + 40_000
    assert size_of(loaded(1000, {b"p": 10_000})) >= 1000


def test_the_least_recently_used_is_dropped_first_and_no_more_than_needed() -> None:
    room = 4 * size_of(loaded(1000))
    cache = Cache(room)
    for name in "abcd":
        cache.put(key(name), loaded(1000))
    assert all(cache.get(key(name)) for name in "abcd")
    cache.get(key("a"))
    cache.put(key("e"), loaded(1000))
    assert [name for name in "abcde" if cache.get(key(name))] == list("acde")
    cache.put(key("c"), loaded(1000))
    cache.put(key("f"), loaded(2000))
    assert cache.get(key("c"))
    assert cache.get(key("f"))


def test_a_session_put_again_takes_no_more_room() -> None:
    cache = Cache(4 * size_of(loaded(1000)))
    for _ in range(100):
        for name in "abcd":
            cache.put(key(name), loaded(1000))
    assert all(cache.get(key(name)) for name in "abcd")
    for name in "abcd":
        cache.drop(key(name))
        cache.drop(key(name))
    for name in "efgh":
        cache.put(key(name), loaded(1000))
    assert all(cache.get(key(name)) for name in "efgh")


def test_what_is_too_large_for_it_pushes_nothing_out() -> None:
    cache = Cache(4 * size_of(loaded(1000)))
    for name in "abcd":
        cache.put(key(name), loaded(1000))
    cache.put(key("large"), loaded(100_000))
    assert cache.get(key("large")) is None
    assert all(cache.get(key(name)) for name in "abcd")
    cache.put(key("a"), loaded(100_000))
    assert cache.get(key("a")) is None, "what it was before is old now"


def test_pages_of_a_long_list_are_left_out_where_they_would_take_most_of_it() -> None:
    what = loaded(1000, {b"list": 60_000, b"value": 10_000}, spilled=b"value")
    cache = Cache(100_000)
    cache.put(key("a"), what)
    kept = cache.get(key("a"))
    assert kept is not None
    assert kept.pages.keys() == {b"value"}
    assert kept._replace(pages=what.pages) == what
    roomy = Cache(10**6)
    roomy.put(key("a"), what)
    kept = roomy.get(key("a"))
    assert kept is not None
    assert kept.pages.keys() == what.pages.keys()


def test_pages_that_are_fetched_later_are_none_of_its() -> None:
    """A state goes on to put what it fetches with the pages it was built of."""
    what = loaded(10, {b"list": 10})
    cache = Cache(10**6)
    cache.put(key("a"), what)
    what.pages[b"later"] = PageData(b"later")
    kept = cache.get(key("a"))
    assert kept is not None
    assert kept.pages.keys() == {b"list"}


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put(key("a"), loaded(0))
    assert cache.get(key("a")) is None


@pytest.mark.parametrize("seed", range(5))
def test_it_never_keeps_more_than_its_limit_whoever_uses_it(seed: int) -> None:
    unit = size_of(loaded(1000))
    cache = Cache(5 * unit)
    some = [loaded(size) for size in (0, 1000, 2000, 5000, 200_000)]
    sizes = {id(what.document): size_of(what) for what in some}

    def use(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        for _ in range(400):
            name = key(chance.randrange(12))
            choice = chance.randrange(4)
            if choice < 2:
                cache.put(name, chance.choice(some))
            elif choice == 2:
                cache.get(name)
            else:
                cache.drop(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    kept = [what for n in range(12) if (what := cache.get(key(n))) is not None]
    assert sum(sizes[id(what.document)] for what in kept) <= 5 * unit
    for n in range(12):
        cache.drop(key(n))
    for n in range(5):
        cache.put(key(n), loaded(1000))
    assert all(cache.get(key(n)) for n in range(5)), "all its room is there again"
