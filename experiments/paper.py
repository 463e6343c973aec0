"""The numbers of the paper's Table 2: refined, percentage better and equal than BFGS."""

from __future__ import annotations

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
    """Return the paper's (better, equal) for refined solutions; NaN where it states none."""
    nothing = (float("nan"), float("nan"))
    return TABLE_2.get((problem, method), nothing) if stage == "refined" else nothing
