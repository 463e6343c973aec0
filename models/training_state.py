"""What training leaves beside the weights: the best point of each instance, and its cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.fingerprint import data_fingerprint
from kerasjoint.problem_set import ProblemSet

PREFIX = "training_"
NUMBERS = ("epochs", "seconds", "compile_seconds")
TENSORS = ("best_loss", "best_z", "non_finite")


class TrainingState:
    """Where training on one problem set stands; saved with the model, but no weight, since it depends on n.

    Attributes
    ----------
    key
        Digest of the problem set and its guess.
    best_loss, best_z
        The best point of each instance in normalised coordinates, (n, size), and its loss (n,), float32; of size 0
        for models that do not simulate.
    non_finite
        Evaluations that were not finite, (n,).
    epochs, seconds, compile_seconds
        What was spent.
    """

    def __init__(self, key: str, n: int, size: int) -> None:
        self.key = key
        self.best_loss = tf.fill((n,), np.float32(np.inf))
        self.best_z = tf.zeros((n, size))
        self.non_finite = tf.zeros((n,), tf.int32)
        self.epochs = 0
        self.seconds = 0.0
        self.compile_seconds = 0.0

    @staticmethod
    def key_of(problem_set: ProblemSet) -> str:
        """Return what identifies a problem set here; normalised coordinates depend on the guess too."""
        return data_fingerprint(problem_set.fingerprint, problem_set.guess)

    def is_of(self, problem_set: ProblemSet) -> bool:
        """Return whether this is where training on that problem set stands."""
        return self.key == self.key_of(problem_set) and len(self.best_loss) == len(problem_set)

    def save(self, store: Any) -> None:
        """Write everything to a store of Keras."""
        store[f"{PREFIX}key"] = np.frombuffer(self.key.encode(), np.uint8)
        store[f"{PREFIX}numbers"] = np.array([float(getattr(self, name)) for name in NUMBERS])
        for name in TENSORS:
            store[f"{PREFIX}{name}"] = getattr(self, name).numpy()

    @staticmethod
    def load(store: Any, size: int) -> TrainingState | None:
        """Read what ``save`` wrote of points with that size; ``None`` where nothing was."""
        if f"{PREFIX}key" not in store.keys():  # noqa: SIM118 - Keras's stores have no `in`
            return None
        try:
            key = bytes(np.asarray(store[f"{PREFIX}key"], np.uint8)).decode()
            loss, z, non_finite = (np.asarray(store[f"{PREFIX}{name}"]) for name in TENSORS)
            numbers = [float(number) for number in np.asarray(store[f"{PREFIX}numbers"])]
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError("saved model", "what training leaves beside the weights", error) from error
        found = [*(array.shape for array in (loss, z, non_finite)), (len(numbers),)]
        if loss.ndim != 1 or found != [loss.shape, (len(loss), size), loss.shape, (len(NUMBERS),)]:
            expected = f"{TENSORS} and numbers of shapes (n,), (n, {size}), (n,) and ({len(NUMBERS)},)"
            raise ArgumentError("saved model", expected, f"shapes {found}")
        if not (np.isfinite(numbers).all() and min(numbers) >= 0):
            raise ArgumentError("saved model", f"{NUMBERS}, none of them negative", numbers)
        state = TrainingState(key, len(loss), size)
        state.best_loss = tf.constant(loss, tf.float32)
        state.best_z = tf.constant(z, tf.float32)
        state.non_finite = tf.constant(non_finite, tf.int32)
        epochs, state.seconds, state.compile_seconds = numbers
        state.epochs = int(epochs)
        return state
