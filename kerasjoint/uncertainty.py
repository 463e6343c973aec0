"""Errors of the unknowns: covariance, standard errors and correlations at a solution, from the residuals' Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerasjoint.problem_set import ProblemSet

FloatArray = NDArray[np.float64]

# Coefficients of a direction below this share of its largest one are rounding.
NEGLIGIBLE = 1e-6
PRECISION = float(np.finfo(np.float64).eps)
# Finite differences are wrong by about their step, and by rounding, of which this much is usual.
LEAST_OF_DIFFERENCES = 1e-6
# Negative eigenvalues below this share of the largest are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Errors of the unknowns of n instances, in the units of the unknowns.

    Attributes
    ----------
    covariance
        (n, d, d); infinite in the rows and columns of unknowns that the data do not determine, and throughout where
        there are no more residuals than unknowns to estimate the noise from. NaN where the Jacobian is not finite.
    noise
        The standard deviation of a residual that the covariance assumes, (n,): estimated, or 1.
    undetermined
        For each instance the directions, of length 1, in which the unknowns can change without changing the residuals,
        (k, d) with k = 0 where the data determine all.
    labels
        A name for each number, (d,).

    Example
    -------
    >>> errors = solution.uncertainty()
    >>> errors.standard_errors, errors.message(0)
    """

    covariance: FloatArray
    noise: FloatArray
    undetermined: tuple[FloatArray, ...]
    labels: list[str]

    def __repr__(self) -> str:
        """Say of how many instances and unknowns, and how many are not determined."""
        n, d = self.covariance.shape[:2]
        open_ones = sum(len(found) > 0 for found in self.undetermined)
        return f"Uncertainty(n={n}, unknowns={d}, undetermined instances={open_ones})"

    @property
    def standard_errors(self) -> FloatArray:
        """The roots of the variances, (n, d)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def correlations(self) -> FloatArray:
        """Correlation of each pair of unknowns, (n, d, d); NaN where a variance is not finite."""
        errors = np.where(np.isfinite(self.standard_errors), self.standard_errors, np.nan)
        finite = np.where(np.isfinite(self.covariance), self.covariance, np.nan)
        return finite / (errors[:, :, None] * errors[:, None, :])

    def message(self, instance: int) -> str:
        """Say which combinations of unknowns the data of an instance do not determine; empty if there are none."""
        names = [_combination(direction, self.labels) for direction in self.undetermined[instance]]
        return f"the data do not determine {' and '.join(names)}" if names else ""


def uncertainty_at(problem_set: ProblemSet, xi: FloatArray, absolute_sigma: bool) -> Uncertainty:
    """Evaluate the Jacobian at ``xi`` (n, d) and return the errors of the unknowns; see ``Solution.uncertainty``."""
    # A Jacobian is d times as large as a prediction, and there are some copies of it.
    slabs = problem_set.slabs(2 * xi.shape[1])
    parts = [_uncertainty_of(problem_set[slab], xi[slab], absolute_sigma) for slab in slabs]
    return Uncertainty(
        np.concatenate([part.covariance for part in parts]),
        np.concatenate([part.noise for part in parts]),
        sum((part.undetermined for part in parts), ()),
        problem_set.space.labels,
    )


def _uncertainty_of(problem_set: ProblemSet, xi: FloatArray, absolute_sigma: bool) -> Uncertainty:
    n, d = xi.shape
    evaluator = problem_set.evaluator
    misfit, jacobian, prior, residuals = evaluator.weighted_jacobian(xi, problem_set.data, np.arange(n))
    finite = np.isfinite(misfit)
    # Twice the inverse covariance of a Gaussian prior is the Hessian of its square: as rows of a Jacobian.
    strengths, axes = np.linalg.eigh(prior / 2)
    prior_rows = np.sqrt(np.maximum(strengths, 0.0))[:, :, None] * axes.swapaxes(1, 2)
    rows = np.concatenate([jacobian, prior_rows], axis=1)
    # In units of its columns, so that the rank does not depend on the units of the unknowns.
    size = np.linalg.norm(rows, axis=1)
    units = np.where(size > 0, size, 1.0)
    _, values, directions = np.linalg.svd(np.linalg.qr(rows / units[:, None, :], mode="r"))
    rounding = PRECISION * max(rows.shape[1:])
    if evaluator.jacobian_precision > PRECISION:
        rounding = max(evaluator.jacobian_precision, LEAST_OF_DIFFERENCES)
    seen = values > rounding * values[:, :1]
    concave = np.flatnonzero((strengths < -ROUNDING * np.abs(strengths).max(axis=1, keepdims=True)).any(axis=1))
    if concave.size:
        values[concave], directions[concave] = _of_sum(jacobian[concave], prior[concave] / 2, units[concave])
        # Squares have half of the digits.
        seen[concave] = values[concave] > np.sqrt(rounding) * values[concave, :1]
    inverse = np.where(seen, 1 / np.where(seen, values, 1.0), 0.0)
    half = directions.swapaxes(1, 2) * inverse[:, None, :] / units[:, :, None]
    covariance = half @ half.swapaxes(1, 2)

    noise = np.ones(n)
    if not absolute_sigma:
        # A prior adds no data, but takes away some of the freedom with which the unknowns follow the noise.
        # What has no weight, and so neither residual nor derivative, is no data.
        count = ((residuals != 0) | (jacobian != 0).any(axis=2)).sum(axis=1)
        freedom = count - np.einsum("nkj,nkj->n", jacobian @ covariance, jacobian)
        # To rounding: with as many residuals as unknowns there is none.
        free = freedom > 1e-9 * jacobian.shape[1]
        noise = np.sqrt(np.where(free, misfit / np.where(free, freedom, 1.0), np.inf))
    blind = np.zeros((n, d), dtype=bool)
    undetermined = [np.zeros((0, d))] * n
    for i in np.flatnonzero(finite & ~seen.all(axis=1)):
        found = directions[i, ~seen[i]]
        blind[i] = (np.abs(found) > NEGLIGIBLE).any(axis=0)
        found = found / units[i]
        undetermined[i] = found / np.linalg.norm(found, axis=1, keepdims=True)
    variance = np.where(np.isfinite(noise), noise, 1.0) ** 2
    unknown = blind[:, :, None] | blind[:, None, :] | ~np.isfinite(noise)[:, None, None]
    covariance = np.where(unknown, np.inf, covariance * variance[:, None, None])
    covariance[~finite], noise[~finite] = np.nan, np.nan
    return Uncertainty(covariance, noise, tuple(undetermined), problem_set.space.labels)


def _of_sum(jacobian: FloatArray, half_hessian: FloatArray, units: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return roots of the eigenvalues of J^T J + H / 2 in these units, largest first, and eigenvectors as rows.

    Zero where the eigenvalue is negative.
    """
    jacobian = jacobian / units[:, None, :]
    whole = jacobian.swapaxes(1, 2) @ jacobian + half_hessian / (units[:, :, None] * units[:, None, :])
    squares, axes = np.linalg.eigh(whole)
    return np.sqrt(np.maximum(squares[:, ::-1], 0.0)), axes[:, :, ::-1].swapaxes(1, 2)


def _combination(direction: FloatArray, labels: list[str]) -> str:
    largest = direction[np.abs(direction).argmax()]
    terms = [
        (share, label) for share, label in zip(direction / largest, labels, strict=True) if abs(share) > NEGLIGIBLE
    ]
    first, *others = (f"{'' if share == 1 else f'{abs(share):.3g} '}{label}" for share, label in terms)
    signs = ["-" if share < 0 else "+" for share, _ in terms]
    return (
        ("-" if signs[0] == "-" else "") + first + "".join(f" {s} {t}" for s, t in zip(signs[1:], others, strict=True))
    )
