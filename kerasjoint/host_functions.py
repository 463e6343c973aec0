"""The functions of a problem whose simulator runs as Python: derivatives by finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint import differences
from kerasjoint.batching import filled_rows
from kerasjoint.compiled import Compiled
from kerasjoint.errors import SimulatorWarning
from kerasjoint.functions import Functions, masked
from kerasjoint.hooks import Condition, Hooks, misfit_and_residuals
from kerasjoint.least_squares import Linear, Prior
from kerasjoint.unknown import UnknownSpace

Array = NDArray[np.floating]
Rows = NDArray[np.intp]
Function = Callable[[tf.Tensor, Condition, tf.Tensor], tf.Tensor]

# Up to so many simulations in one call, or as many as there are instances: memory does not grow with the unknowns.
TOGETHER = 1024
# Two steps of so many instances are compared. If their slopes differ by more than that, larger ones are tried: up to so
# many powers of ten, and to that share of the typical size of a change.
TRIED, AGREEMENT, POWERS, MOST_SHARE = 4, 1e-3, 7, 0.05
ALL = slice(None)


class HostFunctions(Functions):
    """The functions of a simulator that runs as Python: Jacobians from d + 1 simulations, as SciPy's ``"2-point"``.

    So are gradients, if nothing else is known of them. A step is the typical size of a change (the unknown's scale or,
    where it is nearer to a bound than that, its distance from there) times the problem's ``difference_step``. It leads
    away from the nearer bound; where a simulation there is not finite, the other side is tried if it is within bounds.

    Without a ``difference_step``, that is the root of the precision; or, if the simulator is too noisy for that, as one
    with an adaptive time step is, for each unknown the multiple by powers of ten with which a step and one of twice the
    length agree best on the slope, found at a few of the instances that are differentiated first.

    Attributes
    ----------
    by_differences
        Whether gradients come from differences too; at first they do not.

    Example
    -------
    >>> functions = HostFunctions(problem, space)
    >>> functions.by_differences = True
    >>> loss, gradient = functions.value_and_gradient(xi, x, y)
    """

    def __init__(self, problem: Hooks, space: UnknownSpace) -> None:
        super().__init__(problem, space)
        self.by_differences = False
        self._found: dict[Any, Array] = {}
        self._compiled_prior = Compiled(lambda xi, x, _: Functions.prior(self, xi, x), None, False, 3)

    def value_and_gradient(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the losses (n,) and gradients (n, d)."""
        if not self.by_differences:
            return super().value_and_gradient(xi, x, y)
        if self._problem.is_least_squares:
            # More precise near a solution, where large residuals cancel in the gradient.
            return self.normal_equations(xi, x, y)[:2]
        loss, slopes = self._differentiate(lambda *at: self.objective(*at)[:, None], xi, x, y)
        return masked(loss[:, 0], slopes[:, :, 0])

    def linearized(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> Linear:
        """Return the misfit (n,), the residuals (n, k), and the transpose of their Jacobian, (n, d, k)."""

        def both(xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
            misfit, residuals = misfit_and_residuals(self._problem, self._space, xi, x, y)
            return tf.concat([misfit[:, None], residuals], axis=1)

        at, slopes = self._differentiate(both, xi, x, y, slice(1, None))
        return Linear(at[:, 0], at[:, 1:], slopes[:, :, 1:])

    def prior(self, xi: tf.Tensor, x: Condition) -> Prior:
        """Return the regularizer (n,), its gradient (n, d) and Hessian (n, d, d), by TensorFlow."""
        n = len(xi)
        rows = filled_rows(n, None)
        return tuple(part[:n] for part in self._compiled_prior(tf.gather(xi, rows), tf.constant(rows, tf.int32), x, ()))

    def _differentiate(
        self, function: Function, xi: tf.Tensor, x: Condition, y: tf.Tensor, judged: slice = ALL
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a function's results (n, k) at ``xi`` (n, d), and their derivatives (n, d, k).

        Steps are judged by the results ``judged``.
        """
        here: Array = np.asarray(xi)
        n, d = here.shape

        def at_points(rows: Rows, points: Array) -> Array:
            of_rows = tf.nest.map_structure(lambda array: tf.gather(array, rows), (x, y))
            return np.asarray(function(tf.constant(points), *of_rows))

        def moved(rows: Rows, columns: Rows, steps: Array) -> Array:
            """Return the results of some instances with one unknown of each moved; column -1 stands for none."""
            points, some = here[rows], np.flatnonzero(columns >= 0)
            points[some, columns[some]] += steps[rows[some], columns[some]]
            return at_points(rows, points)

        shares = self._shares(lambda rows, points: at_points(rows, points)[:, judged], xi)
        self.precision = float(shares.max())
        steps = np.array(differences.steps(self._space, xi, shares))

        width = max(1, TOGETHER // n)
        found = []
        for first in range(-1, d, width):
            columns = np.arange(first, min(first + width, d))
            found.append(moved(np.tile(np.arange(n), len(columns)), np.repeat(columns, n), steps))
        results = np.concatenate(found).reshape(d + 1, n, -1)
        at, beside = results[0], results[1:]
        inside = (here - steps >= self._space.lower) & (here - steps <= self._space.upper)
        columns, rows = np.nonzero(np.isfinite(at).all(axis=1) & ~np.isfinite(beside).all(axis=2) & inside.T)
        if rows.size:
            beside[columns, rows] = moved(rows, columns, -steps)
            steps[rows, columns] *= -1
        lengths = (here + steps) - here
        with np.errstate(invalid="ignore", over="ignore"):
            slopes = (beside - at) / lengths.T[:, :, None]
        return tf.constant(at), tf.constant(slopes.swapaxes(0, 1))

    def _shares(self, at_points: Callable[[Rows, Array], Array], xi: tf.Tensor) -> Array:
        """Return the share of a typical change that the step of each unknown is, (d,)."""
        d, dtype = self._space.size, xi.dtype.as_numpy_dtype
        if self._problem.difference_step is not None:
            return np.full(d, self._problem.difference_step, dtype)
        if dtype in self._found:
            return self._found[dtype]
        shares = differences.share_of(self._problem, xi.dtype) * 10.0 ** np.arange(POWERS)
        shares = shares[shares < MOST_SHARE].astype(dtype)
        rows = np.unique(np.linspace(0, len(xi) - 1, TRIED).astype(int))
        xi, sizes = np.asarray(xi)[rows], np.asarray(differences.typical_changes(self._space, tf.gather(xi, rows)))
        here = at_points(rows, xi)

        def disagreement(share: Array, columns: Rows) -> Array:
            """Return by how much the slopes of a step and of one of twice its length differ, the median of instances.

            Infinite if both are 0; not a number if no instance has both.
            """
            points = np.tile(xi, (2, len(columns), 1, 1))
            for k, column in enumerate(columns):
                points[:, k, :, column] += share * sizes[:, column] * np.array([[1], [2]], dtype)
            found = at_points(np.tile(rows, 2 * len(columns)), points.reshape(-1, d))
            with np.errstate(invalid="ignore", over="ignore"):
                one, two = found.reshape(2, len(columns), *here.shape) - here
                one, two = one, two / 2
                of_both, apart = (np.abs(one) + np.abs(two)).sum(axis=2), np.abs(two - one).sum(axis=2)
                differ = np.where(of_both == 0, np.inf, apart / of_both)
            finite = np.isfinite(of_both) & np.isfinite(apart)
            return np.array(
                [np.median(row[known]) if known.any() else np.nan for row, known in zip(differ, finite, strict=True)]
            )

        found = np.full((len(shares), d), np.inf)
        found[0] = disagreement(shares[0], np.arange(d))
        # Where all of these fail nothing is known, and others are asked next time.
        known = not np.isnan(found[0]).any()
        noisy = np.flatnonzero(found[0] > AGREEMENT)
        for k in range(1, len(shares) if noisy.size else 1):
            found[k, noisy] = disagreement(shares[k], noisy)
        found = np.where(np.isnan(found), np.inf, found)
        best = found.argmin(axis=0)
        if best.any():
            name, longest = self._problem.hook_name("forward"), shares[best].max()
            message = (
                f"{name} is noisy: finite differences take steps of up to {longest:.2g} times the typical size of a "
                f"change, whose slopes vary by up to {found[best, np.arange(d)][best > 0].max():.1g}; set "
                "difference_step to choose"
            )
            warnings.warn(message, SimulatorWarning, stacklevel=2)
        if known:
            self._found[dtype] = shares[best]
        return shares[best]
