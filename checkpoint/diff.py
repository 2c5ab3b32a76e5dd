"""The difference of two documents as a patch, and a patch applied.

A patch is a list of operations, each plain data so that it is stored as it is and read by people
as the diff of a turn. Operations apply in order; every path and index is that of the moment:

    [SET, path, value]                    put value at path (the empty path is the whole document)
    [DELETE, path]                        remove a key of a map
    [SPLICE, path, start, delete, items]  in a list, string or bytes: remove, then insert

Values are compared by their encoding, so 1, 1.0 and True differ, and a value that was changed in
place is seen. The order of a map's keys is part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from checkpoint.codec import decode, encoder

SET, DELETE, SPLICE = range(3)

Operation = list[Any]
Patch = list[Operation]

# Aligning two runs of items costs their product in the worst case; above this, the run is replaced.
_ALIGN_LIMIT = 20_000
# A splice of a string must save at least this many characters to be worth its own overhead.
_TEXT_GAIN = 32


def diff(old: object, new: object) -> Patch:
    """Return the operations that make ``new`` of ``old``; empty when they are the same.

    Both are plain documents: what :func:`checkpoint.codec.decode` returns.

    Example:
        >>> diff({"memory": [1, 2], "turn": 1}, {"memory": [1, 2, 3], "turn": 2})
        [[2, ['memory'], 2, 0, [3]], [0, ['turn'], 2]]
    """
    patch: Patch = []
    _diff(old, new, [], patch, encoder())
    return patch


def apply(document: Any, patch: Patch) -> Any:
    """Apply a patch to a document *in place* where it can, and return the result.

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
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        last = path[-1]
        if code == DELETE:
            del parent[last]
        elif code == SET:
            parent[last] = rest[0]
        else:
            parent[last] = _value_after(parent[last], code, rest)
    return document


def applied(document: Any, patch: Patch) -> Any:
    """Like :func:`apply`, but ``document`` stays as it was; what is left alone is shared."""
    root = [document]
    own: dict[int, object] = {}  # containers made here, by id; held, so that no id is used twice
    for code, path, *rest in patch:
        parent: Any = root
        for key in (0, *(path if code == SPLICE else path[:-1])):
            child = parent[key]
            if id(child) not in own and isinstance(child, (dict, list)):
                child = parent[key] = child.copy()
                own[id(child)] = child
            parent = child
        root[0] = apply(root[0], [[code, path, *rest]])
    return root[0]


def _value_after(value: Any, code: int, rest: list[Any]) -> Any:
    if code == SET:
        return rest[0]
    if code != SPLICE:
        raise ValueError(f"operation {code} is not one of set, delete and splice")
    start, delete, items = rest
    if not 0 <= start <= start + delete <= len(value):
        raise IndexError(f"splice of {start}+{delete} in {len(value)} items")
    if isinstance(value, list):
        value[start : start + delete] = items
        return value
    return value[:start] + items + value[start + delete :]


def _diff(
    old: Any, new: Any, path: list[object], out: Patch, pack: Callable[[object], bytes]
) -> None:
    if type(old) is dict and type(new) is dict and _diff_map(old, new, path, out, pack):
        return
    if type(old) is list and type(new) is list:
        _diff_list(old, new, path, out, pack)
    elif type(old) is type(new) and type(old) in (str, bytes):
        _diff_text(old, new, path, out)
    elif pack(old) != pack(new):
        out.append([SET, path, new])


def _diff_map(
    old: dict[Any, Any],
    new: dict[Any, Any],
    path: list[object],
    out: Patch,
    pack: Callable[[object], bytes],
) -> bool:
    """Compare key by key; False where the order or the type of keys needs the whole map set."""
    kept = [key for key in old if key in new]
    if kept + [key for key in new if key not in old] != list(new):
        return False
    if any(type(key) is not str for key in old):
        if pack(kept) != pack(list(new)[: len(kept)]):
            return False  # equal keys of other types: 1 and True, 1 and 1.0
        if any(key not in old for key in decode(pack(list(old)))):
            return False  # keys with a nan in them: no path leads there
    out.extend([DELETE, [*path, key]] for key in old if key not in new)
    for key, value in new.items():
        if key in old:
            _diff(old[key], value, [*path, key], out, pack)
        else:
            out.append([SET, [*path, key], value])
    return True


def _diff_list(
    old: list[Any],
    new: list[Any],
    path: list[object],
    out: Patch,
    pack: Callable[[object], bytes],
) -> None:
    if len(old) <= len(new) and pack(old) == pack(new[: len(old)]):  # by far the most common
        if len(old) < len(new):
            out.append([SPLICE, path, len(old), 0, new[len(old) :]])
        return
    before, after = [pack(item) for item in old], [pack(item) for item in new]
    start = _common_prefix(before, after)
    end = _common_prefix(before[start:][::-1], after[start:][::-1])
    runs = _align(before[start : len(before) - end], after[start : len(after) - end])
    for run in runs:
        i1, i2, j1, j2 = (start + place for place in run)
        if i2 - i1 == j2 - j1 and all(map(_mergeable, old[i1:i2], new[j1:j2])):
            for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                _diff(old[i], new[j], [*path, j], out, pack)
        else:
            out.append([SPLICE, path, j1, i2 - i1, new[j1:j2]])


def _mergeable(old: object, new: object) -> bool:
    """Whether an edit inside is likely smaller than the item anew."""
    if type(old) is dict and type(new) is dict:
        return not old.keys().isdisjoint(new.keys())
    return type(old) is list and type(new) is list


def _align(before: list[bytes], after: list[bytes]) -> list[tuple[int, int, int, int]]:
    """The runs in which the lists differ, as (from, to) in the one and (from, to) in the other."""
    if len(before) == len(after):
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        if len(changed) * 2 <= len(before):  # items edited where they stand
            return [(i, i + 1, i, i + 1) for i in changed]
    if len(before) * len(after) > _ALIGN_LIMIT:
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
    """Length of the common prefix of two sequences, by halving: the compares run in C."""
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
