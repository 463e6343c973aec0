"""The reparameterization (paper, Eq. 2): training the network is the optimisation of all instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.models.base import ProblemSetModel, Progress, TrainingData, named_arrays
from kerasjoint.models.networks import image_space, suitable_network
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution, Status
from kerasjoint.tensor_problem_set import TensorProblemSet


class EstimatingModel(ProblemSetModel):
    """A model whose network maps what is known of an instance to its unknowns, in normalised coordinates."""

    @classmethod
    def for_problem_set(
        cls,
        problem_set: ProblemSet,
        network: str = "auto",
        network_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> Any:
        """Build a model for the shapes of a problem set, with a network of the zoo that fits them.

        Example
        -------
        >>> model = ReparameterizedModel.for_problem_set(problem_set)
        """
        shapes = {name: array.shape[1:] for name, array in named_arrays(problem_set).items()}
        name = suitable_network(shapes) if network == "auto" else network
        options = dict(network_options or {})
        # The problem's periodic axes are those of the observation.
        if name == "convolutional" and image_space(shapes) == image_space({"y": shapes["y"]}):
            options = {"periodic": list(problem_set.problem.periodic)} | options
        return cls(shapes, problem_set.problem.space.size, network, options, seed, **kwargs)

    def estimate(self, problem_set: ProblemSet) -> NDArray[np.float64]:
        """Return the network's current estimates in normalised coordinates, (n, d) float64."""
        return self(self._named_inputs(problem_set)).numpy().astype(np.float64)

    def predict(self, problem_set: ProblemSet, **refused: Any) -> NDArray[np.float64]:
        """Return the unknowns that the network currently puts out, (n, d) float64."""
        if refused:
            raise ArgumentError(next(iter(refused)), "nothing: all instances are estimated at once", refused)
        z = self.estimate(problem_set)
        return problem_set.problem.space.to_xi(z, problem_set.guess)

    def solution(self, problem_set: ProblemSet) -> Solution:
        """Return the best point of each instance seen in training, with its true objective in float64.

        For a problem set that the model was not trained on, that is the network's current estimate.
        """
        last_z = self.estimate(problem_set)
        space = problem_set.problem.space
        last_loss = problem_set.objective(space.to_xi(last_z, problem_set.guess))
        progress = self.progress or Progress(problem_set, space.size)
        trained = progress.problem_set is problem_set
        n = len(problem_set)
        z, loss = last_z, last_loss
        if trained and np.isfinite(progress.best_loss).any():
            best_z = progress.best_z.numpy().astype(np.float64)
            best_loss = problem_set.objective(space.to_xi(best_z, problem_set.guess))
            better = best_loss < last_loss
            z, loss = np.where(better[:, None], best_z, last_z), np.where(better, best_loss, last_loss)
        return Solution(
            method=self.method_name,
            problem_set=problem_set,
            xi=space.to_xi(z, problem_set.guess),
            z=z,
            loss=loss,
            status=np.full(n, Status.TRAINED, dtype=np.int8),
            evaluations=np.full(n, self.evaluations_per_epoch * progress.epochs, dtype=np.int64),
            iterations=np.full(n, progress.epochs, dtype=np.int64),
            seconds=progress.seconds,
            compile_seconds=progress.compile_seconds,
            last=Point(space.to_xi(last_z, problem_set.guess), last_z, last_loss),
            history=pd.DataFrame(),
            solver=type(self).__name__,
            non_finite=progress.non_finite.numpy().astype(np.int64) if trained else np.zeros(n, dtype=np.int64),
        )

    method_name = "estimate"
    evaluations_per_epoch = 0


@keras.saving.register_keras_serializable(package="kerasjoint")
class ReparameterizedModel(EstimatingModel):
    """A network whose training on a problem set is the joint optimisation of its instances (paper, Eq. 2).

    The network N maps condition x_i and observation y_i to the unknowns xi_i of instance i; training minimises
    sum_i L(F(N(x_i, y_i) | x_i), y_i) over its weights, full batch, through the simulator F. The best point of each
    instance is remembered. Subclass it and override ``build_network`` for another network, or ``objective`` to add a
    term per instance.

    Example
    -------
    >>> model = ReparameterizedModel.for_problem_set(problem_set)
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> model.fit(problem_set, epochs=1000)
    >>> solution = model.solution(problem_set)
    """

    simulates = True
    method_name = "reparameterized"
    evaluations_per_epoch = 1

    def objective(self, problem_set: TensorProblemSet, xi: tf.Tensor) -> tf.Tensor:
        """Return one loss per instance, (n,), at flat unknowns (n, d). Override to add a term.

        Example
        -------
        >>> def objective(self, problem_set, xi):
        ...     return super().objective(problem_set, xi) + 0.1 * tf.reduce_sum(xi**2, axis=1)
        """
        return problem_set.objective(xi)

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step down the summed objective, through the simulator."""
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            instance_loss = self.objective(data.instances, data.instances.to_xi(z))
            finite = tf.math.is_finite(instance_loss)
            loss = tf.reduce_sum(tf.where(finite, instance_loss, 0.0))
        self._descend(tape, loss)
        return {"loss": loss, "instance_loss": instance_loss, "z": z}

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        return TrainingData(inputs, TensorProblemSet.of(problem_set), tf.zeros(()))
