"""Kernels, of which TensorFlow keeps one for every operation on a variable, also when the variable is gone."""

from __future__ import annotations

from itertools import count

from tensorflow.python.eager import context

# A model leaves 1 MB. To forget all kernels costs a tenth of a second, in which those in use are made again.
MODELS_PER_RELEASE = 16

_models = count(1)


def release_kernels_now_and_then() -> None:
    """Let TensorFlow forget its kernels with every sixteenth model."""
    if next(_models) % MODELS_PER_RELEASE == 0:
        context.context().clear_kernel_cache()
