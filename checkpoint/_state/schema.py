"""Schemas: name, version and fingerprint of a type of state; states to documents and back."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel, ValidationError

from checkpoint._document.codec import encode, encoder, is_exact
from checkpoint._document.items import list_at
from checkpoint._document.paths import format_path
from checkpoint._ids import SessionKey, check_id
from checkpoint._records.header import SchemaId
from checkpoint._state.fields import (
    changes,
    describe,
    is_plain_field,
    memory_paths,
    only_adds_defaults,
)
from checkpoint._state.lazy import LazyItems, Undecodable
from checkpoint._state.memory import Dump, Memory
from checkpoint.errors import (
    CheckpointError,
    InvalidOption,
    InvalidState,
    SchemaChanged,
    SchemaMismatch,
)

S = TypeVar("S")

Path = tuple[str, ...]
"""Names of fields, from the outermost to the innermost."""

DICT_SCHEMA = "dict"
"""Schema name of sessions whose state is a plain dict."""


class Schema(Protocol, Generic[S]):
    """How states of one type are dumped to documents and built from them."""

    id: SchemaId
    fields: dict[str, str]
    memories: tuple[Path, ...]
    """Paths of the fields annotated ``Memory``."""
    eager: frozenset[Path]
    """Those of them that the model's own code sees, or a union tries, before they are built."""

    def dump(self, state: S, key: SessionKey, saved: Any) -> Any:
        """The state as a document; may still contain values that only the codec makes plain.

        Args:
            key: the session that it will be saved to.
            saved: the document that the state came from. Memories are dumped as ``NewItems``.
        """

    def build(self, document: Any) -> S:
        """A new state. Raises InvalidState, with the path, when the document does not fit."""

    def new(self) -> S:
        """The state of a new session."""

    def items_of(self, state: S) -> list[tuple[Path, LazyItems]]:
        """The memories of a state, and their paths."""

    def is_exact(self, dumped: Any) -> bool:
        """Whether a dump is certain to come back as the state; False if that must be proved."""


class DictState(dict[str, Any]):
    """The state of a session without a model: a dict whose lineage can be tracked."""

    __slots__ = ("__weakref__",)


class DictSchema:
    """Plain ``dict`` states: every document fits, nothing is validated."""

    id = SchemaId(DICT_SCHEMA, 0)
    fields: dict[str, str] = {}
    memories: tuple[Path, ...] = ()
    eager: frozenset[Path] = frozenset()

    def dump(self, state: dict[str, Any], key: SessionKey, saved: Any) -> Any:
        if not isinstance(state, dict):
            raise InvalidOption(
                f"this checkpointer saves plain dicts, not {type(state).__name__}; open the store "
                f"with the model: checkpoint.open(url, {type(state).__name__})"
            )
        return dict(state)

    def build(self, document: Any) -> dict[str, Any]:
        return DictState(document)

    def new(self) -> dict[str, Any]:
        return DictState()

    def items_of(self, state: dict[str, Any]) -> list[tuple[Path, LazyItems]]:
        return []

    def is_exact(self, dumped: dict[str, Any]) -> bool:
        return is_exact(dumped)


