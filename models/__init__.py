"""The zoo of Keras models: the reparameterization, its rivals, and the networks inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.registry import Registry

require_tensorflow()

if TYPE_CHECKING:
    from kerasjoint.models.reparameterized import ReparameterizedModel
    from kerasjoint.models.supervised import SupervisedModel
    from kerasjoint.models.surrogate import SurrogateModel

NETWORKS = Registry(
    "network",
    {
        "convolutional": (
            "kerasjoint.models.networks:convolutional_network",
            "VGG-style blocks (convolution, batch normalisation, ReLU, max-pooling) and two dense layers, 1D or 2D",
        ),
        "dense": (
            "kerasjoint.models.networks:dense_network",
            "positional encoding and three sigmoid layers",
        ),
    },
)

_HOMES = {
    "ReparameterizedModel": "reparameterized",
    "SupervisedModel": "supervised",
    "SurrogateModel": "surrogate",
}

__all__ = ["NETWORKS", "ReparameterizedModel", "SupervisedModel", "SurrogateModel"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"kerasjoint.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kerasjoint.models' has no attribute {name!r}")
