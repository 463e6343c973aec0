"""The numbers of the paper's Table 2: refined, percentage better and equal than BFGS."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kerasjoint.experiments.tables import comparison_table, legible

TABLE_2 = {
    ("wave-packet", "reparameterized"): (0.860, 0.018),
    ("wave-packet", "supervised"): (0.651, 0.144),
    ("wave-packet", "neural-adjoint"): (0.402, 0.474),
    ("billiards", "reparameterized"): (0.617, 0.090),
    ("billiards", "supervised"): (0.270, 0.272),
    ("billiards", "neural-adjoint"): (0.016, 0.984),
    ("kuramoto-sivashinsky", "reparameterized"): (0.623, 0.000),
    ("kuramoto-sivashinsky", "supervised"): (0.577, 0.000),
    ("kuramoto-sivashinsky", "neural-adjoint"): (0.239, 0.622),
    ("navier-stokes", "reparameterized"): (0.641, 0.000),
    ("navier-stokes", "supervised"): (0.662, 0.001),
    ("navier-stokes", "neural-adjoint"): (0.569, 0.001),
}


def paper_fractions(problem: str, method: str, stage: str) -> tuple[float, float]:
    """Return the paper's (better, equal) for refined solutions; NaN where it states none.

    Example
    -------
    >>> paper_fractions("billiards", "reparameterized", "refined")
    (0.617, 0.09)
    """
    nothing = (float("nan"), float("nan"))
    return TABLE_2.get((problem, method), nothing) if stage == "refined" else nothing


def comparison_with_paper(rows: pd.DataFrame, problem: str, *, per_n: bool) -> pd.DataFrame:
    """Return the comparison of a problem, with the paper's fractions as ``paper_better`` and ``paper_equal``."""
    table = comparison_table(rows, problem, per_n=per_n)
    known = [
        paper_fractions(problem, method, stage) for method, stage in zip(table["method"], table["stage"], strict=True)
    ]
    return table.assign(paper_better=[better for better, _ in known], paper_equal=[equal for _, equal in known])


def legible_with_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Return such a comparison for reading, the paper's percentages after ours."""
    text = legible(table)
    pairs = zip(table["paper_better"], table["paper_equal"], strict=True)
    paper = ["" if np.isnan(better) else f"{100 * better:.1f} / {100 * equal:.1f}" for better, equal in pairs]
    text.insert(list(text).index("solved") + 1, "paper better / equal", paper)
    return text
