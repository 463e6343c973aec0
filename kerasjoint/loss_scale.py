"""What differences of losses mean: how many residuals there are, and how large a loss is that explains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet

FloatArray = NDArray[np.float64]

# Of the size of a loss: smaller differences count as none, and so small a sum of squares as zero.
NEGLIGIBLE, ZERO = 1e-9, 1e-12
# Losses are the same if they differ by this share, or by so many variances of the noise of one residual.
SAME, SAME_VARIANCES = 1e-3, 0.1
# Differences of large losses below this share may be rounding.
ROUNDING = 1e-10
TINY = 1e-300
# Below are what is left of squares where descents end for good, at 1e-24 of what they began with.
LEAST_DETAIL = 1e-12


@dataclass(frozen=True, eq=False)
class LossScale:
    """The scale of the losses of n instances.

    Attributes
    ----------
    residuals
        How many residuals an instance has that a prediction can change, (n,); 0 if the objective is no sum of squares.
    size
        A loss that explains nothing, (n,): of a sum of squares that of a constant prediction, or the typical share of
        it that is left at the guess; else what the descent from the guess gained.
    detail
        The share of ``size`` where differences begin to matter: below 1 where parts of the loss are much smaller than
        others, as of residuals in different units.

    Example
    -------
    >>> scale = LossScale.of(problem_set, loss_at_guess, loss_from_guess)
    >>> scale.zero                                      # losses below which nothing can be
    """

    residuals: NDArray[np.int64]
    size: FloatArray
    detail: float = 1.0

    @classmethod
    def of(cls, problem_set: ProblemSet, at_guess: FloatArray, from_guess: FloatArray) -> LossScale:
        """Return the scale, given the losses (n,) at the guess and where a descent from there ended."""
        if problem_set.problem.sums_squares:
            residuals, size, evenness = residual_scale(problem_set)
            known = np.isfinite(at_guess) & (size > 0)
            if not known.any():
                return cls(residuals, np.where(np.isfinite(at_guess), at_guess, 0.0), evenness)
            better = min(float(np.median(at_guess[known] / size[known])), 1.0)
            return cls(residuals, better * np.where(size > 0, size, np.median(size[known])), evenness)
        with np.errstate(invalid="ignore"):
            gained = at_guess - from_guess
        some = np.isfinite(gained) & (gained > 0)
        typical = float(np.median(gained[some])) if some.any() else 0.0
        size = np.where(some, gained, typical)
        # Where a start is steep the minima differ by much less than what a descent gains.
        left = np.abs(from_guess[some]) / size[some]
        detail = float(np.sqrt(np.median(np.minimum(left, 1)))) if left.size else 1.0
        return cls(np.zeros(len(problem_set), np.int64), size, max(detail, ROUNDING))

    @property
    def zero(self) -> FloatArray:
        """Up to where a sum of squares counts as zero, (n,); minus infinity for other objectives, which go lower."""
        return np.where(self.residuals > 0, ZERO * self.detail * self.size, -np.inf)

    @property
    def floor(self) -> FloatArray:
        """Differences that count as none, (n,)."""
        return NEGLIGIBLE * self.detail * self.size

    def comparable(self, loss: FloatArray) -> FloatArray:
        """Return by what to multiply losses (n,) to compare instances: per residual, of noise as large everywhere.

        Or of noise that is the same share of each observation, if these losses then differ much less: by less than half
        the standard deviation of their logarithms. Unsolved ones among them spread both.
        """
        count = 1 / np.maximum(self.residuals, 1)
        if not self.residuals.all() or not (self.size > 0).all():
            return count
        spreads = []
        for unit in (count, 1 / self.size):
            level = np.log(((loss + self.floor) * unit)[np.isfinite(loss)])
            spreads.append(np.std(level) if level.size else 0.0)
        # Per residual again, so that degrees of freedom count.
        return count if spreads[0] <= 2 * spreads[1] else self.size.mean() / self.size * count

    def near(self, loss: FloatArray, other: FloatArray, rows: Any = slice(None)) -> NDArray[np.bool_]:
        """Return where losses (m, k) of the instances ``rows`` (m,) are the same as others, (m, k) or (m, 1)."""
        residuals, size, floor = (of_all[rows][:, None] for of_all in (self.residuals, self.size, self.floor))
        share = np.where(residuals > 0, np.minimum(SAME, SAME_VARIANCES / np.maximum(residuals, 1)), SAME)
        around = np.where(residuals > 0, np.abs(other), np.minimum(np.abs(other), size))
        with np.errstate(invalid="ignore"):
            return np.abs(loss - other) <= share * around + ROUNDING * np.abs(other) + floor


def residual_scale(problem_set: ProblemSet) -> tuple[NDArray[np.int64], FloatArray, float]:
    """Return how many residuals a prediction can change, (n,), the sum of squares without a prediction, (n,), and more.

    Without a prediction: the residuals of zeros, less their mean. What cannot be computed counts as all of y, and as
    the sum 0. And: the variance over the instances of the residual that varies least, as a share of the mean one.
    """
    n = len(problem_set)
    if type(problem_set.problem).residuals is InverseProblem.residuals:
        flat = problem_set.y.reshape(n, -1)
        return np.full(n, flat.shape[1]), _variation(flat), _evenness(flat, np.ones(flat.shape, dtype=bool))
    own = _OwnResiduals.of(problem_set)
    if own is None:
        return np.full(n, problem_set.y[0].size), np.zeros(n), 1.0
    return own.seen.sum(axis=1), _variation(own.of_zeros, own.seen), _evenness(own.of_zeros, own.seen)


def missing_values(problem_set: ProblemSet) -> NDArray[np.bool_] | None:
    """Return which values of y (n, ...) the problem's own residuals give no weight; ``None`` if they give all some."""
    if type(problem_set.problem).residuals is InverseProblem.residuals:
        return None
    own = _OwnResiduals.of(problem_set)
    if own is None or own.seen.shape[1] != problem_set.y[0].size or own.seen.all():
        return None
    return ~own.seen.reshape(problem_set.y.shape)


