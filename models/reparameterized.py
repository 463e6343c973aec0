"""The reparameterization (paper, Eq. 2): training the network is the optimisation of all instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.best import keep_better
from kerasjoint.errors import ArgumentError
from kerasjoint.models.base import ProblemSetModel, TrainingData, named_arrays
from kerasjoint.models.networks import image_space, suitable_network
from kerasjoint.models.training_state import TrainingState
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
    ) -> Self:
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
        return cls(shapes, problem_set.space.size, network, options, seed, **kwargs)

    def estimate(self, problem_set: ProblemSet) -> NDArray[np.float64]:
        """Return the network's current estimates in normalised coordinates, (n, d) float64."""
        return self(self._named_inputs(problem_set)).numpy().astype(np.float64)

    def predict(self, problem_set: ProblemSet, **refused: Any) -> NDArray[np.float64]:
        """Return the unknowns that the network currently puts out, (n, d) float64."""
        if refused:
            raise ArgumentError(next(iter(refused)), "nothing: all instances are estimated at once", refused)
        z = self.estimate(problem_set)
        return problem_set.space.to_xi(z, problem_set.guess)

    def solution(self, problem_set: ProblemSet) -> Solution:
        """Return the best point of each instance seen in training, with its true objective in float64.

        For a problem set that the model was not trained on, that is the network's current estimate, of status
        ``ESTIMATED`` if the model learns from its instances. A saved and loaded model gives the same.
        """
        if not self._adapted.numpy():
            raise ArgumentError(
                "solution", "a trained model: call model.fit(problem_set) first", "one without training"
            )
        last_z = self.estimate(problem_set)
        space, n = problem_set.space, len(problem_set)
        last_xi = space.to_xi(last_z, problem_set.guess)
        last = Point(last_xi, last_z, problem_set.objective(last_xi))
        best = {name: array.copy() for name, array in last._asdict().items()}
        state = self.state
        own = state if state is not None and state.key == TrainingState.key_of(problem_set) else None
        non_finite = np.zeros(n, dtype=np.int64)
        if own is not None and self.simulates:
            seen = np.isfinite(own.best_loss)
            z = np.where(seen[:, None], own.best_z.numpy().astype(np.float64), last_z)
            xi = space.to_xi(z, problem_set.guess)
            keep_better(best, {"xi": xi, "z": z, "loss": problem_set.objective(xi)})
            non_finite = own.non_finite.numpy().astype(np.int64)
        epochs = state.epochs if state is not None else 0
        known = own is not None or not self.simulates
        return Solution(
            method=self.method_name,
            problem_set=problem_set,
            **best,
            status=np.full(n, Status.TRAINED if known else Status.ESTIMATED, dtype=np.int8),
            evaluations=np.full(n, self.evaluations_per_epoch * epochs, dtype=np.int64),
            iterations=np.full(n, epochs, dtype=np.int64),
            seconds=state.seconds if state is not None else 0.0,
            compile_seconds=state.compile_seconds if state is not None else 0.0,
            last=last,
            history=pd.DataFrame(),
            solver=type(self).__name__,
            non_finite=non_finite,
        )

    method_name = "estimate"
    evaluations_per_epoch = 0


@keras.saving.register_keras_serializable(package="kerasjoint")
class ReparameterizedModel(EstimatingModel):
    """A network whose training on a problem set is the joint optimisation of its instances (paper, Eq. 2).

    The network N maps condition x_i and observation y_i to the unknowns xi_i of instance i; training minimises
    sum_i L(F(N(x_i, y_i) | x_i), y_i) over its weights, full batch, through the simulator F. The best point of each
    instance is remembered. Subclass it and override ``build_network`` for another network, or ``train_step`` for
    another training. A further term of the objective belongs into the problem's ``regularizer``, where refinement,
    comparison and tables see it too.

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self, "objective"):
            expected = "the problem's regularizer(xi, x) for a further term, which refinement and tables see too"
            raise ArgumentError(f"{type(self).__name__}.objective", expected, "an objective of the model alone")

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step down the summed objective, through the simulator."""
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            instance_loss = data.instances.objective(data.instances.to_xi(z))
            finite = tf.math.is_finite(instance_loss)
            loss = tf.reduce_sum(tf.where(finite, instance_loss, 0.0))
        self._descend(tape, loss)
        return {"loss": loss, "instance_loss": instance_loss, "z": z}

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        instances = TensorProblemSet.of(problem_set, jit_compile=self.jit_compile)
        return TrainingData(inputs, instances, tf.zeros(()))

    def _evaluation(self, problem_set: ProblemSet) -> float:
        loss = problem_set.objective(self.predict(problem_set))
        return float(np.sum(loss[np.isfinite(loss)]))
