"""L-BFGS from afar, Levenberg-Marquardt once near: all instances in lockstep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.evaluator import Route
from kerasjoint.methods.base import QuasiNewtonMethod
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.lockstep import run_in_lockstep
from kerasjoint.methods.lockstep_lbfgs import ActiveLBFGS
from kerasjoint.methods.lockstep_lm import ActiveLM, LockstepLM
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Status

# The least number of iterations of L-BFGS that one of Levenberg-Marquardt stands for.
WORTH = 4
# Of the 64 unknowns of a Kuramoto-Sivashinsky state Levenberg-Marquardt found no end for thirteen times the cost.
MOST_UNKNOWNS = 40


class LockstepHybrid(QuasiNewtonMethod):
    """L-BFGS for some iterations, then Levenberg-Marquardt from where that led, each instance for itself.

    From a poor start L-BFGS ends in better minima than Gauss-Newton steps do, but takes hundreds of iterations along
    the valley near one, where Levenberg-Marquardt takes ten (Fletcher and Xu, 1987, on hybrid methods for nonlinear
    least squares). Of 64 instances each, 0.1 from the truth in normalised coordinates, Jacobians counted as
    ``costs.jacobian_cost`` says: layered ground 66 % solved for 61 instead of 93 evaluations, thin films 100 % for
    59 instead of 221, the epidemic 100 % for 100 instead of 230.

    Where the misfit is no sum over residuals, the unknowns are more than 40, or only Jacobians come from finite
    differences, it is L-BFGS all the way; so it is for an instance whose Jacobian is not finite at the changeover.

    Parameters
    ----------
    max_iterations
        At most so many iterations per instance, of which one of Levenberg-Marquardt counts as four.
    history_size, tolerance, first_step
        As in ``QuasiNewtonMethod``, of L-BFGS.
    changeover
        After so many iterations of L-BFGS an instance that has not ended changes over, if four or more are left.

    Example
    -------
    >>> LockstepHybrid(first_step=0.1).solve(problem_set).status
    """

    name = "lockstep-hybrid"

    def __init__(
        self,
        max_iterations: int = 200,
        history_size: int = 10,
        tolerance: float = 1e-12,
        first_step: float = 1.0,
        changeover: int = 20,
    ) -> None:
        super().__init__(max_iterations, history_size, tolerance, first_step)
        self.changeover = check_count("changeover", changeover)

    @staticmethod
    def changes_over(problem_set: ProblemSet) -> bool:
        """Return whether Levenberg-Marquardt applies, and Jacobians are not too dear for it.

        Example
        -------
        >>> LockstepHybrid.changes_over(problem_set)
        True
        """
        evaluator = problem_set.evaluator
        dear = problem_set.space.size > MOST_UNKNOWNS or evaluator.route is Route.HOST
        return (evaluator.by_differences or not dear) and LockstepLM.applies_to(problem_set)

    @property
    def second_half(self) -> LockstepLM:
        """What it does after the changeover, from any start."""
        return LockstepLM(self._second_order_iterations, self.tolerance)

    @property
    def _second_order_iterations(self) -> int:
        return max((self.max_iterations - self.changeover) // WORTH, 1)

    def _first_order(self, run: LocalRun, rows: NDArray[np.intp], iterations: int) -> None:
        active = ActiveLBFGS(run, rows, self.history_size, self.first_step)
        run_in_lockstep(run, active, self.tolerance, iterations)

    def _advance(self, run: LocalRun) -> None:
        left = self.max_iterations - self.changeover
        if left < WORTH or not self.changes_over(run.objective.problem_set):
            self._first_order(run, run.movable, self.max_iterations)
            return
        self._first_order(run, run.movable, self.changeover)
        rows = np.flatnonzero(np.isin(run.status, (Status.ITERATIONS, Status.FAILED)))
        if not rows.size:
            return
        going, hessian = run.resume_with_hessians(rows)
        run_in_lockstep(run, ActiveLM(run, going, hessian), self.tolerance, self._second_order_iterations)
        rest = np.setdiff1d(rows, going)
        rest = rest[run.status[rest] == Status.ITERATIONS]
        if rest.size:
            # Without a finite Jacobian, as of a square root at zero.
            self._first_order(run, run.resume(rest), left)
