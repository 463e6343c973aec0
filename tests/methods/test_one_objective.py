"""Weights, priors and other terms count alike in training, refinement, comparison and tables."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set

from kerasjoint import (
    ArgumentError,
    InverseProblem,
    ProblemSet,
    Status,
    Unknown,
    compare,
    refine,
    solve,
    wrap_jax,
    wrap_numpy,
)
from kerasjoint.methods import (
    CMAES,
    METHODS,
    AmortizedMultiStart,
    BasinHopping,
    DifferentialEvolution,
    LockstepLBFGS,
    MultiLevelSingleLinkage,
    MultiStart,
    NeuralAdjoint,
    Reparameterized,
    ScipyLBFGS,
    Supervised,
)

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

PLACES = np.linspace(-1, 1, 12)
MEAN, SPREAD = np.array([200.0, 0.5, 0.02]), np.array([80.0, 0.4, 0.01])


class Parabola(InverseProblem):
    """level + slope s + bend s^2, of very different scales, from noisy points; a Gaussian prior, half of it bounded."""

    unknowns = (
        Unknown("level", scale=100.0, guess=150.0),
        Unknown("slope", lower=-100.0, upper=100.0, guess=1.0),
        Unknown("bend", scale=0.01),
    )

    def forward(self, xi, x):
        s = tf.constant(PLACES, xi["level"].dtype)
        return xi["level"][:, None] + xi["slope"][:, None] * s + 1e4 * xi["bend"][:, None] * s**2

    def residuals(self, prediction, y, x):
        return (prediction - y) / x["noise"][:, None]

    def regularizer(self, xi, x):
        terms = zip(("level", "slope", "bend"), MEAN, SPREAD, strict=True)
        return tf.add_n([tf.square((xi[name] - mean) / spread) for name, mean, spread in terms])

    def sample(self, n, seed):
        generator = np.random.default_rng(seed)
        truth = MEAN + SPREAD * generator.standard_normal((n, 3))
        noise = generator.uniform(5, 100, n)
        clean = self.simulate(truth, {"noise": noise})
        return ProblemSet(
            self, {"noise": noise}, clean + noise[:, None] * generator.standard_normal(clean.shape), truth
        )


def most_probable(problem_set: ProblemSet) -> tuple[np.ndarray, np.ndarray]:
    """Solve the normal equations of each instance; return unknowns and objective."""
    design = np.stack([np.ones_like(PLACES), PLACES, 1e4 * PLACES**2], axis=1)
    xi, loss = [], []
    for y, noise in zip(problem_set.y, problem_set.x["noise"], strict=True):
        precision = design.T @ design / noise**2 + np.diag(SPREAD**-2)
        found = np.linalg.solve(precision, design.T @ y / noise**2 + MEAN / SPREAD**2)
        xi.append(found)
        loss.append(np.sum(((design @ found - y) / noise) ** 2) + np.sum(((found - MEAN) / SPREAD) ** 2))
    return np.array(xi), np.array(loss)


@pytest.fixture(scope="module")
def parabolas() -> ProblemSet:
    return Parabola().sample(4, seed=0)


SMALL = {"network": "dense", "network_options": {"widths": (16, 16)}}
SHORT = {
    "reparameterized": Reparameterized(epochs=10, **SMALL),
    "supervised": Supervised(epochs=10, **SMALL),
    "neural-adjoint": NeuralAdjoint(epochs=10, **SMALL),
    "multi-start": MultiStart(evaluations=150),
    "amortized-multi-start": AmortizedMultiStart(evaluations=150, steps=20),
    "basin-hopping": BasinHopping(evaluations=60),
    "multi-level-single-linkage": MultiLevelSingleLinkage(evaluations=60),
    "cma-es": CMAES(evaluations=200),
    "differential-evolution": DifferentialEvolution(evaluations=200),
}


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_finds_the_most_probable_unknowns(parabolas: ProblemSet, name: str) -> None:
    xi, loss = most_probable(parabolas)
    np.testing.assert_allclose(parabolas.objective(xi), loss, rtol=1e-12)
    solution = solve(parabolas, SHORT.get(name, name), seed=1)
    np.testing.assert_allclose(solution.loss, loss, rtol=1e-9)
    np.testing.assert_allclose(solution.xi, xi, rtol=1e-4, atol=1e-6)
    # XLA adds up in another order beside a Jacobian.
    np.testing.assert_allclose(solution.loss, parabolas.objective(solution.xi), rtol=1e-14)
    assert solution.solved.all()


def test_refining_and_comparing_use_the_same_objective(parabolas: ProblemSet) -> None:
    _, loss = most_probable(parabolas)
    rough = Reparameterized(epochs=5).solve(parabolas)
    np.testing.assert_array_equal(rough.loss, parabolas.objective(rough.xi))
    assert rough.history["mean"].iloc[0] == pytest.approx(parabolas.objective(parabolas.guess).mean(), rel=1e-6)
    refined = refine(parabolas, rough)
    table = compare({"scipy": ScipyLBFGS().solve(parabolas), "joint": refined}, reference="scipy")
    np.testing.assert_allclose(table["mean_loss"], loss.mean(), rtol=1e-9)
    assert table["equal_tol"].tolist() == [1.0, 1.0]


def decay(rate, time):
    return np.exp(-rate[:, None] * time)


def decay_vjp(rate, time, cotangent):
    return np.sum(-time * decay(rate, time) * cotangent, axis=1)


def jax_decay(rate, time):
    import jax.numpy as jnp

    return jnp.exp(-rate[:, None] * time)


class Wrapped(Decay):
    """Exponential decay by a simulator of another library."""

    def __init__(self, simulator) -> None:
        self.simulator = simulator

    def forward(self, xi, x):
        return self.simulator(xi["rate"], x["time"])

    def sample(self, n, seed):
        return decay_set(self, n, seed)


WRAPPED = {
    "jax": wrap_jax(jax_decay),
    "numpy": wrap_numpy(decay, decay_vjp, shape=(20,)),
    "black box": wrap_numpy(decay, shape=(20,)),
}
PLAIN = {"scipy-lbfgs", "lockstep-lbfgs", "lbfgs"}


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("library", WRAPPED)
def test_every_method_takes_simulators_of_other_libraries(library: str, name: str) -> None:
    problem_set = Wrapped(WRAPPED[library]).sample(4, seed=0)
    solution = solve(problem_set, SHORT.get(name, name), seed=1)
    np.testing.assert_allclose(solution.xi, problem_set.truth, rtol=1e-7)
    assert solution.solved.all()
    if name in PLAIN:
        expected = solve(decay_set(Decay(), n=4), name)
        np.testing.assert_allclose(solution.evaluations, expected.evaluations, atol=4)


def test_host_calls_are_as_many_as_evaluations() -> None:
    """Nothing is filled up, and nothing runs beside what is counted."""
    called = []

    def counted(rate, time):
        called.append(len(rate))
        return decay(rate, time)

    problem_set = Wrapped(wrap_numpy(counted, decay_vjp)).sample(5, seed=0)
    unknown = ProblemSet(problem_set.problem, problem_set.x, problem_set.y)
    called.clear()
    solution = LockstepLBFGS().solve(unknown)
    assert sum(called) == solution.evaluations.sum()


class Detached(Decay):
    """A decay that TensorFlow is told not to differentiate."""

    def forward(self, xi, x):
        return tf.stop_gradient(super().forward(xi, x))

    def sample(self, n, seed):
        return decay_set(self, n, seed)


def test_a_simulator_in_tensorflow_without_a_gradient_gets_the_methods_that_need_none() -> None:
    problem_set = Detached().sample(16, seed=0)
    for method in (Supervised(epochs=100, **SMALL), NeuralAdjoint(epochs=100, **SMALL)):
        solution = solve(problem_set, method, seed=0)
        assert solution.loss.mean() < problem_set.objective(problem_set.guess).mean()
        assert set(solution.status) == {Status.TRAINED}
    for method in (LockstepLBFGS(), Reparameterized(epochs=3), MultiStart(10)):
        message = (
            r"Detached\.forward: expected a result that depends on the unknowns .* or a method that needs no gradient"
        )
        with pytest.raises(ArgumentError, match=message):
            solve(problem_set, method)


class Sensors(InverseProblem):
    """A decay seen by two sensors: the prediction is a dict, the observation one array."""

    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)

    def forward(self, xi, x):
        decayed = tf.exp(-xi["rate"][:, None] * x["time"])
        return {"signal": decayed, "energy": tf.reduce_sum(decayed**2, axis=1)}

    def residuals(self, prediction, y, x):
        return {"signal": prediction["signal"] - y[:, :-1], "energy": prediction["energy"] - y[:, -1]}

    def sample(self, n, seed):
        generator = np.random.default_rng(seed)
        truth, time = generator.uniform(0.5, 4.0, (n, 1)), np.tile(np.linspace(0.1, 2.0, 10), (n, 1))
        prediction = self.simulate(truth, {"time": time})
        return ProblemSet(self, {"time": time}, np.c_[prediction["signal"], prediction["energy"]], truth)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_takes_predictions_that_are_structures(name: str) -> None:
    problem_set = Sensors().sample(4, seed=0)
    solution = solve(problem_set, SHORT.get(name, name), seed=1)
    np.testing.assert_allclose(solution.xi, problem_set.truth, rtol=1e-6)


def test_the_surrogate_learns_structures() -> None:
    problem_set = Sensors().sample(64, seed=0)
    solution = NeuralAdjoint(epochs=500, learning_rate=1e-2, **SMALL).solve(problem_set, seed=1)
    assert np.median(np.abs(solution.xi - problem_set.truth)) < 0.1
    assert set(solution.evaluations) == {2}
