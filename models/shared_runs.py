"""Compiled training that models of equal settings share: XLA keeps what it compiled until the process ends."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

RUNS_KEPT = 16


class SharedRuns:
    """Traced training by what it depends on; each model hands its own variables to it.

    Example
    -------
    >>> run = SHARED_RUNS.of(model, (evaluator, shapes), lambda: concrete_function(train, *tensors))
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[Any, _Run] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._runs)

    def clear(self) -> None:
        """Forget all; models keep theirs."""
        with self._lock:
            self._runs.clear()

    def of(self, model: keras.Model, key: Any, trace: Callable[[], Any]) -> Callable[..., Any]:
        """Return the training of a model; what ``trace`` returns, unless an equal one of another model is here.

        Only classes and optimizers of kerasjoint and Keras share: those of users may do what their settings do not say.
        """
        parts = model, model.optimizer
        if not all(type(part).__module__.split(".")[0] in ("kerasjoint", "keras") for part in parts):
            return trace()
        if "train_step" in vars(model):
            return trace()
        variables = tuple((variable.trainable, tuple(variable.shape)) for variable in model.variables)
        policy = keras.config.dtype_policy().name
        key = *map(type, parts), *map(settings_of, parts), variables, policy, key
        handles = _handles(model)
        with self._lock:
            if key not in self._runs:
                self._runs[key] = _Run(trace(), handles)
            self._runs.move_to_end(key)
            run = self._runs[key]
            while len(self._runs) > RUNS_KEPT:
                self._runs.popitem(last=False)
        return run.with_variables(handles)


def settings_of(part: keras.Model | keras.Optimizer) -> str:
    """Return what models or optimizers that compute alike have in common."""
    return repr({name: value for name, value in sorted(part.get_config().items()) if name not in ("name", "seed")})


class _Run:
    """A concrete function whose captured variables are looked up at each call, in the thread that calls."""

    def __init__(self, concrete: Any, handles: Sequence[tf.Tensor]) -> None:
        places = {id(handle): k for k, handle in enumerate(handles)}
        self._concrete = concrete
        self._here = threading.local()
        captures = [places.get(id(tensor)) for tensor in concrete.captured_inputs]
        concrete.set_external_captures(
            [
                tensor if place is None else self._variable(place)
                for place, tensor in zip(captures, concrete.captured_inputs, strict=True)
            ]
        )

    def _variable(self, place: int) -> Callable[[], tf.Tensor]:
        return lambda: self._here.handles[place]

    def with_variables(self, handles: Sequence[tf.Tensor]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            self._here.handles = handles
            return self._concrete(*arguments)

        return run


def _handles(model: keras.Model) -> list[tf.Tensor]:
    return [variable.value.handle for variable in (*model.variables, *model.optimizer.variables)]


SHARED_RUNS = SharedRuns()
