"""The conditional density, checked against SciPy and against posteriors in closed form."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown
from kerasjoint.models import MixtureDensityModel


class Line(InverseProblem):
    """y = u v with noise 0.3 of its own: known v tells u up to the noise."""

    unknowns = (Unknown("u", scale=1.0),)

    def forward(self, xi, x):
        return xi["u"][:, None] * x["v"][:, None]


class Square(Line):
    """y = u^2: two solutions for every observation."""

    def forward(self, xi, x):
        return tf.square(xi["u"])[:, None] + 0 * x["v"][:, None]


def examples(problem: InverseProblem, n: int, noise: float, seed: int = 0) -> ProblemSet:
    generator = np.random.default_rng(seed)
    u, v = generator.standard_normal((n, 1)), generator.uniform(0.5, 2.0, n)
    y = problem.simulate(u, {"v": v}) + noise * generator.standard_normal((n, 1))
    return ProblemSet(problem, {"v": v}, y, truth=u)


def fitted(
    problem_set: ProblemSet, epochs: int = 800, width: int = 32, blocks: int = 2, **options: object
) -> MixtureDensityModel:
    network_options = {"width": width, "blocks": blocks}
    model = MixtureDensityModel.for_problem_set(problem_set, network_options=network_options, **options)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    model.fit(problem_set, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def lines() -> ProblemSet:
    return examples(Line(), 6, 0.0)


@pytest.fixture(scope="module")
def model(lines: ProblemSet) -> MixtureDensityModel:
    return fitted(lines, epochs=5, components=3)


def test_the_density_is_that_of_scipys_normals(model: MixtureDensityModel, lines: ProblemSet) -> None:
    problem_set = lines
    inputs = model._named_inputs(problem_set)
    log_weight, mean, deviation = (part.numpy() for part in model.mixture(inputs)[:3])
    z = np.linspace(-1, 1, 6)[:, None]
    density = np.sum(np.exp(log_weight) * norm.pdf(z, mean[..., 0], deviation[..., 0]), axis=1)
    np.testing.assert_allclose(model.log_density(inputs, tf.constant(z, tf.float32)), np.log(density), rtol=1e-4)


def test_it_learns_a_posterior_that_is_known() -> None:
    """u ~ N(0, 1), y = u v + 0.3 noise: u given y is normal with precision 1 + v^2 / 0.09."""
    model = fitted(examples(Line(), 4096, 0.3), components=1, noise=0.0)
    test = examples(Line(), 200, 0.3, seed=1)
    precision = 1 + test.x["v"] ** 2 / 0.09
    _, mean, deviation = (part.numpy() for part in model.mixture(model._named_inputs(test))[:3])
    expected = test.x["v"] * test.y[:, 0] / 0.09 / precision
    assert np.abs(mean[:, 0, 0] - expected).mean() < 0.12
    np.testing.assert_allclose(np.median(deviation[:, 0, 0] * np.sqrt(precision)), 1.0, atol=0.15)


def test_it_proposes_both_of_two_solutions() -> None:
    problem_set = examples(Square(), 4096, 0.0)
    model = fitted(problem_set, components=4, noise=0.0)
    test = examples(Square(), 50, 0.0, seed=1)[np.arange(50)]
    starts = model.propose(test, 64, seed=0)[:, 4:, 0]
    assert 0.25 < (starts > 0).mean() < 0.75
    clear = np.abs(test.truth[:, 0]) > 0.5
    near = np.abs(np.abs(starts) - np.abs(test.truth)) < 0.2
    assert near[clear].mean() > 0.8


def test_proposals_are_means_by_weight_and_then_samples(model: MixtureDensityModel, lines: ProblemSet) -> None:
    problem_set = lines
    log_weight, mean = (part.numpy() for part in model.mixture(model._named_inputs(problem_set))[:2])
    starts = model.propose(problem_set, 10, seed=0)
    assert starts.shape == (6, 10, 1)
    order = np.argsort(-log_weight, axis=1)
    np.testing.assert_allclose(starts[:, :3, 0], np.take_along_axis(mean[..., 0], order, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(starts, model.propose(problem_set, 10, seed=0))
    assert (starts[:, 3:] != model.propose(problem_set, 10, seed=1)[:, 3:]).any()
    np.testing.assert_array_equal(model.propose(problem_set, 2, seed=0), starts[:, :2])
    np.testing.assert_allclose(model.predict(problem_set), starts[:, 0], rtol=1e-6)


def test_saving_and_loading(tmp_path: Path) -> None:
    problem_set = examples(Line(), 32, 0.1)
    model = fitted(problem_set, epochs=5, width=8, blocks=1, components=2, batch=16, noise=0.2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.propose(problem_set, 5, 0), model.propose(problem_set, 5, 0))
    histories = [one.fit(problem_set, epochs=3, verbose=0).history["loss"] for one in (model, loaded)]
    assert histories[0] == histories[1]
    assert model.evaluate(problem_set) == pytest.approx(loaded.evaluate(problem_set))


def test_bad_arguments_are_refused() -> None:
    problem_set = examples(Line(), 4, 0.0)
    for arguments in ({"components": 0}, {"batch": 1.5}, {"noise": -1.0}):
        with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}: expected"):
            MixtureDensityModel.for_problem_set(problem_set, **arguments)
    unknown = ProblemSet(Line(), problem_set.x, problem_set.y)
    with pytest.raises(ArgumentError, match="problem_set: expected examples whose true unknowns are known"):
        fitted(unknown, epochs=1)
