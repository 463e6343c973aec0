"""The zoo of Keras models: the reparameterization, its baselines, and the networks inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.models.registry import NETWORKS

require_tensorflow()

if TYPE_CHECKING:
    from kerasjoint.models.density import MixtureDensityModel
    from kerasjoint.models.reparameterized import ReparameterizedModel
    from kerasjoint.models.supervised import SupervisedModel
    from kerasjoint.models.surrogate import SurrogateModel

_HOMES = {
    "MixtureDensityModel": "density",
    "ReparameterizedModel": "reparameterized",
    "SupervisedModel": "supervised",
    "SurrogateModel": "surrogate",
}

__all__ = ["NETWORKS", "MixtureDensityModel", "ReparameterizedModel", "SupervisedModel", "SurrogateModel"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"kerasjoint.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kerasjoint.models' has no attribute {name!r}")
