"""A conditional density of the unknowns, learned from simulated examples: where an instance's solution may lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_choice, check_count, check_seed
from kerasjoint.errors import ArgumentError
from kerasjoint.models.base import ProblemSetModel, TrainingData, named_arrays
from kerasjoint.models.circular import arcs_of, turning_first
from kerasjoint.models.mixture import Mixture, mixture_of, numbers_of, unknowns_of
from kerasjoint.models.noise import normal_noise
from kerasjoint.models.variables import of_one_name
from kerasjoint.problem_set import ProblemSet
from kerasjoint.slabs import slabs
from kerasjoint.tensor_problem_set import TensorProblemSet

FloatArray = NDArray[np.float64]

COVARIANCES = ("diagonal", "full")
# Examples of a training step. Each arc of a circle is one by symmetry: fewer of these learn faster.
BATCH, FEWEST_EXAMPLES = 128, 32
# Half as many components where more unknowns than these are correlated; beyond the second number none are.
COMPONENTS, MANY, MOST_CORRELATED = 8, 12, 45


@keras.saving.register_keras_serializable(package="kerasjoint")
class MixtureDensityModel(ProblemSetModel):
    """A network that puts out a mixture of Gaussians over the unknowns z for condition and observation (Bishop, 1994).

    p(z | x, y) = sum_k w_k(x, y) Normal(z; mean_k(x, y), covariance_k(x, y)) is trained by maximum likelihood on
    examples with known unknowns. An epoch is one step on ``batch`` random examples, with noise of a random level added
    to y, so that noisy observations can be given to it as well.

    Parameters
    ----------
    input_shapes, output_size, network, network_options, seed
        As in ``ProblemSetModel``; the output has ``components * (1 + 2 d)`` numbers: the
        weights, and then for each unknown the means and the spreads of all components. With full covariances
        d (d - 1) / 2 of each component follow.
    components
        Number of Gaussians.
    covariance
        ``"diagonal"`` or ``"full"``: whether the unknowns of a component are correlated.
    order
        In which order the network puts out the unknowns; ``None``: their own.
    batch
        Examples of one step.
    noise
        Largest level of the noise, in standard deviations of y; ``model.noise`` may be changed between two trainings.

    Example
    -------
    >>> model = MixtureDensityModel.for_problem_set(problem_set)
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> model.fit(problem_set.problem.sample_training(4096, seed=1), epochs=2000)
    >>> model.propose(problem_set, count=16, seed=0).shape    # starts in normalised coordinates
    (8, 16, 1)
    """

    def __init__(
        self,
        input_shapes: Mapping[str, Any],
        output_size: int,
        network: str = "residual",
        network_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        components: int = COMPONENTS,
        covariance: str = "diagonal",
        batch: int = BATCH,
        noise: float = 0.5,
        order: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shapes, output_size, network, network_options, seed, **kwargs)
        self.components = check_count("components", components)
        self.batch = check_count("batch", batch)
        if not 0 <= noise < math.inf:
            raise ArgumentError("noise", "a number not below 0", repr(noise))
        with of_one_name():
            self._noise = self.add_weight((), keras.initializers.Constant(noise), trainable=False, name="noise")
        self.covariance = check_choice("covariance", covariance, COVARIANCES)
        self.unknowns = unknowns_of(output_size, components, covariance == "full")
        if not self.unknowns:
            numbers = "1 + 2 d" + " + d (d - 1) / 2" * (covariance == "full")
            raise ArgumentError("output_size", f"{components} * ({numbers}) numbers", output_size)
        self.order = None if order is None else list(order)
        if self.order is not None and sorted(self.order) != list(range(self.unknowns)):
            raise ArgumentError("order", f"each number from 0 to {self.unknowns - 1} once", self.order)

    @property
    def noise(self) -> float:
        """Largest level of the noise, in standard deviations of y."""
        return float(self._noise.numpy())

    @noise.setter
    def noise(self, level: float) -> None:
        self._noise.assign(level)

    @classmethod
    def for_problem_set(
        cls,
        problem_set: ProblemSet,
        network: str = "auto",
        network_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        components: int | None = None,
        covariance: str = "auto",
        **kwargs: Any,
    ) -> Self:
        """Build a model for the shapes of a problem set.

        The network ``"auto"`` is ``"circular"`` where unknowns and observation are periodic alike, else ``"residual"``.
        A step looks at 128 examples, on a circle at 32 to 64, for each arc is one. Components are eight, but four where
        more than 12 unknowns are correlated: their matrices are most of what is computed. The covariance ``"auto"`` is
        full, but diagonal with a circular network, or with more than 45 unknowns.
        """
        shapes = {name: array.shape[1:] for name, array in named_arrays(problem_set).items()}
        unknowns, options = problem_set.space.size, dict(network_options or {})
        circle = _circle(problem_set, network)
        network = "circular" if circle and network == "auto" else "residual" if network == "auto" else network
        if covariance == "auto":
            covariance = "full" if unknowns <= MOST_CORRELATED and network != "circular" else "diagonal"
        full = check_choice("covariance", covariance, COVARIANCES) == "full"
        if components is None:
            components = COMPONENTS // 2 if full and unknowns > MANY else COMPONENTS
        components = check_count("components", components)
        if circle:
            layout = {"axis": circle.axis, "arcs": circle.arcs, "pooled": components * (1 + 2 * circle.fixed)}
            options, kwargs = layout | options, {"order": circle.order} | kwargs
        kwargs = {"batch": cls.batch_for(problem_set, network, network_options)} | kwargs
        size = numbers_of(components, unknowns, full)
        return cls(shapes, size, network, options, seed, components, covariance, **kwargs)

    @staticmethod
    def batch_for(
        problem_set: ProblemSet, network: str = "auto", network_options: Mapping[str, Any] | None = None
    ) -> int:
        """Return how many examples a step looks at by default."""
        circle = _circle(problem_set, network)
        if circle is None:
            return BATCH
        arcs = check_count("arcs", dict(network_options or {}).get("arcs", circle.arcs))
        return max(BATCH // arcs, FEWEST_EXAMPLES)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {
            "components": self.components,
            "covariance": self.covariance,
            "batch": self.batch,
            "noise": self.noise,
            "order": self.order,
        }
        return super().get_config() | own

    def mixture(self, inputs: dict[str, tf.Tensor]) -> Mixture:
        """Return the mixtures (n, ...) for condition and observation."""
        order = None if self.order is None else np.argsort(self.order)
        output = self(inputs, training=False)
        return mixture_of(output, self.components, self.unknowns, self.covariance == "full", order)

    def log_density(self, inputs: dict[str, tf.Tensor], z: tf.Tensor) -> tf.Tensor:
        """Return log p(z | x, y), (n,), at normalised coordinates (n, d)."""
        return self.mixture(inputs).log_density(z)

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Move the weights one step up the likelihood of some random examples."""
        step = tf.cast(self.optimizer.iterations, tf.int32)
        keys = [tf.stack([step, k]) for k in range(3)]
        n = data.targets.shape[0]
        rows = _uniform((self.batch,), keys[0], maxval=n, dtype=tf.int32)
        inputs = {name: tf.gather(array, rows) for name, array in data.inputs.items()}
        level = self._noise * _uniform((self.batch,), keys[1]) * self._scales["y"][1]
        level = tf.reshape(level, (-1, *(1 for _ in inputs["y"].shape[1:])))
        inputs["y"] += level * normal_noise(inputs["y"].shape, keys[2])
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.log_density(inputs, tf.gather(data.targets, rows)))
        self._descend(tape, loss)
        return {"loss": loss}

    def propose(self, problem_set: ProblemSet, count: int, seed: int) -> FloatArray:
        """Return starts of each instance in normalised coordinates, (n, count, d).

        First come the means of the components, the most probable first, then samples.
        """
        count, generator = check_count("count", count), np.random.default_rng(check_seed(seed))
        n, samples = len(problem_set), max(count - self.components, 0)
        uniform = generator.uniform(size=(n, samples))
        normal = generator.standard_normal((n, samples, self.unknowns))
        starts = np.empty((n, count, self.unknowns))
        for rows in self._slabs(n):
            mixture = self.mixture(self._named_inputs(problem_set[rows]))
            starts[rows, : self.components] = mixture.means()[:, :count]
            starts[rows, self.components :] = mixture.samples(normal[rows], uniform[rows])
        return starts

    def predict(self, problem_set: ProblemSet, verbose: int | str = "auto", **refused: Any) -> FloatArray:
        """Return the mean of the most probable component as unknowns, (n, d).

        ``verbose`` is that of Keras; there is no progress to show.
        """
        if refused:
            raise ArgumentError(next(iter(refused)), "nothing: all instances are estimated at once", refused)
        return problem_set.space.to_xi(self.propose(problem_set, 1, 0)[:, 0], problem_set.guess)

    def _evaluation(self, problem_set: ProblemSet) -> float:
        total = 0.0
        for rows in self._slabs(len(problem_set)):
            data = self._training_data(problem_set[rows])
            total -= float(tf.reduce_sum(self.log_density(data.inputs, data.targets)))
        return total / len(problem_set)

    def _slabs(self, n: int) -> list[slice]:
        """Return slabs of n instances, so that the matrices of a slab are of bounded size."""
        return slabs(n, 8 * self.components * self.unknowns**2)

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        inputs = self._named_inputs(problem_set)
        if problem_set.truth is None:
            raise ArgumentError("problem_set", "examples whose true unknowns are known", "truth=None")
        problem_set.space.check_inside(problem_set.truth, "truth")
        targets = problem_set.space.to_z(problem_set.truth, problem_set.guess)
        return TrainingData(inputs, TensorProblemSet.of(problem_set), tf.constant(targets, tf.float32))


class _Circle(NamedTuple):
    """How unknowns and observation lie on a circle: the axis of y, arcs, numbers not on it, and the order around it."""

    axis: int
    arcs: int
    fixed: int
    order: list[int]


def _circle(problem_set: ProblemSet, network: str) -> _Circle | None:
    """Return the circle that a network of that name would use; ``None`` for none."""
    periodic = problem_set.problem.periodic
    if network not in ("auto", "circular") or len(periodic) != 1:
        return None
    order, fixed, points = turning_first(problem_set.space)
    arcs = arcs_of(problem_set.y.shape[1:][periodic[0]], points)
    return _Circle(periodic[0], arcs, fixed, order) if arcs else None


def _uniform(shape: Any, seed: tf.Tensor, **options: Any) -> tf.Tensor:
    # XLA takes eight times as long for the algorithm that TensorFlow would choose.
    return tf.random.stateless_uniform(shape, seed, alg="philox", **options)
