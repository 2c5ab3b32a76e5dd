"""The layers of the code: what may import what, and what is private by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    "checkpoint": ROOT,
    "checkpoint_objectstore": ROOT / "backends",
    "checkpoint_sql": ROOT / "backends",
}

# From the bottom up. A module imports from its own layer and from those before it.
LAYERS = [
    {"errors", "store", "_ids", "_limits"},
    {"_document"},
    {"_records"},
    {"_state"},
    {"_serializer", "_hydrator"},
    {"_runtime"},
    {"_async", "_sync"},
    {"_stores", "_opening"},
    {"_cli", "_moved", "testing"},
]
PUBLIC = {
    "checkpoint": {"errors", "store", "testing"},
    "checkpoint_objectstore": {"directory", "objects", "obstore", "s3", "store", "testing"},
    "checkpoint_sql": {"sqlite"},
}


def modules() -> dict[str, Path]:
    """Every module by its full name."""
    found = {}
    for package, source in SOURCES.items():
        for path in (source / package).rglob("*.py"):
            parts = path.relative_to(source).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(node: ast.AST) -> Iterator[str]:
    """What a module imports when it runs, at its start or later; not for type checkers alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def graph() -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
    known = modules()
    edges: dict[str, set[str]] = {}
    for name, path in known.items():
        edges[name] = set()
        for imported in imports(ast.parse(path.read_text())):
            module = imported if imported in known else imported.rpartition(".")[0]
            if module in known and module != name:
                edges[name].add(module)
    return edges


def layer_of(module: str) -> int | None:
    """The place of a module's layer; None outside of the core and for the package itself."""
    package, _, rest = module.partition(".")
    if package != "checkpoint" or not rest:
        return None
    (place,) = (n for n, names in enumerate(LAYERS) if rest.split(".")[0] in names)
    return place


def test_no_module_imports_itself_through_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as exc:
        pytest.fail(f"import circle: {' -> '.join(exc.args[1])}")


def test_imports_go_downwards_only() -> None:
    upwards = []
    for module, imported in graph().items():
        for other in imported:
            above, below = layer_of(module), layer_of(other)
            if above is not None and below is not None and below > above:
                upwards.append(f"{module} -> {other}")
    assert upwards == []


def test_the_core_imports_no_driver() -> None:
    core = [found for name, found in graph().items() if layer_of(name) is not None]
    assert [other for found in core for other in found if other.startswith("checkpoint_")] == []


@pytest.mark.parametrize("package", SOURCES)
def test_what_is_not_documented_is_private_by_name(package: str) -> None:
    found = (SOURCES[package] / package).iterdir()
    names = {path.stem for path in found if path.suffix == ".py" or path.is_dir()}
    assert {name for name in names if not name.startswith("_")} == PUBLIC[package]
