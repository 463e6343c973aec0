"""REPORT.md: our numbers beside the paper's, from stored rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.figures import write_figures
from kerasjoint.experiments.paper.ablation import ablation_section
from kerasjoint.experiments.paper.cost import JOINT, cost_of_benchmark, cost_of_run
from kerasjoint.experiments.paper.expected_results import BASELINES, ExpectedResult, check_expected_results
from kerasjoint.experiments.paper.table_2 import comparison_with_paper, legible_with_paper, paper_fractions
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import (
    BEST_OF_BOTH,
    KEY,
    REFERENCES,
    TOLERANCE,
    comparison_table,
    in_refined_comparison,
    write_tables,
)
from kerasjoint.files import atomic_path

PRESET = "paper"
LEARNERS = (JOINT, "supervised", "neural-adjoint")
TITLES = {"lbfgs": "L-BFGS (tfp)", "scipy-lbfgs": "L-BFGS (SciPy)", "lockstep-lbfgs": "L-BFGS (lockstep)"}
COMMENTS = "comments.md"
STRONGER = "scipy-lbfgs"
STARTS = {
    "multi-start": "L-BFGS from many random starts",
    "amortized-multi-start": "Amortized multi-start",
}
SOLVED = {
    "wave-packet": "a loss not above that of the true unknowns",
    "billiards": "at rest within 1 mm of the target",
    "kuramoto-sivashinsky": "a loss of at most 1e-18 of |y|^2",
    "navier-stokes": "a loss not above that of the true unknowns",
}


def write_replication(store: Store, benchmarks: Path | None = None) -> Path:
    """Write tables, figures and ``REPORT.md`` into the store's folder; return the path of the report.

    ``comments.md`` in that folder, written by people, is taken into the report as it is. Runs in folders inside it,
    such as those of the preset ``paper-ablation``, get a table each. With ``benchmarks``, the CSV file of ``make
    bench``, the cost ratios are those of its single tasks, timed alone, instead of the run's own.

    Raises
    ------
    ArgumentError
        If the rows are those of another preset.

    Example
    -------
    >>> write_replication(Store("reports/paper"), Path("reports/benchmarks.csv"))
    """
    rows, metadata = store.rows(), store.metadata()
    others = sorted(set(metadata["preset"]) - {PRESET})
    if others:
        raise ArgumentError("folder", f"a run of the preset {PRESET!r}", f"{store.folder}, of {', '.join(others)}")
    cost = cost_of_run(rows) if benchmarks is None else cost_of_benchmark(benchmarks)
    command = f"kerasjoint replication {store.folder}" + ("" if benchmarks is None else f" --cost {benchmarks}")
    tables, raised = store.folder / "tables", store.simulator_errors()
    write_tables(rows, tables, comparison_with_paper, legible_with_paper, store.failed(), raised)
    write_figures(store, store.folder / "figures")
    problems = list(dict.fromkeys(rows["problem"]))
    means = pd.concat([comparison_table(rows, problem, per_n=False) for problem in problems], ignore_index=True)
    sections = [
        "# The paper's experiments at full scale\n",
        _answer(means, problems),
        f"`{command}` makes this page from the stored rows, which "
        f"`kerasjoint run --preset {PRESET} --out {store.folder}` wrote.\n",
        _coverage(rows, metadata),
    ]
    comments = store.folder / COMMENTS
    if comments.exists():
        sections.append(comments.read_text())
    for stage in ("refined", "unrefined"):
        for reference in BASELINES:
            sections.append(_table_2(means, problems, reference, stage))
    sections += [
        _truth(means, problems),
        _solved_by_n(rows),
        _worthless(rows),
        _figures(problems),
        _cost(cost, benchmarks),
        _expected_results(check_expected_results(rows, cost)),
        *(ablation_section(Store(tasks.parent)) for tasks in sorted(store.folder.glob("*/tasks"))),
    ]
    with atomic_path(store.folder / "REPORT.md") as path:
        path.write_text("\n".join(sections))
    return store.folder / "REPORT.md"


def _answer(means: pd.DataFrame, problems: list[str]) -> str:
    """Does joint optimisation find better solutions than classical optimisation? Three sentences."""
    more: list[str] = []
    no_more: list[str] = []
    lower: list[str] = []
    starts: dict[str, list[str]] = {name: [] for name in STARTS}
    for problem in problems:
        joint = _one(means, problem, STRONGER, JOINT, "refined")
        base = _one(means, problem, STRONGER, STRONGER, "unrefined")
        if joint is None or base is None:
            continue
        solved = f"{problem} ({_percent(joint['solved'])} against {_percent(base['solved'])})"
        (more if joint["solved_low"] > base["solved_high"] else no_more).append(solved)
        lower.append(f"{problem} {_percent(joint['better_tol'])} (higher: {_percent(joint['worse_tol'])})")
        for name, found in starts.items():
            row = _one(means, problem, STRONGER, name, _stage_of(name))
            if row is not None:
                found.append(f"{problem} {_percent(row['solved'])}")
    if not lower:
        return "No problem has rows of both joint optimisation and SciPy's L-BFGS-B yet.\n"
    shares = [f"solves clearly more instances than SciPy's L-BFGS-B on {_listed(more)}"] if more else []
    shares += [f"does not solve clearly more on {_listed(no_more)}"] if no_more else []
    known = "".join(
        f"{STARTS[name]}, at no more than about the same cost, solves {_listed(found)}.\n"
        for name, found in starts.items()
        if found
    )
    return (
        f"Joint optimisation, refined, {', and '.join(shares)}.\n"
        f"Its loss is lower than SciPy's, by more than the tolerance, on {_listed(lower)}.\n"
        f"{known}"
    )


def _stage_of(method: str) -> str:
    """Return where the rows of a method stand that is not refined: a learned one that descends by itself is."""
    return "refined" if method == "amortized-multi-start" else "unrefined"


def _coverage(rows: pd.DataFrame, metadata: pd.DataFrame) -> str:
    table = (
        rows[rows["method"] == JOINT].groupby("problem", sort=False).agg(n=("n", _distinct), seeds=("seed", "nunique"))
    )
    for name in STARTS:
        run_at = rows[rows["method"] == name].groupby("problem")["n"].agg(_distinct)
        if not run_at.empty:
            table[f"{name} at n"] = run_at.reindex(table.index).fillna("")
    last = (rows["selection"] == "last").to_numpy()
    counted = np.where(last & (rows["stage"] == "unrefined"), -1.0, in_refined_comparison(rows))
    spent = (rows["seconds"] * counted).groupby(rows["problem"]).sum()
    table["hours"] = [f"{spent[problem] / 3600:.2g}" for problem in table.index]
    commits = metadata["commit"].groupby(metadata["settings"].map(lambda settings: settings["problem"])).agg(_distinct)
    table["commits"] = commits.reindex(table.index)
    return f"Sizes and seeds that were run, and what that took, compilation apart:\n\n{table.to_markdown()}\n"


def _distinct(values: pd.Series) -> str:
    return ", ".join(map(str, sorted(set(values.dropna()))))


def _table_2(means: pd.DataFrame, problems: list[str], reference: str, stage: str) -> str:
    lines = []
    for method, selection in (
        (JOINT, "last"),
        (JOINT, "best"),
        ("supervised", "best"),
        ("neural-adjoint", "best"),
        (BEST_OF_BOTH, "best"),
        *((name, "best") for name in (*REFERENCES, *STARTS) if name != reference),
    ):
        needs_none = method not in (*LEARNERS, BEST_OF_BOTH)
        if (method == BEST_OF_BOTH and stage == "unrefined") or (needs_none and stage == "unrefined"):
            continue
        line = {"method": method + (", last iterate" if selection == "last" else "")}
        for problem in problems:
            row = _one(means, problem, reference, method, _stage_of(method) if needs_none else stage, selection)
            line[problem] = "" if row is None else _entry(row, problem, method, stage)
        if any(line[problem] for problem in problems):
            lines.append(line)
    title = f"## Better / equal than {TITLES[reference]}, {stage}, percent"
    note = "Strict comparison, 95 % Wilson interval of better as if instances of a run were independent; in round"
    note += f" brackets better / equal with the tolerance {TOLERANCE}"
    note += "; paper: Table 2." if stage == "refined" else "; the paper prints no such table."
    return f"{title}\n\n{note}\n\n{pd.DataFrame(lines).to_markdown(index=False)}\n" if lines else ""


def _entry(row: pd.Series, problem: str, method: str, stage: str) -> str:
    strict = f"{100 * row['better']:.1f} [{100 * row['better_low']:.0f}, {100 * row['better_high']:.0f}]"
    strict += f" / {100 * row['equal']:.1f}"
    tolerant = f"({100 * row['better_tol']:.1f} / {100 * row['equal_tol']:.1f})"
    better, equal = paper_fractions(problem, method, stage)
    paper = "" if np.isnan(better) else f"; paper {100 * better:.1f} / {100 * equal:.1f}"
    return f"{strict} {tolerant}{paper}"


def _truth(means: pd.DataFrame, problems: list[str]) -> str:
    shown = means[means["reference"] == STRONGER]
    names = shown["method"].where(shown["selection"] == "best", shown["method"] + ", last iterate")
    table = pd.DataFrame({"problem": shown["problem"], "method": names, "stage": shown["stage"]})
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
    rules = "; ".join(f"{problem}: {SOLVED[problem]}" for problem in problems if problem in SOLVED)
    note = f"Mean over n. Errors in units of each unknown's scale. Solved means, {rules}."
    return f"## Solved, and how far from the truth\n\n{note}\n\n{table.to_markdown(index=False)}\n"


def _solved_by_n(rows: pd.DataFrame) -> str:
    shown = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    share = (
        100 * shown.astype({"solved": float}).groupby(["problem", "method", "n"], sort=False)["solved"].mean().unstack()
    )
    table = share.sort_index(axis=1).map(lambda percent: "" if np.isnan(percent) else f"{percent:.0f}").reset_index()
    return f"## Solved by n, percent, refined\n\n{table.to_markdown(index=False)}\n"


def _worthless(rows: pd.DataFrame) -> str:
    """Count wins that solve nothing."""
    lines = []
    for problem, part in rows.groupby("problem", sort=False):
        for method in LEARNERS:
            own = part[(part["method"] == method) & (part["stage"] == "refined") & (part["selection"] == "best")]
            own = own.set_index(KEY)
            line: dict[str, object] = {"problem": problem, "method": method}
            for name in BASELINES:
                base = part[part["method"] == name].set_index(KEY)["loss"]
                wins = own[own["loss"] < base.reindex(own.index)]
                unsolved = wins[~wins["solved"].fillna(False).astype(bool)]
                share = f"{100 * len(unsolved) / len(wins):.0f}" if len(wins) else ""
                line[f"wins over {TITLES[name]}"] = len(wins)
                line[f"of these not solved, % ({name})"] = share
                line[f"their median error ({name})"] = f"{unsolved['error'].median():.2g}" if len(unsolved) else ""
            if len(own):
                lines.append(line)
    table = pd.DataFrame(lines).to_markdown(index=False) if lines else "No rows yet."
    return f"## Wins that solve nothing\n\nA lower loss than the baseline's can be another wrong minimum.\n\n{table}\n"


def _figures(problems: list[str]) -> str:
    pictures = "\n".join(f"![{problem}](figures/{problem}.png)\n" for problem in problems)
    note = "(a) an instance, (b) loss along one unknown, (c) optimisation without refinement, (d) refined loss over n."
    return f"## Figures 2 to 5\n\n{note}\n\n{pictures}"


def _cost(cost: pd.DataFrame, benchmarks: Path | None) -> str:
    baselines = [name for name in REFERENCES if name in cost]
    if cost.empty or not baselines:
        return ""
    table = cost[baselines].rename(columns={name: f"over {TITLES[name]}" for name in baselines})
    table["paper, over BFGS"] = ["22" if name == "navier-stokes" else "3 to 6" for name in table.index]
    note = "Seconds of joint training over those of each baseline, compilation apart, "
    note += (
        "over the whole run, whatever else the machine did."
        if benchmarks is None
        else f"of single tasks that ran alone (`{benchmarks}`)."
    )
    return f"## Cost of joint training\n\n{note}\n\n{table.to_markdown(floatfmt='.2g')}\n"


def _expected_results(results: list[ExpectedResult]) -> str:
    table = pd.DataFrame(
        [(result.problem, result.statement, result.rule, *judge(result)) for result in results],
        columns=["problem", "the paper", "holds, if", "", "ours"],
    )
    note = (
        "Joint optimisation by its last iterate, as in the paper. Of two numbers, the first is beside tfp's L-BFGS, the"
    )
    note += " second beside SciPy's."
    return f"## The paper's statements\n\n{note}\n\n{table.to_markdown(index=False)}\n"


def judge(result: ExpectedResult) -> tuple[str, str]:
    """Return the verdict and what was found."""
    verdicts = {finding.holds for finding in result.findings.values()}
    found = "; ".join(dict.fromkeys(finding.found for finding in result.findings.values()))
    if len(verdicts) == 1:
        return {True: "holds", False: "does not hold", None: "not known"}[verdicts.pop()], found
    agree = [TITLES[name] for name, finding in result.findings.items() if finding.holds]
    if None in verdicts:
        return ("holds" if agree else "does not hold") + " where known", found
    return f"holds beside {agree[0]} alone", found


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


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
