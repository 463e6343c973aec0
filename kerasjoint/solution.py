"""What a method returns: one point, loss, status and cost per instance."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint import costs
from kerasjoint.checks import check_number
from kerasjoint.confirmation import Confirmation, Minima
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.npz import read_npz, write_npz
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.summary import cost_of
from kerasjoint.uncertainty import Uncertainty, uncertainty_at

FloatArray = NDArray[np.float64]

COUNTS = ("evaluations", "iterations", "non_finite", "values", "jacobians")
ARRAYS = ("xi", "z", "loss", "status", *COUNTS)
CONFIRMATION = ("starts", "hits", "missed")


class Status(IntEnum):
    """How one instance ended; ``message`` says it in words.

    Attributes
    ----------
    CONVERGED
        The gradient is below the tolerance: a minimum.
    PRECISION
        A minimum, as far as this precision can tell: no further decrease is possible.
    ITERATIONS
        The iterations were used up; the loss may still fall.
    STATIONARY
        The gradient is exactly zero at the start, so there is no direction to go.
    FAILED
        No further decrease was found although the gradient is not small.
    NON_FINITE
        The loss or its gradient is not finite at the start.
    TRAINED, ESTIMATED
        The estimate of a network, not yet refined; of one that was not trained on this problem set.
    SEARCHED
        The best point of a global search, whose evaluations were used up.
    RUNNING
        Not done; no solution has it.
    """

    CONVERGED = 0
    PRECISION = 1
    ITERATIONS = 2
    STATIONARY = 3
    FAILED = 4
    NON_FINITE = 5
    TRAINED = 6
    RUNNING = 7
    ESTIMATED = 8
    SEARCHED = 9

    @property
    def message(self) -> str:
        """The status in words."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "the gradient is below the tolerance",
    Status.PRECISION: "no further decrease is possible in this precision",
    Status.ITERATIONS: "the iterations were used up",
    Status.STATIONARY: "the gradient is exactly zero at the start, so there is no direction to go",
    Status.FAILED: "no further decrease was found although the gradient is not small",
    Status.NON_FINITE: "the loss or its gradient is not finite at the start",
    Status.TRAINED: "the estimate of a network, not yet refined",
    Status.RUNNING: "still running",
    Status.SEARCHED: "the best point of a global search, whose evaluations were used up",
    Status.ESTIMATED: "the estimate of a network that was not trained on this problem set",
}


