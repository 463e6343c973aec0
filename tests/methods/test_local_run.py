from __future__ import annotations

import numpy as np
from helpers import Decay, decay_set

from kerasjoint import Status
from kerasjoint.methods.local_run import LocalRun, initial_status


def test_status_at_the_start() -> None:
    status = initial_status(np.array([1.0, 1.0, np.inf]), np.array([[0.0, 1e-300], [0.0, 0.0], [0.0, 0.0]]))
    assert status.tolist() == [Status.RUNNING, Status.STATIONARY, Status.NON_FINITE]


def test_checkpoints_line_up_instances_that_advance_at_their_own_pace() -> None:
    problem_set = decay_set(Decay(), n=3)
    start = np.zeros((3, 1))
    run = LocalRun(problem_set, start, max_iterations=50)
    for row, iterations in ((2, 4), (0, 2)):
        for k in range(1, iterations + 1):
            z = np.array([[0.01 * k]])
            for _ in range(row):
                run.objective(z, np.array([row]))
            loss, _ = run.objective(z, np.array([row]))
            run.reach(np.array([row]), z, loss)
    found = {checkpoint.iteration: checkpoint for checkpoint in run.checkpoints()}
    assert list(found) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found[0].z, start)
    np.testing.assert_allclose(found[2].z[:, 0], [0.02, 0.0, 0.02])
    np.testing.assert_allclose(found[3].z[:, 0], [0.02, 0.0, 0.03])
    np.testing.assert_allclose(found[4].z[:, 0], [0.02, 0.0, 0.04])
    assert found[3].evaluations.tolist() == [3, 1, 10]
    space = problem_set.problem.space
    for checkpoint in found.values():
        expected = problem_set.objective(space.to_xi(checkpoint.z, problem_set.guess))
        np.testing.assert_allclose(checkpoint.loss, expected, rtol=1e-12)
    history = run.solution("by hand", "None").history
    assert history["iteration"].tolist() == [0, 1, 2, 3, 4]
    seconds = history["seconds"] / history["evaluations"]
    np.testing.assert_allclose(seconds, seconds[0])
