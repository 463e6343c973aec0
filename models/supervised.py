"""Supervised training on synthetic solutions (paper, Eq. 3)."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.models.base import TrainingData
from kerasjoint.models.reparameterized import EstimatingModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.tensor_problem_set import TensorProblemSet


@keras.saving.register_keras_serializable(package="kerasjoint")
class SupervisedModel(EstimatingModel):
    """A network trained on examples with known unknowns, sum_j |N(x_j, y_j) - xi_j|^2 in normalised coordinates.

    ``fit`` takes a set of examples (its ``truth`` must be known), ``solution`` the problem set to estimate.

    Example
    -------
    >>> model = SupervisedModel.for_problem_set(problem_set)
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> model.fit(problem_set.problem.sample_training(256, seed=1), epochs=1000)
    >>> model.solution(problem_set)
    """

    method_name = "supervised"
    sums_over_instances = True

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step towards the known unknowns."""
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            loss = tf.reduce_sum(tf.square(z - data.targets))
        self._descend(tape, loss)
        return {"loss": loss}

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        return TrainingData(inputs, TensorProblemSet.of(problem_set), self._targets(problem_set))

    def _targets(self, problem_set: ProblemSet) -> tf.Tensor:
        if problem_set.truth is None:
            raise ArgumentError("problem_set", "examples whose true unknowns are known", "truth=None")
        problem_set.space.check_inside(problem_set.truth, "truth")
        return tf.constant(problem_set.space.to_z(problem_set.truth, problem_set.guess), tf.float32)

    def _evaluation(self, problem_set: ProblemSet) -> float:
        data = self._training_data(problem_set)
        return float(tf.reduce_sum(tf.square(self(data.inputs) - data.targets)))
