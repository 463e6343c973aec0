"""Variables of models, all of one name to TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf


def of_one_name() -> AbstractContextManager[None]:
    """Create variables in the block under one name; Keras knows them by their own.

    TensorFlow keeps the kernel that made a variable, for good, and makes another for each further name: 1 MB a model.

    Example
    -------
    >>> with of_one_name():
    ...     network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    """

    def create(make: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        # The slash ends the scope of the layer.
        with tf.name_scope("model/"):
            return make(**arguments | {"name": "variable"})

    return tf.variable_creator_scope(create)
