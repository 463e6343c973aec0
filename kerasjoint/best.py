"""The better of two points, or of several solutions, instance by instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.solution import COUNTS, Point, Solution


def keep_better(
    best: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Overwrite, in ``best``, the instances for which ``found`` has a lower loss; return which of ``found`` those are.

    Parameters
    ----------
    best
        Arrays (n, ...) by name, among them ``loss``; changed in place.
    found
        Arrays (m, ...) of the same names. A loss that is NaN is never better.
    rows
        The instance of each of the m; several may be of one, of which the best counts. Default: all n in their order.

    Example
    -------
    >>> keep_better({"loss": loss, "z": z}, {"loss": new_loss, "z": new_z})
    """
    rows = np.arange(len(best["loss"])) if rows is None else rows
    better = found["loss"] < best["loss"][rows]
    chosen = np.flatnonzero(better)
    # The last assignment to an index stays: so the points are gone through from the worst to the best.
    chosen = chosen[np.argsort(-found["loss"][chosen], kind="stable")]
    for name, array in best.items():
        array[rows[chosen]] = found[name][chosen]
    return better


def best_of(solutions: Sequence[Solution], method: str | None = None) -> Solution:
    """Choose, instance by instance, the solution of lowest loss; the cost is that of all together.

    Example
    -------
    >>> best_of([refined, baseline])
    """
    if wrong := [one for one in solutions if not isinstance(one, Solution)]:
        raise ArgumentError("solutions", "Solutions", describe(wrong[0]))
    if not solutions or any(one.problem_set is not solutions[0].problem_set for one in solutions):
        raise ArgumentError("solutions", "at least one, all of the same problem set", f"{len(solutions)}")
    chosen = {name: array.copy() for name, array in _points(solutions[0]).items()}
    for other in solutions[1:]:
        keep_better(chosen, _points(other))
    return replace(
        solutions[0],
        method=method or "best of " + ", ".join(one.method for one in solutions),
        last=Point(*(chosen.pop(f"last_{part}") for part in Point._fields)),
        seconds=sum(one.seconds for one in solutions),
        compile_seconds=sum(one.compile_seconds for one in solutions),
        solver=", ".join(dict.fromkeys(one.solver for one in solutions)),
        confirmation=None,
        **{name: np.sum([getattr(one, name) for one in solutions], axis=0) for name in COUNTS},
        **chosen,  # type: ignore[arg-type]
    )


def with_runs(best: Solution, rows: NDArray[np.intp], found: Solution) -> Solution:
    """Return ``best`` with further runs: the better point of each instance, and the cost of all.

    Parameters
    ----------
    best
        The solution so far, of n instances.
    rows
        Which of them the m runs are of, (m,); an instance may come several times.
    found
        The runs, a solution of the problem set ``best.problem_set[rows]``.

    Example
    -------
    >>> with_runs(solution, rows, LockstepLBFGS().solve(problem_set[rows], start=starts))
    """
    names = ("xi", "z", "loss", "status")
    arrays = {name: getattr(best, name).copy() for name in names}
    keep_better(arrays, {name: getattr(found, name) for name in names}, rows)
    counts = {name: getattr(best, name).copy() for name in COUNTS}
    for name, count in counts.items():
        np.add.at(count, rows, getattr(found, name))
    return replace(
        best,
        **arrays,
        **counts,
        seconds=best.seconds + found.seconds,
        compile_seconds=best.compile_seconds + found.compile_seconds,
        last=best.last._replace(xi=arrays["xi"], z=arrays["z"], loss=arrays["loss"]),
    )


def _points(solution: Solution) -> Mapping[str, NDArray[Any]]:
    last = {f"last_{part}": array for part, array in solution.last._asdict().items()}
    return {name: getattr(solution, name) for name in ("xi", "z", "loss", "status")} | last
