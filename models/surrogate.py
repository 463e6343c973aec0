"""The surrogate of the simulator that the neural adjoint method optimises on (paper, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.models.base import ProblemSetModel, TrainingData, named_arrays
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.tensor_problem_set import TensorProblemSet


@keras.saving.register_keras_serializable(package="kerasjoint")
class SurrogateModel(ProblemSetModel):
    """A network S(x, xi) that learns to put out the observation, from examples with known unknowns.

    Its inputs are the condition, flattened, and ``xi`` in linear coordinates (xi - guess) / scale, which have no
    bounds. Its output is scaled by the mean and deviation of the examples' observations.

    Example
    -------
    >>> surrogate = SurrogateModel.for_problem_set(problem_set)
    >>> surrogate.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> surrogate.fit(problem_set.problem.sample_training(256, seed=1), epochs=1000)
    """

    surrogate_problem: InverseProblem | None = None

    @classmethod
    def for_problem_set(
        cls,
        problem_set: ProblemSet,
        network: str = "dense",
        network_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> Self:
        """Build a model for the shapes of a problem set."""
        known = {name: array.shape[1:] for name, array in named_arrays(problem_set).items() if name != "y"}
        shapes = {"xi": (problem_set.space.size,)} | known
        output_size = int(np.prod(problem_set.y.shape[1:]))
        return cls(shapes, output_size, network, network_options, seed, **kwargs)

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step towards reproducing the observations."""
        targets = tf.reshape(self._scale_y(data.targets), (-1, self.output_size))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(data.inputs, training=True) - targets))
        self._descend(tape, loss)
        return {"loss": loss}

    def predict(self, problem_set: ProblemSet, verbose: int | str = "auto", **refused: Any) -> NDArray[np.float32]:
        """Return the observations, (n, ...), that the network expects for the true unknowns of a problem set.

        ``verbose`` is that of Keras; there is no progress to show.
        """
        if refused:
            raise ArgumentError(next(iter(refused)), "nothing: all instances are estimated at once", refused)
        return self._unscaled(self._training_data(problem_set).inputs, problem_set.y.shape[1:]).numpy()

    def observation(self, xi: tf.Tensor, x: Mapping[str, tf.Tensor], shape: tuple[int, ...]) -> tf.Tensor:
        """Return the observation, (n, *shape), that the network expects for linear coordinates ``xi`` (n, d)."""
        return self._unscaled({"xi": xi} | {f"x_{name}": array for name, array in x.items()}, shape)

    def _unscaled(self, inputs: dict[str, tf.Tensor], shape: tuple[int, ...]) -> tf.Tensor:
        mean, deviation = self._scales["y"][0], self._scales["y"][1]
        return tf.reshape(self(inputs) * deviation + mean, (-1, *shape))

    def _evaluation(self, problem_set: ProblemSet) -> float:
        error = self._scale_y(self.predict(problem_set)) - self._scale_y(tf.constant(problem_set.y, tf.float32))
        return float(tf.reduce_mean(tf.square(error)))

    def _scale_y(self, y: tf.Tensor) -> tf.Tensor:
        return (y - self._scales["y"][0]) / self._scales["y"][1]

    def _scaled_names(self) -> list[str]:
        return [*self.input_shapes, "y"]

    def _scaled_arrays(self, data: TrainingData) -> dict[str, tf.Tensor]:
        return data.inputs | {"y": data.targets}

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        if problem_set.truth is None:
            raise ArgumentError("problem_set", "examples whose true unknowns are known", "truth=None")
        linear = (problem_set.truth - problem_set.guess) / problem_set.space.scale
        inputs = {"xi": tf.constant(linear, tf.float32)} | inputs
        return TrainingData(inputs, TensorProblemSet.of(problem_set), tf.constant(problem_set.y, tf.float32))
