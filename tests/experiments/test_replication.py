from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from kerasjoint import ArgumentError
from kerasjoint.experiments.claims import STATEMENTS, Claim, Finding, check_claims
from kerasjoint.experiments.cost import cost_of_benchmark, cost_of_run
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.replication import LEARNERS, judge, write_replication
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


def test_statements_without_rows_are_notjudged(store):
    claims = check_claims(store.rows())
    assert len(claims) == len(STATEMENTS)
    assert {claim.problem for claim in claims} <= set(PROBLEMS)
    for claim in claims:
        assert list(claim.findings) == ["lbfgs", "scipy-lbfgs"]
        if claim.problem != "billiards":
            assert set(claim.findings.values()) == {("no rows", None)}
    adjoint = next(claim for claim in claims if "neural adjoint equal" in claim.statement)
    assert {finding.holds for finding in adjoint.findings.values()} == {None}
    early = next(claim for claim in claims if "n up to 32" in claim.statement)
    assert None not in {finding.holds for finding in early.findings.values()}


def hand_made(problem: str, method: str, n: int, solved: float = 0.5, iterations: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": problem,
            "method": method,
            "stage": "unrefined" if method.endswith("lbfgs") else "refined",
            "selection": "last" if method == "reparameterized" else "best",
            "n": n,
            "seed": 0,
            "instance": np.arange(n),
            "loss": 1.0,
            "solved": pd.array(np.arange(n) < solved * n, dtype="boolean"),
            "error": 0.1,
            "status": "CONVERGED",
            "xi": [np.zeros(1)] * n,
            "evaluations": 30,
            "iterations": iterations,
            "seconds": 0.01,
        }
    )


@pytest.mark.parametrize(("solved", "iterations", "holds"), [(0.6, 15, (True, True)), (0.9, 40, (False, False))])
def test_claims_arejudged_by_the_numbers(solved: float, iterations: int, holds: tuple[bool, bool]) -> None:
    rows = hand_made("kuramoto-sivashinsky", "lbfgs", 100, solved, iterations)
    judged = {claim.statement: claim.findings["lbfgs"] for claim in check_claims(rows)}
    assert judged["L-BFGS solves about 60 %"] == (f"{100 * solved:.0f} %", holds[0])
    assert judged["in 12 to 22 iterations"].holds is holds[1]


def test_a_statement_that_holds_beside_one_baseline_alone_says_so() -> None:
    rows = pd.concat(
        [
            hand_made("kuramoto-sivashinsky", "lbfgs", 100, solved=0.6),
            hand_made("kuramoto-sivashinsky", "scipy-lbfgs", 100, solved=0.9),
        ]
    )
    claim = next(claim for claim in check_claims(rows) if claim.statement == "L-BFGS solves about 60 %")
    assert claim.findings == {"lbfgs": ("60 %", True), "scipy-lbfgs": ("90 %", False)}
    assert judge(claim) == ("holds beside L-BFGS (tfp) alone", "60 %; 90 %")


@pytest.mark.parametrize(("joint", "holds"), [(4.0, True), (40.0, False)])
def test_cost_isjudged_by_the_benchmarks(tmp_path, joint: float, holds: bool) -> None:
    seconds = {"reparameterized": joint, "lbfgs": 2.0, "scipy-lbfgs": 1.0}
    table = pd.DataFrame({"case": "cost, billiards", "n": 64, "contender": list(seconds), "times_median": 0.0})
    table["times_median"] = list(seconds.values())
    table.loc[len(table)] = ["1000 epochs, billiards", 64, "reparameterized", 9.0]
    table.to_csv(tmp_path / "benchmarks.csv", index=False)
    cost = cost_of_benchmark(tmp_path / "benchmarks.csv")
    assert cost.loc["billiards"].to_dict() == {"lbfgs": joint / 2, "scipy-lbfgs": joint}
    claims = check_claims(hand_made("billiards", "lbfgs", 4), cost)
    found = {claim.problem: claim.findings for claim in claims if "takes 3 to 6 times" in claim.statement}
    assert found["billiards"]["scipy-lbfgs"] == (f"{joint:.2g} times", holds)
    assert found["wave-packet"]["scipy-lbfgs"].holds is None


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ((("1", True), ("1", True)), ("holds", "1")),
        ((("1", False), ("2", False)), ("does not hold", "1; 2")),
        ((("1", False), ("2", True)), ("holds beside L-BFGS (SciPy) alone", "1; 2")),
        ((("1", True), ("no rows", None)), ("holds where known", "1; no rows")),
        ((("no rows", None), ("no rows", None)), ("not known", "no rows")),
    ],
)
def test_verdicts_say_beside_which_baseline(findings, words) -> None:
    both = {name: Finding(*finding) for name, finding in zip(("lbfgs", "scipy-lbfgs"), findings, strict=True)}
    assert judge(Claim("billiards", "statement", "rule", both)) == words


def test_cost_compares_cells_that_both_have() -> None:
    rows = pd.concat([hand_made("billiards", "reparameterized", 2), hand_made("billiards", "lbfgs", 2)])
    rows = pd.concat([rows, hand_made("billiards", "lbfgs", 4), hand_made("wave-packet", "lbfgs", 4)])
    rows["stage"], rows["selection"] = "unrefined", "best"
    rows.loc[rows["method"] == "reparameterized", "seconds"] = 0.05
    cost = cost_of_run(rows)
    assert cost.index.tolist() == ["billiards"]
    np.testing.assert_allclose(cost.loc["billiards", "lbfgs"], 5.0)
    assert cost_of_run(rows[rows["method"] == "lbfgs"]).empty


def test_a_file_that_holds_no_benchmarks_is_refused(tmp_path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for path, expected in ((tmp_path / "other.csv", "columns case, contender"), (tmp_path / "none.csv", "CSV file")):
        with pytest.raises(ArgumentError, match=f"cost: expected .*{expected}"):
            cost_of_benchmark(path)


def test_statements_arejudged_on_the_sizes_that_all_methods_have() -> None:
    cells = [(method, n) for n in (32, 64) for method in ("lbfgs", *LEARNERS)]
    rows = pd.concat([hand_made("wave-packet", *cell) for cell in cells if cell != ("supervised", 64)])
    judged = {claim.statement: claim.findings["lbfgs"] for claim in check_claims(rows)}
    assert judged["supervised is best from n = 32"].found == "lowest mean loss at 0 of 1 sizes"
