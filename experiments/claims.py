"""The paper's statements that numbers can check, and what our rows say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from kerasjoint.experiments.tables import KEY, comparison_table

REFERENCE = "lbfgs"


class Claim(NamedTuple):
    """One statement: what the paper says, what we found, and whether that agrees (``None``: no rows to tell)."""

    problem: str
    statement: str
    found: str
    holds: bool | None


@dataclass(frozen=True)
class Evidence:
    """The rows of one problem, and their comparison with tfp's L-BFGS, by n."""

    rows: pd.DataFrame
    by_n: pd.DataFrame

    @classmethod
    def of(cls, rows: pd.DataFrame, problem: str) -> Evidence:
        """Select a problem."""
        return cls(rows[rows["problem"] == problem], comparison_table(rows, problem, per_n=True))

    def line(self, column: str, method: str, stage: str = "refined", selection: str = "best") -> pd.Series:
        """Return a column of the comparison over n."""
        table = self.by_n[self.by_n["reference"] == REFERENCE]
        chosen = (table["method"] == method) & (table["stage"] == stage) & (table["selection"] == selection)
        return table[chosen].set_index("n")[column].astype(float).sort_index()

    def refinement_iterations(self, method: str) -> pd.Series:
        """Return how many iterations refinement took, per instance."""
        best = self.rows[(self.rows["method"] == method) & (self.rows["selection"] == "best")]
        stages = {stage: part.set_index(KEY)["iterations"] for stage, part in best.groupby("stage")}
        return stages["refined"] - stages["unrefined"]


def check_claims(rows: pd.DataFrame) -> list[Claim]:
    """Check every statement on the rows at hand; a statement without rows is listed as such."""
    claims = []
    known = {problem: Evidence.of(rows, problem) for problem in set(rows["problem"])}
    for problem, statement, check in STATEMENTS:
        try:
            found, holds = check(known[problem]) if problem in known else ("no rows", None)
        except (KeyError, IndexError):
            found, holds = "no rows of the methods or sizes it needs", None
        claims.append(Claim(problem, statement, found, None if holds is None else bool(holds)))
    return claims


Check = Callable[[Evidence], tuple[str, bool]]


def _mean_better(method: str, low: float, high: float, stage: str = "refined") -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.line("better", method, stage))
        return f"{100 * share:.1f} %", low <= share <= high

    return check


def _mean_equal(method: str, low: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.line("equal", method))
        return f"{100 * share:.1f} %", share >= low

    return check


def _no_trend(evidence: Evidence) -> tuple[str, bool]:
    small, large = _halves(evidence.line("better", "reparameterized"))
    return f"{100 * small:.0f} % for the smaller half of n, {100 * large:.0f} % for the larger", abs(
        large - small
    ) < 0.1


def _rises(method: str) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        small, large = _halves(evidence.line("better", method))
        found = f"{100 * small:.0f} % for the smaller half of n, {100 * large:.0f} % for the larger"
        return found, large - small >= 0.1

    return check


def _best_from(method: str, n: int, rivals: tuple[str, ...]) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        lines = [evidence.line("mean_loss", name).loc[n:].rename(name) for name in (method, *rivals)]
        known = pd.concat(lines, axis=1, join="inner")
        _mean(known[method])
        ahead = known[method] < known.drop(columns=method).min(axis=1)
        return f"lowest mean loss at {int(ahead.sum())} of {len(ahead)} sizes", bool(ahead.all())

    return check


def _like_baseline_up_to(n: int) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        joint, base = (_mean(evidence.line("solved", *which).loc[:n]) for which in (JOINT, BASE))
        return f"solved {100 * joint:.0f} % against {100 * base:.0f} %", abs(joint - base) < 0.1

    return check


