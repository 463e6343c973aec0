from __future__ import annotations

import numpy as np
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet

TIME = np.tile([0.1, 0.2, 0.3], (3, 1))
Y = np.exp(-TIME)
HOLED = np.where(np.arange(3)[:, None] == [0, 1, 2], np.nan, Y) * [[1], [1], [1]]


@pytest.fixture(scope="module")
def problem() -> Decay:
    return Decay()


def test_what_it_holds(problem: Decay) -> None:
    problem_set = ProblemSet(problem, {"time": TIME}, Y, truth={"rate": [1, 2, 3]})
    assert len(problem_set) == 3
    assert problem_set.y.dtype == problem_set.x["time"].dtype == problem_set.truth.dtype == np.float64
    assert problem_set.guess.tolist() == [[1.0]] * 3
    assert problem_set.truth.tolist() == [[1.0], [2.0], [3.0]]
    assert repr(problem_set) == "ProblemSet(Decay, n=3, x={'time': (3,)}, y=(3,))"


def test_it_cannot_be_changed_and_leaves_the_users_arrays_alone(problem: Decay) -> None:
    y = Y.copy()
    problem_set = ProblemSet(problem, {"time": TIME}, y)
    with pytest.raises(ValueError, match="read-only"):
        problem_set.y[0] = 0
    y[0] = 7
    assert problem_set.y[0, 0] == Y[0, 0]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("convert", [np.float32, np.int64, np.uint8, list, tuple])
