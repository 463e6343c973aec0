from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from kerasjoint.experiments.claims import STATEMENTS, check_claims
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.replication import LEARNERS, write_replication
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import comparison_table
from kerasjoint.problems import PROBLEMS


@pytest.fixture(scope="module")
def report(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("replication") / "run"
    shutil.copytree(store.folder, folder)
    shutil.copytree(store.folder, folder / "inside")
    (folder / "comments.md").write_text("## What people say\n\nIt depends.\n")
    return write_replication(Store(folder))


def test_it_holds_the_numbers_of_the_tables(report, store):
    text = report.read_text()
    means = comparison_table(store.rows(), "billiards", per_n=False)
    chosen = means.query("method == 'reparameterized' and stage == 'refined' and selection == 'best'")
    assert set(chosen["reference"]) == {"lbfgs", "scipy-lbfgs"}
    for better in chosen["better"]:
        assert f"{100 * better:.1f} [" in text
    assert "paper 61.7 / 9.0" in text
    assert "It depends." in text
    solved = means.query("method == 'supervised' and stage == 'unrefined' and reference == 'lbfgs'").iloc[0]["solved"]
    assert re.search(rf"\| supervised +\| unrefined \| {100 * solved:.1f} \[", text)
    by_n = comparison_table(store.rows(), "billiards", per_n=True)
    shown = by_n.query("method == 'supervised' and stage == 'refined' and reference == 'lbfgs'").sort_values("n")
    shares = r" +\| +".join(f"{100 * share:.0f}" for share in shown["solved"])
    assert re.search(rf"\| billiards +\| supervised +\| +{shares} \|", text)


def test_its_hours_count_each_training_once(report, store):
    hours = 0.0
    for spent in store.metadata()["seconds"]:
        if "refined last" in spent:
            hours += (spent["refined best"] + spent["refined last"] - spent["unrefined last"]) / 3600
        else:
            hours += spent.get("refined best", spent["unrefined best"]) / 3600
    assert re.search(rf"\| billiards +\|[^|]+\| +\d+ \| +{re.escape(f'{hours:.2g}')} +\|", report.read_text())


def test_runs_in_folders_inside_get_a_table_each(report, store):
    section = report.read_text().partition("`inside`")[2]
    by_n = comparison_table(store.rows(), "billiards", per_n=True)
    chosen = by_n.query("method == 'neural-adjoint' and stage == 'refined'")
    for n, against in chosen.groupby("n"):
        row = next(line for line in section.splitlines() if re.match(rf"\| billiards \| +{n} \| neural-adjoint ", line))
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[4:6] == [f"{100 * better:.0f}" for better in against.sort_values("reference")["better"]]
        assert cells[6] == f"{100 * against['solved'].iloc[0]:.0f}"


def test_every_picture_it_shows_exists(report):
    pictures = re.findall(r"\]\((.+?\.png)\)", report.read_text())
    assert pictures
    assert all((report.parent / picture).is_file() for picture in pictures)


def test_a_method_without_the_largest_n_leaves_the_figures_whole(store, preset, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(store.folder, folder)
    largest = max(cell.n for cell in plan(preset))
    for cell in plan(preset):
        if cell.method == "supervised" and cell.n == largest:
            shutil.rmtree(folder / "cells" / cell.name)
    assert "figures/billiards.png" in write_replication(Store(folder)).read_text()


def test_it_is_remade_alike(report):
    before = report.read_text()
    assert write_replication(Store(report.parent)).read_text() == before


def test_statements_without_rows_are_not_judged(store):
    claims = check_claims(store.rows())
    assert len(claims) == len(STATEMENTS)
    assert {claim.problem for claim in claims} <= set(PROBLEMS)
    for claim in claims:
        if claim.problem != "billiards":
            assert (claim.found, claim.holds) == ("no rows", None)
    adjoint = next(claim for claim in claims if "neural adjoint equal" in claim.statement)
    assert adjoint.holds is None
    early = next(claim for claim in claims if "n up to 32" in claim.statement)
    assert early.holds is not None


def hand_made(problem: str, method: str, n: int, solved: float = 0.5, iterations: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": problem,
            "method": method,
            "stage": "unrefined" if method == "lbfgs" else "refined",
            "selection": "best",
            "n": n,
            "seed": 0,
            "instance": np.arange(n),
            "loss": 1.0,
            "solved": pd.array(np.arange(n) < solved * n, dtype="boolean"),
            "error": 0.1,
            "evaluations": 30,
            "iterations": iterations,
            "seconds": 0.01,
        }
    )


@pytest.mark.parametrize(("solved", "iterations", "holds"), [(0.6, 15, (True, True)), (0.9, 40, (False, False))])
def test_claims_are_judged_by_the_numbers(solved: float, iterations: int, holds: tuple[bool, bool]) -> None:
    rows = hand_made("kuramoto-sivashinsky", "lbfgs", 100, solved, iterations)
    judged = {claim.statement: claim for claim in check_claims(rows)}
    assert judged["L-BFGS solves about 60 %"].holds is holds[0]
    assert judged["in 12 to 22 iterations"].holds is holds[1]
    assert judged["L-BFGS solves about 60 %"].found == f"{100 * solved:.0f} %"


def test_statements_are_judged_on_the_sizes_that_all_methods_have() -> None:
    cells = [(method, n) for n in (32, 64) for method in ("lbfgs", *LEARNERS)]
    rows = pd.concat([hand_made("wave-packet", *cell) for cell in cells if cell != ("supervised", 64)])
    judged = {claim.statement: claim for claim in check_claims(rows)}
    assert judged["supervised is best from n = 32"].found == "lowest mean loss at 0 of 1 sizes"
