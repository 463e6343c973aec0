from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasjoint import ArgumentError, experiments
from kerasjoint.experiments.paper.cost import cost_of_benchmark, cost_of_run
from kerasjoint.experiments.paper.expected_results import (
    STATEMENTS,
    Evidence,
    ExpectedResult,
    Finding,
    NoRows,
    check_expected_results,
    find,
)
from kerasjoint.experiments.paper.replication import LEARNERS, judge, write_replication
from kerasjoint.experiments.paper.table_2 import comparison_with_paper
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import comparison_table
from kerasjoint.problems import PROBLEMS


@pytest.fixture(scope="module")
def report(paper_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("replication") / "run"
    shutil.copytree(paper_store.folder, folder)
    shutil.copytree(paper_store.folder, folder / "inside")
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
        entries = [entry.strip() for entry in row.split("|")]
        assert entries[4:6] == [f"{100 * better:.0f}" for better in against.sort_values("reference")["better"]]
        assert entries[6] == f"{100 * against['solved'].iloc[0]:.0f}"


def test_every_picture_it_shows_exists(report):
    pictures = re.findall(r"\]\((.+?\.png)\)", report.read_text())
    assert pictures
    assert all((report.parent / picture).is_file() for picture in pictures)


def test_a_method_without_the_largest_n_leaves_the_figures_whole(paper_store, preset, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(paper_store.folder, folder)
    largest = max(task.n for task in plan(preset))
    for task in plan(preset):
        if task.method == "supervised" and task.n == largest:
            shutil.rmtree(folder / "tasks" / task.name)
    assert "figures/billiards.png" in write_replication(Store(folder)).read_text()


def test_it_is_remade_alike(report):
    before = report.read_text()
    assert write_replication(Store(report.parent)).read_text() == before


def test_statements_without_rows_are_not_judged(store):
    results = check_expected_results(store.rows())
    assert len(results) == len(STATEMENTS)
    assert {result.problem for result in results} <= set(PROBLEMS)
    for result in results:
        assert list(result.findings) == ["lbfgs", "scipy-lbfgs"]
        if result.problem != "billiards":
            assert set(result.findings.values()) == {("no rows", None)}
    adjoint = next(result for result in results if "neural adjoint equal" in result.statement)
    assert {finding.holds for finding in adjoint.findings.values()} == {None}
    early = next(result for result in results if "n up to 32" in result.statement)
    assert None not in {finding.holds for finding in early.findings.values()}


def hand_made(problem: str, method: str, n: int, solved: float = 0.5, iterations: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": problem,
            "method": method,
            "role": "baseline" if method.endswith("lbfgs") else "learned",
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
def test_results_are_judged_by_the_numbers(solved: float, iterations: int, holds: tuple[bool, bool]) -> None:
    rows = hand_made("kuramoto-sivashinsky", "lbfgs", 100, solved, iterations)
    judged = {result.statement: result.findings["lbfgs"] for result in check_expected_results(rows)}
    assert judged["L-BFGS solves about 60 %"] == (f"{100 * solved:.0f} %", holds[0])
    assert judged["in 12 to 22 iterations"].holds is holds[1]


def test_a_statement_that_holds_beside_one_baseline_alone_says_so() -> None:
    rows = pd.concat(
        [
            hand_made("kuramoto-sivashinsky", "lbfgs", 100, solved=0.6),
            hand_made("kuramoto-sivashinsky", "scipy-lbfgs", 100, solved=0.9),
        ]
    )
    result = next(result for result in check_expected_results(rows) if result.statement == "L-BFGS solves about 60 %")
    assert result.findings == {"lbfgs": ("60 %", True), "scipy-lbfgs": ("90 %", False)}
    assert judge(result) == ("holds beside L-BFGS (tfp) alone", "60 %; 90 %")


@pytest.mark.parametrize(("joint", "holds"), [(4.0, True), (40.0, False)])
def test_cost_is_judged_by_the_benchmarks(tmp_path, joint: float, holds: bool) -> None:
    seconds = {"reparameterized": joint, "lbfgs": 2.0, "scipy-lbfgs": 1.0}
    table = pd.DataFrame({"case": "cost, billiards", "n": 64, "contender": list(seconds), "times_median": 0.0})
    table["times_median"] = list(seconds.values())
    table.loc[len(table)] = ["1000 epochs, billiards", 64, "reparameterized", 9.0]
    table.to_csv(tmp_path / "benchmarks.csv", index=False)
    cost = cost_of_benchmark(tmp_path / "benchmarks.csv")
    assert cost.loc["billiards"].to_dict() == {"lbfgs": joint / 2, "scipy-lbfgs": joint}
    results = check_expected_results(hand_made("billiards", "lbfgs", 4), cost)
    found = {result.problem: result.findings for result in results if "takes 3 to 6 times" in result.statement}
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
    assert judge(ExpectedResult("billiards", "statement", "rule", both)) == words


def test_cost_compares_tasks_that_both_have() -> None:
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


def test_statements_are_judged_on_the_sizes_that_all_methods_have() -> None:
    tasks = [(method, n) for n in (32, 64) for method in ("lbfgs", *LEARNERS)]
    rows = pd.concat([hand_made("wave-packet", *task) for task in tasks if task != ("supervised", 64)])
    judged = {result.statement: result.findings["lbfgs"] for result in check_expected_results(rows)}
    assert judged["supervised is best from n = 32"].found == "lowest mean loss at 0 of 1 sizes"


def test_a_report_with_costs_of_the_benchmarks_needs_no_tensorflow(paper_store, tmp_path):
    shutil.copytree(paper_store.folder, tmp_path / "run")
    timed = pd.DataFrame({"contender": ["reparameterized", "scipy-lbfgs"], "times_median": [21.0, 5.0]})
    timed.assign(case="cost, billiards").to_csv(tmp_path / "benchmarks.csv", index=False)
    code = "import sys; from kerasjoint.experiments.cli import app\napp(sys.argv[1:], standalone_mode=False)\n"
    code += "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    arguments = ["replication", "run", "--cost", "benchmarks.csv"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert result.stdout.strip().endswith("False False")
    report = (tmp_path / "run" / "REPORT.md").read_text()
    assert "`kerasjoint replication run --cost benchmarks.csv` makes this page" in report
    assert re.search(
        r"\| billiards +\| joint training takes 3 to 6 times .*\| holds where known +\|.* 4.2 times", report
    )


def test_a_run_of_another_preset_is_refused_by_name(store):
    with pytest.raises(ArgumentError, match=r"folder: expected a run of the preset 'paper', got .*, of tiny"):
        write_replication(store)
    assert not (store.folder / "REPORT.md").exists()


def test_its_tables_have_the_papers_columns(store, report):
    table = comparison_with_paper(store.rows(), "billiards", per_n=False)
    of_stage = table.query("method == 'supervised'").set_index("stage")["paper_better"]
    assert set(of_stage["refined"]) == {0.270}
    assert of_stage["unrefined"].isna().all()
    stored = pd.read_csv(report.parent / "tables" / "billiards.csv")
    np.testing.assert_array_equal(stored["paper_equal"], table["paper_equal"])
    assert "paper better / equal" in (report.parent / "tables" / "tables.md").read_text()


def test_a_wrong_column_is_an_error_and_missing_rows_are_none() -> None:
    rows = hand_made("billiards", "lbfgs", 4)
    by_n = comparison_table(rows, "billiards", per_n=True)
    evidence = Evidence(rows, "lbfgs", by_n, None)
    for ask in (evidence.base, evidence.joint):
        with pytest.raises(KeyError, match="sovled"):
            ask("sovled")
    with pytest.raises(NoRows, match="reparameterized"):
        evidence.joint("solved")
    with pytest.raises(NoRows):
        evidence.refinement_iterations()

    def misspelt(evidence: Evidence) -> tuple[str, bool]:
        return "", bool(evidence.base("sovled").all())

    with pytest.raises(KeyError, match="sovled"):
        find(misspelt, evidence)
    assert find(lambda evidence: ("", bool(evidence.joint("solved").all())), evidence).holds is None


def test_the_runner_knows_nothing_of_the_paper_but_the_command() -> None:
    room = Path(experiments.__file__).parent
    naming = {
        path.name
        for path in room.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "experiments.paper" in ast.unparse(node)
    }
    assert naming == {"cli.py"}
