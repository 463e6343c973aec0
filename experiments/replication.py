"""REPORT.md: our numbers beside the paper's, from stored rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.experiments.claims import check_claims
from kerasjoint.experiments.figures import write_figures
from kerasjoint.experiments.isolation import isolation_section
from kerasjoint.experiments.paper import paper_fractions
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import (
    BEST_OF_BOTH,
    REFERENCES,
    TOLERANCE,
    best_of_both,
    comparison_table,
    in_refined_comparison,
    write_tables,
)

JOINT = "reparameterized"
LEARNERS = (JOINT, "supervised", "neural-adjoint")
TITLES = {"lbfgs": "L-BFGS (tfp)", "scipy-lbfgs": "L-BFGS (SciPy)", "lockstep-lbfgs": "L-BFGS (lockstep)"}
COMMENTS = "comments.md"


def write_replication(store: Store) -> Path:
    """Write tables, figures and ``REPORT.md`` into the store's folder; return the path of the report.

    ``comments.md`` in that folder, written by people, is taken into the report as it is. Runs in folders inside it,
    such as those of the preset ``paper-isolation``, get a table each.
    """
    rows = store.rows()
    write_tables(rows, store.folder / "tables")
    write_figures(store, store.folder / "figures")
    rows = best_of_both(rows)
    problems = list(dict.fromkeys(rows["problem"]))
    means = pd.concat([comparison_table(rows, problem, per_n=False) for problem in problems], ignore_index=True)
    sections = [
        "# The paper's experiments at full scale\n",
        _answer(means, problems),
        f"`kerasjoint replication {store.folder}` makes this page from the stored rows, which "
        f"`kerasjoint run --preset paper --out {store.folder}` wrote.\n",
        _coverage(rows),
    ]
    comments = store.folder / COMMENTS
    if comments.exists():
        sections.append(comments.read_text())
    for reference in REFERENCES:
        for stage in ("refined", "unrefined"):
            sections.append(_table_2(means, problems, reference, stage))
    sections += [
        _truth(means, problems),
        _solved_by_n(rows),
        _worthless(rows),
        _figures(problems),
        _cost(rows),
        _claims(rows),
        *(isolation_section(Store(cells.parent)) for cells in sorted(store.folder.glob("*/cells"))),
    ]
    path = store.folder / "REPORT.md"
    path.write_text("\n".join(sections))
    return path


def _answer(means: pd.DataFrame, problems: list[str]) -> str:
    parts = []
    for problem in problems:
        joint = _one(means, problem, "lbfgs", JOINT, "refined")
        strong = _one(means, problem, "scipy-lbfgs", JOINT, "refined")
        base = _one(means, problem, "lbfgs", "scipy-lbfgs", "unrefined")
        if joint is not None and strong is not None and base is not None:
            parts.append((problem, joint, strong, base))
    if not parts:
        return "No problem has rows of both joint optimisation and L-BFGS yet.\n"
    better = "; ".join(f"{p}: {_percent(j['better'])} (SciPy's: {_percent(s['better'])})" for p, j, s, _ in parts)
    solved = "; ".join(f"{p}: {_percent(j['solved'])} against {_percent(b['solved'])}" for p, j, _, b in parts)
    rivals = [(p, _one(means, p, "lbfgs", "multi-start", "unrefined")) for p, *_ in parts]
    known = "; ".join(f"{p}: {_percent(rival['solved'])}" for p, rival in rivals if rival is not None)
    return (
        f"Joint optimisation, refined, finds a lower loss than tfp's L-BFGS in this share of the instances: {better}.\n"
        f"It solves, beside SciPy's L-BFGS-B: {solved}.\n"
        + (f"Multi-start L-BFGS with as many evaluations solves: {known}.\n" if known else "")
    )


def _coverage(rows: pd.DataFrame) -> str:
    table = (
        rows[rows["method"] == JOINT]
        .groupby("problem", sort=False)
        .agg(n=("n", lambda n: ", ".join(map(str, sorted(set(n))))), seeds=("seed", "nunique"))
    )
    last = (rows["selection"] == "last").to_numpy()
    counted = np.where(last & (rows["stage"] == "unrefined"), -1.0, in_refined_comparison(rows))
    spent = (rows["seconds"] * counted)[rows["method"] != BEST_OF_BOTH].groupby(rows["problem"]).sum()
    table["hours"] = [f"{spent[problem] / 3600:.2g}" for problem in table.index]
    return f"Sizes and seeds that were run, and what that took, compilation apart:\n\n{table.to_markdown()}\n"


def _table_2(means: pd.DataFrame, problems: list[str], reference: str, stage: str) -> str:
    lines = []
    for method, selection in (
        (JOINT, "last"),
        (JOINT, "best"),
        ("supervised", "best"),
        ("neural-adjoint", "best"),
        (BEST_OF_BOTH, "best"),
        *((name, "best") for name in (*REFERENCES, "multi-start") if name != reference),
    ):
        needs_none = method not in (*LEARNERS, BEST_OF_BOTH)
        if (method == BEST_OF_BOTH and stage == "unrefined") or (needs_none and stage == "unrefined"):
            continue
        line = {"method": method + (", last iterate" if selection == "last" else "")}
        for problem in problems:
            row = _one(means, problem, reference, method, "unrefined" if needs_none else stage, selection)
            line[problem] = "" if row is None else _cell(row, problem, method, stage)
        if any(line[problem] for problem in problems):
            lines.append(line)
    title = f"## Better / equal than {TITLES[reference]}, {stage}, percent"
    note = "Strict comparison, 95 % Wilson interval of better; in round brackets better / equal"
    note += f" with the tolerance {TOLERANCE}"
    note += "; paper: Table 2." if stage == "refined" else "; the paper prints no such table."
    return f"{title}\n\n{note}\n\n{pd.DataFrame(lines).to_markdown(index=False)}\n" if lines else ""


def _cell(row: pd.Series, problem: str, method: str, stage: str) -> str:
    strict = f"{100 * row['better']:.1f} [{100 * row['better_low']:.0f}, {100 * row['better_high']:.0f}]"
    strict += f" / {100 * row['equal']:.1f}"
    tolerant = f"({100 * row['better_tol']:.1f} / {100 * row['equal_tol']:.1f})"
    better, equal = paper_fractions(problem, method, stage)
    paper = "" if np.isnan(better) else f"; paper {100 * better:.1f} / {100 * equal:.1f}"
    return f"{strict} {tolerant}{paper}"


def _truth(means: pd.DataFrame, problems: list[str]) -> str:
    shown = means[(means["reference"] == "lbfgs") & (means["selection"] == "best")]
    table = pd.DataFrame({"problem": shown["problem"], "method": shown["method"], "stage": shown["stage"]})
    low, high = 100 * shown["solved_low"], 100 * shown["solved_high"]
    table["solved, %"] = [
        f"{100 * share:.1f} [{a:.0f}, {b:.0f}]" for share, a, b in zip(shown["solved"], low, high, strict=True)
    ]
    for column, title in (
        ("median_error", "median error of the unknowns"),
        ("mean_loss", "mean loss"),
        ("median_loss", "median loss"),
        ("evaluations", "evaluations"),
        ("seconds", "seconds / instance"),
    ):
        table[title] = [f"{value:.2g}" for value in shown[column]]
    note = "Mean over n. Errors in units of each unknown's scale."
    return f"## Solved, and how far from the truth\n\n{note}\n\n{table.to_markdown(index=False)}\n"


def _solved_by_n(rows: pd.DataFrame) -> str:
    shown = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    share = (
        100 * shown.astype({"solved": float}).groupby(["problem", "method", "n"], sort=False)["solved"].mean().unstack()
    )
    table = share.sort_index(axis=1).map(lambda percent: "" if np.isnan(percent) else f"{percent:.0f}").reset_index()
    return f"## Solved by n, percent, refined\n\n{table.to_markdown(index=False)}\n"


def _worthless(rows: pd.DataFrame) -> str:
    """Count wins over tfp's L-BFGS that solve nothing."""
    lines = []
    for problem, part in rows.groupby("problem", sort=False):
        base = part[part["method"] == "lbfgs"].set_index(["n", "seed", "instance"])["loss"]
        for method in LEARNERS:
            own = part[(part["method"] == method) & (part["stage"] == "refined") & (part["selection"] == "best")]
            if own.empty or base.empty:
                continue
            own = own.set_index(["n", "seed", "instance"])
            wins = own[own["loss"] < base.reindex(own.index)]
            unsolved = wins[~wins["solved"].fillna(False).astype(bool)]
            share = len(unsolved) / len(wins) if len(wins) else float("nan")
            error = unsolved["error"].median() if len(unsolved) else float("nan")
            lines.append(
                {
                    "problem": problem,
                    "method": method,
                    "wins": len(wins),
                    "of these not solved, %": f"{100 * share:.0f}",
                    "their median error": f"{error:.2g}",
                }
            )
    table = pd.DataFrame(lines).to_markdown(index=False) if lines else "No rows yet."
    return f"## Wins that solve nothing\n\nA lower loss than the baseline's can be another wrong minimum.\n\n{table}\n"


