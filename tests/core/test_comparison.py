from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet, Solution, compare
from kerasjoint.methods import LBFGS
from kerasjoint.problems import Billiards

LOSSES = {
    "base": [1.0, 1.0, 2.0, np.inf, 3.0],
    "other": [0.5, 1.0, 2.0 + 1e-7, np.inf, 4.0],
    "broken": [np.nan, np.inf, 2.0, 5.0, np.nan],
}


@pytest.fixture(scope="module")
def solved() -> Solution:
    return LBFGS(max_iterations=1).solve(decay_set(Decay(), n=5))


@pytest.fixture(scope="module")
def solutions(solved: Solution) -> dict[str, Solution]:
    return {name: replace(solved, loss=np.array(loss), seconds=2.0) for name, loss in LOSSES.items()}


def wilson(hits: int, n: int) -> tuple[float, float]:
    z, p = 1.959963984540054, hits / n
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


@pytest.mark.parametrize(
    ("name", "strict", "tolerant"),
    [("base", (0, 5, 0), (0, 5, 0)), ("other", (1, 2, 2), (1, 3, 1)), ("broken", (1, 1, 3), (1, 1, 3))],
)
def test_fractions_and_their_intervals(
    solutions: dict[str, Solution], name: str, strict: tuple[int, ...], tolerant: tuple[int, ...]
) -> None:
    row = compare(solutions, reference="base").set_index("method").loc[name]
    for suffix, counts in (("", strict), ("_tol", tolerant)):
        for column, hits in zip(("better", "equal", "worse"), counts, strict=True):
            assert row[column + suffix] == hits / 5
            got = row[f"{column}{suffix}_low"], row[f"{column}{suffix}_high"]
            assert got == pytest.approx(wilson(hits, 5), abs=1e-12)


def test_losses_cost_and_errors(solutions: dict[str, Solution], solved: Solution) -> None:
    table = compare(solutions, reference="base")
    assert table["method"].tolist() == list(LOSSES)
    assert table.attrs == {"reference": "base", "relative_tolerance": 1e-6, "absolute_tolerance": 1e-12}
    other, broken = table.iloc[1], table.iloc[2]
    assert (other["n"], other["seconds"], other["evaluations"]) == (5, 2.0, solved.evaluations.mean())
    assert (other["median_loss"], other["mean_loss"], other["worst_loss"]) == (2.0 + 1e-7, np.inf, np.inf)
    assert (broken["median_loss"], broken["mean_loss"]) == (np.inf, np.inf)
    error = np.abs(solved.xi - solved.problem_set.truth)[:, 0] / 2.5
    assert other["median_error"] == pytest.approx(np.median(error), rel=1e-12)
    solved_fraction = np.mean(np.array(LOSSES["other"]) <= 1e-9)
    assert other["solved"] == solved_fraction == 0


def test_the_tolerance_can_be_chosen_and_serves_negative_losses(solved: Solution) -> None:
    pair = {name: replace(solved, loss=np.full(5, loss)) for name, loss in (("a", -1.0), ("b", -1.01))}
    for relative, equal in ((0.02, 1.0), (0.005, 0.0)):
        row = compare(pair, reference="a", relative_tolerance=relative, absolute_tolerance=0.0).iloc[1]
        assert (row["equal_tol"], row["better_tol"], row["better"]) == (equal, 1 - equal, 1.0)


def test_what_nobody_knows_is_nan(decay: ProblemSet) -> None:
    unknown = ProblemSet(decay.problem, decay.x, decay.y)
    row = compare({"a": LBFGS(max_iterations=1).solve(unknown)}, reference="a").iloc[0]
    assert np.isnan([row["solved"], row["solved_low"], row["median_error"]]).all()


def test_equal_instances_compare_even_when_built_twice(solutions: dict[str, Solution], solved: Solution) -> None:
    twin = replace(solved, problem_set=decay_set(Decay(), n=5))
    assert compare({"a": solved, "b": twin}, reference="a")["equal"].tolist() == [1.0, 1.0]


def test_different_instances_are_refused(solved: Solution, billiards: ProblemSet) -> None:
    smaller, drawn_anew = decay_set(Decay(), n=4), decay_set(Decay(), n=5, seed=1)
    later = ProblemSet(solved.problem_set.problem, {"time": solved.problem_set.x["time"] + 1}, solved.problem_set.y)
    with pytest.raises(ArgumentError, match="loss: expected 4 instances as in the problem set, got 5"):
        replace(solved, problem_set=smaller)
    for other in (drawn_anew, later):
        with pytest.raises(ArgumentError, match=r"solutions\['b'\]: expected a solution of the problem set of 'a'"):
            compare({"a": solved, "b": replace(solved, problem_set=other)}, reference="a")
    # In billiards the target is everywhere the same: the condition alone tells instances apart.
    shot = LBFGS(max_iterations=1).solve(billiards)
    with pytest.raises(ArgumentError, match="problem set"):
        compare({"a": shot, "b": replace(shot, problem_set=Billiards().sample(4, seed=1))}, reference="a")


def test_nonsense_is_refused(solved: Solution) -> None:
    with pytest.raises(ArgumentError, match=r"reference: expected one of \['a'\], got 'b'"):
        compare({"a": solved}, reference="b")
    for order in (("a", "b"), ("b", "a")):
        mixed = {"a": solved, "b": np.zeros(3)}
        with pytest.raises(ArgumentError, match=r"solutions\['b'\]: expected a Solution, got ndarray"):
            compare({name: mixed[name] for name in order}, reference="b")
