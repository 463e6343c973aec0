"""What the methods that train a network share: models reused from run to run, and curves of the true objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kerasjoint.checks import check_count
from kerasjoint.counting import CHECKPOINT_RATIO, History
from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.methods.base import Method, check_positive
from kerasjoint.problem_set import ProblemSet

require_tensorflow()

import keras  # noqa: E402

MODELS_KEPT = 8
EPOCHS_PER_RUN = 10


class NetworkMethod(Method):
    """A method that trains a model of the zoo with Adam, full batch.

    Parameters
    ----------
    learning_rate
        Of Adam.
    epochs
        Full-batch steps.
    network, network_options
        As in the models of the zoo.
    """

    role = "learned"

    def __init__(
        self,
        learning_rate: float = 1e-3,
        epochs: int = 1000,
        network: str = "auto",
        network_options: dict[str, Any] | None = None,
    ) -> None:
        check_positive(learning_rate=learning_rate)
        self.learning_rate = learning_rate
        self.epochs = check_count("epochs", epochs)
        self.network = network
        self.network_options = dict(network_options or {})

    def _train(self, model: keras.Model, problem_set: ProblemSet, callbacks: list[keras.callbacks.Callback]) -> None:
        model.fit(problem_set, epochs=self.epochs, verbose=0, callbacks=callbacks)


class ModelCache:
    """Compiled models by shapes and settings: further runs of equal shapes get fresh weights, not a compilation."""

    def __init__(self) -> None:
        self._models: dict[Any, keras.Model] = {}

    def get(self, model_class: Any, problem_set: ProblemSet, method: NetworkMethod, seed: int, **kwargs: Any) -> Any:
        """Return a compiled model with the initial weights of ``seed`` and no memory of earlier runs."""
        fresh = model_class.for_problem_set(
            problem_set, network_options=method.network_options, seed=seed, **{"network": method.network} | kwargs
        )
        config = {key: repr(value) for key, value in fresh.get_config().items() if key not in ("seed", "name")}
        key = (model_class, id(problem_set.problem), len(problem_set), *sorted(config.items()), method.learning_rate)
        model = self._models.pop(key, None)
        if model is None:
            model = fresh
            model.compile(optimizer=keras.optimizers.Adam(method.learning_rate), steps_per_execution=EPOCHS_PER_RUN)
        else:
            model.set_weights(fresh.get_weights())
            model.progress = None
            for variable in model.optimizer.variables:
                if variable is not model.optimizer.learning_rate:
                    variable.assign(np.zeros(variable.shape))
        self._models[key] = model
        while len(self._models) > MODELS_KEPT:
            self._models.pop(next(iter(self._models)))
        return model


MODELS = ModelCache()


class Curve(keras.callbacks.Callback):
    """Records the true objective, in float64, of a model's current estimates at sparse epochs; not counted as cost."""

    def __init__(self, problem_set: ProblemSet, evaluations_per_epoch: int = 0) -> None:
        super().__init__()
        self._problem_set = problem_set
        self._evaluations_per_epoch = evaluations_per_epoch
        self._history = History(problem_set)
        self._next = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Record the start."""
        self._record(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record if the next checkpoint is reached, or the end."""
        if epoch + 1 >= self._next or epoch + 1 == self.params["epochs"]:
            self._record(epoch + 1)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows so far."""
        return self._history.frame

    def _record(self, epochs: int) -> None:
        z = self.model.estimate(self._problem_set)
        loss = self._problem_set.objective(self._problem_set.problem.space.to_xi(z, self._problem_set.guess))
        self._history.record(epochs, epochs * self._evaluations_per_epoch, self.model.progress.seconds, z, loss)
        self._next = max(epochs + 1, epochs * CHECKPOINT_RATIO)
