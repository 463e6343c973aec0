from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from stored_rows import result_of

from kerasjoint.comparison import compare
from kerasjoint.errors import ArgumentError
from kerasjoint.experiments import engine as engine_module
from kerasjoint.experiments import task_runs
from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.figures import write_figures
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import baseline_table, best_of_both, comparison_table, references
from kerasjoint.methods import LBFGS, METHODS, ScipyLBFGS
from kerasjoint.problems import Billiards


def test_rows_are_those_of_the_methods(store, preset):
    task = next(task for task in plan(preset) if task.method == "lbfgs" and task.n == 4)
    solution = LBFGS().solve(Billiards().sample(4, task.data_seed))
    rows = store.rows().query("method == 'lbfgs' and n == 4 and seed == 0")
    np.testing.assert_array_equal(rows["loss"], solution.loss)
    np.testing.assert_array_equal(np.stack(rows["xi"]), solution.xi)
    assert set(store.rows()["stage"]) == {"unrefined", "refined"}


def test_metadata_names_versions_command_and_seconds(store):
    metadata = store.metadata().iloc[0]
    assert metadata["versions"].keys() >= {"tensorflow", "keras", "python"}
    assert metadata["settings"]["problem"] == "billiards"
    assert all(seconds >= 0 for seconds in metadata["seconds"].values())


def test_a_second_run_runs_nothing_and_changes_nothing(store, preset):
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.parquet")}
    outcome = Engine(store).run(plan(preset))
    assert (len(outcome.run), len(outcome.found)) == (0, 16)
    assert before == {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.parquet")}


def test_a_task_run_again_has_the_same_bits(store, preset, tmp_path):
    task = next(task for task in plan(preset) if task.method == "reparameterized")
    Engine(again := Store(tmp_path / "again")).run([task])
    first = store.rows().query("method == 'reparameterized' and n == @task.n and seed == @task.seed")
    unlike = ["seconds"]
    pd.testing.assert_frame_equal(again.rows().drop(columns=unlike), first.drop(columns=unlike).reset_index(drop=True))


def test_a_killed_task_leaves_no_rows_and_is_run_again(preset, tmp_path, monkeypatch):
    task = plan(preset)[0]
    store = Store(tmp_path / "run")
    store.open_for([task])

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", killed)
        with pytest.raises(KeyboardInterrupt):
            Engine(store).run([task])
    assert not store.has(task)
    assert len(Engine(store).run([task]).run) == 1
    assert [path.name for path in (store.folder / "tasks").iterdir()] == [task.name]


@pytest.mark.parametrize("place", ["tasks", "figure-data", "tables", "."])
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(preset, tmp_path, place):
    tasks, store = plan(preset)[:1], Store(tmp_path / "run")
    store.open_for(tasks)
    (store.folder / place).mkdir(exist_ok=True)
    old, young = (store.folder / place / f".partial-{age}" for age in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))
    store.open_for(tasks)
    assert young.is_dir()
    assert not old.exists()


def test_of_two_processes_that_ran_a_task_the_first_stays(preset, tmp_path):
    task, store = plan(preset)[0], Store(tmp_path / "run")
    store.open_for([task])
    result = result_of(task)
    for loss in (1.0, 2.0):
        store.write(task, result._replace(rows=result.rows.assign(loss=loss)))
    assert set(store.rows()["loss"]) == {1.0}
    assert [path.name for path in (store.folder / "tasks").iterdir()] == [task.name]


def test_a_machine_without_git_still_stores_rows(monkeypatch):
    monkeypatch.setenv("PATH", "")
    task_runs.environment.cache_clear()
    assert task_runs.environment()["commit"] is None
    task_runs.environment.cache_clear()


def test_a_failing_task_does_not_stop_the_others(preset, tmp_path, monkeypatch):
    first, second = plan(preset)[:2]
    right = METHODS.load

    class Broken(LBFGS):
        def solve(self, problem_set, seed=0, **_):
            if seed == first.method_seed:
                raise RuntimeError("no convergence today")
            return super().solve(problem_set)

    monkeypatch.setattr(METHODS, "load", lambda name: Broken if name == "lbfgs" else right(name))
    outcome = Engine(Store(tmp_path / "run")).run([first, second])
    assert outcome.failed == {first.name: "RuntimeError: no convergence today"}
    assert outcome.run == [second]


def test_another_runs_rows_are_refused_and_stay(store, preset):
    tasks = [replace(task, preset_seed=99) for task in plan(preset)]
    before = store.rows()
    with pytest.raises(ArgumentError, match="preset_seed"):
        Engine(store).run(tasks)
    pd.testing.assert_frame_equal(store.rows(), before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"refinement": {"method": "scipy-lbfgs", "options": {}}}, "refinement"),
        ({"sources": {"a.py:A": "0"}}, "sources"),
    ],
)
def test_rows_of_other_settings_are_refused(store, preset, change, named):
    with pytest.raises(ArgumentError, match=f"other {named}"):
        Engine(store).run([replace(task, **change) for task in plan(preset)])


