"""The neural adjoint method: L-BFGS on a learned surrogate of the simulator (Ren et al., 2020; paper, section 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.counting import History
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods.base import check_positive, check_problem_set, draw_examples
from kerasjoint.methods.lbfgs import LBFGS
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.supervised import training_seed
from kerasjoint.methods.training import NetworkMethod
from kerasjoint.models import SurrogateModel
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution, Status
from kerasjoint.unknown import Unknown

BOUNDARY = ("boundary middle", "boundary half range", "boundary weight", "boundary guess")


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
        Slope of the boundary loss, in units of the examples' mean loss at the guess per unit of normalised coordinate.
    keep_start
        Whether an instance whose estimate has no lower true loss than the guess stays at the guess. Refining it is
        then plain L-BFGS, with the first step of a refinement.

    Example
    -------
    >>> NeuralAdjoint().solve(problem_set, seed=1)
    """

    name = "neural-adjoint"
    needs_gradient = False

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
            raise ArgumentError("keep_start", "True or False", describe(keep_start))
        self.boundary_weight = boundary_weight
        self.keep_start = keep_start

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Learn the surrogate and solve all instances on it; ``seed`` draws the examples and the initial weights."""
        examples = draw_examples(check_problem_set(problem_set), training_seed(seed))
        targets = _targets(examples)
        # Of the examples, so that no instance decides about the others.
        at_guess = examples.objective(examples.guess)
        finite = at_guess[np.isfinite(at_guess)]
        weight = self.boundary_weight * float(np.mean(finite) if finite.size else 1.0)
        with self._borrowed(SurrogateModel, targets, seed) as model:
            self._train(model, targets, [])
            surrogate_set = _surrogate_set(problem_set, targets, model, weight)
            # The surrogate computes in float32: a tighter tolerance would only chase its rounding.
            run = LBFGS(tolerance=2e-5).run(surrogate_set)
            adjoint = run.solution(self.name, type(self).__name__)
            spent, compiling = model.state.seconds, model.state.compile_seconds
        xi, z = _true_coordinates(problem_set, adjoint.xi)
        loss = problem_set.objective(xi)
        if self.keep_start:
            start = problem_set.objective(problem_set.guess)
            kept = ~(loss < start)
            xi[kept], z[kept], loss[kept] = problem_set.guess[kept], 0.0, start[kept]
        last_xi, last_z = _true_coordinates(problem_set, adjoint.last.xi)
        n = len(problem_set)
        # One simulation made each example, a second one a prediction that is no observation; the surrogate's own
        # evaluations cost none.
        simulated = np.full(n, 1 if targets is examples else 2, dtype=np.int64)
        return replace(
            adjoint,
            problem_set=problem_set,
            xi=xi,
            z=z,
            loss=loss,
            status=np.full(n, Status.TRAINED, dtype=np.int8),
            evaluations=simulated,
            values=simulated,
            seconds=spent + adjoint.seconds,
            compile_seconds=compiling + adjoint.compile_seconds,
            last=Point(last_xi, last_z, problem_set.objective(last_xi)),
            history=_true_history(problem_set, run, adjoint.history["seconds"] + spent),
        )


class SurrogateProblem(InverseProblem):
    """A problem whose simulator is a surrogate, at linear and unbounded unknowns.

    Misfit and regularizer are those of the true problem, and the boundary loss is added to the latter. ``x`` holds the
    true condition and, under the names of ``BOUNDARY``, the box of the examples and each instance's guess.
    """

    def __init__(self, problem: InverseProblem, model: SurrogateModel, targets: ProblemSet) -> None:
        self.true_problem = problem
        self.model = model
        self.y_shape = targets.y.shape[1:]
        self.parts = targets.problem.parts if isinstance(targets.problem, FlatPrediction) else None
        self.unknowns = (Unknown("linear", shape=(problem.space.size,), scale=1.0),)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the prediction that the surrogate expects."""
        condition = {name: tf.cast(array, tf.float32) for name, array in _true_condition(x).items()}
        observation = self.model.observation(tf.cast(xi["linear"], tf.float32), condition, self.y_shape)
        observation = tf.cast(observation, xi["linear"].dtype)
        return observation if self.parts is None else _structured(observation, self.parts)

    def residuals(self, prediction: Any, y: tf.Tensor, x: dict[str, tf.Tensor]) -> Any:
        """Return the residuals of the true problem."""
        return self.true_problem.residuals(prediction, y, _true_condition(x))

    def misfit(self, prediction: Any, y: tf.Tensor, x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the misfit of the true problem."""
        return self.true_problem.misfit(prediction, y, _true_condition(x))

    def regularizer(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the regularizer of the true problem and the boundary loss."""
        linear, space = xi["linear"], self.true_problem.space
        excess = tf.nn.relu(tf.abs(linear - x["boundary middle"]) - x["boundary half range"])
        true_xi = x["boundary guess"] + tf.constant(space.scale, linear.dtype) * linear
        true_regularizer = self.true_problem.regularizer(space.unflatten(true_xi), _true_condition(x))
        return true_regularizer + x["boundary weight"] * tf.reduce_sum(excess, axis=1)


class Parts(NamedTuple):
    """The structure of a prediction, with placeholders, and the shape per instance of each of its parts."""

    structure: Any
    shapes: list[tuple[int, ...]]


class FlatPrediction(InverseProblem):
    """A problem whose prediction is a structure, flattened to one vector: what a surrogate learns instead of y."""

    def __init__(self, problem: InverseProblem, parts: Parts) -> None:
        self.true_problem = problem
        self.parts = parts
        self.unknowns = problem.unknowns

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the flattened prediction, (n, numbers)."""
        parts = tf.nest.flatten(self.true_problem.forward(xi, x))
        return tf.concat([tf.reshape(part, (part.shape[0], -1)) for part in parts], axis=1)


def _targets(examples: ProblemSet) -> ProblemSet:
    """Return the examples with what the surrogate has to learn as y: observations, or flattened predictions."""
    if examples.evaluator.predicts_observation(examples.one):
        return examples
    prediction = examples.problem.simulate(examples.truth, examples.x)  # type: ignore[arg-type]
    arrays = tf.nest.flatten(prediction)
    parts = Parts(tf.nest.map_structure(lambda _: 0, prediction), [array.shape[1:] for array in arrays])
    flat = np.concatenate([array.reshape(len(examples), -1) for array in arrays], axis=1)
    return ProblemSet(FlatPrediction(examples.problem, parts), examples.x, flat, examples.truth, examples.guess)


def _structured(flat: tf.Tensor, parts: Parts) -> Any:
    """Cut flattened predictions (n, numbers) into their parts."""
    cut = tf.split(flat, [int(np.prod(shape)) for shape in parts.shapes], axis=1)
    shaped = [tf.reshape(part, (-1, *shape)) for part, shape in zip(cut, parts.shapes, strict=True)]
    return tf.nest.pack_sequence_as(parts.structure, shaped)


def _true_condition(x: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: array for name, array in x.items() if name not in BOUNDARY}


def _surrogate_set(problem_set: ProblemSet, targets: ProblemSet, model: SurrogateModel, weight: float) -> ProblemSet:
    """The problem set on the surrogate; the box of the examples travels as condition."""
    assert targets.truth is not None
    n, scale = len(problem_set), problem_set.space.scale
    low, high = targets.truth.min(axis=0), targets.truth.max(axis=0)
    condition = dict(problem_set.x) | {
        "boundary middle": ((low + high) / 2 - problem_set.guess) / scale,
        "boundary half range": np.tile((high - low) / 2 / scale, (n, 1)),
        "boundary weight": np.full(n, weight),
        "boundary guess": problem_set.guess,
    }
    # A model that is trained again keeps its compiled surrogate problem, which reads the weights of the moment.
    if model.surrogate_problem is None:
        model.surrogate_problem = SurrogateProblem(problem_set.problem, model, targets)
    return ProblemSet(model.surrogate_problem, condition, problem_set.y)


def _true_coordinates(
    problem_set: ProblemSet, linear: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map linear coordinates to unknowns just inside the problem's bounds, and these to normalised coordinates."""
    space = problem_set.space
    xi = space.move_inside(problem_set.guess + space.scale * linear)
    return xi, space.to_z(xi, problem_set.guess)


def _true_history(problem_set: ProblemSet, run: LocalRun, seconds: pd.Series) -> pd.DataFrame:
    """The true objective at the checkpoints of L-BFGS on the surrogate; not counted as cost."""
    history = History(problem_set)
    for checkpoint, spent in zip(run.checkpoints(), seconds, strict=True):
        xi, z = _true_coordinates(problem_set, checkpoint.z)
        history.record(checkpoint.iteration, 1.0, spent, z, problem_set.objective(xi))
    return history.frame
