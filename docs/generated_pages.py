"""Pages that are made from the code: the gallery of problems from the registry, and the import graph of the rooms."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

from kerasjoint.experiments.budgets import budget_table
from kerasjoint.experiments.examples import draw_example
from kerasjoint.experiments.store import Store
from kerasjoint.npz import read_npz
from kerasjoint.plot.styles import BLUE, NEUTRAL
from kerasjoint.problems import PROBLEMS

ROOT = Path(__file__).resolve().parents[1]
STORES = (
    "reports/solve/solve",
    "reports/solve/solve-chaos",
    "reports/solve/solve-flow",
    "reports/solve/solve-many",
    "reports/suite/suite",
    "reports/paper",
)
ROOMS = ("models", "problems", "experiments")
# Where each room is drawn: what is higher imports what is lower.
PLACES = {
    "experiments": (1.5, 4),
    "entry points": (0.4, 3),
    "plot": (2.6, 2.6),
    "methods": (1.5, 2),
    "models": (0.5, 1),
    "problems": (2.5, 1),
    "core": (1.5, 0),
}
ENTRY_POINTS = {"solving", "minimization", "refinement", "reporting", "sharding", "__main__", "__init__"}


def write_pages(docs: Path) -> None:
    """Write ``generated/``: a page and a picture for each problem, a table of them, and the import graph."""
    folder = docs / "generated"
    folder.mkdir(exist_ok=True)
    names = sorted(name for name in PROBLEMS if not name.endswith("-light"))
    for name in names:
        _write(folder / f"{name}.md", problem_page(name, _picture(name, folder)))
    _write(folder / "problems.txt", problem_table(names))
    draw_import_graph(folder / "imports.png")


def problem_table(names: list[str]) -> str:
    """Return one row per problem with its picture, the unknowns of an instance and what is sought, in MyST."""
    rows = [
        f"| [![{name}](generated/{name}.png)](generated/{name}.md) | [{name}](generated/{name}.md) | "
        f"{PROBLEMS.load(name)().space.size} | {PROBLEMS.summary(name)} |"
        for name in names
    ]
    return "\n".join(["| | problem | unknowns | what is sought |", "| --- | --- | --- | --- |", *rows, ""])


def problem_page(name: str, picture: str) -> str:
    """Return the page of a problem, in MyST."""
    problem = PROBLEMS.load(name)
    module, attribute = problem.__module__, problem.__qualname__
    twin, summary = f"{name}-light", PROBLEMS.summary(name)
    light = f" `{twin}` is {PROBLEMS.summary(twin)}." if twin in PROBLEMS else ""
    return (
        f"# {name}\n\n{summary[0].upper()}{summary[1:]}.{light}\n\n"
        f"![{summary}]({picture})\n\n"
        f"```python\nimport kerasjoint\nfrom kerasjoint.problems import {attribute}\n\n"
        f"problem_set = {attribute}().sample(64, seed=0)\nsolution = kerasjoint.solve(problem_set)\n"
        f"kerasjoint.plot.statuses(solution)\n```\n\n"
        f"```shell\nkerasjoint run {name} --n 64\n```\n\n"
        f"## How hard it is\n\n{difficulty(name)}\n\n"
        f"## The problem\n\n```{{eval-rst}}\n.. autoclass:: {module}.{attribute}\n```\n"
    )


def difficulty(name: str) -> str:
    """Return what stored rows say: one descent, many, and the best method, each with its share solved and its cost."""
    for source in STORES:
        table = budgets_of(source)
        known = [one for one in (name, f"{name}-light") if one in set(table["problem"])]
        if not known:
            continue
        here = table[table["problem"] == known[0]]
        here = here[here["n"] == here["n"].max()]
        best = here.sort_values(["solved", "cost"], ascending=[False, True]).iloc[0]
        lines = [f"| {known[0]}, n = {int(best['n'])} | solved | 95 % interval | evaluations per instance |"]
        lines.append("| --- | --- | --- | --- |")
        one = here[here["method"].isin(["lockstep-lbfgs", "lbfgs"])].sort_values("solved").tail(1)
        many = here[here["method"].str.startswith("multi-start")].sort_values("cost").tail(1)
        for title, row in (("one descent", one), ("many random starts", many), ("best method", best.to_frame().T)):
            lines += [
                f"| {title}: `{part['method']}` | {part['solved']:.0%} | {part['solved_low']:.0%} to "
                f"{part['solved_high']:.0%} | {part['cost']:.0f} |"
                for part in row.to_dict("records")
            ]
        return (
            "\n".join(lines) + "\n\nAn evaluation is a value with its gradient; one without counts as a third. "
            f"From the stored rows in `{source}`: `kerasjoint budgets {source} --out DIR`."
        )
    return f"No stored comparison yet: `kerasjoint run {name}` makes one."


_TABLES: dict[str, pd.DataFrame] = {}


def budgets_of(source: str) -> pd.DataFrame:
    """Return share solved and cost of the methods of a stored run."""
    if source not in _TABLES:
        rows = Store(ROOT / source).rows()
        # Rows of before these were told apart: all evaluations count as ones with gradient.
        unknown = {name: value for name, value in (("values", 0), ("confirmed", None)) if name not in rows}
        _TABLES[source] = budget_table(rows.assign(**unknown))
    return _TABLES[source]


def _picture(name: str, folder: Path) -> str:
    """Draw an instance, from stored figure data where there is any."""
    stored = [ROOT / source / "figure-data" / f"{one}.npz" for one in (name, f"{name}-light") for source in STORES]
    found = next((path for path in stored if path.is_file()), None)
    if found is None:
        from kerasjoint.experiments.figure_data import example_data

        data = example_data(PROBLEMS.load(name)())
    else:
        data = read_npz(found)
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    draw_example(axes, name, data)
    figure.savefig(folder / f"{name}.png", dpi=110)
    plt.close(figure)
    return f"{name}.png"


def rooms_of_imports() -> Counter[tuple[str, str]]:
    """Return how many modules of a room import one of another, (importing, imported), read from the code."""
    found: Counter[tuple[str, str]] = Counter()
    for folder in ("kerasjoint", *ROOMS):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            own = room(".".join(parts if parts[0] == "kerasjoint" else ("kerasjoint", *parts)))
            names: set[str] = set()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names |= {f"{node.module}.{alias.name}" for alias in node.names}
                elif isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
            rooms = {room(name) for name in names if name.split(".")[0] == "kerasjoint"}
            found.update((own, other) for other in rooms - {own})
    return found


def room(module: str) -> str:
    """Return the room of a module of the package."""
    part = module.split(".")[1] if "." in module else "__init__"
    if part in (*ROOMS, "methods", "plot"):
        return part
    return "entry points" if part in ENTRY_POINTS else "core"


def draw_import_graph(path: Path) -> None:
    """Draw the rooms, and an arrow for each pair of which one imports the other, as wide as it is common."""
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for (importing, imported), count in sorted(rooms_of_imports().items()):
        if importing == "entry points" and imported == "experiments":
            continue  # ``python -m kerasjoint`` alone, which nothing imports.
        (x, y), (u, v) = PLACES[importing], PLACES[imported]
        style = {"arrowstyle": "-|>", "color": NEUTRAL, "lw": 0.5 + count**0.5 / 3, "shrinkA": 22, "shrinkB": 22}
        style |= {"connectionstyle": "arc3,rad=0.12", "alpha": 0.7}
        axes.annotate("", (u, v), (x, y), arrowprops=style)
    for name, (x, y) in PLACES.items():
        box = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": BLUE, "lw": 1.5}
        axes.text(x, y, name, ha="center", va="center", bbox=box)
    axes.set(xlim=(-0.3, 3.3), ylim=(-0.4, 4.4))
    axes.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _write(path: Path, text: str) -> None:
    """Write a page unless it stands there already, so that Sphinx reads only what has changed."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
