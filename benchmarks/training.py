"""Training: ``model.fit`` of the zoo against the same Adam steps in a loop by hand, and against Keras's own ``fit``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasjoint import ProblemSet
from kerasjoint.models import ReparameterizedModel
from kerasjoint.problems import Billiards, WavePacket

Run = Callable[[], dict[str, Any]]
LEARNING_RATE, PER_CALL = 1e-3, 50
PROBLEMS = {
    "billiards": (Billiards, "dense", {}),
    "wave packet": (WavePacket, "dense", {"frequencies": 0}),
    "wave packet, convolutions": (WavePacket, "convolutional", {}),
}


def fit(data: Path, n: int, problem: str, epochs: int) -> Run:
    """Train a model of the zoo."""
    problem_set, model = _model(problem, n)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE))

    def run() -> dict[str, Any]:
        model.fit(problem_set, epochs=epochs, verbose=0)
        return {}

    return run


def by_hand(data: Path, n: int, problem: str, epochs: int) -> Run:
    """Take the same steps with Adam written out, 50 of them in each compiled loop, and keep the losses."""
    problem_set, model = _model(problem, n)
    network, space = model.network, problem_set.problem.space
    inputs, x, y, guess = _tensors(problem_set)
    weights = [variable.value for variable in network.trainable_variables]
    first, second = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    count = tf.Variable(0.0)

    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            xi = space.to_xi(network(inputs), guess)
            prediction = problem_set.problem.forward(space.unflatten(xi), x)
            loss = tf.reduce_sum(problem_set.problem.misfit(prediction, y, x))
        count.assign_add(1.0)
        for w, m, v, g in zip(weights, first, second, tape.gradient(loss, weights), strict=True):
            m.assign(0.9 * m + 0.1 * g)
            v.assign(0.999 * v + 0.001 * g * g)
            rate = LEARNING_RATE * tf.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            w.assign_sub(rate * m / (tf.sqrt(v) + 1e-7))
        return loss

    @tf.function(jit_compile=True, autograph=False)
    def steps() -> tf.Tensor:
        losses = tf.TensorArray(tf.float32, PER_CALL, element_shape=())
        _, losses = tf.while_loop(
            lambda i, _: i < PER_CALL, lambda i, losses: (i + 1, losses.write(i, step())), (tf.constant(0), losses)
        )
        return losses.stack()

    def run() -> dict[str, Any]:
        history = np.concatenate([steps().numpy() for _ in range(epochs // PER_CALL)])
        return {"last": history[-1]}

    return run


def keras_fit(data: Path, n: int, problem: str, epochs: int, jit: bool, per_execution: int) -> Run:
    """Train the network of the paper, made of Keras's own layers, with Keras's own ``fit``, through the simulator."""
    problem_set, _ = _model(problem, n)
    _, x, y, guess = _tensors(problem_set)
    space = problem_set.problem.space

    class Reparameterization(keras.Model):
        def train_step(self, data: Any) -> dict[str, tf.Tensor]:
            with tf.GradientTape() as tape:
                xi = space.to_xi(self(data[0], training=True), guess)
                prediction = problem_set.problem.forward(space.unflatten(xi), x)
                loss = tf.reduce_sum(problem_set.problem.misfit(prediction, y, x))
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            return {"loss": loss}

    signal = keras.Input(problem_set.y.shape[1:])
    features = keras.layers.Reshape((*problem_set.y.shape[1:], 1))(signal)
    for width in (16, 32, 32, 64, 64):
        features = keras.layers.Conv1D(width, 3, padding="same", use_bias=False)(features)
        features = keras.layers.ReLU()(keras.layers.BatchNormalization()(features))
        features = keras.layers.MaxPooling1D(2)(features)
    features = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(features))
    model = Reparameterization(signal, keras.layers.Dense(space.size)(features))
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    model.compile(optimizer=optimizer, jit_compile=jit, steps_per_execution=per_execution)
    signals = tf.data.Dataset.from_tensors((problem_set.y.astype(np.float32),)).repeat()

    def run() -> dict[str, Any]:
        model.fit(signals, epochs=1, steps_per_epoch=epochs, verbose=0)
        return {}

    return run


def _model(problem: str, n: int) -> tuple[ProblemSet, Any]:
    problem_class, network, options = PROBLEMS[problem]
    problem_set = problem_class().sample(n, 1)
    return problem_set, ReparameterizedModel.for_problem_set(problem_set, network, options)


def _tensors(problem_set: ProblemSet) -> tuple[Any, ...]:
    x, y, guess = tf.nest.map_structure(
        lambda array: tf.constant(array, tf.float32), (problem_set.x, problem_set.y, problem_set.guess)
    )
    return {"y": y} | {f"x_{name}": array for name, array in x.items()}, x, y, guess
