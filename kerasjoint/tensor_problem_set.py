"""The tensors of a problem set, as compiled training functions see it."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from kerasjoint.evaluator import Data, Evaluator
from kerasjoint.problem_set import ProblemSet


class TensorProblemSet(NamedTuple):
    """A problem set inside a compiled function: the same names, but tensors of one dtype.

    Attributes
    ----------
    evaluator
        What evaluates the objective.
    x
        The condition by name, each (n, ...).
    y
        The observation, (n, ...).
    guess
        Where the optimisation starts, flat (n, d).
    jit_compile
        Whether XLA may compile the objective.
    """

    evaluator: Evaluator
    x: dict[str, tf.Tensor]
    y: tf.Tensor
    guess: tf.Tensor
    jit_compile: bool = True

    @staticmethod
    def of(problem_set: ProblemSet, dtype: tf.DType = tf.float32, jit_compile: bool = True) -> TensorProblemSet:
        """Convert a problem set."""
        x = {name: tf.constant(array, dtype) for name, array in problem_set.x.items()}
        y, guess = tf.constant(problem_set.y, dtype), tf.constant(problem_set.guess, dtype)
        return TensorProblemSet(problem_set.evaluator, x, y, guess, jit_compile)

    def objective(self, xi: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,) at flat ``xi`` (n, d); differentiable, each instance masked for itself."""
        return self.evaluator.differentiable_value(xi, Data(self.x, self.y), self.jit_compile)

    def to_xi(self, z: tf.Tensor) -> tf.Tensor:
        """Map normalised coordinates (n, d) to unknowns."""
        return self.evaluator.space.to_xi(z, self.guess)
