"""Convergence tables of the Kuramoto-Sivashinsky problem: ``python tests/validation/kuramoto_sivashinsky.py``.

The reference is SciPy's DOP853 on the same semi-discretisation, written once more with NumPy's FFT.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_ivp

from kerasjoint import ProblemSet
from kerasjoint.problems.kuramoto_sivashinsky import KuramotoSivashinsky

Array = NDArray[np.float64]
CONSOLE = Console(width=110)


def reference(problem: KuramotoSivashinsky, xi: Array, initial: Array) -> Array:
    """Integrate one instance with DOP853 to a relative tolerance of 1e-11; return (stored, points)."""
    points = problem.points
    k = 2 * np.pi * np.fft.rfftfreq(points, problem.length / points)
    kept = np.arange(k.size) <= (points - 1) // 3
    force = xi[0] * np.fft.rfft(problem.force)

    def slope(t: float, u: Array) -> Array:
        modes = np.fft.rfft(u)
        flux = 0.5 * xi[1] * np.fft.rfft(u**2)
        return np.fft.irfft(kept * (force + (k**2 - k**4) * modes - 1j * k * flux), points)

    start = np.fft.irfft(kept * np.fft.rfft(initial), points)
    times = problem.end * np.arange(1, problem.stored + 1) / problem.stored
    run = solve_ivp(slope, (0.0, problem.end), start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12)
    return run.y.T


def relative_errors(problem: KuramotoSivashinsky, problem_set: ProblemSet, expected: Array) -> Array:
    """Return the relative error of each instance at each stored time, (n, stored)."""
    trajectory = problem.simulate(problem_set.truth, problem_set.x)
    return np.linalg.norm(trajectory - expected, axis=2) / np.linalg.norm(expected, axis=2)


def show_order(n: int = 6) -> None:
    """Errors against DOP853 and the order, at a few times, for falling dt."""
    base = KuramotoSivashinsky(stored=25)
    problem_set = base.sample(n, seed=1)
    expected = np.array(
        [reference(base, *one) for one in zip(problem_set.truth, problem_set.x["initial"], strict=True)]
    )
    table = Table(title=f"Relative difference from DOP853, median (worst) of {n} instances")
    for heading in ("dt", "t = 1", "t = 5", "t = 10", "t = 25", "order (median, t = 5)"):
        table.add_column(heading)
    previous = None
    for dt in (0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625):
        errors = relative_errors(KuramotoSivashinsky(stored=25, dt=dt), problem_set, expected)
        cells = [f"{np.median(errors[:, t - 1]):.1e} ({errors[:, t - 1].max():.1e})" for t in (1, 5, 10, 25)]
        order = "" if previous is None else f"{np.median(np.log2(previous / errors[:, 4])):.2f}"
        table.add_row(f"{dt:g}", *cells, order)
        previous = errors[:, 4]
    CONSOLE.print(table)


def show_resolution(n: int = 6) -> None:
    """Distance of the trajectory from that on 128 points, where the coarse grids have points in common."""
    fine = KuramotoSivashinsky(points=128, stored=25)
    problem_set = fine.sample(n, seed=1)
    expected = fine.simulate(problem_set.truth, problem_set.x)
    table = Table(title="Relative difference from 128 points at t = 25")
    for heading in ("points", "median", "worst"):
        table.add_column(heading)
    for points in (32, 64):
        every = 128 // points
        initial = problem_set.x["initial"][:, ::every]
        got = KuramotoSivashinsky(points=points, stored=25).simulate(problem_set.truth, {"initial": initial})
        last = expected[:, -1, ::every]
        errors = np.linalg.norm(got[:, -1] - last, axis=1) / np.linalg.norm(last, axis=1)
        table.add_row(str(points), f"{np.median(errors):.1e}", f"{errors.max():.1e}")
    CONSOLE.print(table)


def show_growth() -> None:
    """Growth rates of single waves of amplitude 1e-8 over one time unit, without forcing."""
    problem = KuramotoSivashinsky(end=1.0, stored=1)
    table = Table(title="Growth rate of a single small wave")
    for heading in ("wavenumber k", "k^2 - k^4", "measured", "difference"):
        table.add_column(heading)
    for mode in (1, 2, 3, 4, 5, 6, 8):
        k = 2 * np.pi * mode / problem.length
        initial = 1e-8 * np.cos(k * problem.grid)[None]
        final = problem.simulate(np.array([[0.0, 1.0]]), {"initial": initial})[0, -1]
        measured = np.log(final @ initial[0] / (initial[0] @ initial[0]))
        exact = k**2 - k**4
        table.add_row(f"{k:.4f}", f"{exact:.10f}", f"{measured:.10f}", f"{measured - exact:.1e}")
    CONSOLE.print(table)


if __name__ == "__main__":
    show_order()
    show_resolution()
    show_growth()
