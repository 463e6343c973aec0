"""The results that the paper states and numbers can check, and what our rows give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from kerasjoint.experiments.tables import KEY, comparison_table

BASELINES = ("lbfgs", "scipy-lbfgs")


class NoRows(Exception):
    """The rows of a method, size or cost that an expected result needs are not there."""


class Finding(NamedTuple):
    """What we found, and whether the paper's statement agrees with it (``None``: no rows to check)."""

    found: str
    holds: bool | None


class ExpectedResult(NamedTuple):
    """One statement of the paper, and what we found where each baseline stands for its L-BFGS."""

    problem: str
    statement: str
    rule: str
    findings: dict[str, Finding]


@dataclass(frozen=True)
class Evidence:
    """The rows of one problem, their comparison with one baseline by n, and what joint training costs beside it.

    A method without rows raises ``NoRows``; a column that does not exist, a ``KeyError``.
    """

    rows: pd.DataFrame
    baseline: str
    by_n: pd.DataFrame
    cost: float | None

    def line(self, column: str, method: str, stage: str = "refined", selection: str = "best") -> pd.Series:
        """Return a column of the comparison over n."""
        table = self.by_n
        chosen = (table["method"] == method) & (table["stage"] == stage) & (table["selection"] == selection)
        line = table[chosen].set_index("n")[column].astype(float).sort_index()
        if line.empty:
            raise NoRows(f"{method}, {stage}, {selection}")
        return line

    def joint(self, column: str) -> pd.Series:
        """Return a column of joint optimisation over n: the last iterate, as in the paper, refined."""
        return self.line(column, "reparameterized", selection="last")

    def base(self, column: str) -> pd.Series:
        """Return a column of the baseline over n."""
        return self.line(column, self.baseline, "unrefined")

    def refinement_iterations(self) -> pd.Series:
        """Return how many iterations refining the last iterate of joint optimisation took, per instance."""
        last = self.rows[(self.rows["method"] == "reparameterized") & (self.rows["selection"] == "last")]
        if last.empty:
            raise NoRows("reparameterized, last iterate")
        stages = {stage: part.set_index(KEY)["iterations"] for stage, part in last.groupby("stage")}
        return stages["refined"] - stages["unrefined"]


def check_expected_results(rows: pd.DataFrame, cost: pd.DataFrame | None = None) -> list[ExpectedResult]:
    """Check every statement on the rows at hand, against each baseline; a statement without rows is listed as such.

    ``cost`` holds seconds of joint training over those of each baseline: problems in rows, baselines in columns.

    Example
    -------
    >>> check_expected_results(Store("reports/paper").rows())[0].findings["lbfgs"].holds
    """
    known = {}
    for problem in set(rows["problem"]):
        own, by_n = rows[rows["problem"] == problem], comparison_table(rows, problem, per_n=True)
        for baseline in BASELINES:
            ratio = None if cost is None or baseline not in cost else cost[baseline].get(problem)
            known[problem, baseline] = Evidence(own, baseline, by_n[by_n["reference"] == baseline], ratio)
    return [
        ExpectedResult(problem, statement, rule, {name: find(check, known.get((problem, name))) for name in BASELINES})
        for problem, statement, rule, check in STATEMENTS
    ]


Check = Callable[[Evidence], tuple[str, bool]]


def find(check: Check, evidence: Evidence | None) -> Finding:
    """Return what a check finds; nothing is known if rows are missing."""
    if evidence is None:
        return Finding("no rows", None)
    try:
        found, holds = check(evidence)
    except NoRows:
        return Finding("no rows of the methods or sizes it needs", None)
    return Finding(found, bool(holds))


def _joint_better(low: float, high: float, above: int = 0) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.joint("better").loc[above + 1 :])
        return f"{100 * share:.1f} %", low <= share <= high

    return check


def _rarely_better(method: str, most: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.line("better", method))
        return f"{100 * share:.1f} %", share <= most

    return check


def _mean_equal(method: str, low: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.line("equal", method))
        return f"{100 * share:.1f} %", share >= low

    return check


def _no_trend(evidence: Evidence) -> tuple[str, bool]:
    small, large = _halves(evidence.joint("better"))
    return f"{100 * small:.0f} % for the smaller half of n, {100 * large:.0f} % for the larger", abs(
        large - small
    ) < 0.1


def _rises(method: str) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        small, large = _halves(evidence.line("better", method))
        found = f"{100 * small:.0f} % for the smaller half of n, {100 * large:.0f} % for the larger"
        return found, large - small >= 0.1

    return check


def _best_from(method: str, n: int, others: tuple[str, ...]) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        lines = [evidence.line("mean_loss", name).loc[n:].rename(name) for name in (method, *others)]
        lines.append(evidence.joint("mean_loss").loc[n:].rename("reparameterized"))
        known = pd.concat(lines, axis=1, join="inner")
        _mean(known[method])
        ahead = known[method] < known.drop(columns=method).min(axis=1)
        return f"lowest mean loss at {int(ahead.sum())} of {len(ahead)} sizes", bool(ahead.all())

    return check


def _like_baseline_up_to(n: int) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        joint, base = (_mean(line.loc[:n]) for line in (evidence.joint("solved"), evidence.base("solved")))
        return f"solved {100 * joint:.0f} % against {100 * base:.0f} %", abs(joint - base) < 0.1

    return check


