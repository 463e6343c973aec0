"""What the zoo's models refuse, and by which name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from small_models import EVERY_MODEL, SMALL, small

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel


@EVERY_MODEL
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 2}, "batch_size: expected nothing"),
        ({"validation_split": 0.1}, "validation_split: expected nothing"),
        ({"epochs": 0}, "epochs: expected a positive integer"),
        ({"epochs": 2.0}, "epochs: expected a positive integer"),
        ({"initial_epoch": -1}, "initial_epoch: expected"),
        ({"initial_epoch": 9, "epochs": 5}, "initial_epoch: expected"),
        ({"problem_set": np.zeros((4, 20))}, "problem_set: expected a ProblemSet, got ndarray"),
        ({"problem_set": "wave-packet"}, "problem_set: expected arrays of shapes"),
    ],
)
def test_bad_arguments_of_fit_are_refused(
    problem_sets, model_class, arguments: dict[str, object], message: str
) -> None:
    model = small(model_class, problem_sets["decay"])
    given = {"problem_set": problem_sets["decay"]} | arguments
    if isinstance(given["problem_set"], str):
        given["problem_set"] = problem_sets[given["problem_set"]]
    with pytest.raises(ArgumentError, match=message):
        model.fit(**given)


@EVERY_MODEL
def test_bad_ways_to_compile_and_build_are_refused(decay: ProblemSet, model_class) -> None:
    model = model_class.for_problem_set(decay, **SMALL)
    with pytest.raises(ArgumentError, match="fit: expected a compiled model"):
        model.fit(decay)
    for arguments in ({"loss": "mse"}, {"metrics": ["mae"]}, {"steps_per_execution": 50}, {"jit_compile": 3}):
        with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}: expected"):
            model.compile(**arguments)
    with pytest.raises(ArgumentError, match="network: expected one of"):
        model_class.for_problem_set(decay, network="densee")
    with pytest.raises(ArgumentError, match="problem_set: expected a ProblemSet"):
        model_class.for_problem_set(decay.y)


def test_training_steps_and_networks_of_ones_own_are_checked(decay: ProblemSet) -> None:
    class Forgetful(ReparameterizedModel):
        def train_step(self, data):
            return {"loss": super().train_step(data)["loss"]}

    model = Forgetful.for_problem_set(decay, **SMALL)
    model.compile()
    with pytest.raises(ArgumentError, match=r"train_step: expected a dict with instance_loss, loss, z, got .*'loss'"):
        model.fit(decay, verbose=0)

    class Shapeless(ReparameterizedModel):
        def build_network(self, input_shapes, output_size):
            return keras.Sequential([keras.layers.Dense(output_size)])

    with pytest.raises(ArgumentError, match=r"build_network: expected a network that begins with keras\.Input"):
        Shapeless.for_problem_set(decay)


@pytest.mark.parametrize("model_class", [SupervisedModel, SurrogateModel])
def test_learning_from_examples_needs_their_truth(decay: ProblemSet, model_class) -> None:
    without = ProblemSet(decay.problem, decay.x, decay.y)
    with pytest.raises(ArgumentError, match="problem_set: expected examples whose true unknowns are known"):
        small(model_class, without).fit(without)


def test_predicting_refuses_what_it_would_ignore(decay: ProblemSet, wave_packet: ProblemSet) -> None:
    model = small(ReparameterizedModel, decay)
    np.testing.assert_allclose(model.predict(decay, verbose=0), decay.guess, rtol=1e-12)
    with pytest.raises(ArgumentError, match=r"solution: expected a trained model"):
        model.solution(decay)
    model.fit(decay, verbose=0)
    with pytest.raises(ArgumentError, match="batch_size"):
        model.predict(decay, batch_size=2)
    for ask in (model.predict, model.solution):
        for wrong in (decay.y, wave_packet):
            with pytest.raises(ArgumentError, match="problem_set"):
                ask(wrong)
