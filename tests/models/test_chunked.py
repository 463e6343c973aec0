"""Training on problems whose instances are evaluated in pieces on several cores: the network is compiled apart."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import Decay, Fragile, Traced, assert_same_bits, decay_set, fragile_set

from kerasjoint import ProblemSet
from kerasjoint.models import ReparameterizedModel


def model_for(problem_set: ProblemSet, rate: float = 1e-2) -> ReparameterizedModel:
    options = {"widths": (16,), "frequencies": 1, "start_at_zero": False}
    model = ReparameterizedModel.for_problem_set(problem_set, "dense", options)
    model.compile(optimizer=keras.optimizers.Adam(rate))
    return model


def chunked_set(n: int = 7) -> ProblemSet:
    problem = Decay()
    problem.chunk = 3
    return decay_set(problem, n=n)


def test_compiling_moves_neither_weights_nor_optimizer() -> None:
    """The first epoch starts from the initial weights, and Adam's first step has the length of its rate."""
    problem_set = chunked_set()
    model = model_for(problem_set, rate=1e-2)
    before = [weight.numpy() for weight in model.trainable_variables]
    whole = decay_set(Decay(), n=7)
    expected = model_for(whole).fit(whole, epochs=1, verbose=0).history["loss"]
    assert model.fit(problem_set, epochs=1, verbose=0).history["loss"] == pytest.approx(expected, rel=1e-5)
    assert int(model.optimizer.iterations) == 1
    for weight, start in zip(model.trainable_variables, before, strict=True):
        moved = np.abs(weight.numpy() - start)
        assert moved.max() == pytest.approx(1e-2, rel=1e-2)


def test_the_same_seed_gives_the_same_bits() -> None:
    problem_set = chunked_set()
    solutions = []
    for _ in range(2):
        model = model_for(problem_set)
        model.fit(problem_set, epochs=7, verbose=0)
        solutions.append(model.solution(problem_set))
    assert_same_bits(*solutions)


def test_a_second_fit_traces_nothing() -> None:
    problem = Traced(chunk=3)
    problem_set = decay_set(problem, n=7)
    model = model_for(problem_set)
    model.fit(problem_set, epochs=3, verbose=0)
    traces = problem.traces
    model.fit(problem_set, epochs=6, initial_epoch=3, verbose=0)
    model.fit(decay_set(problem, n=7, seed=1), epochs=4, verbose=0)
    assert problem.traces == traces


def test_a_loaded_model_trains_on_alike(tmp_path: Path) -> None:
    problem_set = chunked_set()
    model = model_for(problem_set)
    model.fit(problem_set, epochs=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    # A loaded network is not compiled before it is trained.
    np.testing.assert_allclose(loaded.predict(problem_set), model.predict(problem_set), rtol=1e-6)
    for one in (model, loaded):
        one.fit(problem_set, epochs=5, verbose=0)
    np.testing.assert_allclose(loaded.predict(problem_set), model.predict(problem_set), rtol=1e-5)


def test_a_bad_instance_harms_no_weight() -> None:
    problem = Fragile()
    problem.chunk = 2
    problem_set = fragile_set(problem, [0, 1, 0, 0, 0])
    model = model_for(problem_set)
    losses = model.fit(problem_set, epochs=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert all(np.isfinite(weight.numpy()).all() for weight in model.variables)
    assert model.solution(problem_set).non_finite.tolist() == [0, 8, 0, 0, 0]


@pytest.mark.long
@pytest.mark.parametrize("chunk", [None, 3])
def test_many_models_do_not_make_tensorflow_warn(chunk: int | None, caplog: pytest.LogCaptureFixture) -> None:
    problem = Decay()
    problem.chunk = chunk
    with caplog.at_level("WARNING", logger="tensorflow"):
        for n in range(2, 9):
            problem_set = decay_set(problem, n=n)
            model_for(problem_set).fit(problem_set, epochs=3, verbose=0)
    assert not caplog.records


class Noisy(ReparameterizedModel):
    """The user's network with a random state and moving averages."""

    def build_network(self, input_shapes, output_size):
        inputs = {name: keras.Input(shape, name=name) for name, shape in input_shapes.items()}
        first = keras.layers.Dense(16, "gelu", kernel_initializer=keras.initializers.GlorotUniform(1))(inputs["y"])
        kept = keras.layers.Dropout(0.5, seed=2)(keras.layers.BatchNormalization()(first))
        last = keras.layers.Dense(output_size, kernel_initializer=keras.initializers.GlorotUniform(3))
        return keras.Model(inputs, last(kept))


def test_random_states_and_moving_averages_are_those_of_training_in_one_piece() -> None:
    histories, predictions = [], []
    for problem_set in (decay_set(Decay(), n=7), chunked_set()):
        model = Noisy.for_problem_set(problem_set)
        # Adam would make full steps of the rounding in a gradient that is next to zero, as a bias before the norm has.
        model.compile(optimizer=keras.optimizers.SGD(1e-3))
        histories.append(model.fit(problem_set, epochs=12, verbose=0).history["loss"])
        predictions.append(model.predict(problem_set))
        np.testing.assert_array_equal(model.predict(problem_set), predictions[-1])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-4)
