"""Kuramoto-Sivashinsky in kerasjoint, and optimisers of other libraries on its compiled objective."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.data import chaos, start_near
from benchmarks.near import one_by_one
from kerasjoint import ProblemSet, methods, set_cores
from kerasjoint.problems import KuramotoSivashinsky

Run = Callable[[], dict[str, Any]]
FIRST_STEP = 0.5


def value_and_gradient(data: Path, n: int, name: str = "chaos", cores: int | None = None) -> Run:
    """Evaluate all instances at the guess."""
    set_cores(cores)
    problem_set = _load(data, n, name)

    def run() -> dict[str, Any]:
        problem_set.value_and_gradient(problem_set.guess)
        return {}

    return run


def optimiser(data: Path, n: int, method: str, name: str = "chaos") -> Run:
    """Solve by one of the local methods."""
    problem_set = _load(data, n, name)

    def run() -> dict[str, Any]:
        solution = getattr(methods, method)().solve(problem_set)
        return {"solved": solution.solved.mean(), "evaluations": solution.evaluations.mean()}

    return run


def refinement(data: Path, n: int, method: str, name: str = "chaos") -> Run:
    """Solve by one of the local methods, from near the solutions."""
    problem_set = _load(data, n, name)
    near = start_near(data, n, name)

    def run() -> dict[str, Any]:
        solution = getattr(methods, method)(first_step=0.01).solve(problem_set, start=near)
        return {"solved": solution.solved.mean(), "evaluations": solution.evaluations.mean()}

    return run


def scipy_least_squares(data: Path, n: int) -> Run:
    """Solve by SciPy's ``least_squares`` one instance after the other, with the same Jacobians and starts."""
    problem_set = _load(data, n, "chaos")
    near = start_near(data, n, "chaos")

    def run() -> dict[str, Any]:
        xi, evaluations = one_by_one(problem_set, near)
        solved = problem_set.problem.solved(problem_set.objective(xi), xi, problem_set)
        return {"solved": solved.mean(), "evaluations": evaluations}

    return run


def floor(data: Path, n: int, name: str = "chaos") -> Run:
    """Evaluate all instances as often as LockstepLBFGS needs on average, and do nothing else."""
    problem_set = _load(data, n, name)
    evaluations = methods.LockstepLBFGS().solve(problem_set).evaluations.mean()

    def run() -> dict[str, Any]:
        whole, start = int(evaluations), time.perf_counter()
        for _ in range(whole):
            problem_set.value_and_gradient(problem_set.guess)
        seconds = (time.perf_counter() - start) * evaluations / whole
        return {"seconds": seconds, "evaluations": evaluations}

    return run


def plain_tfp(data: Path, n: int) -> Run:
    """``tfp.optimizer.lbfgs_minimize`` on the whole batch, the objective scaled as its first step needs it."""
    import tensorflow_probability as tfp

    problem_set = _load(data, n, "chaos")
    space, count = problem_set.problem.space, 0

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal count
        count += 1
        xi, slope = space.to_xi_and_slope(z, problem_set.guess)
        value, gradient = problem_set.value_and_gradient(xi)
        return value, gradient * slope

    scale = FIRST_STEP / np.linalg.norm(evaluate(np.zeros((n, 2)))[1], axis=1)

    def scaled(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def call(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            value, gradient = evaluate(z)
            return value * scale, gradient * scale[:, None]

        value, gradient = tf.numpy_function(call, (z,), (tf.float64, tf.float64))
        value.set_shape((n,))
        gradient.set_shape((n, 2))
        return value, gradient

    @tf.function
    def minimize() -> Any:
        return tfp.optimizer.lbfgs_minimize(
            scaled, tf.zeros((n, 2), tf.float64), tolerance=1e-12, max_iterations=200, max_line_search_iterations=50
        )

    def run() -> dict[str, Any]:
        nonlocal count
        count = 0
        z = minimize().position.numpy()
        evaluations, xi = count, space.to_xi(z, problem_set.guess)
        solved = problem_set.problem.solved(problem_set.objective(xi), xi, problem_set)
        return {"solved": solved.mean(), "evaluations": evaluations}

    return run


def _load(data: Path, n: int, name: str) -> ProblemSet:
    arrays = np.load(data / f"{name}.npz")
    problem = chaos() if name == "chaos" else KuramotoSivashinsky()
    return ProblemSet(problem, {"initial": arrays["initial"][:n]}, arrays["y"][:n], arrays["truth"][:n])
