"""Hypothesis strategies shared by the tests: documents, and edits of documents."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

# Built once: a strategy made anew for each draw costs more than the draw.

_DAY = 24 * 60 * 60 * 10**6  # microseconds
_micros = st.integers(-_DAY + 1, _DAY - 1).map(lambda n: dt.timedelta(microseconds=n))
OFFSETS = st.builds(dt.timezone, _micros) | st.builds(dt.timezone, _micros, st.text(min_size=1))
"""Fixed offsets, to the microsecond, some with a name of their own."""

ZONES = [ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")]
_zones = st.none() | OFFSETS | st.sampled_from(ZONES)
_folds = st.sampled_from([0, 1])
_ambiguous = st.just(dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZONES[1]))  # happened twice

DATETIMES = st.builds(
    lambda at, fold: at.replace(fold=fold), st.datetimes(timezones=_zones) | _ambiguous, _folds
)
"""Naive, of a fixed offset, of a named zone; existing or not; the first or the second fold."""

TIMES = st.builds(lambda at, fold: at.replace(fold=fold), st.times(timezones=_zones), _folds)

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
"""Any string of Python, lone surrogates among it."""

_edges = [sign * 2**bits + step for sign in (1, -1) for bits in (31, 63, 64) for step in (-1, 0)]
INTEGERS = st.integers() | st.sampled_from(_edges) | st.integers(-(2**200), 2**200)
"""Of any size, and those where MessagePack's own end."""


def _scalars(*, allow_nan: bool) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        INTEGERS,
        st.floats(allow_nan=allow_nan),
        TEXTS,
        st.binary(max_size=20),
        st.decimals(allow_nan=allow_nan),
        st.uuids(),
        DATETIMES,
        st.dates(),
        TIMES,
        st.timedeltas(),
    )


SCALARS = _scalars(allow_nan=True)
"""Every scalar that a document keeps."""

HASHABLES = st.recursive(
    _scalars(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=3,
)
"""What may be a key or a member of a set; no NaN, which is not even equal to itself."""

KEYS = st.sampled_from(["a", "b", "memory", "ключ"]) | HASHABLES
"""Keys of maps: mostly those that programs use."""

DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(KEYS, inner, max_size=5),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(HASHABLES, max_size=3),
        st.frozensets(HASHABLES, max_size=3),
    ),
    max_leaves=12,
)
"""Anything that the codec keeps, nested."""

DICT_STATES = st.dictionaries(KEYS, DOCUMENTS, max_size=4)
"""States of sessions without a model."""

_choices = st.integers(0, 9)
_additions = st.lists(DOCUMENTS, max_size=2)
_entries = st.dictionaries(KEYS, DOCUMENTS, max_size=1)


@st.composite
def edits(draw: st.DrawFn, document: Any) -> Any:
    """A copy of a document with a few changes, at any depth."""
    return _edited(draw, document)


def _edited(draw: st.DrawFn, value: Any) -> Any:
    choice = draw(_choices)
    if choice < 4:
        return value
    if choice == 9 or not isinstance(value, (list, dict, str, bytes)):
        return draw(DOCUMENTS)
    if isinstance(value, dict):
        kept = {key: _edited(draw, item) for key, item in value.items() if draw(_choices)}
        ordered = dict(reversed(kept.items())) if choice == 8 else kept
        return ordered | draw(_entries)
    items = [_edited(draw, item) for item in value] if isinstance(value, list) else value
    start = draw(st.integers(0, len(items)))
    stop = start + draw(st.integers(0, 2))
    return items[:start] + _addition(draw, items) + items[stop:]


def _addition(draw: st.DrawFn, to: list[Any] | str | bytes) -> Any:
    if isinstance(to, list):
        return draw(_additions)
    return draw(TEXTS if isinstance(to, str) else st.binary(max_size=20))