def _solved_from(n: int, share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        solved = evidence.joint("solved").loc[n:]
        _mean(solved)
        return ", ".join(f"{100 * s:.0f} % at n = {size}" for size, s in solved.items()), bool((solved >= share).all())

    return check


def _baseline_solved(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.base("solved"))
        return f"{100 * share:.0f} %", low <= share <= high

    return check


def _joint_solved(share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        solved = _mean(evidence.joint("solved"))
        return f"{100 * solved:.0f} %", solved > share

    return check


def _baseline_iterations(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        base = evidence.rows[(evidence.rows["method"] == evidence.baseline) & (evidence.rows["solved"].fillna(True))]
        return _within(base["iterations"], low, high)

    return check


def _refinement_iterations(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        return _within(evidence.refinement_iterations(), low, high)

    return check


def _higher_mean_loss(evidence: Evidence) -> tuple[str, bool]:
    ratio = (evidence.joint("mean_loss") / evidence.base("mean_loss")).dropna()
    _mean(ratio)
    found = ", ".join(f"{value:.2g} times at n = {n}" for n, value in ratio.items())
    return found, bool((ratio > 1).all())


def _lower_total_loss(method: str, n: int) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        ratio = (evidence.line("mean_loss", method) / evidence.base("mean_loss")).dropna().loc[n:]
        _mean(ratio)
        found = ", ".join(f"{value:.2g} times at n = {size}" for size, value in ratio.items())
        return found, bool((ratio < 0.5).all())

    return check


def _loses(method: str, stage: str, share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        worse = _mean(evidence.line("worse", method, stage))
        return f"{100 * worse:.1f} %", worse >= share

    return check


def _takes(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        if evidence.cost is None or np.isnan(evidence.cost):
            raise NoRows("cost")
        return f"{evidence.cost:.2g} times", low <= evidence.cost <= high

    return check


def _within(iterations: pd.Series, low: float, high: float) -> tuple[str, bool]:
    if iterations.empty:
        raise NoRows("iterations")
    first, median, last = np.quantile(iterations, (0.1, 0.5, 0.9))
    return f"median {median:.0f}, 10 to 90 %: {first:.0f} to {last:.0f}", low <= median <= high


def _halves(line: pd.Series) -> tuple[float, float]:
    middle = len(line) // 2
    return _mean(line.iloc[:middle]), _mean(line.iloc[middle:])


def _mean(line: pd.Series) -> float:
    if line.empty:
        raise NoRows("sizes")
    return float(line.mean())


STATEMENTS: tuple[tuple[str, str, str, Check], ...] = (
    ("wave-packet", "reparameterized better in about 86 %", "76 to 96 %", _joint_better(0.76, 0.96)),
    ("wave-packet", "without a trend in n", "halves of n within 10 points", _no_trend),
    ("wave-packet", "supervised rises with n", "by 10 points between halves of n", _rises("supervised")),
    (
        "wave-packet",
        "supervised is best from n = 32",
        "lowest mean loss of the three",
        _best_from("supervised", 32, ("neural-adjoint",)),
    ),
    ("billiards", "reparameterized like L-BFGS for n up to 32", "solved within 10 points", _like_baseline_up_to(32)),
    ("billiards", "reparameterized solves nearly all from n = 64", "90 % at every n", _solved_from(64, 0.9)),
    ("billiards", "neural adjoint equal in about 98 %", "90 % or more", _mean_equal("neural-adjoint", 0.9)),
    ("kuramoto-sivashinsky", "L-BFGS solves about 60 %", "50 to 70 %", _baseline_solved(0.5, 0.7)),
    ("kuramoto-sivashinsky", "in 12 to 22 iterations", "median within", _baseline_iterations(12, 22)),
    ("kuramoto-sivashinsky", "reparameterized solves more than 80 %, refined", "above 80 %", _joint_solved(0.8)),
    ("kuramoto-sivashinsky", "refinement takes 4 to 17 iterations", "median within", _refinement_iterations(4, 17)),
    (
        "kuramoto-sivashinsky",
        "neural adjoint rarely better (24 %)",
        "34 % at most",
        _rarely_better("neural-adjoint", 0.34),
    ),
    ("navier-stokes", "reparameterized better in 64 %", "54 to 74 %", _joint_better(0.54, 0.74)),
    ("navier-stokes", "in 67 % for n above 4", "57 to 77 %", _joint_better(0.57, 0.77, above=4)),
    ("navier-stokes", "its mean loss is higher than that of L-BFGS, for every n", "higher", _higher_mean_loss),
    (
        "navier-stokes",
        "supervised has a much lower total loss from n = 16",
        "less than half",
        _lower_total_loss("supervised", 16),
    ),
    (
        "navier-stokes",
        "neural adjoint, unrefined, loses in about 98 %",
        "90 % or more",
        _loses("neural-adjoint", "unrefined", 0.9),
    ),
    *(
        (problem, "joint training takes 3 to 6 times as long as L-BFGS", "3 to 6", _takes(3, 6))
        for problem in ("wave-packet", "billiards", "kuramoto-sivashinsky")
    ),
    ("navier-stokes", "joint training takes 22 times as long as L-BFGS", "18 to 27", _takes(18, 27)),
)
