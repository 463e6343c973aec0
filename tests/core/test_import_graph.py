"""Imports go one way: between the packages, and between all modules, lazy and typing-only imports included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import kerasjoint

ROOT = Path(kerasjoint.__file__).parents[1]
ROOMS = ("models", "problems", "experiments")
LAYERS = {
    "core": set(),
    "models": {"core"},
    "problems": {"core"},
    "methods": {"core", "models"},
    "plot": {"core", "methods"},
}
# Entry points above the methods, and the package's own list of names.
ABOVE = (
    *("kerasjoint", "kerasjoint.__main__", "kerasjoint.solving", "kerasjoint.minimization"),
    *("kerasjoint.refinement", "kerasjoint.reporting", "kerasjoint.sharding"),
)


def modules() -> dict[str, Path]:
    """All modules of the package by name."""
    found = {}
    for folder in ("kerasjoint", *ROOMS):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if parts[0] == "kerasjoint" else ("kerasjoint", *parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known.keys()


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, known) - {name} for name, path in known.items()}


def test_there_is_no_circle(graph: dict[str, set[str]]) -> None:
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(graph) > 60


def layer(module: str) -> str:
    part = module.split(".")[1] if "." in module else "core"
    return part if part in (*ROOMS, *LAYERS) else "core"


def test_layers_point_one_way(graph: dict[str, set[str]]) -> None:
    for module, imported in graph.items():
        own = layer(module)
        if own == "experiments" or module in ABOVE:
            continue
        for other in imported:
            assert layer(other) == own or layer(other) in LAYERS[own], f"{module} imports {other}"
            assert other not in ABOVE or own == "core", f"{module} imports {other}"