def _solved_from(n: int, share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        solved = evidence.line("solved", *JOINT).loc[n:]
        _mean(solved)
        return ", ".join(f"{100 * s:.0f} % at n = {size}" for size, s in solved.items()), bool((solved >= share).all())

    return check


def _baseline_solved(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        share = _mean(evidence.line("solved", *BASE))
        return f"{100 * share:.0f} %", low <= share <= high

    return check


def _joint_solved(share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        solved = _mean(evidence.line("solved", *JOINT))
        return f"{100 * solved:.0f} %", solved > share

    return check


def _baseline_iterations(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        base = evidence.rows[(evidence.rows["method"] == REFERENCE) & (evidence.rows["solved"].fillna(True))]
        return _within(base["iterations"], low, high)

    return check


def _refinement_iterations(low: float, high: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        return _within(evidence.refinement_iterations("reparameterized"), low, high)

    return check


def _higher_mean_loss(evidence: Evidence) -> tuple[str, bool]:
    ratio = (evidence.line("mean_loss", *JOINT) / evidence.line("mean_loss", *BASE)).dropna()
    _mean(ratio)
    found = ", ".join(f"{value:.2g} times at n = {n}" for n, value in ratio.items())
    return found, bool((ratio > 1).all())


def _lower_total_loss(method: str, n: int) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        ratio = (evidence.line("mean_loss", method) / evidence.line("mean_loss", *BASE)).dropna().loc[n:]
        _mean(ratio)
        found = ", ".join(f"{value:.2g} times at n = {size}" for size, value in ratio.items())
        return found, bool((ratio < 0.5).all())

    return check


def _loses(method: str, stage: str, share: float) -> Check:
    def check(evidence: Evidence) -> tuple[str, bool]:
        worse = _mean(evidence.line("worse", method, stage))
        return f"{100 * worse:.1f} %", worse >= share

    return check


def _within(iterations: pd.Series, low: float, high: float) -> tuple[str, bool]:
    first, median, last = np.quantile(iterations, (0.1, 0.5, 0.9))
    return f"median {median:.0f}, 10 to 90 %: {first:.0f} to {last:.0f}", low <= median <= high


def _halves(line: pd.Series) -> tuple[float, float]:
    middle = len(line) // 2
    return _mean(line.iloc[:middle]), _mean(line.iloc[middle:])


def _mean(line: pd.Series) -> float:
    if line.empty:
        raise IndexError("no rows")
    return float(line.mean())


JOINT = ("reparameterized", "refined", "best")
BASE = (REFERENCE, "unrefined", "best")

STATEMENTS: tuple[tuple[str, str, Check], ...] = (
    ("wave-packet", "reparameterized better in about 86 %", _mean_better("reparameterized", 0.76, 0.96)),
    ("wave-packet", "without a trend in n", _no_trend),
    ("wave-packet", "supervised rises with n", _rises("supervised")),
    (
        "wave-packet",
        "supervised is best from n = 32",
        _best_from("supervised", 32, ("reparameterized", "neural-adjoint")),
    ),
    ("billiards", "reparameterized like L-BFGS for n up to 32", _like_baseline_up_to(32)),
    ("billiards", "reparameterized solves nearly all from n = 64", _solved_from(64, 0.9)),
    ("billiards", "neural adjoint equal in about 98 %", _mean_equal("neural-adjoint", 0.9)),
    ("kuramoto-sivashinsky", "L-BFGS solves about 60 %", _baseline_solved(0.5, 0.7)),
    ("kuramoto-sivashinsky", "in 12 to 22 iterations", _baseline_iterations(12, 22)),
    ("kuramoto-sivashinsky", "reparameterized solves more than 80 %, refined", _joint_solved(0.8)),
    ("kuramoto-sivashinsky", "refinement takes 4 to 17 iterations", _refinement_iterations(4, 17)),
    ("kuramoto-sivashinsky", "neural adjoint rarely better (24 %)", _mean_better("neural-adjoint", 0.0, 0.35)),
    ("navier-stokes", "reparameterized better in 64 to 67 %", _mean_better("reparameterized", 0.54, 0.77)),
    ("navier-stokes", "its mean loss is higher than that of L-BFGS, for every n", _higher_mean_loss),
    ("navier-stokes", "supervised has a much lower total loss from n = 16", _lower_total_loss("supervised", 16)),
    ("navier-stokes", "neural adjoint, unrefined, loses in about 98 %", _loses("neural-adjoint", "unrefined", 0.9)),
)
