"""Tables from the stored rows: per problem and per n, against each reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.experiments.labels import Label, in_order
from kerasjoint.files import write_together
from kerasjoint.methods import METHODS
from kerasjoint.summary import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, fraction, fraction_of, summarise

BEST_OF_BOTH = "better of both"
# Every one of these that was run is a reference.
REFERENCES = ("lbfgs", "scipy-lbfgs", "lockstep-lbfgs")
VARIANT = ["method", "role", "stage", "selection"]
KEY = ["n", "seed", "instance"]
FRACTIONS = ("better", "equal", "worse", "better_tol", "equal_tol", "worse_tol", "solved")
# Titles of what went wrong, by the stem of its file.
TROUBLES = {"failed": "Tasks without rows", "simulator-errors": "Errors of simulators for single instances"}
TOLERANCE = f"|dL| <= {RELATIVE_TOLERANCE:g} max(L) + {ABSOLUTE_TOLERANCE:g}"


def comparison_table(rows: pd.DataFrame, problem: str, *, per_n: bool) -> pd.DataFrame:
    """Compare every method, stage and selection with each reference on one problem.

    References are the plain L-BFGS methods; in a run without them, its first baseline, or else its first method. Beside
    each stands "better of both": per instance the better of the first learned method, refined, and that reference.

    Parameters
    ----------
    rows
        The rows of a store.
    problem
        Which problem.
    per_n
        One row per n; else the mean over n, each n counting the same.

    Returns
    -------
    pandas.DataFrame
        The columns of ``kerasjoint.compare``. ``_tol`` columns count as equal what differs by at most ``TOLERANCE``.

    Example
    -------
    >>> comparison_table(Store("results/quick").rows(), "billiards", per_n=True)
    """
    rows = rows[rows["problem"] == problem]
    table = []
    final = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    for reference in references(rows):
        base = final[final["method"] == reference].set_index(KEY)
        both = best_of_both(rows, reference)
        candidates = rows if both.empty else pd.concat([rows, both])
        for variant, group in candidates.groupby(VARIANT, sort=False):
            head = {"problem": problem, "reference": reference} | dict(zip(VARIANT, map(str, variant), strict=True))
            sizes = [row for _, part in group.groupby("n") for row in _row(part, base)]
            for row in sizes if per_n or not sizes else [_mean_over_n(sizes)]:
                size = {"n": int(row["n"]) if per_n else "all", "instances": int(row["instances"])}
                table.append({**head, **size, **row, **size})
    return _sorted(pd.DataFrame(table))


def references(rows: pd.DataFrame) -> list[str]:
    """Return with which methods the others are compared."""
    methods = in_order(METHODS, rows["method"])
    baselines = in_order(METHODS, rows["method"][rows["role"] == "baseline"])
    return [name for name in REFERENCES if name in methods] or baselines[:1] or methods[:1]


def baseline_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe how the baselines do: one row per problem, method and n.

    Returns
    -------
    pandas.DataFrame
        ``solved`` with its interval, ``stationary`` (the fraction that cannot move), quartiles and maximum of the
        iterations of moving instances, and mean and maximum of the evaluations of all.
    """
    table = []
    for (problem, method, n), group in rows[rows["role"] == "baseline"].groupby(["problem", "method", "n"]):
        stationary = group["status"] == "STATIONARY"
        iterations = group["iterations"][~stationary] if not stationary.all() else pd.Series([0])
        low, median, high = np.quantile(iterations, (0.25, 0.5, 0.75))
        known = group["solved"].notna().all()
        solved = group["solved"].to_numpy(dtype=bool) if known else None
        table.append(
            {"problem": problem, "method": method, "n": n, "instances": len(group)}
            | fraction("solved", solved)
            | {"stationary": float(stationary.mean())}
            | {"iterations_25": low, "iterations_50": median, "iterations_75": high, "iterations_max": iterations.max()}
            | {"evaluations_mean": group["evaluations"].mean(), "evaluations_max": group["evaluations"].max()}
        )
    return pd.DataFrame(table)


