"""Tests of large records and pages, and of a session of a gigabyte."""

from __future__ import annotations

import random

import pytest

from checkpoint._records.header import Kind
from checkpoint.store import Attachment, Page, Segment, Store
from checkpoint.testing.chain import KEY, Chain, segment_of
from checkpoint.testing.contract.suite import SOAK, Suite

SIZES = [400_000, 16 * 2**20]


class Sizes(Suite):
    """Incompressible bytes, as large as the limits of a state allow."""

    @pytest.mark.parametrize("size", SIZES)
    def test_large_records_come_back_as_they_were(self, store: Store, size: int) -> None:
        chain, noise = Chain(store), random.Random(size)
        base = chain.add(Kind.BASE, noise.randbytes(size))
        patch = chain.add(Kind.PATCH, noise.randbytes(size))
        assert segment_of(store) == Segment(chain.tip(), (base, patch))
        assert segment_of(store, since=1) == Segment(chain.tip(), (patch,))
        assert [whole for _, whole in store.headers(KEY, None, 9)] == [size + len(base.header)] * 2
        chain.prune((1, 2), records=((patch, 2),), base=2)
        assert segment_of(store).records == (patch,)

    @pytest.mark.parametrize("size", SIZES)
    def test_large_pages_come_back_as_they_were(self, store: Store, size: int) -> None:
        noise = random.Random(size)
        pages = [Page(noise.randbytes(24), noise.randbytes(size), n) for n in range(3)]
        store.put_pages(KEY, pages)
        assert store.pages(KEY, [page.id for page in pages]) == {p.id: p.data for p in pages}
        assert self.listed(store) == [self.info(p.id, p.stored_at, size) for p in sorted(pages)]

    def test_large_attachments_come_back_as_they_were(self, store: Store) -> None:
        Chain(store).add()
        data = random.Random(1).randbytes(SIZES[0])
        store.attach(KEY, Attachment(0, "pin/x", data))
        assert store.attachments(KEY) == [Attachment(0, "pin/x", data)]

    @pytest.mark.skipif(not SOAK, reason="takes long; set CHECKPOINT_SOAK=1")
    def test_a_gigabyte_of_pages_in_one_session(self, store: Store) -> None:
        size, at_once, batches = 256 * 1024, 64, 64
        chain = Chain(store)
        chain.add()

        def batch(number: int) -> list[Page]:
            noise = random.Random(number)
            return [
                Page(noise.randbytes(24), noise.randbytes(size), number) for _ in range(at_once)
            ]

        for number in range(batches):
            store.put_pages(KEY, batch(number))
        listed = store.list_pages(KEY)
        assert sum(info.size for info in listed) == 2**30
        assert listed == sorted(listed)
        for number in range(batches):
            pages = batch(number)
            assert store.pages(KEY, [page.id for page in pages]) == {p.id: p.data for p in pages}
        chain.add()
        assert segment_of(store).records == tuple(chain.records)
        ids = [info.id for info in listed]
        store.drop_pages(KEY, ids[1:])
        assert store.list_pages(KEY) == listed[:1]
