"""Mixtures of Gaussians, checked against SciPy, by their samples, and by a posterior in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import multivariate_normal

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown
from kerasjoint import slabs as slabs_module
from kerasjoint.models import MixtureDensityModel
from kerasjoint.models.mixture import Mixture, mixture_of, numbers_of, unknowns_of

COMPONENTS, UNKNOWNS = 3, 4


class Sum(InverseProblem):
    """y = u + v with noise 0.3: the sum is known, the difference is not."""

    unknowns = (Unknown("u", scale=1.0), Unknown("v", scale=1.0))

    def forward(self, xi, x):
        return (xi["u"] + xi["v"])[:, None]


def mixture(full: bool, n: int = 5, order: np.ndarray | None = None) -> Mixture:
    output = np.random.default_rng(0).standard_normal((n, numbers_of(COMPONENTS, UNKNOWNS, full)))
    return mixture_of(tf.constant(output, tf.float32), COMPONENTS, UNKNOWNS, full, order)


def covariances(of: Mixture) -> np.ndarray:
    """Of each component, (n, k, d, d), by the definition: z = mean + D L^-1 v."""
    root = of.deviation.numpy()[..., None] * np.linalg.inv(of.factors())
    return root @ np.swapaxes(root, -1, -2)


@pytest.mark.parametrize("full", [False, True])
def test_the_density_is_that_of_scipys_normals(full: bool) -> None:
    one, covariance = mixture(full), covariances(mixture(full))
    z = np.random.default_rng(1).standard_normal((5, UNKNOWNS))
    expected = [
        np.log(
            sum(
                np.exp(one.log_weight[i, k]) * multivariate_normal.pdf(z[i], one.mean[i, k], covariance[i, k])
                for k in range(COMPONENTS)
            )
        )
        for i in range(5)
    ]
    np.testing.assert_allclose(one.log_density(tf.constant(z, tf.float32)), expected, rtol=2e-4)


@pytest.mark.parametrize("full", [False, True])
def test_samples_have_the_moments_of_the_mixture(full: bool) -> None:
    one, count, generator = mixture(full, n=2), 40_000, np.random.default_rng(2)
    points = one.samples(generator.standard_normal((2, count, UNKNOWNS)), generator.uniform(size=(2, count)))
    weight, mean = np.exp(one.log_weight)[..., None], one.mean.numpy()
    center = (weight * mean).sum(axis=1)
    apart = mean - center[:, None]
    spread = (weight[..., None] * (covariances(one) + apart[..., :, None] * apart[..., None, :])).sum(axis=1)
    for i in range(2):
        scale = np.sqrt(np.diag(spread[i]))
        np.testing.assert_allclose((points[i].mean(axis=0) - center[i]) / scale, 0, atol=0.03)
        np.testing.assert_allclose((np.cov(points[i].T) - spread[i]) / np.outer(scale, scale), 0, atol=0.06)


def test_means_come_by_weight() -> None:
    one = mixture(True)
    order = np.argsort(-one.log_weight.numpy(), axis=1)
    np.testing.assert_array_equal(one.means(), np.take_along_axis(one.mean.numpy(), order[..., None], axis=1))


def test_an_order_moves_means_and_deviations() -> None:
    order = np.array([2, 0, 3, 1])
    plain, moved = mixture(True), mixture(True, order=order)
    np.testing.assert_array_equal(moved.mean, plain.mean.numpy()[..., order])
    np.testing.assert_array_equal(moved.deviation, plain.deviation.numpy()[..., order])


@pytest.mark.parametrize("full", [False, True])
def test_the_number_of_unknowns_follows_from_the_size(full: bool) -> None:
    for unknowns in (1, 2, 7, 45):
        size = numbers_of(COMPONENTS, unknowns, full)
        assert unknowns_of(size, COMPONENTS, full) == unknowns
        assert unknowns_of(size + 1, COMPONENTS, full) == 0


def test_a_full_covariance_learns_what_the_data_leaves_open() -> None:
    """u, v ~ N(0, 1), y = u + v + 0.3 noise: the precision is 1 + [[1, 1], [1, 1]] / 0.09."""
    generator = np.random.default_rng(3)
    u = generator.standard_normal((4096, 2))
    y = u.sum(axis=1, keepdims=True) + 0.3 * generator.standard_normal((4096, 1))
    examples = ProblemSet(Sum(), {}, y, truth=u)
    options = {"width": 32, "blocks": 2}
    model = MixtureDensityModel.for_problem_set(examples, network_options=options, components=1, noise=0.0)
    assert model.covariance == "full"
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    model.fit(examples, epochs=800, verbose=0)
    found = model.mixture(model._named_inputs(examples[:200]))
    root = found.deviation.numpy()[:, 0, :, None] * np.linalg.inv(found.factors()[:, 0])
    covariance = np.median(root @ np.swapaxes(root, 1, 2), axis=0)
    np.testing.assert_allclose(covariance, np.linalg.inv(np.eye(2) + 1 / 0.09), atol=0.12)
    assert covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) == pytest.approx(-0.917, abs=0.03)


@pytest.mark.parametrize(
    ("unknowns", "covariance", "components"), [(12, "auto", 8), (13, "auto", 4), (13, "diagonal", 8), (50, "auto", 8)]
)
def test_many_correlated_unknowns_have_half_as_many_components(unknowns: int, covariance: str, components: int) -> None:
    class Wide(InverseProblem):
        def forward(self, xi, x):
            return xi["u"]

    Wide.unknowns = (Unknown("u", shape=(unknowns,), scale=1.0),)
    problem_set = ProblemSet(Wide(), {}, np.zeros((2, unknowns)))
    options = {"network_options": {"width": 4}, "covariance": covariance}
    assert MixtureDensityModel.for_problem_set(problem_set, **options).components == components
    assert MixtureDensityModel.for_problem_set(problem_set, components=3, **options).components == 3


def test_many_instances_are_proposed_for_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    problem_set = ProblemSet(Sum(), {}, generator.standard_normal((10, 1)), truth=generator.standard_normal((10, 2)))
    model = MixtureDensityModel.for_problem_set(problem_set, network_options={"width": 8}, components=COMPONENTS)
    whole, loss = model.propose(problem_set, 6, seed=0), model.evaluate(problem_set)
    monkeypatch.setattr(slabs_module, "SLAB_BYTES", 8 * 4 * COMPONENTS * 2**2)
    monkeypatch.setattr(slabs_module, "SMALLEST_SLAB", 1)
    assert len(model._slabs(10)) == 3
    np.testing.assert_allclose(model.propose(problem_set, 6, seed=0), whole, rtol=1e-5)
    assert model.evaluate(problem_set) == pytest.approx(loss, rel=1e-5)


def test_bad_covariances_are_refused() -> None:
    problem_set = ProblemSet(Sum(), {}, np.zeros((2, 1)))
    with pytest.raises(ArgumentError, match="covariance: expected one of diagonal, full, got 'round'"):
        MixtureDensityModel.for_problem_set(problem_set, covariance="round")
    with pytest.raises(
        ArgumentError, match=r"output_size: expected 2 \* \(1 \+ 2 d \+ d \(d - 1\) / 2\) numbers, got 8"
    ):
        MixtureDensityModel({"y": (1,)}, 8, components=2, covariance="full")
