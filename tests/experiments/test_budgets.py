from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kerasjoint.experiments.budgets import budget_table, confirmed_table, draw_budgets, legible
from kerasjoint.experiments.which_method import best_table, draw_profiles, standing, which_method


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two budgets of a method and a baseline on 10 instances each."""
    parts = []
    for method, role, solved, evaluations, values, confirmed in (
        ("multi-start@50", "baseline", 4, 60, 0, 2),
        ("amortized-multi-start@50", "learned", 8, 90, 60, 5),
        ("amortized-multi-start@150", "learned", 10, 300, 240, 10),
        ("lbfgs", "baseline", 1, 20, 0, None),
    ):
        sure = [None] * 10 if confirmed is None else np.arange(10) < confirmed
        parts.append(
            pd.DataFrame(
                {
                    "problem": "wave-packet", "method": method, "role": role, "stage": "refined", "selection": "best",
                    "n": 10, "seed": 0, "instance": np.arange(10), "solved": np.arange(10) < solved,
                    "evaluations": evaluations, "values": values, "seconds": 0.5, "error": 0.1, "xi": [[0.0, 1.0]] * 10,
                    "confirmed": pd.array(sure, dtype="boolean"),
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_shares_costs_and_intervals(rows: pd.DataFrame) -> None:
    table = budget_table(rows).set_index("method")
    assert table["solved"].to_dict() == {
        "lbfgs": 0.1,
        "multi-start@50": 0.4,
        "amortized-multi-start@50": 0.8,
        "amortized-multi-start@150": 1.0,
    }
    assert table.loc["amortized-multi-start@150", "cost"] == pytest.approx(60 + 240 / 3)
    assert table.loc["multi-start@50", "cost"] == 60
    assert (table["seconds"] == 5.0).all()
    assert table.loc["multi-start@50", "solved_low"] < 0.4 < table.loc["multi-start@50", "solved_high"]
    assert np.isnan(table.loc["lbfgs", "confirmed"])


def test_of_the_confirmed_the_solved_are_counted(rows: pd.DataFrame) -> None:
    rows.loc[(rows["method"] == "multi-start@50") & (rows["instance"] == 1), "solved"] = False
    sure = confirmed_table(rows).set_index(["problem", "method"])
    assert sure.loc[("wave-packet", "amortized-multi-start"), ["confirmed", "solved"]].tolist() == [15, 1.0]
    assert sure.loc[("all", "multi-start"), ["confirmed", "solved"]].tolist() == [2, 0.5]


def test_the_text_and_the_figure_show_them(rows: pd.DataFrame, tmp_path) -> None:
    text = legible(budget_table(rows), confirmed_table(rows))
    assert "## wave-packet" in text
    assert "80 [49, 94] · 50 · 5 s" in text
    draw_budgets(budget_table(rows), tmp_path / "wave.png")
    assert (tmp_path / "wave.png").stat().st_size > 10_000


def test_the_best_of_each_budget_are_those_whose_interval_reaches_the_highest_share(rows: pd.DataFrame) -> None:
    best = best_table(budget_table(rows)).set_index("budget")
    # 4 of 10 may be as many as 69 %, 1 of 10 as many as 40 %: below 80 %, and 100 %.
    assert best["best"].to_dict() == {50: ["amortized-multi-start"], 150: ["amortized-multi-start"]}
    assert best["solved"].to_dict() == {50: 0.8, 150: 1.0}
    assert (best["unknowns"] == 2).all()
    rows.loc[(rows["method"] == "multi-start@50") & (rows["instance"] < 6), "solved"] = True
    closer = best_table(budget_table(rows)).set_index("budget")
    assert closer.loc[50, "best"] == ["amortized-multi-start", "multi-start"]
    order = standing(budget_table(rows), closer.reset_index()).set_index(["method", "budget"])
    assert order.loc[("multi-start", 50), ["best", "of", "solved"]].tolist() == [1, 1, 0.6]
    assert order.loc[("lbfgs", 150), ["best", "of", "solved"]].tolist() == [0, 1, 0.1]
    assert "| amortized-multi-start | 1 of 1 · 80 % | 1 of 1 · 100 % |" in " ".join(
        which_method(budget_table(rows)).split()
    )


def test_where_nothing_is_confirmed_nothing_is_said_of_it(rows: pd.DataFrame) -> None:
    rows["confirmed"] = pd.array([None] * len(rows), dtype="boolean")
    assert "Confirmed" not in legible(budget_table(rows), confirmed_table(rows))


def test_nobody_is_the_best_where_nothing_is_solved(rows: pd.DataFrame) -> None:
    table = budget_table(rows.assign(solved=False))
    best = best_table(table)
    assert best["best"].tolist() == [[], []]
    assert standing(table, best).empty


def test_budgets_at_which_no_method_ran_on_a_problem_are_left_out_there(rows: pd.DataFrame) -> None:
    more = rows[rows["method"].isin(["lbfgs", "amortized-multi-start@50"])].assign(problem="billiards")
    best = best_table(budget_table(pd.concat([rows, more], ignore_index=True)))
    assert best.groupby("problem")["budget"].agg(list).to_dict() == {"wave-packet": [50, 150], "billiards": [50]}


def test_profiles_leave_out_instances_that_some_method_did_not_run_on(
    rows: pd.DataFrame, tmp_path, monkeypatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        "kerasjoint.experiments.which_method.profile",
        lambda frame, ax: (drawn.append(frame), ax.plot(0, label="m"), ax.legend()),
    )
    more = rows.assign(problem="billiards")
    more = more[(more["method"] != "lbfgs") | (more["instance"] < 7)]
    draw_profiles(pd.concat([rows, more], ignore_index=True), tmp_path / "profiles.png")
    assert [len(frame["instance"].unique()) for frame in drawn] == [17, 17]
    assert [set(frame["method"]) for frame in drawn] == [
        {"multi-start", "amortized-multi-start", "lbfgs"},
        {"amortized-multi-start", "lbfgs"},
    ]


def test_a_budget_without_an_instance_in_common_has_an_empty_profile(rows: pd.DataFrame, tmp_path) -> None:
    elsewhere = rows["method"] == "lbfgs"
    rows.loc[elsewhere, "problem"] = "billiards"
    draw_profiles(rows, tmp_path / "profiles.png")
    assert (tmp_path / "profiles.png").stat().st_size > 5_000
