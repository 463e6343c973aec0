from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Decay, assert_same_bits, decay_set

from kerasjoint import ArgumentError, ProblemSet, Solution, Status, refine
from kerasjoint.best import best_of
from kerasjoint.counting import CountingObjective, History
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.solution import Point


def made(problem_set: ProblemSet, xi: list[float], method: str = "by hand", evaluations: int = 3) -> Solution:
    """The solution at ``xi``, with a last iterate that is a little worse."""
    n, space = len(problem_set), problem_set.problem.space
    best, last = (np.array(xi)[:, None] + move for move in (0.0, 0.1))
    z, last_z = (space.to_z(point, problem_set.guess) for point in (best, last))
    return Solution(
        method=method,
        problem_set=problem_set,
        xi=best,
        z=z,
        loss=problem_set.objective(best),
        status=np.full(n, Status.CONVERGED, dtype=np.int8),
        evaluations=np.full(n, evaluations),
        iterations=np.full(n, 2),
        seconds=1.5,
        compile_seconds=0.5,
        last=Point(last, last_z, problem_set.objective(last)),
        history=pd.DataFrame({"iteration": [0]}),
        solver=method.title(),
    )


def test_a_status_is_an_integer_with_a_message() -> None:
    assert [int(status) for status in Status] == list(range(10))
    assert all(len(status.message) > 10 for status in Status)
    assert Status(3) is Status.STATIONARY
    assert "gradient is exactly zero" in Status(np.int8(3)).message


def test_to_frame(decay: ProblemSet) -> None:
    xi = decay.truth[:, 0] + [0.0, 0.5, 0.0, -0.2]
    frame = made(decay, xi).to_frame()
    columns = "instance rate loss status at_bounds evaluations iterations non_finite true rate solved"
    assert " ".join(frame.columns) == columns
    assert frame["instance"].tolist() == [0, 1, 2, 3]
    assert frame["rate"].tolist() == xi.tolist()
    assert frame["true rate"].tolist() == decay.truth[:, 0].tolist()
    assert frame["solved"].tolist() == [True, False, True, False]
    assert set(frame["status"]) == {"CONVERGED"}
    unknown = ProblemSet(decay.problem, decay.x, decay.y)
    assert "solved" not in made(unknown, xi).to_frame()
    assert made(unknown, xi).solved is None
    assert repr(made(decay, xi)).startswith("Solution(by hand, n=4, mean loss=0.")
    assert "solved=50%" in repr(made(decay, xi))


def test_at_last_reports_the_last_iterate(decay: ProblemSet) -> None:
    solution = made(decay, decay.truth[:, 0])
    last = solution.last_iterate
    np.testing.assert_allclose(last.xi, decay.truth + 0.1)
    np.testing.assert_array_equal(last.loss, decay.objective(last.xi))
    np.testing.assert_allclose(decay.problem.space.to_xi(last.z, decay.guess), last.xi)
    assert (last.loss > solution.loss).all()
    assert last.seconds == solution.seconds


def test_best_of_chooses_per_instance_and_adds_the_cost(decay: ProblemSet) -> None:
    truth = decay.truth[:, 0]
    first = made(decay, np.add(truth, [0.0, 0.5, 0.1, 0.3]), "first", evaluations=3)
    second = made(decay, np.add(truth, [0.2, 0.0, 0.4, 0.3]), "second", evaluations=10)
    best = best_of([first, second])
    np.testing.assert_array_equal(best.loss, np.minimum(first.loss, second.loss))
    np.testing.assert_allclose(best.xi[:, 0] - truth, [0, 0, 0.1, 0.3], atol=1e-14)
    np.testing.assert_array_equal(best.loss, decay.objective(best.xi))
    np.testing.assert_array_equal(best.last.loss, decay.objective(best.last.xi))
    assert best.evaluations.tolist() == [13] * 4
    assert best.iterations.tolist() == [4] * 4
    assert (best.seconds, best.compile_seconds) == (3.0, 1.0)
    assert (best.method, best.solver) == ("best of first, second", "First, Second")
    other = made(decay_set(Decay(), n=4, seed=1), [1.0] * 4)
    for solutions in ([], [first, other]):
        with pytest.raises(ArgumentError, match="solutions"):
            best_of(solutions)


