"""What a training step of one's own returns: further numbers are in the history, wrong shapes are refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set
from small_models import SMALL

from kerasjoint import ArgumentError, ProblemSet, slabs
from kerasjoint.models import ReparameterizedModel


class Watched(ReparameterizedModel):
    """Reports further numbers of an epoch."""

    def train_step(self, data):
        logs = super().train_step(data)
        return logs | {"worst": tf.reduce_max(logs["instance_loss"]), "first": data.inputs["y"][0, 0], "whole": 7}


class Alone(ReparameterizedModel):
    """Takes the step by itself."""

    def train_step(self, data):
        with tf.GradientTape() as tape:
            z = self(data.inputs, training=True)
            losses = data.instances.objective(data.instances.to_xi(z))
            loss = tf.reduce_sum(losses)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return {"loss": loss, "instance_loss": losses, "z": z}


def history(problem_set: ProblemSet, model_class: type = Watched, callbacks=None, **compiling) -> dict:
    model = model_class.for_problem_set(problem_set, **SMALL)
    model.compile(keras.optimizers.Adam(1e-2), **compiling)
    return model.fit(problem_set, epochs=5, verbose=0, callbacks=callbacks).history


def test_further_numbers_are_in_the_history_and_callbacks_see_them(decay: ProblemSet) -> None:
    found = history(decay)
    assert list(found) == ["loss", "worst", "first", "whole"]
    assert found["loss"] == history(decay, ReparameterizedModel)["loss"]
    assert found["whole"] == [7.0] * 5
    assert found["first"] == [np.float32(decay.y[0, 0])] * 5
    assert all(loss / len(decay) <= worst <= loss for loss, worst in zip(found["loss"], found["worst"], strict=True))

    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["worst"]))
    stop = keras.callbacks.EarlyStopping(monitor="whole", mode="min", patience=2)
    stopped = history(decay, callbacks=[watch, stop])
    assert seen == stopped["worst"] == found["worst"][: len(seen)]
    assert len(seen) == 3

    eager = history(decay, run_eagerly=True)
    assert list(eager) == ["loss", "worst", "first", "whole"]
    np.testing.assert_allclose(eager["worst"], found["worst"], rtol=1e-4)


def test_slab_by_slab_they_are_means_over_the_instances(monkeypatch) -> None:
    problem_set = decay_set(Decay(), 10)
    whole = history(problem_set)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 4 * 320)
    monkeypatch.setattr(slabs, "SMALLEST_SLAB", 1)
    parts = problem_set.slabs()
    assert len(parts) == 3
    found = history(problem_set)
    np.testing.assert_allclose(found["loss"], whole["loss"], rtol=1e-4)
    np.testing.assert_allclose(found["whole"], 7.0, rtol=1e-6)
    sizes = [len(problem_set.y[part]) for part in parts]
    mean = np.average([problem_set.y[part][0, 0] for part in parts], weights=sizes)
    np.testing.assert_allclose(found["first"], mean, rtol=1e-5)
    with pytest.raises(ArgumentError, match=r"train_step: expected one that calls super\(\)\.train_step\(data\)"):
        history(problem_set, Alone)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda logs: {"instance_loss": logs["loss"]}, r"'instance_loss' of shape \(4,\), got shape \(\)"),
        (lambda logs: {"z": logs["z"][:, :0]}, r"'z' of shape \(4, 1\), got shape \(4, 0\)"),
        (lambda logs: {"loss": logs["instance_loss"]}, r"a scalar as 'loss', got shape \(4,\)"),
        (lambda logs: {"spread": logs["z"]}, r"a scalar as 'spread', got shape \(4, 1\)"),
        (lambda logs: {"best": None}, "numbers as 'best', got NoneType"),
        (lambda logs: {"kind": "good"}, "numbers as 'kind', got dtype string"),
    ],
)
def test_wrong_shapes_are_refused(eager: bool, wrong, message: str) -> None:
    class Wrong(ReparameterizedModel):
        def train_step(self, data):
            logs = super().train_step(data)
            return logs | wrong(logs)

    with pytest.raises(ArgumentError, match=f"train_step: expected {message}"):
        history(decay_set(Decay(), 4), Wrong, run_eagerly=eager)
