"""Time loops for simulators: compiled, differentiable, and forward mode where the unknowns are few."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import tensorflow as tf

from kerasjoint.checks import check_count
from kerasjoint.errors import ArgumentError, describe

Parameters = dict[str, tf.Tensor]
State = Any

Mode = Literal["auto", "forward", "reverse"]
Linearized = Callable[[State, State, Parameters, Parameters], tuple[State, State]]

# Measured on a heat equation: automatic tangents cost as much as reverse mode with four unknowns.
FORWARD_MODE_UP_TO = 4
LINEARIZED_UP_TO = 8
# Where a whole Jacobian is wanted, all tangents travel along while those of an instance have at most so many numbers.
# Measured: 13 times the time of a gradient with 2**14 of them. With 2**21 (acoustic waveforms), four times slower than
# reverse mode for each row, since they do not stay in the processor's cache.
TANGENT_NUMBERS = 2**17
# More directions than this are treated together, since each written out takes time to compile.
WRITTEN_OUT = 8

Purpose = Literal["values", "gradient", "jacobian"]


@dataclass
class Tracing:
    """What simulators are traced for, and of their time loops so far whether tangents travel along: in all, in none."""

    purpose: Purpose = "gradient"
    forward: set[bool] = field(default_factory=set)


_tracing: ContextVar[Tracing | None] = ContextVar("tracing", default=None)


@contextmanager
def traced_for(purpose: Purpose) -> Iterator[Tracing]:
    """Trace simulators without tangents, if they are not differentiated, or for a gradient, or for a whole Jacobian."""
    tracing = Tracing(purpose)
    token = _tracing.set(tracing)
    try:
        yield tracing
    finally:
        _tracing.reset(token)


def integrate(
    initial: Callable[[Parameters], State],
    step: Callable[[State, Parameters], State],
    parameters: Parameters,
    steps: int,
    *,
    store_every: int | None = None,
    mode: Mode = "auto",
    linearized: Linearized | None = None,
    instances_last: bool = False,
) -> State:
    """Run ``steps`` steps of a batched simulator and differentiate through all of them.

    In forward mode the tangents of the state, one for each unknown, travel along in the same loop: no step is stored,
    so memory does not grow with ``steps``. In reverse mode the loop keeps one state per step.

    Parameters
    ----------
    initial
        Maps the parameters to the initial state, a real tensor or tuple of tensors (n, ...).
    step
        Maps (state, parameters) to the next state. Other tensors it closes over are constants.
    parameters
        The unknowns, each (n, ...). Gradients flow to these alone.
    steps
        Number of steps.
    store_every
        Return the states after every so many steps, stacked on axis 1 after the instances, instead of the last state.
        Must divide ``steps``.
    mode
        ``"forward"``, ``"reverse"``, or ``"auto"``: forward with at most four unknowns per instance, or eight where
        ``linearized`` is given. For the Jacobians of least squares forward as long as the tangents are not too large.
    linearized
        For speed, ``step`` together with its derivative, as one function of (state, tangents, parameters, directions)
        that returns the next state and its tangents. Tangents and ``directions``, those of the parameters, have the
        shapes of state and parameters with k n instances for k unknowns: the first n belong to the first unknown.
        What is linear treats tangents as further instances. By default automatic differentiation finds it.
    instances_last
        The instances are the last axis of the state, (..., n), which keeps every operation of a simulator with few
        numbers per instance contiguous; stored states are then stacked on axis 0.

    Returns
    -------
    State
        The last state, or the stored ones.

    Example
    -------
    >>> integrate(lambda p: p["u0"], lambda u, p: u - 0.1 * p["rate"] * u, {"u0": u0, "rate": rate}, steps=100)
    """
    for name, function in (("initial", initial), ("step", step)):
        if not callable(function):
            raise ArgumentError(name, "a function", describe(function))
    if not isinstance(parameters, Mapping):
        raise ArgumentError("parameters", "a dict of tensors by name", describe(parameters))
    steps = check_count("steps", steps)
    if store_every is not None and steps % check_count("store_every", store_every):
        raise ArgumentError("store_every", f"a divisor of steps = {steps}", store_every)
    names = sorted(parameters)
    sizes = [int(tf.reshape(parameters[name][:1], (-1,)).shape[0]) for name in names]
    if mode not in get_args(Mode):
        raise ArgumentError("mode", f"one of {', '.join(get_args(Mode))}", repr(mode))
    initial = partial(_begin, initial)
    axis, count = -1 if instances_last else 0, sum(sizes)
    forward_mode, tracing = mode == "forward", _tracing.get() or Tracing()
    if mode == "auto":
        forward_mode = count <= (LINEARIZED_UP_TO if linearized else FORWARD_MODE_UP_TO)
        if tracing.purpose == "jacobian":
            forward_mode |= count * _numbers_of_instance(initial(parameters), axis) <= TANGENT_NUMBERS
    stack = _loop_of(steps, store_every, instances_last)
    forward_mode &= bool(names)
    tracing.forward.add(forward_mode)
    if not forward_mode or tracing.purpose == "values":
        return stack(initial(parameters), lambda state: step(state, parameters))

    @tf.custom_gradient
    def run(*values: tf.Tensor) -> tuple[Any, Callable[..., list[tf.Tensor]]]:
        here = dict(zip(names, values, strict=True))
        directions = [_direction(here, name, k) for name, size in zip(names, sizes, strict=True) for k in range(size)]
        stacked = {name: tf.concat([direction[name] for direction in directions], axis=0) for name in names}
        many = count > WRITTEN_OUT
        apart = many and linearized is None
        linearize = _all_at_once if many else partial(_one_by_one, axis=axis)
        first, tangents = linearize(lambda _, parameters: initial(parameters), directions)((), (), here, stacked)
        if many and not apart:
            tangents = tf.nest.map_structure(lambda part: _joined(part, axis, False), tangents)
        advance = linearized or linearize(step, directions)
        result, moved = stack(
            (tf.nest.map_structure(tf.identity, first), tangents),
            lambda both: advance(both[0], both[1], here, stacked),
        )
        if apart:
            moved = tf.nest.map_structure(lambda part: _joined(part, axis, store_every is not None), moved)

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            slopes = tf.add_n(
                [
                    _contract(tangent, up, count, axis)
                    for tangent, up in zip(tf.nest.flatten(moved), upstream, strict=True)
                ]
            )
            pieces, start = [], 0
            for value, size in zip(values, sizes, strict=True):
                pieces.append(tf.reshape(tf.transpose(slopes[start : start + size]), tf.shape(value)))
                start += size
            return pieces

        return result, gradient

    try:
        return run(*(parameters[name] for name in names))
    except LookupError:
        # Something in the step, such as a wrapped simulator, has no forward derivative.
        if mode == "forward":
            raise
        tracing.forward.add(False)
        return stack(initial(parameters), lambda state: step(state, parameters))


def _begin(initial: Callable[[Parameters], State], parameters: Parameters) -> State:
    """Return the initial state, none of whose parts may be integers: they have no tangents."""
    state = initial(parameters)
    for part in tf.nest.flatten(state):
        dtype = tf.convert_to_tensor(part).dtype
        if not (dtype.is_floating or dtype.is_complex):
            expected = "a state of real or complex numbers, a counter of steps too, as tf.zeros_like of an unknown"
            raise ArgumentError("initial", expected, f"a part of dtype {dtype.name}")
    return state


def _numbers_of_instance(state: State, axis: int) -> int:
    """Return how many numbers an instance has in a state; 0 where shapes are not known."""
    shapes = [part.shape.as_list() for part in tf.nest.flatten(state)]
    for shape in shapes:
        shape.pop(axis)
    return sum(math.prod(size or 0 for size in shape) for shape in shapes)


def _one_by_one(step: Callable[[State, Parameters], State], directions: list[Parameters], axis: int) -> Linearized:
    """Find the derivative of ``step`` by automatic differentiation, with each direction written out."""

    def advance(state: State, tangents: State, parameters: Parameters, _: Parameters) -> tuple[State, State]:
        state = tf.nest.map_structure(tf.identity, state)
        parts = [tf.split(tangent, len(directions), axis=axis) for tangent in tf.nest.flatten(tangents)]
        moved = [
            _jvp(step, state, tf.nest.pack_sequence_as(state, [part[k] for part in parts]), parameters, direction)
            for k, direction in enumerate(directions)
        ]
        return moved[0][0], _concat([tangent for _, tangent in moved], axis)

    return advance


def _all_at_once(step: Callable[[State, Parameters], State], directions: list[Parameters]) -> Linearized:
    """As ``_one_by_one``, with tangents of all directions on a new axis 0 and operations that treat them together."""
    stacked = {name: tf.stack([direction[name] for direction in directions]) for name in directions[0]}

    def advance(state: State, tangents: State, parameters: Parameters, _: Parameters) -> tuple[State, State]:
        state = tf.nest.map_structure(tf.identity, state)

        def along(one: tuple[list[tf.Tensor], Parameters]) -> list[tf.Tensor]:
            moving = tf.nest.pack_sequence_as(state, one[0])
            return tf.nest.flatten(_jvp(step, state, moving, parameters, one[1])[1])

        # One of them here, since the map hides that a step has no forward derivative.
        one = tf.nest.map_structure(lambda tangent: tangent[0], tangents)
        ahead, _ = _jvp(step, state, one, parameters, directions[0])
        flat = tf.vectorized_map(along, (tf.nest.flatten(tangents), stacked))
        return ahead, tf.nest.pack_sequence_as(ahead, flat)

    return advance


def _joined(tangents: tf.Tensor, axis: int, stored: bool) -> tf.Tensor:
    """Put the tangents of all directions one after the other along the axis of the instances.

    They come as (k, n, ...), stored ones as (k, times, n, ...); with instances last as (k, ..., n) and (times, k, ...,
    n).
    """
    order = list(range(tangents.shape.rank))
    if axis == 0:
        if stored:
            order[1:3] = 2, 1
        shape = [tangents.shape[k] for k in order]
        return tf.reshape(tf.transpose(tangents, order), (-1, *shape[2:]))
    order.insert(-1, order.pop(int(stored)))
    return tf.reshape(tf.transpose(tangents, order), (*[tangents.shape[k] for k in order[:-2]], -1))


def _concat(states: list[State], axis: int) -> State:
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=axis), *states)


def _loop_of(
    steps: int, store_every: int | None, instances_last: bool
) -> Callable[[State, Callable[[State], State]], State]:
    """Return a function of (first state, advance) that runs the loop."""
    inner = store_every or steps

    def run(first: State, advance: Callable[[State], State]) -> State:
        def block(state: list[tf.Tensor]) -> list[tf.Tensor]:
            def body(i: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return i + 1, *tf.nest.flatten(advance(tf.nest.pack_sequence_as(first, state)))

            if inner == 1:
                return list(body(tf.constant(0), *state))[1:]
            return list(tf.while_loop(lambda i, *_: i < inner, body, (0, *state), maximum_iterations=inner))[1:]

        flat = tf.nest.flatten(first)
        if store_every is None:
            return tf.nest.pack_sequence_as(first, block(flat))
        blocks = steps // inner
        stores = [tf.TensorArray(part.dtype, size=blocks, element_shape=part.shape) for part in flat]

        def outer(i: tf.Tensor, state: list[tf.Tensor], stores: list[tf.TensorArray]) -> tuple[Any, ...]:
            state = block(state)
            return i + 1, state, [store.write(i, part) for store, part in zip(stores, state, strict=True)]

        _, _, stores = tf.while_loop(lambda i, *_: i < blocks, outer, (0, flat, stores), maximum_iterations=blocks)
        arrange = tf.identity if instances_last else _time_second
        return tf.nest.pack_sequence_as(first, [arrange(store.stack()) for store in stores])

    return run


def _time_second(stacked: tf.Tensor) -> tf.Tensor:
    rank = stacked.shape.rank
    return tf.transpose(stacked, (1, 0, *range(2, rank)))


def _direction(parameters: Parameters, name: str, component: int) -> Parameters:
    """The unit tangent of one component of one parameter, in every instance alike."""
    tangents = {key: tf.zeros_like(value) for key, value in parameters.items()}
    value = parameters[name]
    size = int(tf.reshape(value[:1], (-1,)).shape[0])
    unit = tf.reshape(tf.one_hot(component, size, dtype=value.dtype), value.shape[1:])
    tangents[name] = tf.zeros_like(value) + unit
    return tangents


def _jvp(
    step: Callable[[State, Parameters], State],
    state: State,
    tangents: State,
    parameters: Parameters,
    direction: Parameters,
) -> tuple[State, State]:
    primals = [*tf.nest.flatten(state), *(parameters[name] for name in direction)]
    with tf.autodiff.ForwardAccumulator(primals, [*tf.nest.flatten(tangents), *direction.values()]) as accumulator:
        result = step(state, parameters)
    moved = tf.nest.map_structure(
        lambda part: accumulator.jvp(part, unconnected_gradients=tf.UnconnectedGradients.ZERO), result
    )
    return result, moved


def _contract(tangent: tf.Tensor, upstream: tf.Tensor, directions: int, axis: int) -> tf.Tensor:
    """Sum tangent times upstream over all but the instances, (directions, n)."""
    shape = upstream.shape
    if upstream.dtype.is_complex:
        # Real unknowns: TensorFlow's gradient g of a complex number z stands for Re(conj(g) dz).
        parts = (part(one) for one in (tangent, upstream) for part in (tf.math.real, tf.math.imag))
        real, imaginary, up_real, up_imaginary = parts
        return _contract(real, up_real, directions, axis) + _contract(imaginary, up_imaginary, directions, axis)
    # As matrix products, which are fast for all rows of a Jacobian at once.
    if axis == 0:
        tangent, upstream = tf.reshape(tangent, (directions, shape[0], -1)), tf.reshape(upstream, (shape[0], -1))
        return tf.einsum("knm,nm->kn", tangent, upstream)
    tangent, upstream = tf.reshape(tangent, (-1, directions, shape[-1])), tf.reshape(upstream, (-1, shape[-1]))
    return tf.einsum("mkn,mn->kn", tangent, upstream)
