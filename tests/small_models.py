"""Small models of the zoo, for tests."""

from __future__ import annotations

import keras
import pytest

from kerasjoint import ProblemSet
from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel
from kerasjoint.models.base import ProblemSetModel

MODELS = [ReparameterizedModel, SupervisedModel, SurrogateModel]
SMALL = {"network": "dense", "network_options": {"widths": (16, 16), "frequencies": 1}}
EVERY_MODEL = pytest.mark.parametrize("model_class", MODELS, ids=lambda model: model.__name__)


def small(
    model_class: type[ProblemSetModel], problem_set: ProblemSet, rate: float = 1e-2, **arguments: object
) -> ProblemSetModel:
    """Return a compiled model."""
    model = model_class.for_problem_set(problem_set, **SMALL | arguments)
    model.compile(optimizer=keras.optimizers.Adam(rate))
    return model
