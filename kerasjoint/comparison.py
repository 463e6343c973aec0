"""Solutions of several methods, instance by instance, against a reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.checks import check_number
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.solution import Solution
from kerasjoint.summary import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, summarise

FloatArray = NDArray[np.float64]


def compare(
    solutions: Mapping[str, Solution],
    reference: str,
    *,
    relative_tolerance: float = RELATIVE_TOLERANCE,
    absolute_tolerance: float = ABSOLUTE_TOLERANCE,
) -> pd.DataFrame:
    """Tabulate how methods do against a reference on the same instances.

    Parameters
    ----------
    solutions
        One solution per name, all of the same problem set.
    reference
        The name of the one that the others are compared with.
    relative_tolerance, absolute_tolerance
        Two losses a, b count as equal, beside the strict comparison, when
        |a - b| <= relative_tolerance * max(|a|, |b|) + absolute_tolerance.

    Returns
    -------
    pandas.DataFrame
        One row per name, with

        - ``better``, ``equal``, ``worse``: fractions of instances, strict; the same with the tolerance as
          ``better_tol`` and so on (the tolerance itself in ``attrs``),
        - ``solved``: the fraction the problem counts as solved (NaN if no criterion applies),
        - ``<fraction>_low`` and ``_high``: 95 % Wilson intervals,
        - ``mean_loss``, ``median_loss``, ``worst_loss``, ``median_error`` (of the unknowns, relative to their scale;
          NaN without truth), ``evaluations`` (mean per instance), ``seconds`` and ``compile_seconds``.

    Example
    -------
    >>> compare({"lbfgs": baseline, "reparameterized": refined}, reference="lbfgs").to_csv("comparison.csv")
    """
    if not isinstance(solutions, Mapping):
        raise ArgumentError("solutions", "a dict of solutions by name", type(solutions).__name__)
    if not isinstance(reference, str) or reference not in solutions:
        raise ArgumentError("reference", f"one of {list(solutions)}", describe(reference))
    for name, tolerance in (("relative", relative_tolerance), ("absolute", absolute_tolerance)):
        if check_number(f"{name}_tolerance", tolerance, "a number not below 0") < 0:
            raise ArgumentError(f"{name}_tolerance", "a number not below 0", tolerance)
    for name, solution in solutions.items():
        if not isinstance(solution, Solution):
            raise ArgumentError(f"solutions[{name!r}]", "a Solution", type(solution).__name__)
    base = solutions[reference]
    for name, solution in solutions.items():
        if not solution.is_of(base.problem_set):
            expected = f"a solution of the problem set of {reference!r}"
            raise ArgumentError(f"solutions[{name!r}]", expected, f"one of {solution.problem_set}")
    rows = {
        name: summarise(
            solution.loss,
            base.loss,
            solution.solved,
            error_of_unknowns(solution),
            solution.evaluations,
            relative_tolerance=relative_tolerance,
            absolute_tolerance=absolute_tolerance,
        )
        | {"seconds": solution.seconds, "compile_seconds": solution.compile_seconds}
        for name, solution in solutions.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").reset_index()
    table.attrs = {
        "reference": reference,
        "relative_tolerance": relative_tolerance,
        "absolute_tolerance": absolute_tolerance,
    }
    return table


def error_of_unknowns(solution: Solution) -> FloatArray | None:
    """Return the root mean square error of each instance's unknowns, relative to their scale, if the truth is known."""
    truth = solution.problem_set.truth
    if truth is None:
        return None
    return np.sqrt(np.mean(((solution.xi - truth) / solution.problem_set.space.scale) ** 2, axis=1))
