"""Fitting the zoo's models: gradients, determinism, best points and callbacks."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, Traced, decay_set, fragile_set
from small_models import EVERY_MODEL, SMALL, small

from kerasjoint import ArgumentError, ProblemSet, Solution, Status, Unknown
from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel
from kerasjoint.models.base import ProblemSetModel
from kerasjoint.models.epochs import SparseCallback


class Watch(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, object]] = []

    def on_train_begin(self, logs=None):
        self.seen.append(("begin", self.params["epochs"]))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, logs["loss"]))

    def on_train_end(self, logs=None):
        self.seen.append(("end", logs["loss"]))


class Trained(NamedTuple):
    """A model after twelve epochs, seen by a callback, and what it was then; tests may train it on."""

    model: ProblemSetModel
    losses: list[float]
    weights: list[np.ndarray]
    seen: list[tuple[str, object]]
    solution: Solution | None


@pytest.fixture(scope="module")
def trained(decay: ProblemSet) -> object:
    """Train one model of each class on the decays."""

    def train(model_class: type[ProblemSetModel]) -> Trained:
        model, watch = small(model_class, decay), Watch()
        losses = model.fit(decay, epochs=12, verbose=0, callbacks=[watch]).history["loss"]
        solution = None if model_class is SurrogateModel else model.solution(decay)
        return Trained(model, losses, model.get_weights(), watch.seen, solution)

    return cache(train)


@pytest.mark.parametrize("problem", ["decay", "wave-packet", "billiards"])
@EVERY_MODEL
def test_fitting_reduces_the_loss(problem_sets, model_class, problem: str) -> None:
    problem_set = problem_sets[problem]
    model = small(model_class, problem_set, rate=3e-3)
    losses = model.fit(problem_set, epochs=60, verbose=0).history["loss"]
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.95 * losses[0]


def test_the_joint_loss_is_the_sum_over_the_instances(trained, decay: ProblemSet) -> None:
    assert trained(ReparameterizedModel).losses[0] == pytest.approx(decay.objective(decay.guess).sum(), rel=1e-5)


def test_the_supervised_loss_is_the_distance_in_normalised_coordinates(trained, decay: ProblemSet) -> None:
    expected = np.sum(decay.problem.space.to_z(decay.truth, decay.guess) ** 2)
    assert trained(SupervisedModel).losses[0] == pytest.approx(expected, rel=1e-5)


def plain_descent(problem_set: ProblemSet) -> ReparameterizedModel:
    """A model whose first epoch moves each weight by its slope of the loss, since the rate is 1."""
    options = SMALL["network_options"] | {"start_at_zero": False}
    model = ReparameterizedModel.for_problem_set(problem_set, "dense", options)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model._adapt(model._scaled_arrays(model._training_data(problem_set)))
    return model


def assert_descends(model: ReparameterizedModel, problem_set: ProblemSet, losses_of_z) -> None:
    """The first epoch follows the gradient of the summed losses, taken here by a tape around ``losses_of_z``."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses_of_z(model(model._named_inputs(problem_set))))
    expected = tape.gradient(loss, model.trainable_variables)
    before = [weight.numpy() for weight in model.trainable_variables]
    history = model.fit(problem_set, epochs=1, verbose=0).history["loss"]
    assert history[0] == pytest.approx(float(loss), rel=1e-5)
    for weight, start, gradient in zip(model.trainable_variables, before, expected, strict=True):
        np.testing.assert_allclose(start - weight, gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


def test_the_step_follows_the_gradient_through_the_simulator(decay: ProblemSet) -> None:
    y, time = (tf.constant(array, tf.float32) for array in (decay.y, decay.x["time"]))

    def losses(z: tf.Tensor) -> tf.Tensor:
        xi = 2.5 + 2.5 * tf.tanh(tf.atanh(-0.6) + z / (1 - 0.36))
        return tf.reduce_sum((tf.exp(-xi * time) - y) ** 2, axis=1)

    assert_descends(plain_descent(decay), decay, losses)


def test_the_step_agrees_with_finite_differences(decay: ProblemSet) -> None:
    model = plain_descent(decay)
    bias = model.network.layers[-1].bias
    start, step = bias.numpy(), 1e-2

    def total(shift: float) -> float:
        bias.assign(start + shift)
        return decay.objective(model.predict(decay)).sum()

    slope = (total(step) - total(-step)) / (2 * step)
    bias.assign(start)
    model.fit(decay, epochs=1, verbose=0)
    assert start[0] - bias.numpy()[0] == pytest.approx(slope, rel=1e-3)


def test_a_bad_instance_contributes_no_gradient() -> None:
    problem_set = fragile_set(Fragile(), [0, 0, 1, 0])
    stretch = tf.constant(problem_set.x["stretch"], tf.float32)
    good = [0, 1, 3]

    def losses(z: tf.Tensor) -> tf.Tensor:
        xi = 2.5 + 2.5 * tf.tanh(tf.atanh(-0.6) + z[:, 0] / (1 - 0.36))
        return tf.gather(tf.exp(2 * stretch) * (xi - 2) ** 2, good)

    model = plain_descent(problem_set)
    assert_descends(model, problem_set, losses)
    assert np.isfinite(model.fit(problem_set, epochs=4, verbose=0).history["loss"]).all()
    solution = model.solution(problem_set)
    assert solution.non_finite.tolist() == [0, 0, 5, 0]
    assert np.isposinf(solution.loss).tolist() == [False, False, True, False]
    assert np.isfinite(solution.xi).all()


def test_the_surrogate_puts_out_observations_in_their_own_units(billiards: ProblemSet) -> None:
    model = small(SurrogateModel, billiards)
    model.fit(billiards, epochs=20, verbose=0)
    linear = (billiards.truth - billiards.guess) / [0.6, 1.0]
    condition = {name: tf.constant(array, tf.float32) for name, array in billiards.x.items()}
    got = model.observation(tf.constant(linear, tf.float32), condition, (2,))
    loss = model.fit(billiards, epochs=1, verbose=0).history["loss"][0]
    assert np.mean((got - billiards.y) ** 2) / np.var(billiards.y) == pytest.approx(loss, rel=1e-3)


@EVERY_MODEL
def test_the_seed_fixes_every_bit_whatever_the_length_of_a_run(trained, decay: ProblemSet, model_class) -> None:
    """With a callback every epoch is a run; without, up to ten of them are."""
    first, again, other = trained(model_class), small(model_class, decay), small(model_class, decay, seed=1)
    history = again.fit(decay, epochs=12, verbose=0)
    assert history.epoch == list(range(12))
    assert history.history["loss"] == first.losses
    for weight, expected in zip(again.get_weights(), first.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert other.fit(decay, epochs=12, verbose=0).history["loss"] != first.losses


@pytest.mark.parametrize(("condition", "periodic"), [((4,), [0]), ((16,), [0]), ((32, 32), None)], ids=str)
def test_periodic_axes_are_those_of_the_observation(condition: tuple[int, ...], periodic: list[int] | None) -> None:
    class Flat(Decay):
        periodic = (0,)

        def forward(self, xi, x):
            return tf.repeat(xi["rate"][:, None], 16, axis=1)

    problem_set = ProblemSet(Flat(), {"field": np.ones((2, *condition))}, np.ones((2, 16)))
    model = ReparameterizedModel.for_problem_set(problem_set, "convolutional", {"widths": (4,)})
    assert model.network_options.get("periodic") == periodic


def test_names_of_conditions_may_have_a_slash() -> None:
    class Speeds(Decay):
        def forward(self, xi, x):
            return super().forward(xi, {"time": x["v (m/s)"]})

    like = decay_set(Decay(), 4)
    problem_set = ProblemSet(Speeds(), {"v (m/s)": like.x["time"]}, like.y, like.truth)
    model = SupervisedModel.for_problem_set(problem_set, network="dense")
    model.compile("adam")
    model.fit(problem_set, epochs=2, verbose=0)
    assert np.isfinite(model.solution(problem_set).loss).all()


class TwoUnknowns(Decay):
    unknowns = (*Decay.unknowns, Unknown("offset", scale=1.0))

    def forward(self, xi, x):
        return super().forward(xi, x) + xi["offset"][:, None]


@pytest.mark.parametrize("use", ["fit", "predict", "evaluate", "solution"])
def test_a_set_with_other_unknowns_is_refused(use: str, decay: ProblemSet) -> None:
    other = ProblemSet(TwoUnknowns(), decay.x, decay.y)
    model = ReparameterizedModel.for_problem_set(decay, network="dense")
    model.compile("adam")
    model.fit(decay, epochs=1, verbose=0)
    with pytest.raises(ArgumentError, match="problem_set: expected 1 unknowns per instance, as the model, got 2"):
        getattr(model, use)(other)


def test_what_was_never_trained_on_cost_nothing(decay: ProblemSet) -> None:
    model = ReparameterizedModel.for_problem_set(decay, network="dense")
    model.compile("adam")
    model.fit(decay, epochs=3, verbose=0)
    assert (model.solution(decay).evaluations >= 3).all()
    other = model.solution(decay_set(Decay(), 3, seed=9))
    assert other.evaluations.tolist() == other.iterations.tolist() == [0, 0, 0]


def test_fitting_again_goes_on(trained, decay: ProblemSet) -> None:
    whole, parts = trained(ReparameterizedModel), small(ReparameterizedModel, decay)
    first = parts.fit(decay, epochs=5, verbose=0)
    second = parts.fit(decay, epochs=12, initial_epoch=5, verbose=0)
    assert first.history["loss"] + second.history["loss"] == whole.losses
    assert second.epoch == [5, 6, 7, 8, 9, 10, 11]
    assert parts.solution(decay).iterations.tolist() == [12] * 4
    np.testing.assert_array_equal(parts.solution(decay).loss, whole.solution.loss)


def test_chunks_train_like_the_whole(trained, decay: ProblemSet) -> None:
    problem = Decay()
    problem.chunk = 3
    chunked = ProblemSet(problem, decay.x, decay.y)
    losses = small(ReparameterizedModel, chunked).fit(chunked, epochs=8, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, trained(ReparameterizedModel).losses[:8], rtol=1e-4)


def test_no_tracing_in_a_second_fit_of_equal_shapes() -> None:
    problem = Traced()
    model = small(ReparameterizedModel, decay_set(problem, n=4))
    model.fit(decay_set(problem, n=4), epochs=7, verbose=0)
    traces = problem.traces
    model.fit(decay_set(problem, n=4, seed=1), epochs=13, verbose=0)
    assert problem.traces == traces


def test_the_best_point_of_each_instance_is_kept(billiards: ProblemSet) -> None:
    """With a rate that overshoots, instances are best at different times; the model itself steps epoch by epoch."""
    model, twin = (small(ReparameterizedModel, billiards, rate=0.1) for _ in range(2))
    model.fit(billiards, epochs=20, verbose=0)
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(billiards.objective(twin.predict(billiards)))
    )
    twin.fit(billiards, epochs=20, verbose=0, callbacks=[record])
    seen.append(billiards.objective(twin.predict(billiards)))
    solution = model.solution(billiards)
    np.testing.assert_allclose(solution.loss, np.min(seen, axis=0), rtol=1e-5)
    np.testing.assert_allclose(solution.last.loss, seen[-1], rtol=1e-5)
    assert len(set(np.argmin(seen, axis=0))) > 1
    np.testing.assert_array_equal(solution.xi, billiards.problem.space.to_xi(solution.z, billiards.guess))
    assert (solution.evaluations.tolist(), set(solution.status)) == ([20] * 4, {Status.TRAINED})
    elsewhere = billiards.problem.sample(4, seed=1)
    estimate = model.solution(elsewhere)
    np.testing.assert_array_equal(estimate.xi, model.predict(elsewhere))
    assert set(estimate.status) == {Status.ESTIMATED}
    assert "not trained on this problem set" in Status.ESTIMATED.message


@EVERY_MODEL
def test_callbacks_see_every_epoch(trained, model_class) -> None:
    losses = trained(model_class).losses
    assert trained(model_class).seen == [("begin", 12), *enumerate(losses), ("end", losses[11])]


def test_early_stopping_counts_epochs_and_rates_are_kept_for_each(decay: ProblemSet) -> None:
    model = small(ReparameterizedModel, decay, rate=1e-9)
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1.0, patience=7)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(decay, epochs=500, verbose=0, callbacks=[stop, schedule])
    frame = pd.DataFrame(history.history)
    assert len(frame) == len(history.epoch) == 8  # the first epoch is the best one
    np.testing.assert_allclose(frame["learning_rate"], 1e-9 * 0.5 ** np.arange(1, 9), rtol=1e-5)


