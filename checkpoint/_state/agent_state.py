"""``AgentState``: the base class for the state of an agent."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from checkpoint._state.memory import Memory
from checkpoint.errors import InvalidOption


class AgentState(BaseModel):
    """The full state of an agent: its configuration, its memory and its cursors.

    Subclass it, name its schema, and narrow the three fields (or add your own). It is a pydantic
    model: assignments are validated, unknown fields refused. Any other pydantic model can be a
    state too; this one only adds the usual fields and the name and version of its schema.

    Args:
        schema: stable name of the schema, kept when the class is renamed. In the class line.
        version: integer from 1, raised when old data no longer fits. In the class line.

    Attributes:
        config: settings of the agent: model name, prompts, limits.
        memory: the items that it remembers, oldest first.
        cursors: how far it has read other sources, by their names.

    Raises:
        InvalidOption: the class line has only one of the two, or an invalid version.

    Example:
        >>> class Support(AgentState, schema="support", version=1):
        ...     memory: Memory[str] = Memory()
        ...     cursors: dict[str, int] = {}
        >>> Support(memory=["hi"]).memory[0]
        'hi'
    """

    __module__ = "checkpoint"

    model_config = ConfigDict(extra="forbid", validate_assignment=True, validate_default=True)
    __checkpoint_schema__: ClassVar[tuple[str, int] | None] = None

    config: Any = {}
    memory: Memory[Any] = Memory()
    cursors: dict[str, Any] = {}

    def __init_subclass__(
        cls, *, schema: str | None = None, version: int | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if schema is None and version is None:
            cls.__checkpoint_schema__ = None  # a subclass does not inherit its schema
            return
        if schema is None or not isinstance(version, int) or version < 1:
            raise InvalidOption(
                f"class {cls.__name__} needs both schema= (a name) and version= (an integer from "
                f"1 up); it has schema={schema!r}, version={version!r}"
            )
        cls.__checkpoint_schema__ = (schema, version)
