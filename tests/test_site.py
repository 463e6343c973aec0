"""The site's own code: the reference is complete, the gallery has every problem, and imports point down."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import kerasjoint
from kerasjoint import methods, models, plot
from kerasjoint.problems import PROBLEMS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("generated_pages", DOCS / "generated_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_public_name() -> None:
    text = (DOCS / "api.md").read_text()
    packages = {"methods", "plot"}
    for module in (kerasjoint, methods, models, plot):
        for name in set(module.__all__) - packages - {"DEFAULT", "METHODS", "NETWORKS"}:
            assert f":: {module.__name__}.{name}\n" in text, name


def test_imports_between_rooms_point_down(pages) -> None:
    found = pages.rooms_of_imports()
    assert found["experiments", "core"] > 10
    for importing, imported in found:
        if (importing, imported) == ("entry points", "experiments"):
            continue  # python -m kerasjoint
        assert pages.PLACES[importing][1] > pages.PLACES[imported][1], (importing, imported)


@pytest.mark.parametrize("name", ["billiards", "kuramoto-sivashinsky", "navier-stokes", "lorenz-96"])
def test_pages_of_problems_show_stored_rows(pages, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pages, "STORES", ("reports/solve/solve", "reports/solve/solve-chaos", "reports/solve/solve-many")
    )
    text = pages.problem_page(name, "x.png")
    assert f"kerasjoint run {name} --n 64" in text
    assert f"autoclass:: {PROBLEMS.load(name).__module__}.{PROBLEMS.class_name(name)}\n" in text
    assert ("best method" in text) == (name != "navier-stokes")


def test_the_best_method_is_that_of_the_stored_table(pages) -> None:
    table = pages.budgets_of("reports/solve/solve")
    here = table[(table["problem"] == "billiards") & (table["n"] == 256)]
    best = here[here["solved"] == here["solved"].max()].sort_values("cost").iloc[0]
    assert f"best method: `{best['method']}` | {best['solved']:.0%}" in pages.difficulty("billiards")


def test_the_gallery_has_every_problem_and_its_unknowns(pages) -> None:
    rows = pages.problem_table(["lorenz-96", "wave-packet"]).splitlines()[2:]
    assert [row.split(" | ")[1:3] for row in rows] == [
        ["[lorenz-96](generated/lorenz-96.md)", "40"],
        ["[wave-packet](generated/wave-packet.md)", "1"],
    ]
