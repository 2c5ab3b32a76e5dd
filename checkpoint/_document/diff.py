"""Patches: compares two documents, and applies the difference.

A patch is a list of operations in plain data, stored as it is and shown to people as the diff of a
turn. Operations apply in order; each path and index refers to the document at that point:

    [SET, path, value]                    put value at path (the empty path is the whole document)
    [DELETE, path]                        remove a key of a map
    [SPLICE, path, start, delete, items]  in a list, string or bytes: remove, then insert
    [ITEMS, path, start, delete, items]   in a list: the same, with each item encoded

Values are compared by their encodings, so 1, 1.0 and True differ, and changes in place are found.
The order of a map's keys counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from checkpoint._document.codec import Node, decode, encode
from checkpoint._document.encoded import (
    array,
    has_nodes,
    is_array,
    is_map,
    node_number,
    open_array,
    split_array,
    split_map,
)
from checkpoint._document.items import ItemList, NewItems, Pages

SET, DELETE, SPLICE, ITEMS = range(4)

Operation = list[Any]
Patch = list[Operation]

# Aligning two runs of items costs their product in the worst case; above this, the run is replaced.
_ALIGN_LIMIT = 20_000
# Replaced parts of a list that get an operation each; above this, the closest are merged.
_MOST_PARTS = 256
# A splice of a string must save at least this many characters to be worth its own overhead.
_TEXT_GAIN = 32


def diff(old: object, new: object, pages: Pages | None = None) -> Patch:
    """Return the operations that turn ``old`` into ``new``; empty if they are equal.

    Both are documents as :func:`~checkpoint._document.codec.decode` returns them. Where ``old`` has
    an ``ItemList``, ``new`` has a list or ``NewItems``.

    Args:
        pages: pages of ``old``, needed to compare the loaded items of ``new``.

    Example:
        >>> diff({"memory": [1, 2], "turn": 1}, {"memory": [1, 2, 3], "turn": 2})
        [[2, ['memory'], 2, 0, [3]], [0, ['turn'], 2]]
    """
    nodes: list[Node] = []
    return diff_encoded(old, encode(old, []), encode(new, nodes), nodes, pages or {})


def diff_encoded(
    old: object, before: bytes, after: bytes, nodes: Sequence[Node], pages: Pages
) -> Patch:
    """:func:`diff` of documents that are already encoded.

    Args:
        before: the encoding of ``old``.
        after, nodes: the encoding of the new document, and its nodes.
    """
    patch: Patch = []
    _Diff(patch, nodes, pages).values(old, before, after, [])
    return patch


def apply(document: Any, patch: Patch) -> Any:
    """Apply a patch to a document, *in place* where possible, and return the result.

    Raises:
        LookupError, TypeError, ValueError: the patch does not fit the document.

    Example:
        >>> apply({"memory": [1, 2]}, [[SPLICE, ["memory"], 2, 0, [3]]])
        {'memory': [1, 2, 3]}
    """
    for code, path, *rest in patch:
        if not path:
            document = _value_after(document, code, rest)
            continue
        *way, last = path
        parent = document
        for key in way:
            parent = parent[key]
        if code == SET:
            parent[last] = rest[0]
        elif code == DELETE:
            del parent[last]
        else:
            parent[last] = _value_after(parent[last], code, rest)
    return document


def applied(document: Any, patch: Patch) -> Any:
    """Like :func:`apply`, but without changing ``document``; unchanged parts are shared."""
    root = [document]
    own: dict[int, object] = {}  # copies made here, by id; kept so that no id is reused
    for code, path, *rest in patch:
        parent: Any = root
        for key in (0, *(path if code in (SPLICE, ITEMS) else path[:-1])):
            child = parent[key]
            if id(child) not in own and isinstance(child, (dict, list, ItemList)):
                child = parent[key] = child.copy()
                own[id(child)] = child
            parent = child
        root[0] = apply(root[0], [[code, path, *rest]])
    return root[0]


def _value_after(value: Any, code: int, rest: list[Any]) -> Any:
    if code == SET:
        return rest[0]
    if code not in (SPLICE, ITEMS):
        raise ValueError(f"operation {code} is not one of set, delete, splice and items")
    start, delete, items = rest
    if isinstance(value, ItemList):
        if code != ITEMS or not {bytes}.issuperset(map(type, items)):
            raise TypeError("a splice of values in a list of encoded items")
        value.splice(start, delete, items)
        return value
    if code == ITEMS:
        if not isinstance(value, list):
            raise TypeError(f"a splice of items in a {type(value).__name__}")
        items = [decode(item) for item in items]
    if not 0 <= start <= start + delete <= len(value):
        raise IndexError(f"splice of {start}+{delete} in {len(value)} items")
    if isinstance(value, list):
        value[start : start + delete] = items
        return value
    return value[:start] + items + value[start + delete :]


class _Diff(NamedTuple):
    """A comparison of two encoded documents; only parts that differ are decoded.

    Attributes:
        out: receives the operations.
        nodes: nodes of the new document.
        pages: loaded pages, by id.
    """

    out: Patch
    nodes: Sequence[Node]
    pages: Pages

    def values(self, old: Any, before: bytes, after: bytes, path: list[object]) -> None:
        if before == after and not has_nodes(before):
            return
        if type(old) is dict and is_map(after) and self.maps(old, before, after, path):
            return
        number = node_number(after)
        new = None if number is None else self.nodes[number]
        if isinstance(old, ItemList) and (isinstance(new, NewItems) or is_array(after)):
            self.items(old, new if isinstance(new, NewItems) else split_array(after), path)
        elif type(old) is list and is_array(after):
            self.lists(old, before, after, path)
        else:
            new = self.decoded(after)
            if type(old) is type(new) and type(old) in (str, bytes):
                _diff_text(old, new, path, self.out)
            else:
                self.out.append([SET, path, new])

    def decoded(self, data: bytes) -> Any:
        return decode(data, self.nodes)

    def maps(self, old: dict[Any, Any], before: bytes, after: bytes, path: list[object]) -> bool:
        """Compare key by key; False if the order or types of the keys require a new map."""
        olds = split_map(before)
        news = olds if before == after else split_map(after)
        names = [name for name, _ in news]
        only_text = {str}.issuperset(map(type, old))
        if only_text and names == [name for name, _ in olds]:  # by far the most common
            for key, (_, mine), (_, theirs) in zip(old, olds, news, strict=True):
                self.values(old[key], mine, theirs, [*path, key])
            return True
        new = dict(zip(decode(array(names)), [value for _, value in news], strict=True))
        kept = [key for key in old if key in new]
        if kept + [key for key in new if key not in old] != list(new):
            return False
        if not only_text:
            of_kept = [name for key, (name, _) in zip(old, olds, strict=True) if key in new]
            if of_kept != names[: len(kept)]:
                return False  # equal keys of other types: 1 and True, 1 and 1.0
            if any(key not in old for key in decode(array([name for name, _ in olds]))):
                return False  # a key contains nan: no path can name it
        self.out.extend([DELETE, [*path, key]] for key in old if key not in new)
        encoded = dict(zip(old, [value for _, value in olds], strict=True))
        for key, value in new.items():
            if key in old:
                self.values(old[key], encoded[key], value, [*path, key])
            else:
                self.out.append([SET, [*path, key], self.decoded(value)])
        return True

    def lists(self, old: list[Any], before: bytes, after: bytes, path: list[object]) -> None:
        if has_nodes(before) or has_nodes(after):
            self._each(old, before, after, path)
            return
        (less, start), (more, whole) = open_array(before), open_array(after)
        if whole.startswith(start):  # by far the most common
            if less < more:
                added = decode(array([whole[len(start) :]], more - less))
                self.out.append([SPLICE, path, less, 0, added])
            return
        olds, news = split_array(before), split_array(after)
        for i1, i2, j1, j2 in _runs(olds, news):
            new = decode(array(news[j1:j2]))
            if i2 - i1 == j2 - j1 and all(map(_mergeable, old[i1:i2], new)):
                for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                    self.values(old[i], olds[i], news[j], [*path, j])
            else:
                self.out.append([SPLICE, path, j1, i2 - i1, new])

    def _each(self, old: list[Any], before: bytes, after: bytes, path: list[object]) -> None:
        """Compare lists that contain long lists, which are not compared by their encodings."""
        olds, news = split_array(before), split_array(after)
        for index, (value, mine, theirs) in enumerate(zip(old, olds, news, strict=False)):
            self.values(value, mine, theirs, [*path, index])
        if len(olds) != len(news):
            least = min(len(olds), len(news))
            added = self.decoded(array(news[least:]))
            self.out.append([SPLICE, path, least, len(olds) - least, added])

    def items(self, old: ItemList, new: NewItems | list[bytes], path: list[object]) -> None:
        """Compare item by item; ranges that a memory left unchanged are skipped."""
        pieces = new.pieces if isinstance(new, NewItems) else [new]
        if isinstance(new, NewItems) and new.origin is not old and new.has_ranges:
            self.out.append([SET, path, new])
            return
        at = 0  # in the old list
        fresh: list[bytes] = []
        found: list[tuple[int, int, list[bytes]]] = []  # start and stop in the old list, new items
        for piece in (*pieces, range(len(old), len(old))):
            if isinstance(piece, list):
                fresh = fresh + piece if fresh else piece
                continue
            try:
                runs = _runs(old.items(at, piece.start, self.pages), fresh)
            except LookupError:  # replaced or deleted without being loaded
                runs = [(0, piece.start - at, 0, len(fresh))]
            found += [(at + i1, at + i2, fresh[j1:j2]) for i1, i2, j1, j2 in runs]
            at, fresh = piece.stop, []
        by = 0  # from a position in the old list to the one in the new list
        for start, stop, items in self._fewer(old, found):
            self.out.append([ITEMS, path, start + by, stop - start, items])
            by += len(items) - (stop - start)

    def _fewer(
        self, old: ItemList, found: list[tuple[int, int, list[bytes]]]
    ) -> list[tuple[int, int, list[bytes]]]:
        """The replaced parts of a list; if there are many, the closest are merged.

        The time to apply each part grows with the number of parts.
        """
        gap = 1
        while len(found) > _MOST_PARTS and gap < len(old):
            fewer = found[:1]
            for start, stop, items in found[1:]:
                first, last, before = fewer[-1]
                if start - last <= gap:
                    try:
                        between = old.items(last, start, self.pages)
                    except LookupError:  # not loaded, so not touched
                        fewer.append((start, stop, items))
                    else:
                        fewer[-1] = first, stop, [*before, *between, *items]
                else:
                    fewer.append((start, stop, items))
            found, gap = fewer, 2 * gap
        return found


def _runs(before: list[bytes], after: list[bytes]) -> list[tuple[int, int, int, int]]:
    """The runs in which two lists of encoded items differ, in order."""
    if not before or not after:
        return [(0, len(before), 0, len(after))] if before or after else []
    start = _common_prefix(before, after)
    end = _common_prefix(before[start:][::-1], after[start:][::-1])
    if start == len(before) == len(after):
        return []
    runs = _align(before[start : len(before) - end], after[start : len(after) - end])
    return [(i1 + start, i2 + start, j1 + start, j2 + start) for i1, i2, j1, j2 in runs]


def _mergeable(old: object, new: object) -> bool:
    """Whether editing the item is likely smaller than replacing it."""
    if type(old) is dict and type(new) is dict:
        return not old.keys().isdisjoint(new.keys())
    return type(old) is list and type(new) is list


def _align(before: list[bytes], after: list[bytes]) -> list[tuple[int, int, int, int]]:
    """The runs in which two lists differ: start and stop in the first, then in the second."""
    if len(before) == len(after):
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        if len(changed) * 2 <= len(before):  # items edited where they stand
            return [(i, i + 1, i, i + 1) for i in changed]
    if not before or not after or len(before) * len(after) > _ALIGN_LIMIT:
        return [(0, len(before), 0, len(after))]
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [(i1, i2, j1, j2) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]


def _diff_text(old: Any, new: Any, path: list[object], out: Patch) -> None:
    if old == new:
        return
    start = _common_prefix(old, new)
    end = _common_prefix(old[start:][::-1], new[start:][::-1])
    if start + end < _TEXT_GAIN:
        out.append([SET, path, new])
    else:
        out.append([SPLICE, path, start, len(old) - start - end, new[start : len(new) - end]])


def _common_prefix(a: Any, b: Any) -> int:
    """Length of the common prefix of two sequences, by bisection: the comparisons run in C."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low + 1 < high:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
