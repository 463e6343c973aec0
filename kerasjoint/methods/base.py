"""What every method offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_positive
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.joining import Part, join
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution
from kerasjoint.unknown import as_float_array


class Method(ABC):
    """Turns a problem set into a solution.

    Attributes
    ----------
    name
        Its name in the registry, in rows and in tables.
    role
        ``"learned"`` if it trains a network, else ``"baseline"``.
    refined
        Whether its solution needs no refinement, since local descents end it.
    needs_gradient
        Whether it differentiates the simulator.
    selects_best
        Whether its solution is the best point of a training that sees the true objective, not the last iterate.
    """

    name: ClassVar[str]
    role: ClassVar[Literal["baseline", "learned"]] = "baseline"
    refined: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = True
    selects_best: ClassVar[bool] = False

    @abstractmethod
    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; the same seed on the same machine gives the same bits."""


class LocalMethod(Method):
    """A method that treats every instance for itself and can start anywhere: a baseline, and a refinement.

    A set too large for one piece is solved slab by slab.

    Parameters
    ----------
    max_iterations
        At most so many iterations per instance.
    tolerance
        Converged when the largest component of the gradient is at most this times its largest component at the start.

    Attributes
    ----------
    second_order
        Whether it works with Gauss-Newton Hessians.
    """

    second_order: ClassVar[bool] = False

    def __init__(self, max_iterations: int = 200, tolerance: float = 1e-12) -> None:
        check_positive(tolerance=tolerance)
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.tolerance = tolerance

    def solve(self, problem_set: ProblemSet, seed: int = 0, *, start: NDArray[np.float64] | None = None) -> Solution:
        """Solve all instances.

        Parameters
        ----------
        problem_set
            The instances.
        seed
            Unused: these methods are deterministic.
        start
            Normalised coordinates (n, d) to start from; default: the guess, z = 0.
        """
        z, parts = check_start(problem_set, start), problem_set.slabs()
        if len(parts) == 1:
            return self.run(problem_set, z).solution(self.name, type(self).__name__)
        return solve_in_slabs(problem_set, parts, lambda part, slab: self.solve(part, seed, start=z[slab]))

    def run(self, problem_set: ProblemSet, start: NDArray[np.float64] | None = None) -> LocalRun:
        """Solve all instances as ``solve`` does; return the whole run, with the points on the way."""
        z = check_start(problem_set, start)
        with stage(self.name, total=len(z)) as done:
            run = LocalRun(problem_set, z, self.max_iterations, done, self.second_order)
            if run.movable.size:
                self._advance(run)
        return run

    @abstractmethod
    def _advance(self, run: LocalRun) -> None:
        """Move the instances that can, report every iteration to ``run``, and set how each of them ended."""


class QuasiNewtonMethod(LocalMethod):
    """A local method that estimates curvature from the gradients on the way.

    Parameters
    ----------
    max_iterations, tolerance
        As in ``LocalMethod``.
    history_size
        Number of correction pairs.
    first_step
        Length of the first trial step, in normalised coordinates. 1 is what SciPy takes.
    """

    def __init__(
        self, max_iterations: int = 200, history_size: int = 10, tolerance: float = 1e-12, first_step: float = 1.0
    ) -> None:
        super().__init__(max_iterations, tolerance)
        check_positive(first_step=first_step)
        self.history_size = check_count("history_size", history_size)
        self.first_step = first_step


def solve_in_slabs(
    problem_set: ProblemSet, parts: list[slice], solve: Callable[[ProblemSet, slice], Solution]
) -> Solution:
    """Solve one slab after the other, of which only the solutions stay in memory, and join these."""
    ended = [Part.of(solve(problem_set[slab], slab)) for slab in parts]
    seconds, compile_seconds = (sum(getattr(part, name) for part in ended) for name in ("seconds", "compile_seconds"))
    return join(problem_set, ended, seconds, compile_seconds)


def solve_slabs_alone(method: Method, problem_set: ProblemSet, parts: list[slice], seed: int) -> Solution:
    """Solve every slab as a set of its own, each with its own seed, and join the solutions."""
    seeds = np.random.SeedSequence([seed, len(problem_set)]).generate_state(len(parts))
    own = {slab.start: int(one) for slab, one in zip(parts, seeds, strict=True)}
    return solve_in_slabs(problem_set, parts, lambda part, slab: method.solve(part, own[slab.start]))


def check_problem_set(problem_set: object, argument: str = "problem_set") -> ProblemSet:
    """Validate and return the problem set."""
    if not isinstance(problem_set, ProblemSet):
        raise ArgumentError(argument, "a ProblemSet", type(problem_set).__name__)
    return problem_set


def draw_examples(problem_set: ProblemSet, seed: int) -> ProblemSet:
    """Draw as many examples with known unknowns as there are instances, and check that they are of the same shapes."""
    problem = problem_set.problem
    name = problem.hook_name("sample_training")
    examples = check_problem_set(problem.sample_training(len(problem_set), seed), name)
    if examples.truth is None:
        raise ArgumentError(name, "examples whose true unknowns are known", "truth=None")
    return examples


def check_start(problem_set: ProblemSet, start: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return the start (n, d) in normalised coordinates."""
    shape = (len(check_problem_set(problem_set)), problem_set.space.size)
    if start is None:
        return np.zeros(shape)
    start = as_float_array("start", start)
    if start.shape != shape:
        raise ArgumentError("start", f"normalised coordinates of shape {shape}", start.shape)
    if not np.isfinite(start).all():
        raise ArgumentError("start", "finite numbers", "NaN or infinity")
    return start


def check_method(argument: str, method: object, *, local: bool = False) -> None:
    """Refuse what is not an instance of a method, or of a local one."""
    if not isinstance(method, LocalMethod if local else Method):
        kind = "a local method" if local else "a method"
        name = method.__name__ if isinstance(method, type) and issubclass(method, Method) else "LockstepLBFGS"
        raise ArgumentError(argument, f"{kind}, by its name or such as {name}()", describe(method))
