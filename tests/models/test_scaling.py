"""Instances of very different size: training on their plain sum is warned of, and scaled training solves them all."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.errors import ScaleWarning
from kerasjoint.methods import Reparameterized
from kerasjoint.models import ReparameterizedModel


class Sized(Decay):
    """A decay whose observation has a size, known as condition."""

    def forward(self, xi, x):
        return x["size"][:, None] * super().forward(xi, x)


SMALL = {"network": "dense", "network_options": {"widths": (32,)}}


@pytest.fixture(scope="module")
def sized() -> ProblemSet:
    """Sixteen decays, one of them a million times larger."""
    same, size = decay_set(Decay(), 16), np.where(np.arange(16) == 5, 1e6, 1.0)
    return ProblemSet(Sized(), dict(same.x) | {"size": size}, same.y * size[:, None], same.truth)


def model_of(problem_set: ProblemSet, **settings: bool) -> ReparameterizedModel:
    model = ReparameterizedModel.for_problem_set(problem_set, **SMALL, **settings)
    model.compile(keras.optimizers.Adam(3e-3))
    return model


def test_an_instance_that_is_nearly_all_of_the_sum_is_named(sized):
    model = model_of(sized)
    with pytest.warns(ScaleWarning, match=r"instances 5 make up more than 90% .* 16, .* scale_instances=True"):
        model.fit(sized, epochs=1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(sized, epochs=1, verbose=0)
        model_of(decay_set(Decay(), 16)).fit(decay_set(Decay(), 16), epochs=1, verbose=0)


def test_scaled_training_begins_with_a_loss_of_one_each_and_serves_the_small_ones(sized):
    model = model_of(sized, scale_instances=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(sized, epochs=300, verbose=0).history["loss"]
    np.testing.assert_allclose(history[0], 16, rtol=1e-5)
    scaled = model.solution(sized)
    at_guess = sized.objective(sized.guess)
    with pytest.warns(ScaleWarning):
        plain = Reparameterized(epochs=300, learning_rate=3e-3, **SMALL).solve(sized)
    # Of the last iterates: on its way the training for the large one passes by the solutions of others.
    left = [np.median(np.delete(one.last.loss / at_guess, 5)) for one in (plain, scaled)]
    assert left[1] < 0.1 * left[0]
    np.testing.assert_allclose(scaled.loss, sized.objective(scaled.xi))
    assert set(scaled.evaluations) == {301}
    assert set(scaled.values) == {1}
    np.testing.assert_allclose(model.evaluate(sized), np.sum(scaled.last.loss / at_guess), rtol=1e-6)


def test_the_setting_is_saved_and_is_one_of_the_method(sized, tmp_path):
    model = model_of(sized, scale_instances=True)
    model.fit(sized, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.scale_instances
    np.testing.assert_array_equal(loaded.predict(sized), model.predict(sized))
    found = Reparameterized(epochs=2, learning_rate=3e-3, **SMALL, scale_instances=True).solve(sized)
    np.testing.assert_array_equal(found.xi, model.solution(sized).xi)
    with pytest.raises(ArgumentError, match="scale_instances: expected True or False"):
        Reparameterized(scale_instances="yes")
