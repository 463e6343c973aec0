"""What a method returns: one point, loss, status and cost per instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError

if TYPE_CHECKING:
    from kerasjoint.problem_set import ProblemSet

FloatArray = NDArray[np.float64]


class Status(IntEnum):
    """How one instance ended; ``message`` says it in words."""

    CONVERGED = 0
    PRECISION = 1
    ITERATIONS = 2
    STATIONARY = 3
    FAILED = 4
    NON_FINITE = 5
    TRAINED = 6

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

    def __post_init__(self) -> None:
        """Give instances without a count of failures a zero."""
        if len(self.non_finite) != len(self.loss):
            object.__setattr__(self, "non_finite", np.zeros(len(self.loss), dtype=np.int64))

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.loss)

    @property
    def solved(self) -> NDArray[np.bool_] | None:
        """Which instances the problem counts as solved, or ``None`` where it cannot tell."""
        return self.problem_set.problem.solved(self.loss, self.xi, self.problem_set)

    @property
    def last_iterate(self) -> Solution:
        """The same run, reported at its last iterates (as the paper does) instead of the best points."""
        return replace(self, xi=self.last.xi, z=self.last.z, loss=self.last.loss)

    def is_of(self, problem_set: ProblemSet) -> bool:
        """Tell whether this is a solution of ``problem_set``, or of one built anew from the same data and constants."""
        if self.problem_set is problem_set:
            return True
        if not self.problem_set.has_instances_of(problem_set):
            return False
        if self.problem_set.problem is problem_set.problem:
            return True
        # Constants of the problem, such as a friction, show in the loss.
        return bool(np.allclose(problem_set.objective(self.xi), self.loss, rtol=1e-6, atol=1e-12))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per instance: unknowns, loss, status, cost, and truth and solved where known."""
        labels = self.problem_set.problem.space.labels
        frame = pd.DataFrame(self.xi, columns=labels)
        frame.insert(0, "instance", np.arange(len(self)))
        frame["loss"] = self.loss
        frame["status"] = [Status(code).name for code in self.status]
        frame["evaluations"] = self.evaluations
        frame["iterations"] = self.iterations
        frame["non_finite"] = self.non_finite
        if self.problem_set.truth is not None:
            for column, label in enumerate(labels):
                frame[f"true {label}"] = self.problem_set.truth[:, column]
        if self.solved is not None:
            frame["solved"] = self.solved
        return frame

    def __repr__(self) -> str:
        """Return a short description."""
        finite = self.loss[np.isfinite(self.loss)]
        mean = f"{finite.mean():.4g}" if finite.size else "none finite"
        solved = self.solved
        share = "" if solved is None else f", solved={np.mean(solved):.0%}"
        return f"Solution({self.method}, n={len(self)}, mean loss={mean}{share}, seconds={self.seconds:.2f})"


def best_of(solutions: Sequence[Solution], method: str | None = None) -> Solution:
    """Choose, instance by instance, the solution of lowest loss; the cost is that of all together.

    Example
    -------
    >>> best_of([refined, baseline])
    """
    if not solutions or any(one.problem_set is not solutions[0].problem_set for one in solutions):
        raise ArgumentError("solutions", "at least one, all of the same problem set", f"{len(solutions)}")
    losses = np.stack([one.loss for one in solutions])
    choice = np.argmin(losses, axis=0), np.arange(losses.shape[1])

    def pick(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        return np.stack(arrays)[choice]

    return Solution(
        method=method or "best of " + ", ".join(one.method for one in solutions),
        problem_set=solutions[0].problem_set,
        xi=pick([one.xi for one in solutions]),
        z=pick([one.z for one in solutions]),
        loss=losses[choice],
        status=pick([one.status for one in solutions]),
        evaluations=np.sum([one.evaluations for one in solutions], axis=0),
        iterations=np.sum([one.iterations for one in solutions], axis=0),
        seconds=sum(one.seconds for one in solutions),
        compile_seconds=sum(one.compile_seconds for one in solutions),
        last=Point(*(pick([getattr(one.last, part) for one in solutions]) for part in Point._fields)),
        history=solutions[0].history,
        solver=", ".join(dict.fromkeys(one.solver for one in solutions)),
        non_finite=np.sum([one.non_finite for one in solutions], axis=0),
    )
