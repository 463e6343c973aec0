from __future__ import annotations

import numpy as np
import pytest

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import PhaseRetrieval


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return PhaseRetrieval().sample(8, seed=0)


def test_the_magnitudes_against_numpys_transform(problem_set: ProblemSet) -> None:
    padded = np.zeros((8, 12, 12))
    padded[:, :6, :6] = problem_set.truth.reshape(8, 6, 6)
    expected = np.abs(np.fft.fft2(padded))[:, :, :7]
    np.testing.assert_allclose(problem_set.problem.simulate(problem_set.truth), expected, atol=1e-9)


def test_they_determine_the_autocorrelation_and_no_more(problem_set: ProblemSet) -> None:
    """Wiener and Khinchin: the inverse transform of the squares is the picture's correlation with itself."""
    picture = problem_set.truth[0].reshape(6, 6)
    squares = problem_set.problem.simulate(problem_set.truth[:1])[0] ** 2
    got = np.fft.irfft2(squares, s=(12, 12))
    for a in range(6):
        for b in range(6):
            expected = np.sum(picture[: 6 - a, : 6 - b] * picture[a:, b:])
            assert got[a, b] == pytest.approx(expected, abs=1e-9)


def test_the_negative_and_the_turned_picture_are_solutions_too(problem_set: ProblemSet) -> None:
    pictures = problem_set.truth.reshape(8, 6, 6)
    for other in (-pictures, pictures[:, ::-1, ::-1], -pictures[:, ::-1, ::-1]):
        loss = problem_set.objective(other.reshape(8, 36))
        np.testing.assert_allclose(loss, problem_set.truth_loss, rtol=1e-9)
        assert problem_set.solved(loss, other.reshape(8, 36)).all()
    mirrored = problem_set.objective(pictures[:, ::-1].reshape(8, 36))
    assert (mirrored > 10 * problem_set.truth_loss).all()


def test_the_scale_of_magnitudes_and_noise() -> None:
    problem_set = PhaseRetrieval().sample(64, seed=3)
    clean = problem_set.problem.simulate(problem_set.truth)
    assert np.sqrt(np.mean(clean**2)) == pytest.approx(6, rel=0.05)
    assert (problem_set.y - clean).std() == pytest.approx(0.05, rel=0.03)


def test_a_black_picture_has_a_gradient() -> None:
    problem_set = PhaseRetrieval(noise=0.0).sample(2, seed=0)
    loss, gradient = problem_set.value_and_gradient(np.zeros((2, 36)))
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()


def test_descents_from_near_the_truth_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    """No other minimum is as good, but for the sign and the turned picture."""
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    near, far = LockstepLBFGS().solve(problem_set, start=start), LockstepLBFGS().solve(problem_set)
    assert near.solved.all()
    np.testing.assert_allclose(near.xi, problem_set.truth, atol=0.2)
    assert far.solved.mean() <= 0.25


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"size": 0}, "size"), ({"size": 100}, "size"), ({"size": True}, "size"), ({"noise": -1.0}, "noise")],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        PhaseRetrieval(**arguments)
    assert caught.value.argument == name
