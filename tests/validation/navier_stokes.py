"""Convergence tables of the Navier-Stokes problem, its cost and its baseline.

``--baseline N`` adds SciPy's L-BFGS-B on N instances, ``--cost`` the seconds of a value and of a gradient.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from kerasjoint.evaluator import Data
from kerasjoint.problems.navier_stokes import Box, NavierStokes
from kerasjoint.problems.navier_stokes.grid import LENGTH
from kerasjoint.problems.navier_stokes.pressure import divergence
from kerasjoint.tensor_problem_set import TensorProblemSet

CONSOLE = Console()
OBSTACLES = {
    "none": (),
    "one": (Box(30, 50, 30, 50),),
    "default": NavierStokes().obstacles,
    "at walls": (Box(0, 25, 40, 60), Box(60, 75, 0, 30), Box(80, 100, 85, 100)),
}


def show(title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Print one table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    CONSOLE.print(table)


def taylor_green(title: str, levels: list[tuple[int, float]], speed: float, viscosity: float) -> None:
    """Compare a decaying vortex that fills the box with its exact solution at t = 16."""
    wave, end, rows, previous = np.pi / LENGTH, 16.0, [], None
    for cells, dt in levels:
        flow = NavierStokes(cells=cells, dt=dt, end=end, viscosity=viscosity, obstacles=()).flow
        x_u, y_u, x_v, y_v = flow.grid.positions()
        u = speed * np.sin(wave * x_u) * np.cos(wave * y_u)
        v = -speed * np.cos(wave * x_v) * np.sin(wave * y_v)
        field = flow.run(lambda _, u=u, v=v: (tf.constant(u[None]), tf.constant(v[None])), {})
        decay = np.exp(-2 * viscosity * wave**2 * end)
        error = max(float(np.abs(part[0] - decay * exact).max()) for part, exact in zip(field, (u, v), strict=True))
        rows.append([cells, dt, error / speed, float(np.log2(previous / error)) if previous else "-"])
        previous = error
    show(title, ["cells", "dt", "error / speed", "order"], rows)


def divergences() -> None:
    """Run the sampled flows step by step; the largest divergence and flow through closed faces of all steps."""
    rows: list[list[object]] = []
    for name, obstacles in OBSTACLES.items():
        problem = NavierStokes(obstacles=obstacles)
        problem_set = problem.sample(4, seed=0)
        for dtype in (tf.float64, tf.float32):
            step = tf.function(problem.flow.step, jit_compile=True)
            start = np.pad(problem_set.x["initial"], ((0, 0), (problem.cells // 2, 0), (0, 0), (0, 0)))
            v0 = np.array(problem_set.truth)[:, 2, None, None]
            x, y = problem.grid.positions()[2:]
            jet = v0 * np.exp(-((x - 50) ** 2 + (y - 20) ** 2) / 200)
            u, v = tf.constant(start[..., 0], dtype), tf.constant(start[..., 1] + jet, dtype)
            field = problem.flow.projection((u, v))
            worst, leak, growth, energy = 0.0, 0.0, -np.inf, np.inf
            for _ in range(problem.flow.steps):
                field, _ = step(field)
                u, v = (part.numpy() for part in field)
                worst = max(worst, float(np.abs(divergence(*field)).max() / np.abs(np.stack([u, v])).max()))
                leak = max(leak, float(np.abs(u[:, ~problem.grid.open_u]).max(initial=0)))
                leak = max(leak, float(np.abs(v[:, ~problem.grid.open_v]).max(initial=0)))
                new = float(np.sum(u**2) + np.sum(v**2))
                growth, energy = max(growth, new / energy - 1), new
            rows.append([name, dtype.name, worst, leak, growth])
    columns = ["obstacles", "dtype", "divergence / speed", "through closed faces", "largest energy growth a step"]
    show("After each of 28 steps", columns, rows)


def cost() -> None:
    """Time the compiled objective; the best of three calls."""
    rows: list[list[object]] = []
    problem = NavierStokes()
    for n in (16, 64):
        data = problem.sample(n, seed=0)
        for dtype in (tf.float64, tf.float32):
            tensors = TensorProblemSet.of(data, dtype)
            arrays = data.truth.astype(dtype.as_numpy_dtype), Data(tensors.x, tensors.y), np.arange(n)
            value = _seconds(partial(data.evaluator.value, *arrays))
            gradient = _seconds(partial(data.evaluator.value_and_gradient, *arrays))
            rows.append([n, dtype.name, value, gradient])
    show(f"Seconds, chunk {problem.chunk}", ["n", "dtype", "value", "value and gradient"], rows)


def baseline(problem: NavierStokes, n: int, seed: int, tolerance: float | None) -> None:
    """Solve every instance by itself with SciPy's L-BFGS-B from z = 0, in float64."""
    problem_set = problem.sample(n, seed)
    problem.chunk = 1
    found, counts = [], []
    for i in range(n):
        one = problem_set[i]

        def objective(z: np.ndarray, one: object = one) -> tuple[float, np.ndarray]:
            xi, slope = problem.space.to_xi_and_slope(z[None], one.guess)
            value, gradient = one.value_and_gradient(xi)
            return value[0], (gradient * slope)[0]

        result = minimize(objective, np.zeros(3), jac=True, method="L-BFGS-B", tol=tolerance, options={"maxiter": 100})
        found.append(problem.space.to_xi(result.x[None], one.guess)[0])
        counts.append([result.nit, result.nfev, result.fun, result.status])
    iterations, evaluations, loss, status = np.array(counts).T
    solved = problem.solved(loss, np.array(found), problem_set)
    distance = np.abs(np.array(found) - problem_set.truth)[:, 0]
    quantities = {
        "iterations": iterations,
        "evaluations": evaluations,
        "loss found": loss,
        "loss of the truth": problem_set.objective(problem_set.truth),
        "loss of the guess": problem_set.objective(problem_set.guess),
        "x0 error, solved": distance[solved],
        "x0 error, not solved": distance[~solved],
    }
    levels = [0, 25, 50, 75, 100]
    rows = [[name, *map(float, np.percentile(a, levels))] for name, a in quantities.items() if a.size]
    shares = f"solved {solved.mean():.2f}, converged {np.mean(status == 0):.2f}"
    title = f"L-BFGS-B, n = {n}, seed {seed}, tol {tolerance}: {shares}"
    show(title, ["", "least", "quartile", "median", "quartile", "most"], rows)


def _seconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", type=int, default=0, metavar="N")
    parser.add_argument("--cost", action="store_true")
    arguments = parser.parse_args()
    taylor_green("Taylor-Green vortex, speed 0.5", [(16, 8.0), (32, 4.0), (64, 2.0), (128, 1.0)], 0.5, 0.1)
    taylor_green("Viscous decay alone", [(8, 8.0), (16, 2.0), (32, 0.5), (64, 0.125)], 1e-9, 1.0)
    divergences()
    if arguments.cost:
        cost()
    if arguments.baseline:
        for tolerance in (None, 1e-5):
            baseline(NavierStokes(), arguments.baseline, 2024, tolerance)


if __name__ == "__main__":
    main()