@dataclass(frozen=True, eq=False)
class _OwnResiduals:
    """What a problem's own ``residuals`` make of predictions that no simulator made.

    Attributes
    ----------
    seen
        Which of an instance's residuals change with the prediction, (n, k).
    of_zeros
        All residuals of zeros, (n, k).
    """

    seen: NDArray[np.bool_]
    of_zeros: FloatArray

    @classmethod
    def of(cls, problem_set: ProblemSet) -> _OwnResiduals | None:
        """Compute them; ``None`` if the shapes of predictions are not known beforehand."""
        problem, y, n = problem_set.problem, problem_set.y, len(problem_set)
        specs = problem_set.evaluator.prediction_specs(problem_set.one)
        if not all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(specs)):
            return None
        generator, unit = np.random.default_rng(0), _typical_size(y)
        x = {name: tf.constant(values) for name, values in problem_set.x.items()}

        def residuals(draw: Callable[[tuple[int, ...]], FloatArray]) -> FloatArray:
            prediction = tf.nest.map_structure(lambda spec: _filled(spec, n, draw), specs)
            parts = tf.nest.flatten(problem.residuals(prediction, tf.constant(y), x))
            return np.concatenate([np.reshape(part, (n, -1)) for part in parts], axis=1)

        def anything(shape: tuple[int, ...]) -> FloatArray:
            return unit.reshape(n, *[1] * (len(shape) - 1)) * generator.uniform(0.5, 1.5, shape)

        return cls(residuals(anything) != residuals(anything), residuals(np.zeros))


def _filled(spec: tf.TensorSpec, n: int, draw: Callable[[tuple[int, ...]], FloatArray]) -> tf.Tensor:
    """Return a part of a prediction with what ``draw`` gives for its shape; complex ones in both of their parts."""
    shape = (n, *spec.shape[1:])
    numbers = draw(shape) + 1j * draw(shape) if spec.dtype.is_complex else draw(shape)
    return tf.constant(numbers.astype(spec.dtype.as_numpy_dtype))


def _typical_size(y: FloatArray) -> FloatArray:
    """Return the median size of what is not zero of each instance, (n,): no filler of a missing value."""
    size = np.abs(y.reshape(len(y), -1))
    typical = np.ones(len(y))
    some = (size > 0).any(axis=1)
    typical[some] = np.nanmedian(np.where(size[some] > 0, size[some], np.nan), axis=1)
    return np.maximum(typical, TINY)


def _variation(residuals: FloatArray, seen: Any = True) -> FloatArray:
    """Return the sum of squares (n,) of residuals (n, k), less their mean unless that is all; 0 if it is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.square(residuals).sum(axis=1, where=seen)
        count = np.maximum(np.broadcast_to(seen, residuals.shape).sum(axis=1), 1)
        mean = residuals.sum(axis=1, where=seen) / count
        around = np.square(residuals - mean[:, None]).sum(axis=1, where=seen)
    return _finite(np.where(around > 1e-24 * whole, around, whole))


def _evenness(residuals: FloatArray, seen: NDArray[np.bool_]) -> float:
    """Return the least variance of a residual (n, k) over the instances that see it, as a share of the mean one.

    Of a single instance: the squares. Residuals that do not vary do not count.
    """
    count = np.maximum(seen.sum(axis=0), 1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = residuals.sum(axis=0, where=seen) / count if len(residuals) > 1 else np.zeros(residuals.shape[1])
        variance = np.square(residuals - mean).sum(axis=0, where=seen) / count
        varies = np.isfinite(variance) & (variance > 1e-24 * np.square(mean)) & (variance > 0)
    if not varies.any():
        return 1.0
    return float(np.clip(variance[varies].min() / variance[varies].mean(), LEAST_DETAIL, 1))


def _finite(numbers: Any) -> Any:
    return np.where(np.isfinite(numbers), numbers, 0.0)