class ModelSchema(Generic[S]):
    """States that are instances of one pydantic model."""

    def __init__(self, model: type[S], name: str | None = None, version: int | None = None) -> None:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise InvalidOption(
                f"the state type must be a pydantic model (or left out, for plain dicts), "
                f"not {model!r:.80}"
            )
        self._model = cast("type[BaseModel]", model)
        self._model.model_rebuild()  # resolves annotations that were not defined yet
        declared = getattr(model, "__checkpoint_schema__", None) or (None, None)
        name = name if name is not None else declared[0] or model.__name__
        version = version if version is not None else declared[1] or 1
        check_id(name, "schema name")
        if not isinstance(version, int) or version < 1:
            raise InvalidOption(f"a schema version is an integer from 1 up, not {version!r}")
        self.fields = describe(self._model)
        self.memories = tuple(dict.fromkeys(memory_paths(self._model)))
        self.eager = frozenset(p for p in self.memories if not is_plain_field(self._model, p))
        self.id = SchemaId(name, version, _fingerprint(self.fields))

    def dump(self, state: S, key: SessionKey, saved: Any) -> Any:
        if type(state) is not self._model:
            raise InvalidOption(
                f"this checkpointer saves {self._model.__name__} states, not {type(state).__name__}"
            )
        # round_trip leaves out computed fields and writes Json fields as their source. Warnings
        # are off because fidelity is proved afterwards, with the path, for every value.
        memories = [self._live(state, path) for path in self.memories]
        lists = [list_at(saved, path) for path in self.memories]
        for memory, items in zip(memories, lists, strict=True):
            if isinstance(memory, Memory) and not memory._lazy.is_of(key, items):
                memory.copy()  # from another session or revision: all its items must be loaded
        dump = Dump(key, dict(zip(map(id, memories), lists, strict=True)), encoder())
        return cast("BaseModel", state).model_dump(
            round_trip=True, by_alias=False, warnings=False, context={Dump: dump}
        )

    def items_of(self, state: S) -> list[tuple[Path, LazyItems]]:
        found = [(path, self._live(state, path)) for path in self.memories]
        return [(path, memory._lazy) for path, memory in found if isinstance(memory, Memory)]

    def is_exact(self, dumped: Any) -> bool:
        return False

    @staticmethod
    def _live(state: object, path: Path) -> object:
        for name in path:
            state = getattr(state, name, None)
        return state

    def build(self, document: Any) -> S:
        try:
            state = self._model.model_validate(document, strict=False, by_name=True, by_alias=False)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_context=False)[0]
            more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
            raise InvalidState(
                f"{first['msg']}{more}; the stored value does not fit {self._model.__name__}",
                path=format_path(first["loc"]),
            ) from exc
        except (CheckpointError, Undecodable):  # from a memory that a validator read
            raise
        except Exception as exc:
            # The model's validators may raise anything; pydantic lets it through.
            raise InvalidState(
                f"a validator of {self._model.__name__} failed: {type(exc).__name__}: {exc}"
            ) from exc
        return cast("S", state)

    def new(self) -> S:
        try:
            return cast("S", self._model())
        except ValidationError as exc:
            raise InvalidOption(
                f"a new session needs a first state, and {self._model.__name__}() has no default "
                f"for {format_path(exc.errors()[0]['loc'])}; pass new=lambda: "
                f"{self._model.__name__}(...)"
            ) from exc


def check_same(stored: SchemaId, fields: Mapping[str, str], mine: Schema[Any]) -> None:
    """Return if a document saved with ``stored`` can be read as ``mine``.

    Raises:
        SchemaMismatch: another schema, or another version of it.
        SchemaChanged: the same version of a model whose fields changed, other than by new fields
            with defaults.
    """
    if stored == mine.id:
        return
    if stored.name != mine.id.name:
        raise SchemaMismatch(
            f"it was saved with schema {stored.name!r} and this checkpointer reads "
            f"{mine.id.name!r}; open the store with the model of that schema"
        )
    if stored.version != mine.id.version:
        side, advice = "newer", f"read it with code that has version {stored.version}"
        if stored.version < mine.id.version:
            side = "older"
            advice = (
                f"to migrate it, restore it with the model of version {stored.version} and "
                f"overwrite it with the new one"
            )
        raise SchemaMismatch(
            f"it was saved with version {stored.version} of schema {stored.name!r}, {side} than "
            f"version {mine.id.version} of this code; {advice}"
        )
    different = tuple(changes(fields, mine.fields))
    if only_adds_defaults(fields, mine.fields):
        return
    raise SchemaChanged(
        f"the fields of {stored} changed and its version did not:\n  "
        + "\n  ".join(different)
        + "\nundo the change, give new fields a default, or raise the version",
        changes=different,
    )


def _fingerprint(fields: Mapping[str, str]) -> bytes:
    return blake2b(encode(sorted(fields.items())), digest_size=8).digest()
