"""Solved against cost: one row per problem, size and method with its budget, from the stored rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from kerasjoint.experiments.labels import Label, in_order
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import in_refined_comparison
from kerasjoint.experiments.which_method import budgets_of, draw_profiles, which_method
from kerasjoint.files import atomic_path, make_folder
from kerasjoint.methods import METHODS
from kerasjoint.plot import solved
from kerasjoint.summary import cost_of, fraction

SHARE = ["solved", "solved_low", "solved_high"]


def write_budgets(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write the tables of some runs, and a figure of each problem.

    ``budgets.csv``, ``budgets.md`` and ``confirmed.csv``; where methods have budgets, ``which-method.md`` and
    performance profiles, ``profiles.png``, too.

    Example
    -------
    >>> write_budgets([Path("results/solve")], Path("report"))
    """
    rows = pd.concat([Store(folder).rows() for folder in folders], ignore_index=True)
    make_folder(out)
    table, sure = budget_table(rows), confirmed_table(rows)
    written = []
    texts = {
        "budgets.csv": table.to_csv(index=False, float_format="%.5g"),
        "confirmed.csv": sure.to_csv(index=False, float_format="%.5g"),
        "budgets.md": legible(table, sure),
    }
    if budgets_of(table["method"]):
        texts["which-method.md"] = which_method(table)
    for name, text in texts.items():
        written.append(out / name)
        with atomic_path(written[-1]) as path:
            path.write_text(text, encoding="utf-8")
    for problem, part in table.groupby("problem", sort=False):
        written.append(out / f"{Label(str(problem)).slug}.png")
        draw_budgets(part, written[-1])
    if "which-method.md" in texts:
        written.append(out / "profiles.png")
        draw_profiles(rows, written[-1])
    return written


def budget_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the share solved, with its interval, and the mean cost of each problem, size and method, refined.

    ``unknowns`` is how many an instance has, and ``error`` their median one where the truth is known; ``cost`` is
    evaluations per instance, one without gradient counted as a third; ``seconds`` are those of the whole set, without
    compilation; ``confirmed`` is the share that the method says is solved.
    """
    rows = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    table = []
    for problem in dict.fromkeys(rows["problem"]):
        here = rows[rows["problem"] == problem]
        for n in sorted(here["n"].unique()):
            for method in in_order(METHODS, here["method"]):
                part = here[(here["method"] == method) & (here["n"] == n)]
                if part.empty:
                    continue
                cost = cost_of(part["evaluations"], part["values"])
                confirmed = part["confirmed"].dropna()
                table.append(
                    {"problem": problem, "unknowns": len(part["xi"].iloc[0]), "n": n, "method": method}
                    | {"instances": len(part)}
                    | fraction("solved", part["solved"].to_numpy(dtype=bool))
                    | {"error": part["error"].median(), "cost": cost.mean(), "seconds": n * part["seconds"].mean()}
                    | {"confirmed": confirmed.mean() if len(confirmed) else np.nan}
                )
    return pd.DataFrame(table)


def confirmed_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, of the instances that a method calls confirmed, how many are solved, with the interval."""
    rows = rows[rows["confirmed"].fillna(False).astype(bool) & (rows["selection"] == "best")]
    table = []
    groups = [*rows.groupby(["problem", rows["method"].map(lambda text: Label(text).base)], sort=False)]
    for (problem, method), part in groups:
        table.append({"problem": problem, "method": method} | _right(part))
    for method, part in rows.groupby(rows["method"].map(lambda text: Label(text).base), sort=False):
        table.append({"problem": "all", "method": method} | _right(part))
    return pd.DataFrame(table, columns=["problem", "method", "confirmed", *SHARE])


def legible(table: pd.DataFrame, sure: pd.DataFrame) -> str:
    """Return both tables as Markdown: per problem, a row for each method and budget, a column for each n."""
    sections = []
    for problem, part in table.groupby("problem", sort=False):
        cells = part.assign(
            cell=[
                f"{share} · {cost:.0f} · {seconds:.2g} s"
                for share, cost, seconds in zip(_percent(part, 0), part["cost"], part["seconds"], strict=True)
            ],
            name=[Label(method).title for method in part["method"]],
        )
        wide = cells.pivot_table(index="name", columns="n", values="cell", aggfunc="first", sort=False).fillna("")
        wide.columns = [f"n = {n}" for n in wide.columns]
        wide.index.name = "solved in % [interval] · cost · seconds"
        sections.append(f"## {Label(str(problem)).title}\n\n{wide.reset_index().to_markdown(index=False)}\n")
    if sure.empty:
        return "\n".join(sections)
    solved = _percent(sure, 2)
    shown = sure[["problem", "method", "confirmed"]].assign(**{"solved in % [interval]": solved})
    sections.append(f"## Confirmed, and of these solved\n\n{shown.to_markdown(index=False)}\n")
    return "\n".join(sections)


def draw_budgets(table: pd.DataFrame, path: Path) -> None:
    """Draw the share solved over cost (above) and seconds (below), a column for each n."""
    sizes = sorted(table["n"].unique())
    # Methods by the titles of their labels, which leave out the folder of a file.
    table = table.assign(method=[Label(method).title for method in table["method"]])
    with sns.axes_style("ticks"), sns.plotting_context("paper", font_scale=1.05):
        figure, grid = plt.subplots(
            2, len(sizes), figsize=(max(2.6 * len(sizes) + 1, 5), 5.6), sharey=True, squeeze=False, layout="constrained"
        )
        for (row, column), axes in np.ndenumerate(grid):
            solved(table[table["n"] == sizes[column]], ("evaluations", "seconds")[row], ax=axes)
            axes.get_legend().remove()
            if row == 0:
                axes.set_title(f"n = {sizes[column]}")
            if column > 0:
                axes.set_ylabel("")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(sizes) + 1, 4), frameon=False)
        figure.suptitle(Label(str(table["problem"].iloc[0])).title)
        with atomic_path(path) as whole:
            figure.savefig(whole, dpi=160)
        plt.close(figure)


def _right(part: pd.DataFrame) -> dict[str, float]:
    return {"confirmed": len(part)} | fraction("solved", part["solved"].to_numpy(dtype=bool))


def _percent(table: pd.DataFrame, digits: int) -> list[str]:
    """Return the share solved and its interval in percent."""
    shares = 100 * table[SHARE].to_numpy(dtype=np.float64)
    return [f"{share:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" for share, low, high in shares]
