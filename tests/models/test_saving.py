"""Models of the zoo, and users' subclasses of them, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasjoint import ArgumentError, ProblemSet, refine
from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel
from kerasjoint.models.base import ProblemSetModel

SMALL = {"convolutional": {"widths": [4, 4], "hidden": 8}, "dense": {"widths": [8, 8]}}


@keras.saving.register_keras_serializable(package="tests")
class Tied(ReparameterizedModel):
    """A user's model: their own network, and a term that holds the unknowns near the guess."""

    def build_network(self, input_shapes, output_size):
        inputs = {name: keras.Input(shape, name=name) for name, shape in input_shapes.items()}
        flat = keras.layers.Concatenate()([keras.layers.Flatten()(tensor) for tensor in inputs.values()])
        return keras.Model(inputs, keras.layers.Dense(output_size, kernel_initializer="zeros")(flat))

    def objective(self, problem_set, xi):
        return super().objective(problem_set, xi) + 1e3 * tf.reduce_sum((xi - problem_set.guess) ** 2, axis=1)


def fitted(model_class: type[ProblemSetModel], problem_set: ProblemSet, network: str) -> ProblemSetModel:
    model = model_class.for_problem_set(problem_set, network, SMALL[network], seed=2)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), steps_per_execution=3)
    model.fit(problem_set, epochs=6, verbose=0)
    return model


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
        (Tied, "dense", "billiards"),
    ],
)
def test_a_loaded_model_computes_and_trains_on_alike(
    problem_sets, tmp_path: Path, model_class, network: str, problem: str
) -> None:
    problem_set = problem_sets[problem]
    model = fitted(model_class, problem_set, network)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is model_class
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(outputs(loaded, problem_set), outputs(model, problem_set))
    assert np.ptp(outputs(model, problem_set)) > 0
    onward = [one.fit(problem_set, epochs=4, verbose=0).history["loss"] for one in (model, loaded)]
    assert onward[0] == onward[1]
    assert len(onward[0]) == 4


def test_a_model_loads_where_the_number_of_instances_differs(billiards: ProblemSet, tmp_path: Path) -> None:
    fitted(ReparameterizedModel, billiards, "dense").save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    other = billiards.problem.sample(3, seed=4)
    loaded.fit(other, epochs=3, verbose=0)
    assert loaded.solution(other).xi.shape == (3, 2)


def test_weights_alone_and_an_uncompiled_model(billiards: ProblemSet, tmp_path: Path) -> None:
    model = fitted(ReparameterizedModel, billiards, "dense")
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
    model.compile(optimizer="sgd", steps_per_execution=4)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "epoch-{epoch}.keras", monitor="loss")
    model.fit(billiards, epochs=10, verbose=0, callbacks=[checkpoint])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-10.keras", "epoch-4.keras", "epoch-8.keras"]
    last = keras.saving.load_model(tmp_path / "epoch-10.keras")
    np.testing.assert_array_equal(last.predict(billiards), model.predict(billiards))


def test_a_users_hooks_are_used(billiards: ProblemSet) -> None:
    model, tied = fitted(ReparameterizedModel, billiards, "dense"), fitted(Tied, billiards, "dense")
    assert [type(layer).__name__ for layer in tied.network.layers][-2:] == ["Concatenate", "Dense"]
    stray, held = (np.abs(one.predict(billiards) - billiards.guess).max() for one in (model, tied))
    assert held < 0.5 * stray
    solution = tied.solution(billiards)
    np.testing.assert_array_equal(solution.loss, billiards.objective(solution.xi))
    assert (refine(billiards, solution).loss <= solution.loss).all()


def test_a_network_that_is_none_is_refused(billiards: ProblemSet) -> None:
    class Wrong(ReparameterizedModel):
        def build_network(self, input_shapes, output_size):
            return keras.layers.Dense(output_size)

    with pytest.raises(ArgumentError, match=r"build_network: expected a keras\.Model, got Dense"):
        Wrong.for_problem_set(billiards)


def test_inputs_are_scaled_by_the_first_problem_set(billiards: ProblemSet) -> None:
    """So the network's inputs keep their meaning when it is applied to, or trained on, other instances."""
    model = fitted(ReparameterizedModel, billiards, "dense")
    before = {name: scale.numpy() for name, scale in model._scales.items()}
    cue = billiards.x["cue"]
    np.testing.assert_allclose(before["x_cue"], [cue.mean(), cue.std()], rtol=1e-5)
    model.fit(billiards.problem.sample(4, seed=5), epochs=3, verbose=0)
    for name, scale in model._scales.items():
        np.testing.assert_array_equal(scale, before[name])
