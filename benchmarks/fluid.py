"""Navier-Stokes in kerasjoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint import ProblemSet, set_cores
from kerasjoint.evaluator import Data
from kerasjoint.problems import NavierStokes
from kerasjoint.tensor_problem_set import TensorProblemSet

Run = Callable[[], dict[str, Any]]


def value_and_gradient(data: Path, n: int, dtype: str = "float64", cores: int | None = None) -> Run:
    """Evaluate n instances at the guess; state the divergence left at the end."""
    set_cores(cores)
    with np.load(data / "fluid.npz") as arrays:
        problem_set = ProblemSet(NavierStokes(), {"initial": arrays["initial"][:n]}, arrays["y"][:n])
    tensors = TensorProblemSet.of(problem_set, dtype)
    known, guess, rows = Data(tensors.x, tensors.y), problem_set.guess.astype(dtype), np.arange(n)
    divergence = _divergence(problem_set.problem.simulate(guess, problem_set.x, dtype=dtype))

    def run() -> dict[str, Any]:
        problem_set.evaluator.value_and_gradient(guess, known, rows)
        return {"divergence": divergence}

    return run


def _divergence(field: NDArray[Any]) -> float:
    """Largest net outflow of a cell in the upper half, over the largest speed."""
    u, v = field[..., 0], field[..., 1]
    outflow = u[:, :-1, 1:] - u[:, :-1, :-1] + v[:, 1:, :-1] - v[:, :-1, :-1]
    return float(np.abs(outflow).max() / np.hypot(u, v).max())
