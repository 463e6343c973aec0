"""The check that Keras runs on TensorFlow, made before Keras is first imported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from kerasjoint.errors import BackendError


def require_tensorflow() -> None:
    """Raise unless Keras is, or will be, on the TensorFlow backend, which the simulators need."""
    backend = _configured_backend()
    if backend != "tensorflow":
        raise BackendError(
            f"Keras backend: expected 'tensorflow', since simulators are TensorFlow code, got {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow, or change the backend in ~/.keras/keras.json."
        )


def _configured_backend() -> str:
    if "keras" in sys.modules:
        import keras

        return keras.backend.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
