"""The fields of a model, flattened to ``path -> type``, and the changes between two models.

A model's fingerprint covers these, so an error can name a change: ``memory[].text: str was
removed``. They describe the data, not the code: renaming or moving a nested class changes nothing,
renaming a field does.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, RootModel

from checkpoint._state.memory import MEMORY, Memory


def describe(model: type[BaseModel]) -> dict[str, str]:
    """Flatten a model to ``path -> type``.

    ``[]`` steps into items, ``{}`` into a map's values, ``<0>`` into an arm of a union. A class
    that contains itself is described once and then referred to. A trailing ``=`` marks a default.

    Example:
        >>> class Chat(BaseModel):
        ...     title: str
        ...     memory: list[str | None] = []
        >>> describe(Chat)
        {'memory': 'list[str | None]=', 'title': 'str'}
    """
    return _Description().of(model)


def memory_paths(model: type[BaseModel], above: tuple[type, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of fields annotated ``Memory``, in the model and in models nested in it.

    Example:
        >>> from checkpoint import AgentState
        >>> list(memory_paths(AgentState))
        [('memory',)]
    """
    for name, field in model.model_fields.items():
        arms = [_unwrapped(field.annotation)]
        if typing.get_origin(arms[0]) in (typing.Union, types.UnionType):
            arms = list(map(_unwrapped, typing.get_args(arms[0])))
        for cls in [typing.get_origin(arm) or arm for arm in arms]:
            if not isinstance(cls, type) or field.exclude:
                continue
            if issubclass(cls, Memory):
                yield (name,)
            elif issubclass(cls, BaseModel) and cls not in above and not issubclass(cls, RootModel):
                yield from ((name, *path) for path in memory_paths(cls, (*above, model)))


