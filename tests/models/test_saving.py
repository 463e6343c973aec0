"""Models of the zoo, and users' subclasses of them, saved and loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same_bits

from kerasjoint import ArgumentError, ProblemSet, Status, refine
from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel
from kerasjoint.models.base import ProblemSetModel
from kerasjoint.problems import WavePacket

SMALL = {"convolutional": {"widths": [4], "hidden": 8}, "dense": {"widths": [8]}}


@keras.saving.register_keras_serializable(package="tests")
class Weighted(ReparameterizedModel):
    """A user's model: their own network, and a training step that first weighs all instances alike."""

    def build_network(self, input_shapes, output_size):
        inputs = {name: keras.Input(shape, name=name) for name, shape in input_shapes.items()}
        flat = keras.layers.Concatenate()([keras.layers.Flatten()(tensor) for tensor in inputs.values()])
        return keras.Model(inputs, keras.layers.Dense(output_size, kernel_initializer="zeros")(flat))

    def train_step(self, data):
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            instance_loss = data.instances.objective(data.instances.to_xi(z))
            loss = tf.reduce_sum(tf.math.log1p(instance_loss))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss, "instance_loss": instance_loss, "z": z}


@pytest.fixture(scope="module")
def fitted(problem_sets: dict[str, ProblemSet]) -> object:
    """Train a model for each class, problem and network; tests may train it on."""

    def fit(model_class: type[ProblemSetModel], problem: str, network: str) -> ProblemSetModel:
        model = model_class.for_problem_set(problem_sets[problem], network, SMALL[network], seed=2)
        model.compile(optimizer=keras.optimizers.Adam(3e-3))
        losses = model.fit(problem_sets[problem], epochs=6, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        return model

    return cache(fit)


def outputs(model: ProblemSetModel, problem_set: ProblemSet) -> np.ndarray:
    return np.array(model(model._training_data(problem_set).inputs))


@pytest.mark.parametrize(
    ("model_class", "network", "problem"),
    [
        (ReparameterizedModel, "convolutional", "wave-packet"),
        (ReparameterizedModel, "dense", "billiards"),
        (SupervisedModel, "convolutional", "wave-packet"),
        (SupervisedModel, "dense", "billiards"),
        (SurrogateModel, "dense", "wave-packet"),
        (SurrogateModel, "dense", "billiards"),
        (Weighted, "dense", "billiards"),
    ],
)
def test_a_loaded_model_computes_and_trains_on_alike(
    fitted, problem_sets, tmp_path: Path, model_class, network: str, problem: str
) -> None:
    problem_set = problem_sets[problem]
    model = fitted(model_class, problem, network)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is model_class
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(outputs(loaded, problem_set), outputs(model, problem_set))
    assert np.ptp(outputs(model, problem_set)) > 0
    onward = [one.fit(problem_set, epochs=4, verbose=0).history["loss"] for one in (model, loaded)]
    assert onward[0] == onward[1]
    assert len(onward[0]) == 4


def test_a_model_loads_where_the_number_of_instances_differs(fitted, billiards: ProblemSet, tmp_path: Path) -> None:
    fitted(ReparameterizedModel, "billiards", "dense").save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    other = billiards.problem.sample(3, seed=4)
    loaded.fit(other, epochs=3, verbose=0)
    assert loaded.solution(other).xi.shape == (3, 2)


def test_weights_alone_and_an_uncompiled_model(fitted, billiards: ProblemSet, tmp_path: Path) -> None:
    model = fitted(ReparameterizedModel, "billiards", "dense")
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = ReparameterizedModel.for_problem_set(billiards, "dense", SMALL["dense"], seed=9)
    fresh.build()
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.predict(billiards), model.predict(billiards))
    fresh.save(tmp_path / "fresh.keras")
    again = keras.saving.load_model(tmp_path / "fresh.keras")
    np.testing.assert_array_equal(again.predict(billiards), model.predict(billiards))


def test_checkpoints_while_training(billiards: ProblemSet, tmp_path: Path) -> None:
    model = ReparameterizedModel.for_problem_set(billiards, "dense", SMALL["dense"])
    model.compile(optimizer="sgd")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "epoch-{epoch}.keras", monitor="loss")
    model.fit(billiards, epochs=3, verbose=0, callbacks=[checkpoint])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"epoch-{k}.keras" for k in (1, 2, 3)]
    last = keras.saving.load_model(tmp_path / "epoch-3.keras")
    np.testing.assert_array_equal(last.predict(billiards), model.predict(billiards))


def test_a_users_hooks_are_used(billiards: ProblemSet) -> None:
    model = Weighted.for_problem_set(billiards)
    assert [type(layer).__name__ for layer in model.network.layers][-2:] == ["Concatenate", "Dense"]
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    losses = model.fit(billiards, epochs=6, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(np.log1p(billiards.objective(billiards.guess)).sum(), rel=1e-5)
    solution = model.solution(billiards)
    np.testing.assert_array_equal(solution.loss, billiards.objective(solution.xi))
    assert (refine(billiards, solution).loss <= solution.loss).all()


def test_a_loaded_model_still_knows_the_best_points(wave_packet: ProblemSet, tmp_path: Path) -> None:
    """With a rate that overshoots, the weights alone would give a worse solution."""
    model = ReparameterizedModel.for_problem_set(wave_packet, "dense", SMALL["dense"])
    model.compile(optimizer=keras.optimizers.Adam(0.3))
    model.fit(wave_packet, epochs=12, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    # The same instances, built anew: what was learned of them is found by their data.
    again = ProblemSet(WavePacket(), wave_packet.x, wave_packet.y)
    before, after = model.solution(wave_packet), loaded.solution(again)
    assert_same_bits(before, after)
    assert (before.loss < before.last.loss).any()
    assert (after.seconds, after.compile_seconds) == (before.seconds, before.compile_seconds)
    assert set(loaded.solution(wave_packet[:2]).status) == {Status.ESTIMATED}


def test_a_network_that_is_none_is_refused(billiards: ProblemSet) -> None:
    class Wrong(ReparameterizedModel):
        def build_network(self, input_shapes, output_size):
            return keras.layers.Dense(output_size)

    with pytest.raises(ArgumentError, match=r"build_network: expected a keras\.Model, got Dense"):
        Wrong.for_problem_set(billiards)


def test_inputs_are_scaled_by_the_first_problem_set(fitted, billiards: ProblemSet) -> None:
    """So the network's inputs keep their meaning when it is applied to, or trained on, other instances."""
    model = fitted(ReparameterizedModel, "billiards", "dense")
    before = {name: scale.numpy() for name, scale in model._scales.items()}
    cue = billiards.x["cue"]
    np.testing.assert_allclose(before["x_cue"], [cue.mean(), cue.std()], rtol=1e-5)
    model.fit(billiards.problem.sample(4, seed=5), epochs=3, verbose=0)
    for name, scale in model._scales.items():
        np.testing.assert_array_equal(scale, before[name])