def test_a_schedule_inside_the_optimizer_sees_every_epoch(decay: ProblemSet) -> None:
    """SGD moves each weight by the rate of the epoch times its slope: rates of zero leave it where it is."""
    moved = []
    for callbacks in ([], [keras.callbacks.Callback()]):
        model = small(ReparameterizedModel, decay)
        rates = keras.optimizers.schedules.PiecewiseConstantDecay([4], [1e-2, 0.0])
        model.compile(optimizer=keras.optimizers.SGD(rates))
        losses = model.fit(decay, epochs=10, verbose=0, callbacks=callbacks).history["loss"]
        assert len(set(losses[:6])) == 6
        assert len(set(losses[5:])) == 1
        moved.append(losses)
    assert moved[0] == moved[1]


class Rate(SparseCallback):
    """Doubles the interval each time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch + 1)
        self.next_epoch = 2 * (epoch + 1)


def test_a_sparse_callback_is_called_where_it_asks_and_at_the_end(trained, decay: ProblemSet) -> None:
    rate = Rate()
    trained(ReparameterizedModel).model.fit(decay, epochs=21, verbose=0, callbacks=[rate])
    assert rate.seen == [1, 2, 4, 8, 16, 21]


@EVERY_MODEL
def test_evaluating_gives_the_loss_that_the_next_epoch_begins_with(trained, decay: ProblemSet, model_class) -> None:
    model = trained(model_class).model
    loss = model.evaluate(decay)
    assert model.evaluate(decay, return_dict=True, verbose=0) == {"loss": loss}
    assert model.fit(decay, epochs=1, verbose=0).history["loss"][0] == pytest.approx(loss, rel=1e-4)
    with pytest.raises(ArgumentError, match="batch_size: expected nothing"):
        model.evaluate(decay, batch_size=3)
    for name in ("train_on_batch", "test_on_batch", "predict_on_batch"):
        with pytest.raises(ArgumentError, match=f"{name}: expected fit, evaluate, predict or solution"):
            getattr(model, name)(decay)


@pytest.mark.parametrize("chunk", [None, 3])
def test_without_xla_nothing_is_compiled_by_it(chunk: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Decay()
    problem.chunk = chunk
    problem_set = decay_set(problem, n=7)
    problem_set.truth_loss  # noqa: B018 - what is compiled before does not count
    asked: list[object] = []
    original = tf.function

    def watched(*arguments: object, **keywords: object) -> object:
        asked.append(keywords.get("jit_compile"))
        return original(*arguments, **keywords)

    losses = []
    for settings in ({"jit_compile": False}, {"run_eagerly": True}, {}):
        with monkeypatch.context() as patch:
            patch.setattr(tf, "function", watched)
            model = ReparameterizedModel.for_problem_set(problem_set, **SMALL)
            model.compile(optimizer=keras.optimizers.Adam(1e-2), **settings)
            asked.clear()
            losses.append(model.fit(problem_set, epochs=4, verbose=0).history["loss"])
        assert not settings or True not in asked
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-4)
    np.testing.assert_allclose(losses[1], losses[2], rtol=1e-4)


def test_a_term_of_the_models_own_is_refused(decay: ProblemSet) -> None:
    class Tied(ReparameterizedModel):
        def objective(self, problem_set, xi):
            return problem_set.objective(xi) + tf.reduce_sum(xi**2, axis=1)

    with pytest.raises(ArgumentError, match=r"Tied\.objective: expected the problem's regularizer\(xi, x\)"):
        Tied.for_problem_set(decay)


def test_progress_is_shown_only_if_wanted(trained, decay: ProblemSet, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(ReparameterizedModel).model
    model.fit(decay, epochs=5, verbose=0)
    assert capsys.readouterr().out == ""
    model.fit(decay, epochs=5, verbose=2)
    assert "Epoch 5/5" in capsys.readouterr().out
