from __future__ import annotations

import time

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, assert_same_bits, decay_set, fragile_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Solution, Status, Unknown, solve
from kerasjoint.methods import CMAES, AmortizedMultiStart, LockstepLBFGS, MultiStart, Reparameterized
from kerasjoint.methods.proposals import Proposals
from kerasjoint.problems import Billiards, WavePacket

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

BUDGET = 120
QUICK = {"evaluations": BUDGET, "rounds": 3, "steps": 100, "network_options": {"width": 64}}


@pytest.fixture(scope="module")
def waves() -> ProblemSet:
    return WavePacket().sample(48, seed=3)


@pytest.fixture(scope="module")
def found(waves: ProblemSet) -> Solution:
    return AmortizedMultiStart(**QUICK).solve(waves, seed=0)


def test_it_solves_more_than_random_starts_within_the_same_budget(waves: ProblemSet, found: Solution) -> None:
    random = MultiStart(BUDGET).solve(waves, seed=0)
    assert found.solved.sum() > random.solved.sum() + 5
    assert found.cost().mean() <= 1.05 * BUDGET
    assert (found.loss <= LockstepLBFGS().solve(waves).loss).all()
    np.testing.assert_array_equal(found.loss, waves.objective(found.xi))
    np.testing.assert_allclose(waves.space.to_xi(found.z, waves.guess), found.xi, rtol=1e-13)
    assert found.history["mean"].is_monotonic_decreasing
    assert found.history["evaluations"].is_monotonic_increasing
    assert (found.evaluations != AmortizedMultiStart(**QUICK).solve(waves, seed=1).evaluations).any()


def test_shots_that_miss_learn_from_those_that_hit() -> None:
    problem_set = Billiards().sample(48, seed=1)
    alone = LockstepLBFGS().solve(problem_set)
    assert (alone.status == Status.STATIONARY).any()
    found = AmortizedMultiStart(evaluations=100).solve(problem_set, seed=0)
    assert found.solved.mean() > 0.9 > alone.solved.mean()


@pytest.mark.parametrize("n", [1, 3])
def test_few_instances_get_random_starts(n: int) -> None:
    """The budget is too small for training pairs; one shot that misses has only itself to be compared with."""
    problem_set = Billiards().sample(n, seed=0)
    found = AmortizedMultiStart(evaluations=150).solve(problem_set, seed=0)
    assert found.solved.all()
    assert found.cost().max() < 3 * 150


def test_where_the_first_descents_suffice_the_budget_is_left() -> None:
    problem_set = decay_set(Decay(), n=32)
    found = AmortizedMultiStart(evaluations=1000).solve(problem_set)
    assert found.solved.all()
    assert found.cost().mean() < 200


def test_a_bad_instance_is_survived() -> None:
    problem_set = fragile_set(Fragile(), [0, 1] + [0] * 30)
    found = AmortizedMultiStart(evaluations=60, rounds=2, steps=20).solve(problem_set)
    good = np.arange(32) != 1
    assert np.isinf(found.loss[1])
    assert found.status[1] == Status.NON_FINITE
    np.testing.assert_allclose(found.xi[good], 2.0, rtol=1e-6)


def test_a_simulator_without_any_finite_value_gives_a_solution_that_says_so() -> None:
    found = AmortizedMultiStart(evaluations=60, rounds=2, steps=20).solve(fragile_set(Fragile(), [1] * 32))
    assert np.isinf(found.loss).all()
    assert (found.status == Status.NON_FINITE).all()
    assert not found.confirmed.any()


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_a_seed_that_is_none_is_refused(waves: ProblemSet, seed: object) -> None:
    for method in (AmortizedMultiStart(60), MultiStart(60), CMAES(20), Reparameterized(epochs=1)):
        with pytest.raises(ArgumentError, match="seed: expected a whole number not below 0"):
            method.solve(waves, seed=seed)


def test_solve_takes_it_as_it_is_and_the_seed_fixes_every_bit(waves: ProblemSet, found: Solution) -> None:
    method = AmortizedMultiStart(**QUICK)
    assert_same_bits(solve(waves, method, seed=0), found)
    with pytest.raises(ArgumentError, match="local_method: expected none, since amortized-multi-start is not refined"):
        solve(waves, method, local_method="lbfgs")


