"""Write the file of a user who imports every documented name, for type checkers to read.

Documented is what ``checkpoint``, ``checkpoint.testing`` and ``checkpoint.store`` offer, and what
the pages given here import in a snippet, or name in backticks. Run it with the Python that has the
library installed: a name that it cannot import is an error.

    python tools/user_file.py README.md docs/*.md > user.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

OFFERING = ["checkpoint", "checkpoint.testing", "checkpoint.store"]
DOTTED = r"checkpoint(?:_\w+)?(?:\.\w+)+"


def offered(module: ModuleType) -> list[str]:
    """The names that a module offers: those it lists, or the public ones that it defines."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return listed
    defined: list[str] = []
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                defined.append(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                defined.append(name)
    return [name for name in defined if not name.startswith("_")]


def named(page: str) -> Iterator[str]:
    """The dotted names of modules, and of what is in them, that a page tells its readers."""
    for name in re.findall(rf"`({DOTTED})(?:\(.*?\))?`", page):
        if not name.endswith(".py"):
            yield name
    for snippet in re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(snippet)):
            match node:
                case ast.Import(names=names):
                    yield from (alias.name for alias in names)
                case ast.ImportFrom(module=str(module), names=names):
                    yield from (f"{module}.{alias.name}" for alias in names)
                case ast.Attribute() if re.fullmatch(DOTTED, ast.unparse(node)):
                    yield ast.unparse(node)


def located(name: str) -> tuple[str, str | None]:
    """A dotted name as the module to import, and the name to import from it (none: itself)."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass
    else:
        return name, None
    module, _, attribute = name.rpartition(".")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return located(module)  # the name is that of an attribute of a class
    getattr(found, attribute)
    return module, attribute


def user_file(pages: list[str]) -> str:
    names = {f"{module}.{name}" for module in OFFERING for name in offered(load(module))}
    for page in pages:
        names |= {name for name in named(page) if name.startswith("checkpoint")}
    imports, used = [], []
    for module, name in sorted({located(name) for name in names}, key=str):
        if name is None:
            imports.append(f"import {module}")
            used.append(module)
        else:
            alias = f"{module}.{name}".replace(".", "_")
            imports.append(f"from {module} import {name} as {alias}")
            used.append(alias)
    listed = "".join(f"    {name},\n" for name in used)
    return "\n".join(imports) + f"\n\nDOCUMENTED: tuple[object, ...] = (\n{listed})\n"


def load(module: str) -> ModuleType:
    return importlib.import_module(module)


if __name__ == "__main__":
    print(user_file([Path(page).read_text() for page in sys.argv[1:]]), end="")
