"""A family of inverse problems: what a user writes for their own simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.evaluator import evaluator_of
from kerasjoint.hooks import check_tensor
from kerasjoint.robust import robust_loss
from kerasjoint.unknown import Unknown, UnknownSpace, as_float_array

FloatArray = NDArray[np.float64]


class Instances(Protocol):
    """What a problem sees of a ``ProblemSet``."""

    x: dict[str, FloatArray]
    y: FloatArray
    truth: FloatArray | None
    guess: FloatArray

    @property
    def truth_loss(self) -> FloatArray | None:
        """The objective of the true unknowns, (n,)."""

    def __len__(self) -> int:
        """Return the number of instances."""


class InverseProblem:
    """A forward model F, its unknowns and the objective; instances of it share the simulator, not the unknowns.

    Subclass it, name the ``unknowns`` and write ``forward``. Everything else has a default. The objective of an
    instance is ``misfit`` + ``regularizer``, the same in training, refinement, comparison and tables. Constants belong
    into the constructor: a problem must not change after its first use, since its simulator is compiled once.

    Attributes
    ----------
    unknowns
        What is sought.
    chunk
        How many instances one compiled call evaluates. ``None``: all at once. Set it (8 to 32) where the simulator runs
        for more than a millisecond: the chunks then spread over the processor's cores.
    periodic
        Axes of the observation, counted from 0 after the instances, that wrap around, as convolutions then do.
    robust_loss, robust_scale
        How much a residual r counts: ``"linear"``, r^2; ``"huber"`` or ``"soft_l1"``, less than r^2 where r is beyond
        the scale, so that outliers pull less. As ``loss`` and ``f_scale`` of ``scipy.optimize.least_squares``.
    difference_step
        Of simulators on the host, the least step of finite differences, as a share of the typical size of a change (see
        ``Differences``); ``None``: 1.5e-8. Larger where the simulator is less precise: about the root of its relative
        error, as 1e-3 for one that computes in single precision or stops an iteration at 1e-6.
    solved_tolerance
        How far above the objective of the true unknowns a loss still counts as solved, by default.
    shown_unknown
        Label of the unknown along which figures show the loss; ``None``: the first.

    Example
    -------
    >>> class Decay(InverseProblem):
    ...     unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)
    ...
    ...     def forward(self, xi, x):
    ...         return tf.exp(-xi["rate"][:, None] * x["time"])
    """

    unknowns: Sequence[Unknown] = ()
    chunk: int | None = None
    periodic: tuple[int, ...] = ()
    robust_loss: str = "linear"
    robust_scale: float = 1.0
    difference_step: float | None = None
    solved_tolerance: ClassVar[float] = 1e-9
    shown_unknown: str | None = None

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> Any:
        """Simulate all instances at once.

        Parameters
        ----------
        xi
            The unknowns by name, each of shape (n, *shape).
        x
            The condition by name, each of shape (n, ...), in the same dtype as ``xi``: compute in that dtype.

        Returns
        -------
        tf.Tensor, tuple or dict
            The prediction, a tensor of the observation's shape (n, ...). With ``residuals`` or ``misfit`` overridden it
            may be anything that these take. XLA compiles it if it can.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, xi, x)")

    def residuals(self, prediction: Any, y: tf.Tensor, x: dict[str, tf.Tensor]) -> Any:
        """Return the residuals of each instance, (n, ...), or a tuple or dict of such; default: prediction - y.

        Weights belong here.

        Example
        -------
        >>> def residuals(self, prediction, y, x):
        ...     return (prediction - y) / x["noise"][:, None]
        """
        name = self.hook_name("forward")
        if not tf.is_tensor(prediction):
            expected = f"a tensor of the observation's shape {tuple(y.shape)}, or residuals or misfit overridden"
            raise ArgumentError(name, expected, type(prediction).__name__)
        if not prediction.shape.is_compatible_with(y.shape):
            raise ArgumentError(name, f"the observation's shape {tuple(y.shape)}", prediction.shape)
        if prediction.dtype != y.dtype:
            raise ArgumentError(name, f"the dtype of its inputs, {y.dtype.name}", prediction.dtype.name)
        # Host calls and operations without static shapes are checked when they run.
        return tf.ensure_shape(prediction, y.shape) - y

    def misfit(self, prediction: Any, y: tf.Tensor, x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Measure what separates prediction and observation, (n,): the sum of squared residuals unless overridden.

        With a ``robust_loss``, the sum of what the residuals count.
        """
        parts = tf.nest.flatten(self.residuals(prediction, y, x))
        for part in parts:
            check_tensor(self.hook_name("residuals"), part, y)
        return tf.add_n([_sum(robust_loss(self.robust_loss, self.robust_scale, part), y.shape[0]) for part in parts])

    def regularizer(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return what is added to the misfit, (n,): the negative logarithm of a prior, or a penalty; default: zero.

        Example
        -------
        >>> def regularizer(self, xi, x):
        ...     return tf.square((xi["rate"] - 1.0) / 0.5)
        """
        first = next(iter(xi.values()))
        return tf.zeros(first.shape[:1], first.dtype)

    @property
    def sums_squares(self) -> bool:
        """Whether the objective is a plain sum of squares: no own ``misfit`` or ``regularizer``, no robust loss."""
        plain = self.robust_loss == "linear" and type(self).regularizer is InverseProblem.regularizer
        return plain and self.is_least_squares

    @property
    def has_prior(self) -> bool:
        """Whether the problem has a ``prior`` of its own."""
        return type(self).prior is not InverseProblem.prior

    def prior(self, n: int, seed: int) -> Mapping[str, ArrayLike] | ArrayLike | None:
        """Draw ``n`` unknowns from where solutions are expected, flat (n, d) or by name, or return ``None``.

        Random starts and the first training examples of a network come from here. Default ``None``: uniformly between
        two bounds, and normally, by the scale, around the guess. Take other random numbers than ``sample`` of the same
        seed does, or starts may be the truth.

        Example
        -------
        >>> def prior(self, n, seed):
        ...     return {"rate": np.random.default_rng(seed).gamma(2.0, 0.5, n)}
        """
        return None

    def sample(self, n: int, seed: int) -> Instances:
        """Draw a ``ProblemSet`` of ``n`` instances with known true unknowns; the same seed gives the same bits."""
        raise ArgumentError(f"{type(self).__name__}.sample", "sample(n, seed) defined, to draw instances from", "none")

    def sample_training(self, n: int, seed: int) -> Instances:
        """Draw ``n`` examples for methods that learn from synthetic data; default: ``sample``."""
        if type(self).sample is InverseProblem.sample:
            name = f"{type(self).__name__}.sample_training"
            expected = "sample_training(n, seed) or sample(n, seed) defined, for methods that learn from examples"
            raise ArgumentError(name, expected, "neither")
        return self.sample(n, seed)

    def solved(self, loss: FloatArray, xi: FloatArray, problem_set: Instances) -> NDArray[np.bool_] | None:
        """Return which instances are solved, (n,), or ``None`` if no success criterion applies.

        Default: the loss (n,) is at most that of the true unknowns, which is finite, plus ``solved_tolerance``; ``xi``
        is (n, d).
        """
        if problem_set.truth_loss is None:
            return None
        truth_loss = problem_set.truth_loss
        return np.isfinite(loss) & np.isfinite(truth_loss) & (loss <= truth_loss + self.solved_tolerance)

    def picture(self, xi: FloatArray) -> dict[str, NDArray[Any]]:
        """Return arrays that a figure of an instance with unknowns xi (d,) needs besides x, y and truth."""
        return {}

    @property
    def is_least_squares(self) -> bool:
        """Whether the misfit is the default, a sum over the residuals, as Gauss-Newton methods need."""
        return type(self).misfit is InverseProblem.misfit

    def hook_name(self, hook: str) -> str:
        """Return what messages call a method such as ``forward``."""
        return f"{type(self).__name__}.{hook}"

    @property
    def space(self) -> UnknownSpace:
        """The unknowns as one flat vector."""
        return UnknownSpace(self.unknowns)

    def simulate(
        self,
        xi: Mapping[str, ArrayLike] | ArrayLike,
        x: Mapping[str, ArrayLike] | None = None,
        *,
        dtype: DTypeLike = np.float64,
        eager: bool = False,
    ) -> Any:
        """Run ``forward`` on NumPy arrays.

        Parameters
        ----------
        xi
            The unknowns, flat (n, d) or by name.
        x
            The condition by name.
        dtype
            What to compute in: float64 or, as training does, float32.
        eager
            Run ``forward`` line by line instead of compiled, so that prints and breakpoints work.

        Returns
        -------
        NDArray, tuple or dict
            The prediction, (n, ...).

        Example
        -------
        >>> Decay().simulate({"rate": [1.0]}, {"time": np.linspace(0, 2, 50)[None]}).shape
        (1, 50)
        """
        if not any(dtype == allowed for allowed in (np.float64, np.float32, "float64", "float32")):
            raise ArgumentError("dtype", "float64 or float32", dtype)
        if x is not None and not isinstance(x, Mapping):
            raise ArgumentError("x", "a dict of arrays by name", describe(x))
        flat = self.space.flatten(xi).astype(dtype)
        condition = {name: as_float_array(f"x[{name!r}]", values).astype(dtype) for name, values in (x or {}).items()}
        for name, array in condition.items():
            if array.shape[:1] != (len(flat),):
                raise ArgumentError(f"x[{name!r}]", f"{len(flat)} instances as in xi", f"shape {array.shape}")
        if not eager:
            return evaluator_of(self).predict(flat, condition)
        tensors = {name: tf.constant(array) for name, array in condition.items()}
        prediction = self.forward(self.space.unflatten(tf.constant(flat)), tensors)
        return tf.nest.map_structure(np.asarray, prediction)


def _sum(counts: tf.Tensor, n: int) -> tf.Tensor:
    if counts.shape.rank is None:
        counts = tf.reshape(counts, (n, -1))
    return tf.reduce_sum(counts, axis=list(range(1, counts.shape.rank)))