@pytest.mark.parametrize("arguments", [{"evaluations": 0}, {"rounds": 1.5}, {"value_cost": -1.0}, {"components": True}])
def test_bad_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}: expected a positive"):
        AmortizedMultiStart(**arguments)


@pytest.mark.parametrize("name", ["nonsense", np.array(["auto", "auto"]), np.array([]), ["auto"]])
@pytest.mark.parametrize("argument", ["network", "covariance"])
def test_bad_names_are_refused(argument: str, name: object) -> None:
    with pytest.raises(ArgumentError, match=f"{argument}: expected one of"):
        AmortizedMultiStart(**{argument: name})


class Comb(InverseProblem):
    """Unknowns of every kind of bounds, each seen through a comb of minima; ``chunk`` and a prior if so asked."""

    unknowns = (
        Unknown("inside", lower=-3.0, upper=3.0),
        Unknown("above", lower=0.0, scale=1.0),
        Unknown("free", scale=1.0),
    )

    def __init__(self, chunk: int | None = None, prior: object = None) -> None:
        self.chunk = chunk
        self.drawn = prior

    def forward(self, xi, x):
        flat = tf.stack([xi["inside"], xi["above"], xi["free"]], axis=1) * x["factor"][:, None]
        return tf.concat([flat, 3 * tf.sin(4 * flat)], axis=1)

    def prior(self, n, seed):
        return None if self.drawn is None else self.drawn(n, np.random.default_rng(seed))


def comb_set(problem: Comb, n: int, noise: float = 0.02) -> ProblemSet:
    generator = np.random.default_rng(5)
    truth = np.stack([generator.uniform(-2, 2, n), generator.gamma(2.0, 0.5, n), generator.normal(size=n)], axis=1)
    x = {"factor": generator.uniform(0.8, 1.2, n)}
    y = problem.simulate(truth, x)
    return ProblemSet(problem, x, y + noise * generator.standard_normal(y.shape), truth)


def test_bounds_of_every_kind_in_chunks_and_exact_counts() -> None:
    problem_set = comb_set(Comb(chunk=16), 40)
    evaluator = problem_set.evaluator
    _ = problem_set.truth_loss
    values, gradients = evaluator.values, evaluator.gradients
    method = AmortizedMultiStart(evaluations=200, rounds=3, steps=150)
    found = method.solve(problem_set, seed=0)
    assert found.values.sum() == evaluator.values - values
    assert (found.evaluations - found.values).sum() == evaluator.gradients - gradients
    random = MultiStart(200).solve(problem_set, seed=0)
    assert found.solved.mean() > 0.95
    assert found.solved.sum() >= random.solved.sum()
    problem_set.space.check_inside(found.xi, "xi")
    assert_same_bits(found, method.solve(problem_set, seed=0))


def test_it_trains_only_while_that_is_cheaper_than_to_go_on_without(monkeypatch) -> None:
    trained, learn = [], Proposals.learn

    def watched(self) -> bool:
        trained.append((self._search.unsolved.size, self._count))
        return learn(self)

    monkeypatch.setattr(Proposals, "learn", watched)
    problem_set = WavePacket().sample(64, seed=0)
    found = AmortizedMultiStart(evaluations=1500, steps=100).solve(problem_set, seed=0)
    assert found.solved.mean() > 0.95
    unsolved, pairs = zip(*trained, strict=True)
    # The pairs of a round cost as much as 400 descents: what few instances need at most.
    assert min(unsolved) > 10
    # No more pairs than the steps of 128 look at.
    assert set(pairs) == {100 * 128}


