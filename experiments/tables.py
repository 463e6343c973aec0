"""Tables from the stored rows: per problem and per n, against each reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.comparison import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, fraction, fraction_of, summarise
from kerasjoint.experiments.paper import paper_fractions
from kerasjoint.experiments.variants import in_order
from kerasjoint.methods import METHODS

BEST_OF_BOTH = "better of both"
REFERENCES = ("lbfgs", "scipy-lbfgs", "lockstep-lbfgs")
VARIANT = ["method", "stage", "selection"]
KEY = ["n", "seed", "instance"]
FRACTIONS = ("better", "equal", "worse", "better_tol", "equal_tol", "worse_tol", "solved")
TOLERANCE = f"|dL| <= {RELATIVE_TOLERANCE:g} max(L) + {ABSOLUTE_TOLERANCE:g}"


def comparison_table(rows: pd.DataFrame, problem: str, *, per_n: bool) -> pd.DataFrame:
    """Compare every method, stage and selection with each reference on one problem.

    References are the plain L-BFGS methods; in a run without any, its first method, refined if it was. Beside each
    stands the better of it and joint optimisation as a method.

    Parameters
    ----------
    rows
        The rows of a store.
    problem
        Which problem.
    per_n
        One row per n; else the mean over n, each n counting the same, as in the paper's Table 2.

    Returns
    -------
    pandas.DataFrame
        The columns of ``kerasjoint.compare``, and ``paper_better`` and ``paper_equal``. ``_tol`` columns count as
        equal what differs by at most ``TOLERANCE``.
    """
    rows = rows[rows["problem"] == problem]
    table = []
    methods = in_order(METHODS, rows["method"])
    final = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    for reference in [name for name in REFERENCES if name in methods] or methods[:1]:
        base = final[final["method"] == reference].set_index(KEY)
        candidates = pd.concat([rows, best_of_both(rows, reference)]) if reference in REFERENCES else rows
        for variant, group in candidates.groupby(VARIANT, sort=False):
            better, equal = paper_fractions(problem, str(variant[0]), str(variant[1]))
            head = {"problem": problem, "reference": reference} | dict(zip(VARIANT, map(str, variant), strict=True))
            sizes = [row for _, part in group.groupby("n") for row in _row(part, base)]
            for row in sizes if per_n or not sizes else [_mean_over_n(sizes)]:
                size = {"n": int(row["n"]) if per_n else "all", "instances": int(row["instances"])}
                table.append({**head, **size, **row, **size, "paper_better": better, "paper_equal": equal})
    return _sorted(pd.DataFrame(table))


def baseline_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe how the methods that need no refinement do: one row per problem, method and n.

    Returns
    -------
    pandas.DataFrame
        ``solved`` with its interval, ``stationary`` (the fraction that cannot move), quartiles and maximum of the
        iterations of moving instances, and mean and maximum of the evaluations of all.
    """
    local = rows[~rows["method"].isin(rows["method"][rows["stage"] == "refined"])]
    table = []
    for (problem, method, n), group in local.groupby(["problem", "method", "n"]):
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
    """Return the rows of the paper's own advice: per instance the better of joint optimisation and a baseline."""
    chosen = rows[(rows["method"] == "reparameterized") & (rows["stage"] == "refined") & (rows["selection"] == "best")]
    base = rows[(rows["method"] == baseline) & (rows["stage"] == "unrefined")]
    both = chosen.merge(base, on=["problem", *KEY], suffixes=("", "_base"))
    worse = (both["loss_base"] < both["loss"]).to_numpy()
    for column in ("loss", "solved", "error", "status", "xi"):
        both[column] = both[column].where(~worse, both[f"{column}_base"])
    for column in ("evaluations", "seconds"):
        both[column] = both[column] + both[f"{column}_base"]
    both["method"] = BEST_OF_BOTH
    return both[rows.columns]


def write_tables(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``baseline.csv``, and per problem ``<problem>.csv``, ``<problem>-by-n.csv`` and a part of ``tables.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    baseline_table(rows).to_csv(folder / "baseline.csv", index=False, float_format="%.4g")
    written = [folder / "baseline.csv"]
    sections = [f"Equal, where marked `tol`: {TOLERANCE}. Brackets: 95 % Wilson intervals.\n"]
    for problem in dict.fromkeys(rows["problem"]):
        for per_n in (False, True):
            table = comparison_table(rows, problem, per_n=per_n)
            path = folder / f"{problem}{'-by-n' if per_n else ''}.csv"
            table.to_csv(path, index=False, float_format="%.6g")
            written.append(path)
            title = f"## {problem}, {'by n' if per_n else 'mean over n'}"
            sections.append(f"{title}\n\n{legible(table).to_markdown(index=False)}\n")
    (folder / "tables.md").write_text("\n".join(sections))
    return [*written, folder / "tables.md"]


def legible(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for reading: percentages with their intervals, few digits."""
    text = pd.DataFrame({"against": table["reference"], "method": _variant_names(table), "n": table["n"]})
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
    text["paper better / equal"] = _paper(table)
    for column, title in (
        ("median_error", "error"),
        ("mean_loss", "mean loss"),
        ("median_loss", "median loss"),
        ("worst_loss", "worst loss"),
        ("evaluations", "evaluations"),
        ("seconds", "s / instance"),
    ):
        text[title] = [f"{value:.3g}" for value in table[column]]
    return text


def brief(table: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Return one stage of a table for a narrow screen: best points, percentages without intervals."""
    wanted = in_refined_comparison(table) if stage == "refined" else table["stage"] == "unrefined"
    shown = table[(table["selection"] == "best") & wanted]
    text = pd.DataFrame({"method": shown["method"]})
    for column, title in (
        ("better", "better"),
        ("equal", "equal"),
        ("better_tol", "better~"),
        ("equal_tol", "equal~"),
        ("solved", "solved"),
    ):
        text[title] = ["" if np.isnan(share) else f"{100 * share:.0f}" for share in shown[column]]
    text["error"] = [f"{value:.1e}" for value in shown["median_error"]]
    if stage == "refined":
        text["paper"] = _paper(shown)
    return text


def _paper(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["paper_better"], table["paper_equal"], strict=True)
    return ["" if np.isnan(better) else f"{100 * better:.1f} / {100 * equal:.1f}" for better, equal in pairs]


def in_refined_comparison(frame: pd.DataFrame) -> pd.Series:
    """Tell which rows belong beside refined solutions: those, and those of methods that need no refinement."""
    refined = frame["stage"] == "refined"
    return refined | ~frame["method"].isin(frame["method"][refined])


def _variant_names(table: pd.DataFrame) -> list[str]:
    names, refined = [], set(table["method"][table["stage"] == "refined"])
    for method, stage, selection in zip(table["method"], table["stage"], table["selection"], strict=True):
        last = ", last iterate" if selection == "last" else ""
        names.append(f"{method}{last} ({stage})" if method in refined and method != BEST_OF_BOTH else method)
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
