"""A network compiled with XLA on its own, for training steps that are not compiled as a whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

Inputs = dict[str, tf.Tensor]


class CompiledNetwork:
    """Applies a network to constant inputs; differentiable in the weights.

    A simulator that spreads over the cores needs a graph outside XLA, in which a network would be slow. So the network
    is compiled for itself, forward and, repeating that from the same state (random seeds, moving averages), backward.
    """

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        self._forward = tf.function(partial(self._apply), jit_compile=True, autograph=False)
        self._backward = tf.function(partial(self._pull_back), jit_compile=True, autograph=False)

    def __call__(self, inputs: Inputs, training: bool | None = None) -> tf.Tensor:
        """Return the output (n, size)."""
        names, training = list(inputs), bool(training)
        states = [state.value for state in self._network.non_trainable_variables]

        @tf.custom_gradient
        def apply(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            named = dict(zip(names, tensors, strict=True))
            before = [tf.identity(state) for state in states]

            def gradient(upstream: tf.Tensor, variables: list[tf.Variable]) -> tuple[list[None], list[tf.Tensor]]:
                for state, value in zip(states, before, strict=True):
                    state.assign(value)
                weights = [weight.value.ref() for weight in self._network.trainable_variables]
                found = dict(zip(weights, self._backward(named, upstream, training), strict=True))
                return [None] * len(tensors), [found[variable.ref()] for variable in variables]

            return self._forward(named, training), gradient

        return apply(*inputs.values())

    def _apply(self, inputs: Inputs, training: bool) -> tf.Tensor:
        return self._network(inputs, training=training)

    def _pull_back(self, inputs: Inputs, upstream: tf.Tensor, training: bool) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            output = self._apply(inputs, training)
        weights = [weight.value for weight in self._network.trainable_variables]
        return tape.gradient(output, weights, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)
