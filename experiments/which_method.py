"""Which method when: the best ones of each problem at each budget, and performance profiles, from the stored rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from kerasjoint.experiments.labels import Label
from kerasjoint.experiments.tables import in_refined_comparison
from kerasjoint.files import atomic_path
from kerasjoint.plot import profile

INSTANCE = ["problem", "n", "seed", "instance"]


def budgets_of(methods: pd.Series) -> list[str]:
    """Return the budgets that labels of methods such as ``multi-start@500`` name, the smallest first.

    Example
    -------
    >>> budgets_of(pd.Series(["lbfgs", "multi-start@500", "multi-start@50"]))
    ['50', '500']
    """
    named = {Label(method).variant for method in methods}
    return sorted((budget for budget in named if budget.isdigit()), key=int)


def at_budget(rows: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Return the rows of methods with this budget, and of those that have none, named without it."""
    variant = rows["method"].map(lambda text: Label(text).variant)
    part = rows[(variant == budget) | (variant == "")]
    return part.assign(method=[Label(method).base for method in part["method"]])


def best_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each problem, n and budget the methods whose share solved is not surely below the highest one.

    That is, whose interval reaches up to the highest share. Where nothing is solved, there is no best method; budgets
    at which no method ran on a problem are left out.

    Parameters
    ----------
    table
        That of ``budget_table``.

    Returns
    -------
    DataFrame
        Columns ``problem``, ``n``, ``unknowns``, ``budget``, ``solved`` (the highest share) and ``best``, a list of
        names, the highest share first.
    """
    found = []
    for (problem, n), part in table.groupby(["problem", "n"], sort=False):
        for budget in budgets_of(part["method"]):
            here = at_budget(part, budget).sort_values("solved", ascending=False, kind="stable")
            most = here["solved"].max()
            names = here.loc[(here["solved_high"] >= most) & (most > 0), "method"]
            found.append((problem, n, part["unknowns"].iloc[0], int(budget), most, names.tolist()))
    return pd.DataFrame(found, columns=["problem", "n", "unknowns", "budget", "solved", "best"])


def standing(table: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """Return for each method and budget on how many problem sets it is among the best, of how many, and its mean share.

    Parameters
    ----------
    table, best
        Those of ``budget_table`` and ``best_table``.
    """
    found = []
    for budget, sets in best[best["solved"] > 0].groupby("budget"):
        here = at_budget(table, str(budget)).merge(sets[["problem", "n", "best"]], on=["problem", "n"])
        for method, part in here.groupby("method", sort=False):
            among = sum(method in names for names in part["best"])
            found.append((method, budget, among, len(part), part["solved"].mean()))
    return pd.DataFrame(found, columns=["method", "budget", "best", "of", "solved"])


def which_method(table: pd.DataFrame) -> str:
    """Return both tables as Markdown."""
    best = best_table(table)
    order = standing(table, best)
    shown = best.assign(solved=[f"{100 * share:.0f}" for share in best["solved"]], best=best["best"].str.join(", "))
    order["cell"] = [
        f"{among} of {of} · {100 * share:.0f} %"
        for among, of, share in zip(order["best"], order["of"], order["solved"], strict=True)
    ]
    wide = order.pivot_table(index="method", columns="budget", values="cell", aggfunc="first", sort=False).fillna("")
    wide.columns = [f"budget {budget}" for budget in wide.columns]
    return (
        "# Which method when\n\n"
        "On how many problems a method is among the best, of those that it ran on and that some method solves; and "
        "its mean share of instances solved there. Among the best is whose 95 % interval reaches up to the highest "
        "share.\n\n"
        f"{wide.reset_index().to_markdown(index=False)}\n\n"
        "For each problem, the highest share solved in %, and the methods that are among the best:\n\n"
        f"{shown.to_markdown(index=False)}\n"
    )


def draw_profiles(rows: pd.DataFrame, path: Path) -> None:
    """Draw a performance profile for each budget, over the instances that all of its methods ran on.

    A method that ran on fewer than half of the problems that the most did is left out.
    """
    rows = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    budgets = budgets_of(rows["method"])
    with sns.axes_style("ticks"), sns.plotting_context("paper", font_scale=1.05):
        figure, grid = plt.subplots(
            1, len(budgets), figsize=(3.2 * len(budgets) + 2, 3.2), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, budget in zip(grid[0], budgets, strict=True):
            part = at_budget(rows, budget)
            ran = part.groupby("method")["problem"].nunique()
            part = part[part["method"].isin(ran.index[ran >= ran.max() / 2])]
            part = part[part.groupby(INSTANCE)["method"].transform("size") == part["method"].nunique()]
            axes.set_title(f"budget {budget}: {len(part[INSTANCE].drop_duplicates())} instances")
            if part.empty:
                continue
            part = part.assign(instance=part.groupby(INSTANCE, sort=False).ngroup())
            profile(part[["method", "instance", "solved", "evaluations", "values"]], ax=axes)
            axes.get_legend().remove()
        handles, names = _legend(grid[0])
        figure.legend(handles, names, loc="outside right center", frameon=False)
        with atomic_path(path) as whole:
            figure.savefig(whole, dpi=160)
        plt.close(figure)


def _legend(panels: np.ndarray) -> tuple[list[Any], list[str]]:
    """Return handles and names of all panels, each name once."""
    found = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)
