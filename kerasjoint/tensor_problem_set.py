"""The tensors of a problem set, as compiled training functions see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from kerasjoint.problem import InverseProblem
    from kerasjoint.problem_set import ProblemSet


class TensorProblemSet(NamedTuple):
    """A problem set inside a compiled function: the same names, but tensors of one dtype.

    Attributes
    ----------
    problem
        The forward model, unknowns and loss.
    x
        The condition by name, each (n, ...).
    y
        The observation, (n, ...).
    guess
        Where the optimisation starts, flat (n, d).
    """

    problem: InverseProblem
    x: dict[str, tf.Tensor]
    y: tf.Tensor
    guess: tf.Tensor

    @staticmethod
    def of(problem_set: ProblemSet, dtype: tf.DType = tf.float32) -> TensorProblemSet:
        """Convert a problem set."""
        x = {name: tf.constant(array, dtype) for name, array in problem_set.x.items()}
        return TensorProblemSet(
            problem_set.problem, x, tf.constant(problem_set.y, dtype), tf.constant(problem_set.guess, dtype)
        )

    def objective(self, xi: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,) at flat ``xi`` (n, d); differentiable, each instance masked for itself."""
        return self.problem.compiled.differentiable_value(xi, self.x, self.y)

    def to_xi(self, z: tf.Tensor) -> tf.Tensor:
        """Map normalised coordinates (n, d) to unknowns."""
        return self.problem.space.to_xi(z, self.guess)
