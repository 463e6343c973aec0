"""Navier-Stokes in kerasjoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint import set_cores
from kerasjoint.problems import NavierStokes

Run = Callable[[], dict[str, Any]]


def value_and_gradient(data: Path, n: int, dtype: str = "float64", cores: int | None = None) -> Run:
    """Evaluate n instances at the guess; tell the divergence left at the end."""
    set_cores(cores)
    problem = NavierStokes()
    with np.load(data / "fluid.npz") as arrays:
        initial, y, guess = (tf.constant(arrays[key][:n], dtype) for key in ("initial", "y", "guess"))
    rows, condition = tf.range(n), {"initial": initial}
    divergence = _divergence(problem, guess, condition)

    def run() -> dict[str, Any]:
        problem.compiled.value_and_gradient(guess, rows, condition, y)[0].numpy()
        return {"divergence": divergence}

    return run


def _divergence(problem: NavierStokes, guess: tf.Tensor, condition: dict[str, tf.Tensor]) -> float:
    """Largest net outflow of a cell in the upper half, over the largest speed."""
    field = problem.compiled.predict(guess, tf.range(len(guess)), condition, ()).numpy()
    u, v = field[..., 0], field[..., 1]
    outflow = u[:, :-1, 1:] - u[:, :-1, :-1] + v[:, 1:, :-1] - v[:, :-1, :-1]
    return float(np.abs(outflow).max() / np.hypot(u, v).max())
