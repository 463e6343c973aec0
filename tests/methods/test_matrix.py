"""Every method on every problem."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers import Decay, Fragile, Traced, assert_same_bits, decay_set, fragile_set

from kerasjoint import ArgumentError, ProblemSet, Solution, Status, refine
from kerasjoint.methods import METHODS, LockstepLM, MultiStart
from kerasjoint.methods.base import LocalMethod, Method
from kerasjoint.methods.global_search import GlobalSearch
from kerasjoint.methods.neural_adjoint import NeuralAdjoint, _surrogate_set
from kerasjoint.methods.supervised import training_seed
from kerasjoint.models import SurrogateModel

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

EPOCHS = 20
SMALL = {"network": "dense", "network_options": {"widths": (16, 16)}}
LEARNERS = [name for name in METHODS if not METHODS.load(name).refined]
MATRIX = [(method, problem) for method in METHODS for problem in ("wave-packet", "billiards")]


def made(name: str, **arguments: object) -> Method:
    method = METHODS.load(name)
    if not method.refined:
        return method(epochs=EPOCHS, **arguments)
    if issubclass(method, GlobalSearch):
        return method(evaluations=50)
    return method(max_iterations=5, **({"evaluations": 50} if name.endswith("multi-start") else {}))


@pytest.fixture(scope="module")
def solved(problem_sets: dict[str, ProblemSet]) -> object:
    """Solve once per method, problem and seed."""
    return cache(lambda method, problem, seed: made(method).solve(problem_sets[problem], seed))


@pytest.mark.parametrize(("method", "problem"), MATRIX)
def test_the_solution_is_complete_and_true(solved, problem_sets, method: str, problem: str) -> None:
    problem_set, solution = problem_sets[problem], solved(method, problem, 0)
    n, d = len(problem_set), problem_set.problem.space.size
    assert isinstance(solution, Solution)
    assert (solution.method, solution.problem_set) == (method, problem_set)
    for point in (solution, solution.last):
        assert point.xi.shape == point.z.shape == (n, d)
        assert point.xi.dtype == point.z.dtype == point.loss.dtype == np.float64
        assert np.isfinite(point.xi).all()
        np.testing.assert_allclose(point.loss, problem_set.objective(point.xi), rtol=1e-9, atol=1e-20)
        np.testing.assert_allclose(problem_set.problem.space.to_xi(point.z, problem_set.guess), point.xi, rtol=1e-9)
        problem_set.problem.space.check_inside(point.xi, "xi")
    for name in ("status", "evaluations", "iterations", "non_finite"):
        assert getattr(solution, name).shape == (n,)
    if method != "neural-adjoint":  # which sees the surrogate's loss alone
        assert (solution.loss <= solution.last.loss).all()
    assert (solution.evaluations > 0).all()
    assert not solution.non_finite.any()
    assert solution.seconds > 0
    assert len(solution.to_frame()) == n


@pytest.mark.parametrize(("method", "problem"), MATRIX)
def test_the_history_holds_the_true_objective(solved, problem_sets, method: str, problem: str) -> None:
    problem_set, solution = problem_sets[problem], solved(method, problem, 0)
    history = solution.history
    assert history["iteration"].is_monotonic_increasing
    assert history["seconds"].is_monotonic_increasing
    at_guess = problem_set.objective(problem_set.guess)
    assert history["mean"].iloc[0] == pytest.approx(at_guess.mean(), rel=1e-9)
    assert history["median"].iloc[0] == pytest.approx(np.sort(at_guess)[1], rel=1e-9)
    last = problem_set.objective(solution.last.xi)
    assert history["mean"].iloc[-1] == pytest.approx(last.mean(), rel=1e-9)
    assert history["upper_quartile"].iloc[-1] == pytest.approx(np.sort(last)[2], rel=1e-9)


@pytest.mark.parametrize(("method", "problem"), MATRIX)
def test_a_seed_fixes_every_bit(solved, problem_sets, method: str, problem: str) -> None:
    first, other = solved(method, problem, 0), solved(method, problem, 1)
    assert_same_bits(first, made(method).solve(problem_sets[problem], 0))
    if method in LEARNERS:
        assert (first.last.xi != other.last.xi).any(axis=1).all()
    elif issubclass(METHODS.load(method), LocalMethod):
        assert_same_bits(first, other)


@pytest.mark.parametrize("method", LEARNERS)
def test_what_a_learner_costs(solved, method: str) -> None:
    solution = solved(method, "billiards", 0)
    # The joint method simulates every epoch; the others once for each example, and supervised learning nothing else.
    assert (solution.evaluations == (EPOCHS if method == "reparameterized" else 1)).all()
    assert (solution.status == Status.TRAINED).all()
    if method != "neural-adjoint":
        assert (solution.iterations == EPOCHS).all()
        assert solution.history["iteration"].iloc[-1] == EPOCHS


def test_the_joint_method_gets_somewhere(solved, problem_sets) -> None:
    for problem in ("wave-packet", "billiards"):
        problem_set = problem_sets[problem]
        solution = solved("reparameterized", problem, 0)
        assert (solution.loss <= problem_set.objective(problem_set.guess)).all()
        assert solution.loss.sum() < 0.99 * problem_set.objective(problem_set.guess).sum()


@pytest.mark.parametrize("method", LEARNERS)
def test_a_run_leaves_nothing_behind_for_the_next(problem_sets, solved, method: str) -> None:
    """Compiled models are reused: weights, optimizer state and best points of an earlier run must not be."""
    problem_set = problem_sets["billiards"]
    expected = solved(method, "billiards", 0)
    other = problem_set.problem.sample(4, seed=9)
    made(method).solve(other, seed=5)
    assert_same_bits(expected, made(method).solve(problem_set, seed=0))


@pytest.mark.parametrize(
    "method",
    ["reparameterized", "supervised", "lbfgs", "lockstep-lbfgs", "lockstep-lm", "lockstep-hybrid", "scipy-lbfgs"],
)
def test_a_second_problem_set_of_equal_shapes_traces_nothing(method: str) -> None:
    problem, options = TracedSampled(), SMALL if method in LEARNERS else {}
    made(method, **options).solve(problem.sample(4, 0), seed=0)
    traces = problem.traces
    made(method, **options).solve(problem.sample(4, 1), seed=1)
    assert problem.traces == traces


def test_examples_are_other_instances_of_the_same_seed(problem_sets) -> None:
    assert training_seed(0) != training_seed(1)
    examples = problem_sets["billiards"].problem.sample_training(4, training_seed(0))
    assert not np.isin(examples.x["cue"], problem_sets["billiards"].x["cue"]).any()


def test_the_neural_adjoint_can_keep_the_start(solved, problem_sets) -> None:
    """Where it ends no lower than at the guess, the instance stays there, and its refinement is that of the guess."""
    problem_set, plain = problem_sets["billiards"], solved("neural-adjoint", "billiards", 0)
    at_guess = problem_set.objective(problem_set.guess)
    lower = plain.loss < at_guess
    assert lower.any()
    assert not lower.all()
    kept = NeuralAdjoint(epochs=EPOCHS, keep_start=True).solve(problem_set, seed=0)
    np.testing.assert_array_equal(kept.loss, np.where(lower, plain.loss, at_guess))
    np.testing.assert_array_equal(kept.xi, np.where(lower[:, None], plain.xi, problem_set.guess))
    np.testing.assert_array_equal(kept.last.xi, plain.last.xi)
    local = LockstepLM().solve(problem_set)
    refined = refine(problem_set, kept)
    np.testing.assert_array_equal(refined.xi[~lower], local.xi[~lower])


def test_the_boundary_loss_of_the_neural_adjoint(problem_sets) -> None:
    """It is 0 in the box of the examples, and rises linearly outside, for each unknown in units of its scale."""
    problem_set = problem_sets["billiards"]
    space = problem_set.problem.space
    examples = problem_set.problem.sample_training(4, 0)
    model = SurrogateModel.for_problem_set(problem_set)
    heavy, none = (_surrogate_set(problem_set, examples, model, weight) for weight in (7.0, 0.0))
    low, high = examples.truth.min(axis=0), examples.truth.max(axis=0)
    xi = np.array([(low + high) / 2, low + 0.01, np.add(high, [0.3, 0.0]), low - [0.1, 0.2]])
    linear = (xi - problem_set.guess) / space.scale
    expected = 7 * np.array([0, 0, 0.3 / space.scale[0], 0.1 / space.scale[0] + 0.2 / space.scale[1]])
    np.testing.assert_allclose(heavy.objective(linear) - none.objective(linear), expected, atol=1e-12)


class TracedSampled(Traced):
    def sample(self, n: int, seed: int) -> ProblemSet:
        return decay_set(self, n, seed)


class FragileSampled(Fragile):
    def sample(self, n: int, seed: int) -> ProblemSet:
        truth = np.random.default_rng(seed).uniform(1, 3, (n, 1))
        x = {"bad": np.zeros(n), "stretch": np.linspace(-1, 1, n)}
        return ProblemSet(self, x, self.simulate(truth, x), truth)


@pytest.mark.parametrize("method", LEARNERS)
def test_one_bad_instance_is_survived(method: str) -> None:
    problem_set = fragile_set(FragileSampled(), [0, 0, 1, 0])
    solution = made(method, **SMALL).solve(problem_set)
    assert np.isposinf(solution.loss).tolist() == [False, False, True, False]
    assert np.isfinite(solution.xi).all()
    if method == "reparameterized":
        assert solution.non_finite.tolist() == [0, 0, EPOCHS, 0]
        assert (np.delete(solution.loss, 2) < np.delete(problem_set.objective(problem_set.guess), 2)).all()


@pytest.mark.parametrize(
    "method", [NeuralAdjoint(epochs=20, keep_start=True, **SMALL), MultiStart(evaluations=60)], ids=lambda one: one.name
)
def test_one_bad_instance_changes_no_other(method: Method) -> None:
    problem, others = FragileSampled(), [0, 1, 3, 4, 5]
    fine, bad = (method.solve(fragile_set(problem, [0, 0, flag, 0, 0, 0]), seed=2) for flag in (0, 1))
    assert np.isposinf(bad.loss).tolist() == [False, False, True, False, False, False]
    for name in ("xi", "loss", "evaluations", "status"):
        np.testing.assert_array_equal(getattr(fine, name)[others], getattr(bad, name)[others], err_msg=name)


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs: expected a positive integer"),
        ({"epochs": 1.5}, "epochs: expected a positive integer"),
        ({"learning_rate": -1e-3}, "learning_rate: expected a positive number"),
        ({"learning_rate": "fast"}, "learning_rate: expected a positive number"),
        ({"network": "convolution"}, "network: expected one of .*did you mean 'convolutional'"),
    ],
)
def test_bad_settings_are_refused(method: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        METHODS.load(method)(**arguments)


@pytest.mark.parametrize("method", LEARNERS)
def test_options_that_a_network_does_not_have_and_other_sets_are_refused(problem_sets, method: str) -> None:
    with pytest.raises(ArgumentError, match=r"network_options: .*depth"):
        METHODS.load(method)(network="dense", network_options={"depth": 3}).solve(problem_sets["billiards"])
    with pytest.raises(ArgumentError, match="problem_set: expected a ProblemSet"):
        METHODS.load(method)().solve(decay_set(Decay(), 2).y)