def test_any_real_numbers_will_do(problem: Decay, convert: object, n: int) -> None:
    whole = np.arange(3 * n).reshape(n, 3)
    given = whole.astype(convert) if isinstance(convert, type) and issubclass(convert, np.number) else convert(whole)
    problem_set = ProblemSet(problem, {"time": given}, given, truth=[[1]] * n)
    expected = np.sum((np.exp(-2.0 * whole) - whole) ** 2, axis=1)
    np.testing.assert_allclose(problem_set.objective([[2]] * n), expected, rtol=1e-12)
    np.testing.assert_allclose(problem_set.objective({"rate": np.full(n, 2, np.float32)}), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": Decay}, "problem: expected an InverseProblem instance, got"),
        ({"x": TIME}, "x: expected a dict"),
        ({"y": None}, "y: expected the observation"),
        ({"y": 1.0}, "y: expected an array with at least one instance"),
        ({"y": np.zeros((0, 3))}, r"y: .*at least one instance.*\(0, 3\)"),
        ({"y": []}, "y: .*at least one instance"),
        ({"y": [["a", "b"]]}, "y: expected real numbers, got dtype <U1"),
        ({"y": np.zeros((3, 3), dtype=complex)}, "y: .*complex128"),
        ({"y": np.array([None, 1.0])}, "y: .*object"),
        ({"y": [[1.0], [1.0, 2.0]]}, "y: .*rows of different lengths"),
        ({"y": HOLED}, "y: expected finite numbers, got NaN or infinity in instances 0, 1, 2"),
        ({"y": np.where(np.arange(20)[:, None] > 4, np.inf, np.ones((20, 1)))}, "instances 5, 6, .* 12 and 7 more"),
        ({"x": {"time": TIME[:2]}}, r"x\['time'\]: expected 3 instances as in y, got 2"),
        ({"x": {"time": TIME * [[1], [np.nan], [1]]}}, r"x\['time'\].*in instances 1$"),
        ({"x": {"time": "soon"}}, r"x\['time'\]: expected real numbers"),
        ({"truth": [[1.0]] * 2}, "truth: expected 3 instances"),
        ({"truth": [1.0] * 3}, r"truth: expected shape \(n, 1\)"),
        ({"truth": {"speed": [1.0] * 3}}, r"truth: expected the unknowns \['rate'\], got \['speed'\]"),
        ({"truth": [[1.0], [np.inf], [1.0]]}, "truth: expected finite numbers.* 1"),
        ({"guess": [[1.0]] * 4}, "guess: expected 3 instances"),
        ({"guess": [[1.0], [5.0], [6.0]]}, "guess: expected values strictly inside .* instances 1, 2 outside"),
        ({"guess": [[1.0], [np.nan], [1.0]]}, "guess: expected finite"),
    ],
)
def test_bad_input_is_refused_by_name(problem: Decay, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ProblemSet(**{"problem": problem, "x": {"time": TIME}, "y": Y} | arguments)


@pytest.mark.parametrize(
    ("xi", "message"),
    [
        (np.ones((2, 1)), "xi: expected 3 instances.*got 2"),
        (np.ones((3, 2)), r"xi: expected shape \(n, 1\)"),
        (np.ones(3), r"xi: expected shape \(n, 1\)"),
        ({"rates": np.ones(3)}, "xi: expected the unknowns"),
        ([["a"]] * 3, "xi: expected real numbers"),
    ],
)
def test_bad_unknowns_are_refused_by_both_evaluations(problem: Decay, xi: object, message: str) -> None:
    problem_set = ProblemSet(problem, {"time": TIME}, Y)
    for evaluate in (problem_set.objective, problem_set.value_and_gradient):
        with pytest.raises(ArgumentError, match=message):
            evaluate(xi)


ROWS = [2, -1, slice(1, None), slice(None, None, -2), [2, 0], np.array([1, 1]), np.array([True, False, False, True])]


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_choosing_instances_is_numpys_indexing(problem: Decay, rows: object) -> None:
    problem_set = decay_set(problem, n=4)
    chosen = problem_set[rows]
    index = [rows] if isinstance(rows, int) else rows
    for name in ("y", "truth", "guess"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(problem_set, name)[index])
    np.testing.assert_array_equal(chosen.x["time"], problem_set.x["time"][index])
    assert chosen.problem is problem


@pytest.mark.parametrize("rows", [4, [0, 9], np.array([True]), [0.5], "first", slice(2, 2), np.zeros(4, bool)], ids=str)
def test_instances_that_are_not_there_are_refused(problem: Decay, rows: object) -> None:
    with pytest.raises(ArgumentError):
        decay_set(problem, n=4)[rows]


def test_iterating_gives_each_instance_and_ends(problem: Decay) -> None:
    problem_set = decay_set(problem, n=3)
    assert [one.truth.item() for one in problem_set] == problem_set.truth[:, 0].tolist()


def test_concatenating_undoes_slicing(problem: Decay) -> None:
    problem_set = decay_set(problem, n=4)
    joined = ProblemSet.concatenate([problem_set[:1], problem_set[1:]])
    for name in ("y", "truth", "guess"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(problem_set, name))
    without = ProblemSet(problem, problem_set.x, problem_set.y)
    assert ProblemSet.concatenate([problem_set, without]).truth is None


class Steeper(Decay):
    factor = 2.0


def test_concatenating_what_does_not_belong_together_is_refused(problem: Decay) -> None:
    first = decay_set(problem, n=2)
    longer = {"time": np.tile(first.x["time"], 2)}
    for other in (
        decay_set(Steeper(), n=2),
        ProblemSet(Decay(), first.x | {"more": np.zeros(2)}, first.y),
        ProblemSet(problem, longer, np.tile(first.y, 2)),
    ):
        with pytest.raises(ArgumentError, match="problem_sets"):
            ProblemSet.concatenate([first, other])
    with pytest.raises(ArgumentError, match="at least one"):
        ProblemSet.concatenate([])


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2", None])
@pytest.mark.parametrize("problem_name", ["wave-packet", "billiards"])
def test_a_useless_count_is_refused(problem_sets: dict[str, ProblemSet], problem_name: str, n: object) -> None:
    problem = problem_sets[problem_name].problem
    for draw in (problem.sample, problem.sample_training):
        with pytest.raises(ArgumentError, match="n: expected a positive integer"):
            draw(n, seed=0)


def test_a_problem_without_a_prior_says_so(problem: Decay) -> None:
    for draw in (problem.sample, problem.sample_training):
        with pytest.raises(ArgumentError, match=r"Decay\.sample"):
            draw(3, seed=0)