def is_plain_field(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether no code sees the items of a memory before it is built.

    Such code is a validator that runs before, around or instead of pydantic's own, or a union, of
    which pydantic tries each arm.

    Example:
        >>> from checkpoint import AgentState
        >>> is_plain_field(AgentState, ("memory",))
        True
    """
    return _is_plain(model.__pydantic_core_schema__, path, {})


def _is_plain(schema: Any, path: tuple[str, ...], definitions: dict[str, Any]) -> bool:
    kind = schema["type"]
    if kind == "definitions":
        definitions = {each["ref"]: each for each in schema["definitions"]}
    elif kind == "definition-ref":
        return _is_plain(definitions[schema["schema_ref"]], path, definitions)
    elif kind == "model-fields":
        return bool(path) and _is_plain(schema["fields"][path[0]], path[1:], definitions)
    elif kind == "function-wrap":
        return not path and (schema.get("metadata") or {}).get(MEMORY) is True
    elif kind not in _TRANSPARENT or schema.get("custom_init"):
        return False
    return _is_plain(schema["schema"], path, definitions)


_TRANSPARENT = {"model", "model-field", "nullable", "default", "function-after"}


class _Description:
    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._recursive: dict[object, str] = {}  # where each was described first

    def of(self, model: type[BaseModel]) -> dict[str, str]:
        self._class(model, model, "")
        return self._fields

    def _class(self, annotation: object, cls: type, path: str) -> str:
        """Describe a class under a path; one that contains itself, only once."""
        if there := self._described(annotation, cls, path):
            return there
        # By name, so that the order of declaration does not matter.
        for name, member, has_default in sorted(_members(cls), key=lambda member: member[0]):
            at = f"{path}.{name}" if path else name
            self._fields[at] = ""  # keeps the parent before its children
            self._fields[at] = self._type(member, at) + ("=" if has_default else "")
        arguments = typing.get_args(annotation)
        return f"object[{self._join(arguments, path)}]" if arguments else "object"

    def _described(self, annotation: object, cls: type, path: str) -> str | None:
        """A reference to a class that contains itself; None if it is not described yet."""
        if annotation in self._recursive:
            return f"same as {self._recursive[annotation] or 'the whole'}"
        if cls in _classes_inside(cls, set()):
            self._recursive[annotation] = path
        return None

    def _type(self, annotation: Any, path: str) -> str:
        """The text of a type; its members are described under longer paths."""
        annotation = _unwrapped(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is None or annotation is type(None):
            return "None"
        if origin is typing.Literal:
            return " | ".join(repr(a.value if isinstance(a, Enum) else a) for a in arguments)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments, path)
        if isinstance(origin, type):
            return self._container(annotation, origin, arguments, path)
        if not isinstance(annotation, type):
            return str(annotation).removeprefix("typing.")
        if issubclass(annotation, Enum):
            return f"enum({', '.join(repr(member.value) for member in annotation)})"
        if issubclass(annotation, RootModel):
            root = annotation.model_fields["root"].annotation
            return self._described(annotation, annotation, path) or self._type(root, path)
        if _has_members(annotation):
            return self._class(annotation, annotation, path)
        return _name(annotation)

    def _union(self, arms: Iterable[Any], path: str) -> str:
        unwrapped = [_unwrapped(arm) for arm in arms]
        deep = [arm for arm in unwrapped if _is_deep(arm)]
        return " | ".join(
            self._type(arm, f"{path}<{deep.index(arm)}>" if arm in deep and len(deep) > 1 else path)
            for arm in unwrapped
        )

    def _container(
        self, annotation: Any, origin: type, arguments: tuple[Any, ...], path: str
    ) -> str:
        if _has_members(origin):  # a generic dataclass or TypedDict
            return self._class(annotation, origin, path)
        if issubclass(origin, Mapping) and len(arguments) == 2:
            key = self._type(arguments[0], path + "{key}")
            return f"{_name(origin)}[{key}, {self._type(arguments[1], path + '{}')}]"
        return f"{_name(origin)}[{self._join(arguments, path)}]"

    def _join(self, arguments: tuple[Any, ...], path: str) -> str:
        return ", ".join(
            "..." if argument is Ellipsis else self._type(argument, f"{path}[{index or ''}]")
            for index, argument in enumerate(arguments)
        )


def _unwrapped(annotation: Any) -> Any:
    """An annotation without wrappers such as Annotated, NewType and type aliases."""
    while True:
        if hasattr(annotation, "__value__"):  # type Name = ...
            annotation = annotation.__value__
        elif hasattr(annotation, "__supertype__"):  # NewType
            annotation = annotation.__supertype__
        elif typing.get_origin(annotation) in (
            typing.Annotated,
            typing.Required,
            typing.NotRequired,
        ):
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation


def _is_deep(annotation: Any) -> bool:
    """Whether a type has members to describe under longer paths."""
    inside = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return False
    return (isinstance(annotation, type) and _has_members(annotation)) or any(
        _is_deep(_unwrapped(argument)) for argument in inside
    )


def _classes_inside(annotation: Any, found: set[type]) -> set[type]:
    """All classes with fields anywhere in a type."""
    cls = typing.get_origin(annotation) or annotation
    inside = [a for a in typing.get_args(annotation) if not isinstance(a, (str, int, Enum))]
    if isinstance(cls, type) and (_has_members(cls) or issubclass(cls, RootModel)):
        inside += [member for _, member, _ in _members(cls)]
    for member in map(_unwrapped, inside):
        member_cls = typing.get_origin(member) or member
        if isinstance(member_cls, type) and (
            _has_members(member_cls) or issubclass(member_cls, RootModel)
        ):
            if member_cls in found:
                continue
            found.add(member_cls)
        _classes_inside(member, found)
    return found


def _name(cls: type) -> str:
    return "list" if issubclass(cls, Memory) else cls.__name__


def _members(cls: type) -> list[tuple[str, Any, bool]]:
    """The saved fields of a class: name, annotation and whether there is a default."""
    if issubclass(cls, BaseModel):
        return [
            (name, field.annotation, not field.is_required())
            for name, field in cls.model_fields.items()
            if not field.exclude
        ]
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, AttributeError):  # a forward reference that only pydantic can follow
        hints = getattr(cls, "__annotations__", {})
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return [
            (
                field.name,
                hints[field.name],
                field.default is not missing or field.default_factory is not missing,
            )
            for field in dataclasses.fields(cls)
        ]
    required = getattr(cls, "__required_keys__", None)  # a TypedDict's
    defaults = getattr(cls, "_field_defaults", {})  # a NamedTuple's
    return [
        (name, hint, name not in required if required is not None else name in defaults)
        for name, hint in hints.items()
    ]


def _has_members(cls: type) -> bool:
    return (
        (issubclass(cls, BaseModel) and not issubclass(cls, RootModel))
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__required_keys__")  # a TypedDict, of whichever module
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )


# --- two descriptions compared -------------------------------------------------------------------


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """List the fields that were removed, added and changed, one line each.

    Example:
        >>> changes({"text": "str"}, {"text": "int", "role": "str="})
        ['role: str (with a default) was added', 'text: str became int']
    """
    return [
        *(f"{path}: {_show(old[path])} was removed" for path in old if path not in new),
        *(f"{path}: {_show(new[path])} was added" for path in new if path not in old),
        *(
            f"{path}: {_show(old[path])} became {_show(new[path])}"
            for path in old
            if path in new and old[path].rstrip("=") != new[path].rstrip("=")
        ),
    ]


def _show(entry: str) -> str:
    return f"{entry[:-1]} (with a default)" if entry.endswith("=") else entry


def only_adds_defaults(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether data of the old fields fits the new ones: each new field has a default.

    Defaults of old fields make no difference: their values were saved.
    """
    if any(
        path not in new or entry.rstrip("=") != new[path].rstrip("=") for path, entry in old.items()
    ):
        return False
    added = [path for path in new if path not in old]
    inside = tuple(
        path + step for path in added if new[path].endswith("=") for step in (".", "[", "{", "<")
    )
    return all(new[path].endswith("=") or path.startswith(inside) for path in added)
