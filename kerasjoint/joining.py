"""Solutions of the parts of a problem set, without their data, joined to the solution of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.confirmation import Confirmation, Minima
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import ARRAYS, CONFIRMATION, Point, Solution


class Part(NamedTuple):
    """The solution of a part of a problem set, without the data: small to keep and to send."""

    method: str
    solver: str
    arrays: dict[str, NDArray[Any]]
    last: Point
    confirmation: Confirmation | None
    truth_loss: NDArray[np.float64] | None
    seconds: float
    compile_seconds: float
    history: pd.DataFrame

    @classmethod
    def of(cls, solution: Solution) -> Self:
        """Return what is kept of a solution."""
        return cls(
            solution.method,
            solution.solver,
            {name: getattr(solution, name) for name in ARRAYS},
            solution.last,
            solution.confirmation,
            solution.problem_set.truth_loss,
            solution.seconds,
            solution.compile_seconds,
            solution.history,
        )


def join(problem_set: ProblemSet, parts: Sequence[Part], seconds: float, compile_seconds: float) -> Solution:
    """Return the solution of a problem set whose instances, in their order, are those of the parts.

    The rows of its history are means over the instances, of quartiles too, which is not quite theirs; seconds are
    shared out over it by cost.

    Example
    -------
    >>> parts = [Part.of(method.solve(part)) for part in (problem_set[:50], problem_set[50:])]
    >>> join(problem_set, parts, seconds=3.2, compile_seconds=0.4)
    """
    truths = [part.truth_loss for part in parts if part.truth_loss is not None]
    if len(truths) == len(parts):
        problem_set.keep_truth_loss(np.concatenate(truths))
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in ARRAYS}
    return Solution(
        method=parts[0].method,
        problem_set=problem_set,
        **arrays,
        seconds=seconds,
        compile_seconds=compile_seconds,
        last=Point(*(np.concatenate(fields) for fields in zip(*(part.last for part in parts), strict=True))),
        history=_history(parts, seconds),
        solver=parts[0].solver,
        confirmation=_confirmation(parts),
    )


def _history(parts: Sequence[Part], seconds: float) -> pd.DataFrame:
    """Average over the instances; a part that has ended stays where it ended."""
    if any(part.history.empty for part in parts):
        return pd.DataFrame()
    tables = [part.history.drop_duplicates("iteration", keep="last").set_index("iteration") for part in parts]
    iterations = sorted(set().union(*(table.index for table in tables)))
    sizes = [len(part.arrays["loss"]) for part in parts]
    mean = pd.DataFrame(0.0, index=pd.Index(iterations, name="iteration"), columns=tables[0].columns)
    for size, table in zip(sizes, tables, strict=True):
        mean += table.reindex(iterations).ffill().bfill() * (size / sum(sizes))
    mean["seconds"] = seconds * mean["evaluations"] / max(float(mean["evaluations"].iloc[-1]), 1.0)
    return mean.reset_index()


def _confirmation(parts: Sequence[Part]) -> Confirmation | None:
    known = [part.confirmation for part in parts if part.confirmation is not None]
    if len(known) < len(parts):
        return None
    first = np.cumsum([0, *(len(part.arrays["loss"]) for part in parts)])
    instance = np.concatenate([begin + one.minima.instance for begin, one in zip(first[:-1], known, strict=True)])
    minima = {name: np.concatenate([getattr(one.minima, name) for one in known]) for name in ("z", "loss", "hits")}
    counts = {name: np.concatenate([getattr(one, name) for one in known]) for name in CONFIRMATION}
    return Confirmation(**counts, minima=Minima(instance, **minima))