class Point(NamedTuple):
    """One point per instance: unknowns (n, d), normalised coordinates (n, d) and loss (n,)."""

    xi: FloatArray
    z: FloatArray
    loss: FloatArray


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a method on a problem set.

    Attributes
    ----------
    method
        Name of the method, with ``+ refine`` appended by each refinement.
    problem_set
        What was solved.
    xi, z
        Best unknowns seen, (n, d), and the same in normalised coordinates (which do not saturate at bounds).
    loss
        Their true objective in float64, (n,).
    status
        A ``Status`` per instance, (n,).
    evaluations
        Evaluations of the true objective (with or without gradient) spent on each instance, (n,).
    iterations
        Iterations spent on each instance, (n,).
    seconds, compile_seconds
        Wall time without, and of, tracing and compilation.
    last
        The last iterate instead of the best point.
    history
        Statistics of the true objective over the instances while the method ran, one row per checkpoint.
    solver
        Name of the class that did the work.
    non_finite
        Evaluations that were not finite, per instance, (n,).
    values
        How many of the evaluations were values without a gradient, which cost less, (n,).
    jacobians
        How many of them came with a Jacobian, which costs more where unknowns are many, (n,).
    confirmation
        What independent descents say about each best minimum; ``None`` if a method makes one descent only. The
        properties ``starts``, ``hits``, ``missed``, ``confirmed`` and ``minima`` give its parts.
    solved
        Which instances the problem counts as solved, (n,), or ``None`` if no success criterion applies.

    Example
    -------
    >>> solution.to_frame(), solution.uncertainty().standard_errors, solution.minima
    """

    method: str
    problem_set: ProblemSet
    xi: FloatArray
    z: FloatArray
    loss: FloatArray
    status: NDArray[np.int8]
    evaluations: NDArray[np.int64]
    iterations: NDArray[np.int64]
    seconds: float
    compile_seconds: float
    last: Point
    history: pd.DataFrame
    solver: str
    non_finite: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    jacobians: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    confirmation: Confirmation | None = None
    solved: NDArray[np.bool_] | None = field(init=False)

    def __post_init__(self) -> None:
        """Give instances without counts of failures, values and Jacobians zeros, and judge once which are solved."""
        if len(self.loss) != len(self.problem_set):
            raise ArgumentError("loss", f"{len(self.problem_set)} instances as in the problem set", len(self.loss))
        for name in ("non_finite", "values", "jacobians"):
            if len(getattr(self, name)) != len(self.loss):
                object.__setattr__(self, name, np.zeros(len(self.loss), dtype=np.int64))
        object.__setattr__(self, "solved", self.problem_set.solved(self.loss, self.xi))

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.loss)

    @property
    def last_iterate(self) -> Solution:
        """The same run, reported at its last iterates (as the paper does) instead of the best points."""
        return replace(self, xi=self.last.xi, z=self.last.z, loss=self.last.loss)

    @property
    def starts(self) -> NDArray[np.int64] | None:
        """How many independent descents each instance had, (n,), if known."""
        return None if self.confirmation is None else self.confirmation.starts

    @property
    def hits(self) -> NDArray[np.int64] | None:
        """How many of them ended in its best minimum, (n,), if known."""
        return None if self.confirmation is None else self.confirmation.hits

    @property
    def missed(self) -> FloatArray | None:
        """The probability that a better minimum was missed, (n,), if known."""
        return None if self.confirmation is None else self.confirmation.missed

    @property
    def confirmed(self) -> NDArray[np.bool_] | None:
        """Which instances are confirmed, (n,), if known: that probability is at most 5 %, and two descents agree."""
        return None if self.confirmation is None else self.confirmation.confirmed

    @property
    def minima(self) -> pd.DataFrame | None:
        """The distinct minima found, if known: instance, unknowns, loss and hits, the best of an instance first."""
        if self.confirmation is None:
            return None
        found, problem_set = self.confirmation.minima, self.problem_set
        xi = problem_set.space.to_xi(found.z, problem_set.guess[found.instance])
        frame = pd.DataFrame(xi, columns=problem_set.space.labels)
        frame.insert(0, "instance", found.instance)
        return frame.assign(loss=found.loss, hits=found.hits)

    @property
    def at_bounds(self) -> NDArray[np.int8]:
        """Which unknowns ended at a bound, (n, d): -1 at the lower one, 1 at the upper one, 0 at none."""
        return self.problem_set.space.at_bounds(self.xi)

    def cost(self, value_cost: float | None = None) -> FloatArray:
        """Return the evaluations of each instance, (n,), a value without gradient counted as ``value_cost`` of one.

        Default: a third, or 1 / (d + 1) where gradients are finite differences of d + 1 simulations.
        """
        if value_cost is not None and check_number("value_cost", value_cost, "a number not below 0") < 0:
            raise ArgumentError("value_cost", "a number not below 0", value_cost)
        price = costs.value_cost(self.problem_set) if value_cost is None else value_cost
        return cost_of(self.evaluations, self.values, price)

    @property
    def simulations(self) -> NDArray[np.int64]:
        """How often each instance was simulated, (n,): a derivative by finite differences takes d times more.

        Without what was tried once to find a step, and on the other side of an unknown.
        """
        return self.evaluations + costs.differenced(self.problem_set, self.evaluations, self.values, self.jacobians)

    def is_of(self, problem_set: ProblemSet) -> bool:
        """Return whether this is a solution of ``problem_set``, or of one built from the same data and constants."""
        return self.problem_set is problem_set or self.problem_set.fingerprint == problem_set.fingerprint

    def uncertainty(self, absolute_sigma: bool = False) -> Uncertainty:
        """Return covariance, standard errors and correlations of the unknowns, evaluated now: one Jacobian each.

        The covariance is that of least squares linearised at ``xi``, as of ``scipy.optimize.curve_fit``:
        noise^2 (J^T J + H / 2)^-1 with the Jacobian J of the residuals and the Hessian H of the regularizer, in which a
        Gaussian prior of twice its negative logarithm counts exactly. Bounds are ignored, as there. Where a regularizer
        that is concave there leaves no positive curvature, the variance is infinite.

        Parameters
        ----------
        absolute_sigma
            Whether residuals are in units of the noise, because ``residuals`` divides by it. Otherwise (as in
            ``curve_fit``) the noise is estimated: misfit over the number of residuals minus that of the unknowns, of
            which a prior leaves a part. Residuals of weight 0 do not count. Outliers do, also with a robust loss.

        Example
        -------
        >>> solution.uncertainty().standard_errors       # (n, d)
        """
        if not isinstance(absolute_sigma, bool):
            raise ArgumentError("absolute_sigma", "True or False", describe(absolute_sigma))
        return uncertainty_at(self.problem_set, self.xi, absolute_sigma)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the unknowns (n, d, d), evaluated now: that of ``uncertainty()``, with the noise estimated."""
        return self.uncertainty().covariance

    def to_frame(self, uncertainty: Uncertainty | None = None) -> pd.DataFrame:
        """Return one row per instance: unknowns, loss, status, cost, and truth and solved where known.

        Where unknowns have bounds, ``at_bounds`` names those that ended at one: there, the data may ask for more.
        With the ``uncertainty`` of this solution, also the standard error of each unknown.
        """
        labels = self.problem_set.space.labels
        if uncertainty is not None and getattr(uncertainty, "labels", None) != labels:
            raise ArgumentError("uncertainty", "that of this solution", repr(uncertainty))
        if uncertainty is not None and len(uncertainty.noise) != len(self):
            raise ArgumentError("uncertainty", f"that of this solution, of {len(self)} instances", repr(uncertainty))
        frame = pd.DataFrame(self.xi, columns=labels)
        frame.insert(0, "instance", np.arange(len(self)))
        frame["loss"] = self.loss
        frame["status"] = [Status(code).name for code in self.status]
        if np.isfinite([self.problem_set.space.lower, self.problem_set.space.upper]).any():
            names = np.array(labels)
            frame["at_bounds"] = [", ".join(names[there != 0]) if there.any() else "" for there in self.at_bounds]
        frame["evaluations"] = self.evaluations
        frame["iterations"] = self.iterations
        frame["non_finite"] = self.non_finite
        if self.confirmation is not None:
            frame["starts"], frame["hits"] = self.confirmation.starts, self.confirmation.hits
            frame["missed"], frame["confirmed"] = self.confirmation.missed, self.confirmation.confirmed
        if uncertainty is not None:
            for column, label in enumerate(labels):
                frame[f"standard error {label}"] = uncertainty.standard_errors[:, column]
        if self.problem_set.truth is not None:
            for column, label in enumerate(labels):
                frame[f"true {label}"] = self.problem_set.truth[:, column]
        if self.solved is not None:
            frame["solved"] = self.solved
        return frame

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the solution and its problem set to an ``.npz`` file, whole or not at all; return its path."""
        arrays = {f"problem_set/{name}": array for name, array in self.problem_set.arrays().items()}
        arrays |= {name: getattr(self, name) for name in ARRAYS} | {
            f"last/{k}": v for k, v in self.last._asdict().items()
        }
        if self.confirmation is not None:
            arrays |= {f"confirmation/{name}": getattr(self.confirmation, name) for name in CONFIRMATION}
            arrays |= {f"minima/{name}": array for name, array in vars(self.confirmation.minima).items()}
        arrays |= {f"history/{name}": self.history[name].to_numpy(dtype=np.float64) for name in self.history}
        texts = {"method": self.method, "solver": self.solver, "fingerprint": self.problem_set.fingerprint}
        numbers = {"seconds": self.seconds, "compile_seconds": self.compile_seconds}
        return write_npz(path, arrays | {name: np.array(value) for name, value in (texts | numbers).items()})

    @staticmethod
    def load(problem: InverseProblem, path: str | os.PathLike[str]) -> Solution:
        """Read what ``save`` wrote, for a problem of the same class and constants.

        Example
        -------
        >>> solution.save("solution.npz")
        >>> Solution.load(Decay(), "solution.npz")
        """
        if not isinstance(problem, InverseProblem):
            raise ArgumentError("problem", "an InverseProblem, then the path", repr(problem))
        arrays = read_npz(path)
        if "y" in arrays:
            raise ArgumentError(str(path), "what Solution.save wrote", "a saved ProblemSet, for ProblemSet.load")

        def group(prefix: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        try:
            last, known = Point(**group("last/")), group("confirmation/")
            confirmation = Confirmation(**known, minima=Minima(**group("minima/"))) if known else None
            kept = {name: arrays[name] for name in ARRAYS}
            texts = {name: str(arrays[name]) for name in ("method", "solver", "fingerprint")}
            numbers = {name: float(arrays[name]) for name in ("seconds", "compile_seconds")}
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError(str(path), "what Solution.save wrote", error) from None
        problem_set = ProblemSet.from_arrays(problem, group("problem_set/"), str(path))
        if texts.pop("fingerprint") != problem_set.fingerprint:
            expected = "the problem, with its constants, that the solution was saved for"
            raise ArgumentError("problem", expected, f"{type(problem).__name__}, whose class or constants differ")
        history = pd.DataFrame(group("history/"))
        parts = {"confirmation": confirmation, "last": last, "history": history}
        return Solution(problem_set=problem_set, **parts, **kept, **texts, **numbers)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        """Return a short description."""
        finite = self.loss[np.isfinite(self.loss)]
        mean = f"{finite.mean():.4g}" if finite.size else "none finite"
        if 0 < finite.size < len(self):
            mean += f" ({len(self) - finite.size} not finite)"
        share = "" if self.solved is None else f", solved={np.mean(self.solved):.0%}"
        share += "" if self.confirmed is None else f", confirmed={np.mean(self.confirmed):.0%}"
        cost = f"seconds={self.seconds:.2f}, compile_seconds={self.compile_seconds:.2f}"
        return f"Solution({self.method}, n={len(self)}, mean loss={mean}{share}, {cost})"