def test_starts_and_first_pairs_come_from_the_prior() -> None:
    asked = []

    def prior(n: int, generator: np.random.Generator) -> dict[str, object]:
        asked.append(n)
        inside = np.where(np.arange(n) % 4, 2.0, 9.0)
        return {"inside": inside, "above": generator.gamma(2.0, 0.5, n), "free": generator.normal(size=n)}

    problem_set = comb_set(Comb(prior=prior), 4)
    rows = np.repeat(np.arange(4), 100)
    starts = problem_set.space.to_xi(problem_set.draw_starts(rows, np.random.default_rng(0)), problem_set.guess[rows])
    assert asked[0] == 400
    # Outside of the bounds: moved inside.
    assert (starts[::4, 0] > 2.99).all()
    assert (starts[::4, 0] < 3).all()
    np.testing.assert_allclose(starts[1::4, 0], 2.0)
    assert starts[:, 1].mean() == pytest.approx(1.0, abs=0.15)
    MultiStart(60).solve(problem_set, seed=0)
    assert len(asked) > 2


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (lambda n, generator: np.zeros((n, 2)), r"Comb\.prior: expected shape \(n, 3\)"),
        (lambda n, generator: np.full((n, 3), np.nan), r"Comb\.prior: expected finite"),
        (lambda n, generator: np.ones((n + 1, 3)), r"Comb\.prior: expected \d+ unknowns as asked for"),
    ],
)
def test_a_prior_that_draws_nonsense_is_refused(drawn: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        MultiStart(100).solve(comb_set(Comb(prior=drawn), 2), seed=0)


def test_time_is_a_budget_too(waves: ProblemSet) -> None:
    began = time.perf_counter()
    found = AmortizedMultiStart(evaluations=10**6, seconds=1.0).solve(waves, seed=0)
    assert time.perf_counter() - began < 60
    assert (found.loss <= LockstepLBFGS().solve(waves).loss).all()


class Wells(InverseProblem):
    """(u^2 - 1)^2 + 0.1 u: a better well at about -1.01, a worse one at about 0.99."""

    unknowns = (Unknown("u", lower=-2.0, upper=2.0, guess=0.5),)

    def forward(self, xi, x):
        return xi["u"]

    def misfit(self, prediction, y, x):
        return tf.square(prediction**2 - 1) + 0.1 * prediction


@pytest.mark.parametrize("method", [MultiStart(400), AmortizedMultiStart(400)], ids=lambda one: one.name)
def test_the_minima_of_a_double_well(method: object, tmp_path) -> None:
    problem_set = ProblemSet(Wells(), y=np.zeros(10))
    found = method.solve(problem_set, seed=0)
    expected = np.sort(np.roots([4, 0, -4, 0.1]))[[0, 2]]
    minima = found.minima
    for instance in range(10):
        mine = minima[minima["instance"] == instance]
        assert mine["u"].iloc[0] == pytest.approx(expected[0], rel=1e-4)
        assert mine["loss"].is_monotonic_increasing
        assert mine["hits"].sum() == found.starts[instance]
        assert mine["hits"].iloc[0] == found.hits[instance]
    often = minima["u"][minima["hits"] > 1].to_numpy()
    # A descent that fails on the way ends somewhere else.
    assert (np.abs(often[:, None] - expected).min(axis=1) < 1e-4).all()
    assert (np.abs(minima["u"].to_numpy()[:, None] - expected).min(axis=0) < 1e-4).all()
    assert found.confirmed.all()
    # The basins part near the maximum in the middle.
    assert found.hits.sum() / found.starts.sum() == pytest.approx(0.5, abs=0.2)
    again = Solution.load(Wells(), found.save(tmp_path / "solution.npz"))
    np.testing.assert_array_equal(again.missed, found.missed)
    assert again.minima.equals(minima)
    assert found.to_frame()["confirmed"].all()
    assert LockstepLBFGS().solve(problem_set).confirmed is None


@pytest.mark.parametrize(("size", "budget"), [(1, 300), (5, 500)])
def test_the_default_budget_grows_with_the_unknowns(monkeypatch, size: int, budget: int) -> None:
    class Found(Exception):
        pass

    def search(problem_set, from_guess, from_start, evaluations, *others):
        raise Found(evaluations)

    class Many(InverseProblem):
        unknowns = (Unknown("u", (size,), scale=1.0),)

        def forward(self, xi, x):
            return xi["u"]

    monkeypatch.setattr("kerasjoint.methods.amortized_multi_start.Search", search)
    with pytest.raises(Found, match=str(budget)):
        AmortizedMultiStart().solve(ProblemSet(Many(), {}, np.zeros((2, size))))