def test_the_preset_is_stored_and_decides_nothing(store, preset):
    assert set(store.metadata()["preset"]) == {"tiny"}
    assert not Engine(store).run([replace(task, preset="other") for task in plan(preset)]).run


def test_the_role_of_a_method_is_stored(store):
    roles = store.rows().groupby("method")["role"].agg(set).to_dict()
    assert roles == {
        "lbfgs": {"baseline"},
        "scipy-lbfgs": {"baseline"},
        "reparameterized": {"learned"},
        "supervised": {"learned"},
    }


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({"lbfgs": "baseline", "scipy-lbfgs": "baseline", "supervised": "learned"}, ["lbfgs", "scipy-lbfgs"]),
        ({"supervised": "learned", "mine:Newton": "baseline", "mine:Other": "baseline"}, ["mine:Newton"]),
        ({"supervised": "learned", "mine:Net": "learned"}, ["supervised"]),
    ],
)
def test_references_are_baselines_if_there_are_any(methods, expected):
    assert references(pd.DataFrame({"method": list(methods), "role": list(methods.values())})) == expected


def test_figure_data_that_fails_costs_no_rows(preset, tmp_path, monkeypatch):
    def fails(problem):
        raise RuntimeError("no picture today")

    monkeypatch.setattr(engine_module, "figure_data", fails)
    tasks = plan(preset)[:2]
    outcome = Engine(store := Store(tmp_path / "run")).run(tasks)
    assert outcome.run == tasks
    assert outcome.failed == {"figure data of billiards": "RuntimeError: no picture today"}
    assert write_figures(store, tmp_path / "figures")[0].is_file()


def test_refinement_is_by_the_method_of_the_preset(preset, tmp_path):
    task = next(task for task in plan(preset) if task.method == "supervised")
    chosen = {"method": "scipy-lbfgs", "options": {"max_iterations": 1}}
    Engine(other := Store(tmp_path / "other")).run([replace(task, refinement=chosen)])
    refined = other.rows().query("stage == 'refined'")
    assert refined["solver"].str.endswith(", ScipyLBFGS").all()
    spent = refined["iterations"].to_numpy() - other.rows().query("stage == 'unrefined'")["iterations"].to_numpy()
    assert set(spent) <= {0, 1}


def test_a_folder_with_other_files_is_refused(tmp_path, preset):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ArgumentError, match="other files"):
        Engine(Store(tmp_path)).run(plan(preset))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_table_agrees_with_compare(store, preset):
    task = next(task for task in plan(preset) if task.n == 4 and task.seed == 0)
    rows = store.rows().query("n == 4 and seed == 0")
    problem_set = Billiards().sample(4, task.data_seed)
    solutions = {"lbfgs": LBFGS().solve(problem_set), "scipy-lbfgs": ScipyLBFGS().solve(problem_set)}
    expected = compare(solutions, "lbfgs").set_index("method").loc["scipy-lbfgs"]
    table = comparison_table(rows, "billiards", per_n=True).query("reference == 'lbfgs' and method == 'scipy-lbfgs'")
    for column in ("better", "equal_tol", "solved", "solved_high", "mean_loss", "median_error", "evaluations"):
        assert table[column].item() == expected[column], column


def test_the_mean_over_n_weighs_each_n_the_same(store):
    rows = store.rows()
    by_n = comparison_table(rows, "billiards", per_n=True)
    overall = comparison_table(rows, "billiards", per_n=False)
    keys = ["reference", "method", "stage", "selection"]
    means = by_n.groupby(keys)["better"].mean()
    got = overall.set_index(keys)["better"]
    pd.testing.assert_series_equal(got.sort_index(), means.sort_index())
    assert not [column for column in overall if "paper" in column]


@pytest.mark.parametrize("baseline", ["lbfgs", "scipy-lbfgs"])
def test_best_of_both_is_the_smaller_loss(store, baseline):
    rows, keys = store.rows(), ["n", "seed", "instance"]
    both = best_of_both(rows, baseline).set_index(keys)["loss"]
    refined = rows.query("method == 'reparameterized' and stage == 'refined' and selection == 'best'")
    expected = np.minimum(refined.set_index(keys)["loss"], rows.query("method == @baseline").set_index(keys)["loss"])
    pd.testing.assert_series_equal(both.sort_index(), expected.sort_index())
    table = comparison_table(rows, "billiards", per_n=False)
    line = table.query("method == 'better of both' and reference == @baseline").iloc[0]
    assert line["worse"] == 0, "it is compared with the baseline it is made of"


def test_the_baseline_table_counts_by_hand(store):
    rows = store.rows()
    row = baseline_table(rows).query("method == 'lbfgs' and n == 4").iloc[0]
    here = rows.query("method == 'lbfgs' and n == 4")
    moving = here[here["status"] != "STATIONARY"]
    assert row["instances"] == 8
    assert row["solved"] == sum(here["solved"]) / 8
    assert row["stationary"] == 1 - len(moving) / 8
    assert row["iterations_50"] == moving["iterations"].median()
    assert set(baseline_table(rows)["method"]) == {"lbfgs", "scipy-lbfgs"}
