"""The check that Keras runs on TensorFlow, made before the first use of Keras."""

from __future__ import annotations

import keras

from kerasjoint.errors import BackendError


def require_tensorflow() -> None:
    """Raise unless Keras is configured for the TensorFlow backend, which the simulators need."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise BackendError(
            f"Keras backend: expected 'tensorflow', since simulators are TensorFlow code, got {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow, or change ~/.keras/keras.json."
        )
