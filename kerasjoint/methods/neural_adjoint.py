"""The neural adjoint method: L-BFGS on a learned surrogate of the simulator (Ren et al., 2020; paper, section 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.counting import History
from kerasjoint.errors import ArgumentError
from kerasjoint.methods.base import check_positive, check_problem_set
from kerasjoint.methods.lbfgs import LBFGS
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.supervised import training_seed
from kerasjoint.methods.training import MODELS, NetworkMethod
from kerasjoint.models import SurrogateModel
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution, Status
from kerasjoint.unknown import Unknown

INSIDE = 1 - 1e-3
BOUNDARY = ("boundary middle", "boundary half range", "boundary weight")


class NeuralAdjoint(NetworkMethod):
    """Train a surrogate S(x, xi) on synthetic examples, freeze it, and minimise L(S(x, xi), y) + B(xi) by L-BFGS.

    The boundary loss B = ``boundary_weight`` * sum_j relu(|xi_j - mid_j| - range_j / 2) / scale_j holds the unknowns,
    which have no bounds here, in the box of the examples (midpoint and width per unknown, as in the method's original
    code). An estimate that ends outside the problem's bounds is moved to just inside them (0.1 % of their half width).

    Parameters
    ----------
    learning_rate, epochs, network, network_options
        Of the surrogate; see ``NetworkMethod``.
    boundary_weight
        Slope of the boundary loss, in units of the mean loss per unit of normalised coordinate at the guess.
    keep_start
        Whether an instance whose estimate has no lower true loss than the guess stays at the guess. Refining it is
        then plain L-BFGS, with the first step of a refinement.

    Example
    -------
    >>> NeuralAdjoint().solve(problem_set, seed=1)
    """

    name = "neural-adjoint"

    def __init__(
        self,
        learning_rate: float = 1e-3,
        epochs: int = 1000,
        network: str = "dense",
        network_options: dict[str, Any] | None = None,
        boundary_weight: float = 1.0,
        keep_start: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, network, network_options)
        check_positive(boundary_weight=boundary_weight)
        if not isinstance(keep_start, bool):
            raise ArgumentError("keep_start", "True or False", repr(keep_start))
        self.boundary_weight = boundary_weight
        self.keep_start = keep_start

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Learn the surrogate and solve all instances on it; ``seed`` draws the examples and the initial weights."""
        n = len(check_problem_set(problem_set))
        examples = problem_set.problem.sample_training(n, training_seed(seed))
        model = MODELS.get(SurrogateModel, problem_set, self, seed)
        self._train(model, examples, [])
        at_guess = problem_set.objective(problem_set.guess)
        finite = at_guess[np.isfinite(at_guess)]
        weight = self.boundary_weight * float(np.mean(finite) if finite.size else 1.0)
        surrogate_set = _surrogate_set(problem_set, examples, model, weight)
        # The surrogate computes in float32: a tighter tolerance would only chase its rounding.
        run = LBFGS(tolerance=1e-5).run(surrogate_set)
        adjoint = run.solution(self.name, type(self).__name__)
        xi, z = _true_coordinates(problem_set, adjoint.xi)
        loss = problem_set.objective(xi)
        if self.keep_start:
            kept = ~(loss < at_guess)
            xi[kept], z[kept], loss[kept] = problem_set.guess[kept], 0.0, at_guess[kept]
        last_xi, last_z = _true_coordinates(problem_set, adjoint.last.xi)
        return replace(
            adjoint,
            problem_set=problem_set,
            xi=xi,
            z=z,
            loss=loss,
            status=np.full(n, Status.TRAINED, dtype=np.int8),
            # One simulation made each example; the surrogate's own evaluations cost no simulation.
            evaluations=np.ones(n, dtype=np.int64),
            seconds=model.progress.seconds + adjoint.seconds,
            compile_seconds=model.progress.compile_seconds + adjoint.compile_seconds,
            last=Point(last_xi, last_z, problem_set.objective(last_xi)),
            history=_true_history(problem_set, run, adjoint.history["seconds"] + model.progress.seconds),
        )


class _SurrogateProblem(InverseProblem):
    """The proxy of a problem: the surrogate beside the boundary loss, at linear and unbounded unknowns."""

    def __init__(self, problem: InverseProblem, model: SurrogateModel, y_shape: tuple[int, ...]) -> None:
        self._problem = problem
        self._model = model
        self._y_shape = y_shape
        self.unknowns = (Unknown("linear", shape=(problem.space.size,), scale=1.0),)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> Any:
        linear, weight = xi["linear"], x["boundary weight"]
        condition = {name: tf.cast(array, tf.float32) for name, array in x.items() if name not in BOUNDARY}
        observation = self._model.observation(tf.cast(linear, tf.float32), condition, self._y_shape)
        excess = tf.nn.relu(tf.abs(linear - x["boundary middle"]) - x["boundary half range"])
        return tf.cast(observation, linear.dtype), weight * tf.reduce_sum(excess, axis=1)

    def loss(self, prediction: Any, y: tf.Tensor) -> tf.Tensor:
        observation, boundary = prediction
        return self._problem.loss(observation, y) + boundary


def _surrogate_set(problem_set: ProblemSet, examples: ProblemSet, model: SurrogateModel, weight: float) -> ProblemSet:
    """The problem set on the surrogate; the box of the examples travels as condition."""
    assert examples.truth is not None
    n, scale = len(problem_set), problem_set.problem.space.scale
    low, high = examples.truth.min(axis=0), examples.truth.max(axis=0)
    condition = dict(problem_set.x) | {
        "boundary middle": ((low + high) / 2 - problem_set.guess) / scale,
        "boundary half range": np.tile((high - low) / 2 / scale, (n, 1)),
        "boundary weight": np.full(n, weight),
    }
    # A model that is trained again keeps its compiled proxy, which reads the weights of the moment.
    if model.proxy is None:
        model.proxy = _SurrogateProblem(problem_set.problem, model, problem_set.y.shape[1:])
    return ProblemSet(model.proxy, condition, problem_set.y)


def _true_coordinates(
    problem_set: ProblemSet, linear: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map linear coordinates to unknowns just inside the problem's bounds, and these to normalised coordinates."""
    space = problem_set.problem.space
    xi = problem_set.guess + space.scale * linear
    middle = np.where(space.bounded, space.upper - space.scale, 0.0)
    limited = middle + np.clip(xi - middle, -INSIDE * space.scale, INSIDE * space.scale)
    xi = np.where(space.bounded, limited, xi)
    return xi, space.to_z(xi, problem_set.guess)


def _true_history(problem_set: ProblemSet, run: LocalRun, seconds: pd.Series) -> pd.DataFrame:
    """The true objective at the checkpoints of L-BFGS on the surrogate; not counted as cost."""
    history = History(problem_set)
    for checkpoint, spent in zip(run.checkpoints(), seconds, strict=True):
        xi, z = _true_coordinates(problem_set, checkpoint.z)
        history.record(checkpoint.iteration, 1.0, spent, z, problem_set.objective(xi))
    return history.frame