def test_tracking_counts_and_keeps_the_best_of_any_subset(decay: ProblemSet) -> None:
    objective = CountingObjective(decay)
    z_of = decay.problem.space.to_z
    near, far = z_of(decay.truth + 0.1, decay.guess), z_of(decay.truth + 0.6, decay.guess)
    loss, _ = objective(far, np.arange(4))
    rows = np.array([3, 1])
    near_loss, gradient = objective(near[rows], rows)
    objective(far[rows], rows)
    assert objective.evaluations.tolist() == [1, 3, 1, 3]
    np.testing.assert_array_equal(objective.best_loss, [loss[0], near_loss[1], loss[2], near_loss[0]])
    np.testing.assert_array_equal(objective.best_z[:, 0], [far[0, 0], near[1, 0], far[2, 0], near[3, 0]])
    step = 1e-6
    xi = [decay[rows].problem.space.to_xi(near[rows] + move, decay.guess[rows]) for move in (step, -step)]
    difference = (decay[rows].objective(xi[0]) - decay[rows].objective(xi[1])) / (2 * step)
    np.testing.assert_allclose(gradient[:, 0], difference, rtol=1e-6)


def test_history_rows_are_statistics_of_the_instances() -> None:
    history = History(decay_set(Decay(), n=5))
    history.record(3, 7.0, 0.5, np.zeros((5, 1)), np.array([0.0, 5.0, np.inf, 1.0, 2.0]))
    row = history.frame.iloc[0]
    assert (row["iteration"], row["evaluations"], row["seconds"]) == (3, 7, 0.5)
    assert (row["mean"], row["solved"]) == (np.inf, 0.2)
    assert (row["lower_quartile"], row["median"], row["upper_quartile"]) == (1, 2, 5)


def test_saving_and_loading_and_pickling(decay: ProblemSet, tmp_path: Path) -> None:
    solution = LockstepLBFGS().solve(decay)
    path = solution.save(tmp_path / "solution.npz")
    for again in (Solution.load(Decay(), path), pickle.loads(pickle.dumps(solution)), copy.deepcopy(solution)):
        assert_same_bits(solution, again)
        np.testing.assert_array_equal(again.solved, solution.solved)
        pd.testing.assert_frame_equal(again.history, solution.history, check_dtype=False)
        assert repr(again) == repr(solution)
        assert again.is_of(decay)
        assert (refine(decay, again).loss <= solution.loss).all()


def test_loading_refuses_another_problem_and_other_files(decay: ProblemSet, tmp_path: Path) -> None:
    class Other(Decay):
        factor = 2.0

    path = made(decay, decay.truth[:, 0]).save(tmp_path / "solution.npz")
    with pytest.raises(ArgumentError, match=r"problem: expected the problem, with its constants, .* got Other"):
        Solution.load(Other(), path)
    with pytest.raises(ArgumentError, match=r"set\.npz: expected what Solution\.save wrote"):
        Solution.load(Decay(), decay.save(tmp_path / "set.npz"))


def test_looking_at_a_solution_runs_no_simulation(decay: ProblemSet) -> None:
    problem_set = ProblemSet(Decay(), decay.x, decay.y, truth=decay.truth)
    solution = made(problem_set, problem_set.truth[:, 0])
    evaluator = problem_set.evaluator
    before = evaluator.values, evaluator.gradients
    history = History(problem_set)
    for _ in range(3):
        history.record(1, 1.0, 0.1, solution.z, solution.loss)
        repr(solution), repr(problem_set), solution.to_frame(), solution.last_iterate, best_of([solution, solution])
        assert solution.is_of(ProblemSet(Decay(), decay.x, decay.y))
        assert problem_set[:2].truth_loss is not None
    assert (evaluator.values, evaluator.gradients) == before
