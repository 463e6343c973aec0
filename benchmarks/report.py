"""From runs to ``reports/benchmarks.csv`` and a page to read."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

FACTS = ("solved", "median loss", "evaluations", "divergence", "converged", "iterations", "missing")
HEAD = """# Benchmarks

`make bench` ran all contenders of a table in turns, each in a process of its own, and wrote this page and
`benchmarks.csv`. "times" is a contender's time over that of the first in the same turn: minimum, median, maximum.
Only these ratios mean anything: the machine is shared. Not counted are compilation and imports; "cold start" is the
time from starting Python to the end of the first run. "MB" is the peak memory of the process, libraries included.
"""


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case, n and contender."""
    rows = []
    for (case, n), contest in runs.groupby(["case", "n"], sort=False):
        names = list(dict.fromkeys(contest["contender"]))
        seconds = contest.pivot_table(index="repetition", columns="contender", values="seconds", dropna=False)
        for name in names:
            own = contest[contest["contender"] == name]
            row: dict[str, Any] = {"case": case, "n": n, "contender": name}
            if name in seconds and seconds[name].notna().any():
                ratio = seconds[name] / seconds[names[0]]
                row |= _spread("seconds", seconds[name]) | _spread("times", ratio)
                row |= {"cold_start": own["cold_start"].iloc[0], "memory": own["memory"].max()}
            row |= {
                fact: own[fact].iloc[-1] for fact in (*FACTS, "versions") if fact in own and own[fact].notna().any()
            }
            rows.append(row)
    return pd.DataFrame(rows)


def merge(path: Path, new: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Replace the cases of a table on disk by new ones, in this order, and write it, whole or not at all."""
    if path.exists():
        old = pd.read_csv(path)
        new = pd.concat([old[~old["case"].isin(new["case"])], new], ignore_index=True)
    new = new.sort_values("case", key=lambda case: case.map(order.index), kind="stable")
    waiting = path.with_suffix(".csv.part")
    new.to_csv(waiting, index=False, float_format="%.5g")
    waiting.replace(path)
    return pd.read_csv(path)


def write_page(path: Path, table: pd.DataFrame) -> None:
    """Write the page."""
    parts = [HEAD, f"{_machine()}\n\n{_versions(table)}\n"]
    for case, rows in table.groupby("case", sort=False):
        parts.append(f"## {case}\n\n{_table(rows)}\n")
        if case.startswith("cost, "):
            parts.append(_cost(rows))
    path.write_text("\n".join(parts))


def _spread(name: str, values: pd.Series) -> dict[str, float]:
    return {f"{name}_min": values.min(), f"{name}_median": values.median(), f"{name}_max": values.max()}


def _table(rows: pd.DataFrame) -> str:
    shown = pd.DataFrame({"n": rows["n"], "contender": rows["contender"], "seconds": rows["seconds_median"]})
    if rows["contender"].nunique() > 1:
        spread = rows[["times_min", "times_median", "times_max"]]
        shown["times"] = [" / ".join(f"{value:.2f}" for value in row) for row in spread.to_numpy()]
    shown["cold start, s"], shown["MB"] = rows["cold_start"].round(1), rows["memory"].round()
    for fact in FACTS:
        if fact in rows and rows[fact].notna().any():
            shown[fact] = rows[fact].map("{:.6g}".format) if fact == "median loss" else rows[fact]
    text = shown.map(lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)).replace("nan", "")
    return text.to_markdown(index=False, disable_numparse=True)


def _cost(rows: pd.DataFrame) -> str:
    joint = rows.set_index("contender")["times_median"]
    ratios = ", ".join(f"{1 / joint[name]:.2g} times {name}" for name in joint.index[1:])
    return f"Joint training takes {ratios}.\n"


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
    cores = Path("/proc/cpuinfo").read_text().count("processor\t") if Path("/proc/cpuinfo").exists() else "?"
    return f"{processor}, {cores} cores, {platform.system()}, Python {platform.python_version()}."


def _versions(table: pd.DataFrame) -> str:
    """Return all that the contenders had imported."""
    return ", ".join(sorted(set(", ".join(table["versions"].dropna()).split(", ")))) + "."
