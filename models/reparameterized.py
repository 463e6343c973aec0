"""The reparameterization (paper, Eq. 2): training the network is the optimisation of all instances."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.best import keep_better
from kerasjoint.errors import ArgumentError, ScaleWarning, describe
from kerasjoint.models.base import ProblemSetModel, TrainingData, named_arrays
from kerasjoint.models.networks import image_space, suitable_network
from kerasjoint.models.streaming import is_streamed
from kerasjoint.models.training_state import TrainingState
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution, Status
from kerasjoint.tensor_problem_set import TensorProblemSet
from kerasjoint.unknown import name_instances

# An instance is large if its loss exceeds so many times the median.
LARGE, MOST_OF_SUM = 1e3, 0.9
LEAST_SHARE = 1e-6


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
        named_arrays(problem_set)  # Refuses what is no problem set.
        parts = problem_set.slabs() if is_streamed(self, problem_set) else [slice(None)]
        found = [self(self._named_inputs(problem_set[slab])).numpy() for slab in parts]
        return np.concatenate(found).astype(np.float64)

    def _named_inputs(self, problem_set: ProblemSet) -> dict[str, tf.Tensor]:
        inputs, size = super()._named_inputs(problem_set), problem_set.space.size
        if size != self.output_size:
            raise ArgumentError("problem_set", f"{self.output_size} unknowns per instance, as the model", size)
        return inputs

    def predict(self, problem_set: ProblemSet, verbose: int | str = "auto", **refused: Any) -> NDArray[np.float64]:
        """Return the unknowns that the network currently puts out, (n, d) float64.

        ``verbose`` is that of Keras; there is no progress to show.
        """
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
        own = state if state is not None and state.is_of(problem_set) else None
        non_finite = np.zeros(n, dtype=np.int64)
        if own is not None and self.simulates:
            seen = np.isfinite(own.best_loss)
            z = np.where(seen[:, None], own.best_z.numpy().astype(np.float64), last_z)
            xi = space.to_xi(z, problem_set.guess)
            keep_better(best, {"xi": xi, "z": z, "loss": problem_set.objective(xi)})
            non_finite = own.non_finite.numpy().astype(np.int64)
        known = own is not None or not self.simulates
        epochs = state.epochs if state is not None and known else 0
        scaling = int(own is not None and self.scale_instances)
        return Solution(
            method=self.method_name,
            problem_set=problem_set,
            **best,
            status=np.full(n, Status.TRAINED if known else Status.ESTIMATED, dtype=np.int8),
            evaluations=np.full(n, self.evaluations_per_epoch * epochs + scaling, dtype=np.int64),
            values=np.full(n, scaling, dtype=np.int64),
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
    scale_instances = False


@keras.saving.register_keras_serializable(package="kerasjoint")
class ReparameterizedModel(EstimatingModel):
    """A network whose training on a problem set is the joint optimisation of its instances (paper, Eq. 2).

    The network N maps condition x_i and observation y_i to the unknowns xi_i of instance i; training minimises
    sum_i L(F(N(x_i, y_i) | x_i), y_i) over its weights, full batch, through the simulator F. The best point of each
    instance is remembered. Subclass it and override ``build_network`` for another network, or ``train_step`` for
    another training. A further term of the objective belongs into the problem's ``regularizer``, where refinement,
    comparison and tables see it too.

    Parameters
    ----------
    scale_instances
        For instances whose losses differ by orders of magnitude, of which the largest would be all that the training
        sees. The loss of each is divided by that at its guess (by no less than a millionth of the median), and the
        network sees asinh(a) of the inputs a, scaled by their median and mean absolute deviation from it. What is
        reported of an instance remains its own loss. Costs one evaluation without gradient.
    input_shapes, output_size, network, network_options, seed
        As in ``ProblemSetModel``.

    Example
    -------
    >>> model = ReparameterizedModel.for_problem_set(problem_set)
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> model.fit(problem_set, epochs=1000)
    >>> solution = model.solution(problem_set)
    """

    simulates = True
    sums_over_instances = True
    method_name = "reparameterized"
    evaluations_per_epoch = 1

    def __init__(self, *args: Any, scale_instances: bool = False, **kwargs: Any) -> None:
        if not isinstance(scale_instances, bool):
            raise ArgumentError("scale_instances", "True or False", describe(scale_instances))
        super().__init__(*args, **kwargs)
        self.scale_instances = scale_instances
        if hasattr(self, "objective"):
            expected = "the problem's regularizer(xi, x) for a further term, which refinement and tables see too"
            raise ArgumentError(f"{type(self).__name__}.objective", expected, "an objective of the model alone")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"scale_instances": self.scale_instances}

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step down the summed objective, through the simulator."""
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            instance_loss = data.instances.objective(data.instances.to_xi(z))
            finite = tf.math.is_finite(instance_loss)
            scaled = instance_loss * data.targets if self.scale_instances else instance_loss
            loss = tf.reduce_sum(tf.where(finite, scaled, 0.0))
        self._descend(tape, loss)
        return {"loss": loss, "instance_loss": instance_loss, "z": z}

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        instances = TensorProblemSet.of(problem_set, jit_compile=self.jit_compile)
        return TrainingData(inputs, instances, self._targets(problem_set))

    def _targets(self, problem_set: ProblemSet) -> tf.Tensor:
        return tf.constant(self._weights(problem_set) if self.scale_instances else 0.0, tf.float32)

    def _evaluation(self, problem_set: ProblemSet) -> float:
        loss = problem_set.objective(self.predict(problem_set))
        if self.scale_instances:
            loss = loss * self._weights(problem_set)
        return float(np.sum(loss[np.isfinite(loss)]))

    def _weights(self, problem_set: ProblemSet) -> NDArray[np.float64]:
        """Return what the loss of each instance is multiplied by, (n,)."""
        at_guess = problem_set.objective(problem_set.guess)
        typical = _typical(at_guess)
        return 1 / np.maximum(np.where(np.isfinite(at_guess), at_guess, typical), LEAST_SHARE * typical)

    def _scaled(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.asinh(inputs) if self.scale_instances else inputs

    def _center_and_spread(self, array: NDArray[Any], slabs: Sequence[slice]) -> tuple[float, float]:
        if not self.scale_instances:
            return super()._center_and_spread(array, slabs)
        # Of the first slab, since a median needs all numbers at once.
        array = array[slabs[0]]
        median = float(np.median(array))
        return median, float(np.median(np.abs(array - median)))

    def _look_at_first_losses(self, state: TrainingState) -> None:
        """Warn of instances whose losses are nearly all of the sum."""
        loss = state.best_loss.numpy().astype(np.float64)
        large = np.isfinite(loss) & (loss > LARGE * _typical(loss))
        if large.any() and not self.scale_instances and loss[large].sum() > MOST_OF_SUM * loss[np.isfinite(loss)].sum():
            message = (
                f"the losses of instances {name_instances(np.flatnonzero(large))} make up more than {MOST_OF_SUM:.0%} "
                f"of the sum over all {len(loss)}, and training sees little else: scale_instances=True scales each"
            )
            warnings.warn(message, ScaleWarning, stacklevel=2)


def _typical(loss: NDArray[np.float64]) -> float:
    """Return the median of the losses that are finite and not zero; 1 without any."""
    some = loss[np.isfinite(loss) & (loss > 0)]
    return float(np.median(some)) if some.size else 1.0
