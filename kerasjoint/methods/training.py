"""What the methods that train a network share: compiled models used again, and traces of the true objective."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from kerasjoint.checks import check_count, check_options
from kerasjoint.counting import CHECKPOINT_RATIO, History
from kerasjoint.fingerprint import problem_fingerprint
from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.methods.base import Method, check_positive
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage

require_tensorflow()

import keras  # noqa: E402

from kerasjoint.models.epochs import SparseCallback  # noqa: E402
from kerasjoint.models.registry import check_network  # noqa: E402
from kerasjoint.models.shared_runs import settings_of  # noqa: E402
from kerasjoint.models.variables import of_one_name  # noqa: E402

MODELS_KEPT = 8
SHOWN_EVERY = 10


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
    refined = False

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
        self.network = check_network(network)
        self.network_options = check_options("network_options", network_options)

    @contextmanager
    def _borrowed(self, model_class: Any, problem_set: ProblemSet, seed: int, **settings: Any) -> Iterator[Any]:
        """Lend a compiled model for this problem set, with initial weights of ``seed`` and ``settings`` of its own."""
        settings |= {"network": self.network, "network_options": self.network_options}
        sizes = (len(problem_set), self.learning_rate)
        with MODELS.borrow(
            model_class, problem_set, seed, settings, lambda: keras.optimizers.Adam(self.learning_rate), sizes
        ) as model:
            yield model

    def _train(self, model: keras.Model, problem_set: ProblemSet, callbacks: list[keras.callbacks.Callback]) -> None:
        with stage(f"{self.name}, epochs", total=self.epochs) as done:
            callbacks = [*callbacks, _Shown(done)]
            model.fit(problem_set, epochs=self.epochs, verbose=0, callbacks=callbacks)


class ModelCache:
    """Compiled models by shapes and settings: further runs of equal shapes get fresh weights, not a compilation.

    They keep code and constants of a few problems, but no problem set.
    """

    def __init__(self) -> None:
        self._models: dict[Any, keras.Model] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrow(
        self,
        model_class: Any,
        problem_set: ProblemSet,
        seed: int,
        settings: dict[str, Any],
        optimizer: Callable[[], keras.optimizers.Optimizer],
        sizes: tuple[Any, ...],
        jit_compile: bool = True,
    ) -> Iterator[Any]:
        """Lend a compiled model with the initial weights of ``seed`` and no memory of earlier runs.

        ``settings`` go to the model, and ``sizes`` are what the compiled training depends on besides.
        """
        fresh = model_class.for_problem_set(problem_set, seed=seed, **settings)
        key = (model_class, problem_fingerprint(problem_set.problem), settings_of(fresh), *sizes)
        with self._lock:
            model = self._models.pop(key, None)
        if model is None:
            model = fresh
            with of_one_name():
                model.compile(optimizer=optimizer(), jit_compile=jit_compile)
        else:
            model.set_weights(fresh.get_weights())
            for variable in model.optimizer.variables:
                if variable is not model.optimizer.learning_rate:
                    variable.assign(np.zeros(variable.shape))
        yield model
        model.state = None
        with self._lock:
            self._models[key] = model
            while len(self._models) > MODELS_KEPT:
                self._models.pop(next(iter(self._models)))


MODELS = ModelCache()


class Trace(SparseCallback):
    """Records the true objective, in float64, of a model's current estimates at sparse epochs; not counted as cost."""

    def __init__(self, problem_set: ProblemSet, evaluations_per_epoch: int = 0) -> None:
        super().__init__()
        self._problem_set = problem_set
        self._evaluations_per_epoch = evaluations_per_epoch
        self._history = History(problem_set)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Record the start."""
        self._record(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record."""
        self._record(epoch + 1)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows so far."""
        return self._history.frame

    def _record(self, epochs: int) -> None:
        z = self.model.estimate(self._problem_set)
        loss = self._problem_set.objective(self._problem_set.space.to_xi(z, self._problem_set.guess))
        self._history.record(epochs, epochs * self._evaluations_per_epoch, self.model.state.seconds, z, loss)
        self.next_epoch = max(epochs + 1, math.ceil(epochs * CHECKPOINT_RATIO))


class _Shown(SparseCallback):
    """Reports epochs to whoever shows progress."""

    def __init__(self, done: Callable[[int], None]) -> None:
        super().__init__()
        self._done = done
        self.next_epoch = SHOWN_EVERY

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report."""
        self._done(epoch + 1)
        self.next_epoch = epoch + 1 + SHOWN_EVERY
