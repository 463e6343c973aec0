from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import central_difference

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown, integrate, time_loop, wrap_numpy
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.models import ReparameterizedModel

N, STEPS, DT = 3, 12, 0.1
XI = np.random.default_rng(0).uniform(0.5, 1.5, (N, 3))
WEIGHTS = np.random.default_rng(1).normal(size=(N, STEPS, 2))


def by_numpy(xi: np.ndarray) -> np.ndarray:
    """A driven pendulum by symplectic Euler steps: all states, (n, steps, 2)."""
    position, speed, states = xi[:, 0], np.zeros(len(xi)), []
    for _ in range(STEPS):
        speed = speed - DT * xi[:, 1] * np.sin(position) + DT * xi[:, 2]
        position = position + DT * speed
        states.append(np.stack([position, speed], axis=1))
    return np.stack(states, axis=1)


def step(state, parameters):
    position, speed = state
    speed = speed - DT * parameters["push"][:, 0] * tf.sin(position) + DT * parameters["push"][:, 1]
    return position + DT * speed, speed


def by_integrate(xi: tf.Tensor, store_every: int | None, mode: str = "auto") -> tf.Tensor:
    """The same with a tuple as state: the stored states, (n, stored, 2), or the last one, (n, 2)."""
    parameters = {"start": xi[:, 0], "push": xi[:, 1:]}
    states = integrate(
        lambda p: (p["start"], tf.zeros_like(p["start"])), step, parameters, STEPS, store_every=store_every, mode=mode
    )
    return tf.stack(states, axis=-1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("store_every", [None, 1, 4, STEPS])
def test_states_and_gradients(store_every: int | None, mode: str) -> None:
    stored = slice(STEPS - 1, None) if store_every is None else slice(store_every - 1, None, store_every)
    weights = WEIGHTS[:, stored]

    def objective(xi: np.ndarray) -> np.ndarray:
        return np.sum(weights * by_numpy(xi)[:, stored] ** 2, axis=(1, 2))

    @tf.function(jit_compile=True)
    def evaluate(xi: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(xi)
            states = tf.reshape(by_integrate(xi, store_every, mode), weights.shape)
            loss = tf.reduce_sum(weights * states**2)
        return states, tape.gradient(loss, xi)

    states, gradient = evaluate(tf.constant(XI))
    np.testing.assert_allclose(states, by_numpy(XI)[:, stored], rtol=1e-12)
    np.testing.assert_allclose(gradient, central_difference(objective, XI, 1e-6), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("size", "by_hand", "forward"), [(4, False, True), (5, False, False), (8, True, True), (9, True, False)]
)
def test_many_unknowns_take_reverse_mode_and_few_forward_mode(
    size: int, by_hand: bool, forward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = []
    original = time_loop._jvp
    monkeypatch.setattr(time_loop, "_jvp", lambda *args: pushed.append(1) or original(*args))

    def linearized(u, tangents, p, directions):
        push, state = (tf.tile(values, [size, 1]) for values in (p["u"], u))
        return u - 0.1 * p["u"] * u**2, tangents - 0.1 * directions["u"] * state**2 - 0.2 * push * state * tangents

    field = tf.constant(np.linspace(0.1, 1, 2 * size).reshape(2, size))
    with tf.GradientTape() as tape:
        tape.watch(field)
        last = integrate(
            lambda p: p["u"],
            lambda u, p: u - 0.1 * p["u"] * u**2,
            {"u": field},
            2,
            linearized=linearized if by_hand else None,
        )
        total = tf.reduce_sum(last)
    assert bool(pushed) == forward
    u = field.numpy()
    first = u - 0.1 * u**3
    first_slope = 1 - 0.3 * u**2
    slope = first_slope - 0.1 * first**2 - 0.2 * u * first * first_slope
    np.testing.assert_allclose(tape.gradient(total, field), slope, rtol=1e-12)


def test_single_precision_stays_single() -> None:
    states = by_integrate(tf.constant(XI, tf.float32), 4)
    assert states.dtype == tf.float32
    np.testing.assert_allclose(states, by_numpy(XI)[:, 3::4], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": -3}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": "3"}, "steps"),
        ({"store_every": 5}, "store_every"),
        ({"store_every": 0}, "store_every"),
        ({"store_every": 24}, "store_every"),
        ({"store_every": 2.0}, "store_every"),
        ({"mode": "backward"}, "mode"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        integrate(lambda p: p["u"], lambda u, p: u, {"u": tf.ones((2, 1))}, **{"steps": STEPS} | arguments)
    assert caught.value.argument == name


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_counter_of_integers_is_refused(mode: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"initial: expected a state of real or complex numbers.* got a part of dtype int32"
    ):
        integrate(
            lambda p: (p["u"], tf.zeros((2,), tf.int32)),
            lambda state, p: (state[0], state[1] + 1),
            {"u": tf.ones((2, 1))},
            steps=STEPS,
            mode=mode,
        )


def linearized_step(state, tangents, parameters, directions):
    """The pendulum's step and its derivative, written out; the directions are stacked over the instances."""
    many = tangents[0].shape[0] // N

    def tile(values):
        return tf.tile(values, [many])

    position, (by_position, by_speed) = state[0], tangents
    push, turn = parameters["push"], directions["push"]
    slope = tile(push[:, 0] * tf.cos(position)) * by_position + turn[:, 0] * tile(tf.sin(position))
    by_speed = by_speed + DT * (turn[:, 1] - slope)
    return step(state, parameters), (by_position + DT * by_speed, by_speed)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("store_every", [None, 4])
def test_a_linearized_step_gives_the_same(store_every: int | None, last: bool) -> None:
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return linearized_step(*arguments)

    @tf.function(jit_compile=True)
    def both(xi: tf.Tensor) -> tuple[tf.Tensor, ...]:
        results = []
        for linearized in (counted, None):
            with tf.GradientTape() as tape:
                tape.watch(xi)
                # One number per instance: the instances are the first and the last axis at once.
                states = integrate(
                    lambda p: (p["start"], tf.zeros_like(p["start"])),
                    step,
                    {"start": xi[:, 0], "push": xi[:, 1:]},
                    STEPS,
                    store_every=store_every,
                    linearized=linearized,
                    instances_last=last,
                )
                loss = tf.reduce_sum(tf.stack([tf.exp(part) for part in states]))
            results += [tf.stack(states), tape.gradient(loss, xi)]
        return tuple(results)

    states, gradient, expected_states, expected_gradient = both(tf.constant(XI))
    assert calls
    np.testing.assert_array_equal(states, expected_states)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12)
    stored = by_numpy(XI)[:, 3::4] if store_every else by_numpy(XI)[:, -1]
    axes = (2, 1, 0) if last and store_every else (2, 0, 1) if store_every else (1, 0)
    np.testing.assert_allclose(states, stored.transpose(axes), rtol=1e-12)


class Repeated(InverseProblem):
    """Relaxation towards six targets, each for two of twelve cells; ``tf.repeat`` has a gradient that XLA refuses."""

    unknowns = (Unknown("target", shape=(6,), scale=1.0),)

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def forward(self, xi, x):
        def step(u, parameters):
            return u + 0.1 * (tf.repeat(parameters["target"], 2, axis=1) - u)

        return integrate(lambda p: x["start"], step, xi, steps=10, mode=self.mode)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::kerasjoint.errors.RouteWarning")
def test_repeat_inside_a_reverse_mode_loop_works() -> None:
    start, target = np.random.default_rng(0).normal(size=(2, 3, 12))
    losses = {}
    for mode in ("forward", "reverse"):
        problem_set = ProblemSet(Repeated(mode), {"start": start}, target)
        value, gradient = problem_set.value_and_gradient(np.ones((3, 6)))
        end = 1 + 0.9**10 * (start - 1)
        np.testing.assert_allclose(value, np.sum((end - target) ** 2, axis=1), rtol=1e-12)
        slopes = 2 * (end - target) * (1 - 0.9**10)
        np.testing.assert_allclose(gradient, slopes.reshape(3, 6, 2).sum(axis=2), rtol=1e-11)
        losses[mode] = LockstepLBFGS().solve(problem_set).loss
        model = ReparameterizedModel.for_problem_set(problem_set)
        model.compile(optimizer="adam")
        assert np.isfinite(model.fit(problem_set, epochs=2, verbose=0).history["loss"]).all()
    np.testing.assert_allclose(losses["forward"], losses["reverse"], rtol=1e-9)


def test_a_step_without_a_forward_derivative_takes_reverse_mode_by_itself() -> None:
    wrapped = wrap_numpy(lambda u, rate: u * (1 - 0.1 * rate[:, None]), _relax_vjp, shape=(2,))

    class Host(InverseProblem):
        unknowns = (Unknown("rate", lower=0.0, upper=5.0),)

        def forward(self, xi, x):
            return integrate(lambda p: x["u0"], lambda u, p: wrapped(u, p["rate"]), xi, steps=5)

    problem_set = ProblemSet(Host(), {"u0": np.ones((3, 2))}, np.zeros((3, 2)))
    rate = np.array([[0.5], [1.0], [2.0]])
    value, gradient = problem_set.value_and_gradient(rate)
    np.testing.assert_allclose(value, 2 * (1 - 0.1 * rate[:, 0]) ** 10, rtol=1e-12)
    np.testing.assert_allclose(gradient, -2 * (1 - 0.1 * rate) ** 9, rtol=1e-12)


def _relax_vjp(u, rate, cotangent):
    return cotangent * (1 - 0.1 * rate[:, None]), -0.1 * np.sum(u * cotangent, axis=1)