def _figures(problems: list[str]) -> str:
    pictures = "\n".join(f"![{problem}](figures/{problem}.png)\n" for problem in problems)
    note = "(a) an instance, (b) loss along one unknown, (c) optimisation without refinement, (d) refined loss over n."
    return f"## Figures 2 to 5\n\n{note}\n\n{pictures}"


def _cost(rows: pd.DataFrame) -> str:
    """Seconds of joint training, not refined, over those of each baseline, as they ran; not a quiet machine."""
    best = rows[(rows["selection"] == "best") & (rows["stage"] == "unrefined")]
    seconds = best.groupby(["problem", "method"], sort=False)["seconds"].sum().unstack()
    if JOINT not in seconds:
        return ""
    baselines = [name for name in REFERENCES if name in seconds]
    table = pd.DataFrame({f"over {TITLES[name]}": seconds[JOINT] / seconds[name] for name in baselines})
    table["paper, over BFGS"] = ["22" if name == "navier-stokes" else "3 to 6" for name in table.index]
    note = "Over the whole run, whatever else the machine did. Of a quiet run of single cells: `reports/benchmarks.md`."
    return f"## Cost of joint training\n\n{note}\n\n{table.to_markdown(floatfmt='.2g')}\n"


def _claims(rows: pd.DataFrame) -> str:
    words = {True: "holds", False: "does not hold", None: "not known"}
    table = pd.DataFrame(
        [(c.problem, c.statement, words[c.holds], c.found) for c in check_claims(rows)],
        columns=["problem", "the paper", "", "ours"],
    )
    return f"## The paper's statements\n\n{table.to_markdown(index=False)}\n"


def _one(
    means: pd.DataFrame, problem: str, reference: str, method: str, stage: str, selection: str = "best"
) -> pd.Series | None:
    chosen = means[
        (means["problem"] == problem)
        & (means["reference"] == reference)
        & (means["method"] == method)
        & (means["selection"] == selection)
        & ((means["stage"] == stage) | (means["method"] == BEST_OF_BOTH))
    ]
    return None if chosen.empty else chosen.iloc[0]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