def best_of_both(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return per instance the better of the first learned method, refined, and a baseline; no rows without either."""
    learned = in_order(METHODS, rows["method"][rows["role"] == "learned"])[:1]
    chosen = rows[rows["method"].isin(learned) & (rows["stage"] == "refined") & (rows["selection"] == "best")]
    base = rows[(rows["method"] == baseline) & (rows["role"] == "baseline")]
    both = chosen.merge(base, on=["problem", *KEY], suffixes=("", "_base"))
    worse = (both["loss_base"] < both["loss"]).to_numpy()
    for column in ("loss", "solved", "error", "status", "xi"):
        both[column] = both[column].where(~worse, both[f"{column}_base"])
    for column in ("evaluations", "seconds"):
        both[column] = both[column] + both[f"{column}_base"]
    both["method"] = BEST_OF_BOTH
    return both[rows.columns]


def legible(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for reading: percentages with their intervals, few digits."""
    against = [Label(reference).title for reference in table["reference"]]
    text = pd.DataFrame({"against": against, "method": _variant_names(table), "n": table["n"]})
    for column, title in (
        ("better", "better"),
        ("equal", "equal"),
        ("worse", "worse"),
        ("better_tol", "better (tol)"),
        ("equal_tol", "equal (tol)"),
        ("solved", "solved"),
    ):
        text[title] = [
            "" if np.isnan(p) else f"{100 * p:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
            for p, low, high in zip(table[column], table[f"{column}_low"], table[f"{column}_high"], strict=True)
        ]
    for column, title in (
        ("median_error", "error"),
        ("mean_loss", "mean loss"),
        ("median_loss", "median loss"),
        ("worst_loss", "worst loss"),
        ("evaluations", "evaluations"),
        ("seconds", "s / instance"),
    ):
        text[title] = ["" if np.isnan(value) else f"{value:.3g}" for value in table[column]]
    return text


def brief(table: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Return one stage of a table for a narrow screen: best points, percentages without intervals."""
    wanted = in_refined_comparison(table) if stage == "refined" else table["stage"] == "unrefined"
    shown = table[(table["selection"] == "best") & wanted]
    text = pd.DataFrame({"method": [Label(method).title for method in shown["method"]]})
    for column, title in (
        ("better", "better"),
        ("equal", "equal"),
        ("better_tol", "better~"),
        ("equal_tol", "equal~"),
        ("solved", "solved"),
    ):
        text[title] = ["" if np.isnan(share) else f"{100 * share:.0f}" for share in shown[column]]
    text["error"] = ["" if np.isnan(value) else f"{value:.1e}" for value in shown["median_error"]]
    return text


def write_tables(
    rows: pd.DataFrame,
    folder: Path,
    compare: Callable[..., pd.DataFrame] = comparison_table,
    show: Callable[[pd.DataFrame], pd.DataFrame] = legible,
    failed: pd.DataFrame | None = None,
    simulator_errors: pd.DataFrame | None = None,
) -> list[Path]:
    """Write ``baseline.csv``, and per problem ``<problem>.csv``, ``<problem>-by-n.csv`` and a part of ``tables.md``.

    ``compare`` and ``show`` make the table of a problem, and the same for reading: for tables with more columns.
    ``failed``, tasks with the reason why they have no rows, and ``simulator_errors``, what simulators raised for single
    instances of the others, are listed in ``failed.csv``, ``simulator-errors.csv`` and ``tables.md``. An interruption
    leaves the tables as they were.

    Example
    -------
    >>> write_tables(Store("results/quick").rows(), Path("tables"))
    """
    texts = {"baseline.csv": baseline_table(rows).to_csv(index=False, float_format="%.4g")}
    sections = [f"Equal, where marked `tol`: {TOLERANCE}. Brackets: 95 % Wilson intervals.\n"]
    for problem in dict.fromkeys(rows["problem"]):
        label = Label(problem)
        for per_n in (False, True):
            table = compare(rows, problem, per_n=per_n)
            name = f"{label.slug}{'-by-n' if per_n else ''}.csv"
            texts[name] = table.to_csv(index=False, float_format="%.6g")
            title = f"## {label.title}, {'by n' if per_n else 'mean over n'}"
            sections.append(f"{title}\n\n{show(table).to_markdown(index=False)}\n")
    troubles = {"failed": failed, "simulator-errors": simulator_errors}
    for name, frame in troubles.items():
        if frame is not None and not frame.empty:
            texts[f"{name}.csv"] = frame.to_csv(index=False)
            shown = frame.drop(columns=["problem", "method", "n", "seed"]).map(_in_a_cell)
            sections.append(f"## {TROUBLES[name]}\n\n{shown.to_markdown(index=False)}\n")
    texts["tables.md"] = "\n".join(sections)
    written = write_together(folder, texts)
    for name in {f"{trouble}.csv" for trouble in troubles} - set(texts):
        (folder / name).unlink(missing_ok=True)
    return written


def _in_a_cell(text: object) -> str:
    """Return a text that may have many lines for a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")[:300]


def in_refined_comparison(frame: pd.DataFrame) -> pd.Series:
    """Return which rows belong beside refined solutions: those, and the baselines', which need no refinement."""
    return (frame["stage"] == "refined") | (frame["role"] == "baseline")


def _variant_names(table: pd.DataFrame) -> list[str]:
    names = []
    for method, role, stage, selection in zip(*(table[column] for column in VARIANT), strict=True):
        last = ", last iterate" if selection == "last" else ""
        plain = role == "baseline" or method == BEST_OF_BOTH
        names.append(Label(method).title + ("" if plain else f"{last} ({stage})"))
    return names


def _row(part: pd.DataFrame, base: pd.DataFrame) -> list[dict[str, float]]:
    """Compare on those instances of one n that the reference has too; nothing if there are none."""
    n = float(part["n"].iloc[0])
    part = part.set_index(KEY)
    common = part.index.intersection(base.index)
    if common.empty:
        return []
    part, base = part.loc[common], base.loc[common]
    known = part["solved"].notna().all()
    error = part["error"].to_numpy()
    row = summarise(
        part["loss"].to_numpy(),
        base["loss"].to_numpy(),
        part["solved"].to_numpy(dtype=bool) if known else None,
        None if np.isnan(error).any() else error,
        part["evaluations"].to_numpy(),
    )
    return [row | {"instances": row["n"], "n": n, "seconds": float(part["seconds"].mean())}]


def _mean_over_n(rows: list[dict[str, float]]) -> dict[str, float]:
    """Average with equal weight for each n; intervals for the number of instances that such a mean is worth (Kish)."""
    frame = pd.DataFrame(rows)
    mean = {str(name): float(value) for name, value in frame.mean().items()}
    mean["instances"] = float(frame["instances"].sum())
    mean["worst_loss"] = float(frame["worst_loss"].max())
    effective = len(frame) ** 2 / float((1 / frame["instances"]).sum())
    for name in FRACTIONS:
        mean |= fraction_of(name, mean[name], effective)
    return {name: mean[name] for name in rows[0]}


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    rank = table["method"].map({label: k for k, label in enumerate(in_order(METHODS, table["method"]))})
    stage = table["stage"].map({"refined": 0, "unrefined": 1})
    keys = pd.DataFrame({"r": table["reference"], "n": table["n"].astype(str).str.zfill(6), "s": stage, "m": rank,
                         "l": table["selection"]})  # fmt: skip
    return table.loc[keys.sort_values(["r", "n", "m", "s", "l"]).index].reset_index(drop=True)
