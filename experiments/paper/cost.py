"""What joint training costs beside the baselines: the paper's own figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.errors import ArgumentError

JOINT = "reparameterized"
CASE = "cost, "
COLUMNS = ("case", "contender", "times_median")


def cost_of_run(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seconds of joint training, not refined, over those of each other method, by problem and method.

    They are those of the tasks that both have, whatever else the machine did meanwhile.

    Example
    -------
    >>> cost_of_run(Store("reports/paper").rows())
    """
    best = rows[(rows["selection"] == "best") & (rows["stage"] == "unrefined")]
    tasks = best.pivot_table(
        index=["problem", "n", "seed"], columns="method", values="seconds", aggfunc="sum", sort=False
    )
    joint = tasks.get(JOINT, pd.Series(np.nan, tasks.index))
    ratios = {}
    for method in tasks.columns.drop(JOINT, errors="ignore"):
        known = pd.DataFrame({"joint": joint, "other": tasks[method]}).dropna().groupby("problem").sum()
        ratios[method] = known["joint"] / known["other"]
    return _by_problem(pd.DataFrame(ratios))


def cost_of_benchmark(path: Path) -> pd.DataFrame:
    """Return the same for the single tasks that ``make bench`` timed, each alone, from its CSV file."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ArgumentError("cost", "the CSV file of the benchmarks", error) from None
    if not set(COLUMNS) <= set(table.columns):
        raise ArgumentError("cost", f"a CSV file with the columns {', '.join(COLUMNS)}", ", ".join(table.columns))
    chosen = table[table["case"].str.startswith(CASE)]
    problem = chosen["case"].str.removeprefix(CASE)
    times = chosen.set_index([problem, "contender"])["times_median"].unstack(sort=False)
    joint = times.get(JOINT, pd.Series(np.nan, times.index))
    return _by_problem(times.drop(columns=JOINT, errors="ignore").rdiv(joint, axis=0))


def _by_problem(ratios: pd.DataFrame) -> pd.DataFrame:
    return ratios.dropna(how="all").rename_axis(index="problem", columns=None)
