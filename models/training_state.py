"""What training leaves beside the weights: the best point of each instance, and its cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

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

    def save(self, store: Any) -> None:
        """Write everything to a store of Keras."""
        store[f"{PREFIX}key"] = np.frombuffer(self.key.encode(), np.uint8)
        store[f"{PREFIX}numbers"] = np.array([float(getattr(self, name)) for name in NUMBERS])
        for name in TENSORS:
            store[f"{PREFIX}{name}"] = getattr(self, name).numpy()

    @staticmethod
    def load(store: Any) -> TrainingState | None:
        """Read what ``save`` wrote; ``None`` where nothing was."""
        if f"{PREFIX}key" not in store.keys():  # noqa: SIM118 - Keras's stores have no `in`
            return None
        state = TrainingState(bytes(np.asarray(store[f"{PREFIX}key"])).decode(), 1, 1)
        for name in TENSORS:
            setattr(state, name, tf.constant(np.asarray(store[f"{PREFIX}{name}"])))
        epochs, state.seconds, state.compile_seconds = np.asarray(store[f"{PREFIX}numbers"]).tolist()
        state.epochs = int(epochs)
        return state
