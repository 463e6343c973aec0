"""A family of inverse problems: what a user writes for their own simulator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from kerasjoint.batching import padded_size
from kerasjoint.checks import check_count
from kerasjoint.errors import ArgumentError
from kerasjoint.objective import CompiledObjective
from kerasjoint.unknown import Unknown, UnknownSpace

if TYPE_CHECKING:
    from kerasjoint.problem_set import ProblemSet


class InverseProblem:
    """A forward model F, its unknowns and the loss; instances of it share the simulator, not the unknowns.

    Subclass it, name the ``unknowns`` and write ``forward``. Everything else has a default. Constants belong into the
    constructor: a problem must not change after its first use, since its simulator is compiled once.

    Attributes
    ----------
    unknowns
        What is sought.
    chunk
        How many instances one compiled call evaluates. ``None``: all at once. Set it (8 to 32) where the simulator runs
        for more than a millisecond: the chunks then spread over the processor's cores.
    periodic
        Axes of the observation, counted from 0 after the instances, that wrap around, as convolutions then do.
    shown_unknown
        Along which unknown figures show the loss, such as ``"v0[1]"``; ``None``: the first.

    Example
    -------
    >>> class Decay(InverseProblem):
    ...     unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)
    ...
    ...     def forward(self, xi, x):
    ...         return tf.exp(-xi["rate"][:, None] * x["time"])
    """

    unknowns: tuple[Unknown, ...] = ()
    chunk: int | None = None
    periodic: tuple[int, ...] = ()
    shown_unknown: str | None = None
    solved_tolerance: ClassVar[float] = 1e-9

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Simulate all instances at once.

        Parameters
        ----------
        xi
            The unknowns by name, each of shape (n, *shape).
        x
            The condition by name, each of shape (n, ...), in the same dtype as ``xi``: compute in that dtype.

        Returns
        -------
        tf.Tensor
            The prediction, of the observation's shape (n, ...). Must compile with XLA.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, xi, x)")

    def loss(self, prediction: Any, y: tf.Tensor) -> tf.Tensor:
        """Measure the misfit per instance, (n,): the sum of squared residuals unless overridden."""
        return tf.reduce_sum(tf.square(prediction - y), axis=list(range(1, y.shape.rank)))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw ``n`` instances with known true unknowns; the same seed gives the same bits."""
        raise ArgumentError(f"{type(self).__name__}.sample", "sample(n, seed) defined, to draw instances from", "none")

    def sample_training(self, n: int, seed: int) -> ProblemSet:
        """Draw ``n`` examples for methods that learn from synthetic data; default: ``sample``."""
        if type(self).sample is InverseProblem.sample:
            name = f"{type(self).__name__}.sample_training"
            expected = "sample_training(n, seed) or sample(n, seed) defined, for methods that learn from examples"
            raise ArgumentError(name, expected, "neither")
        return self.sample(n, seed)

    def solved(self, loss: NDArray[Any], xi: NDArray[Any], problem_set: ProblemSet) -> NDArray[np.bool_] | None:
        """Tell which instances are solved, (n,), or ``None`` where nobody can know.

        Default: the loss (n,) is at most that of the true unknowns plus ``solved_tolerance``; ``xi`` is (n, d).
        """
        if problem_set.truth is None:
            return None
        return np.isfinite(loss) & (loss <= problem_set.objective(problem_set.truth) + self.solved_tolerance)

    def picture(self) -> dict[str, NDArray[Any]]:
        """Return arrays that a figure of an instance needs beside x, y and truth; default: none."""
        return {}

    @property
    def forward_name(self) -> str:
        """What messages call ``forward``."""
        return f"{type(self).__name__}.forward"

    @cached_property
    def space(self) -> UnknownSpace:
        """The unknowns as one flat vector."""
        return UnknownSpace(self.unknowns)

    @cached_property
    def compiled(self) -> CompiledObjective:
        """The compiled objective that all problem sets of this problem share."""
        if self.chunk is not None:
            check_count(f"{type(self).__name__}.chunk", self.chunk)
        return CompiledObjective(self)

    def simulate(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, x: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[Any]:
        """Run ``forward`` in float64 on NumPy arrays; ``xi`` flat (n, d) or by name, ``x`` by name."""
        flat = self.space.flatten(xi)
        condition = {name: tf.constant(np.asarray(values, dtype=np.float64)) for name, values in (x or {}).items()}
        rows = np.minimum(np.arange(padded_size(len(flat), self.chunk)), len(flat) - 1)
        found = self.compiled.predict(tf.constant(flat[rows]), tf.constant(rows, tf.int32), condition, ())
        return found.numpy()[: len(flat)]
