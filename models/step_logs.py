"""What a training step returns: numbers for the history, and the points of the instances."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.models.training_data import TrainingData
from kerasjoint.tracing import concrete_function

POINTS = ("instance_loss", "z")


class StepLogs(NamedTuple):
    """The numbers of an epoch, float32 scalars by name; and (n,) losses and (n, size) points of models that simulate.

    Example
    -------
    >>> StepLogs.of(model, {"loss": 3.0, "instance_loss": losses, "z": z}, 4, 2).numbers["loss"]
    """

    numbers: dict[str, tf.Tensor]
    instance_loss: tf.Tensor | None = None
    z: tf.Tensor | None = None

    @classmethod
    def of(cls, model: Any, logs: Any, n: int, size: int) -> StepLogs:
        """Check what ``train_step`` returned for n instances.

        Raises
        ------
        ArgumentError
            Where a name is missing, or has another shape than it must.
        """
        needed = {"loss", *POINTS} if model.simulates else {"loss"}
        if not (isinstance(logs, dict) and needed <= logs.keys()):
            got = sorted(logs) if isinstance(logs, dict) else type(logs).__name__
            raise ArgumentError("train_step", f"a dict with {', '.join(sorted(needed))}", got)
        numbers = {name: _checked(name, value, ()) for name, value in logs.items() if name not in POINTS}
        if not model.simulates:
            return cls(numbers)
        return cls(numbers, *(_checked(name, logs[name], (n, size)[: k + 1]) for k, name in enumerate(POINTS)))


def names_of_numbers(model: Any, data: TrainingData, n: int, size: int) -> list[str]:
    """Return the names of the numbers that ``train_step`` returns; one that is not the zoo's is traced for that."""
    if "train_step" not in vars(model) and type(model).train_step.__module__.split(".")[0] == "kerasjoint":
        return ["loss"]
    probe = concrete_function(lambda: StepLogs.of(model, model.train_step(data), n, size).numbers)
    return list(probe.structured_outputs)


def part_of_whole(numbers: dict[str, Any], share: Any) -> dict[str, Any]:
    """Return what a share of the instances adds to the numbers of all: losses are sums, all else means.

    Example
    -------
    >>> part_of_whole({"loss": 3.0, "worst": 2.0}, share=0.5)
    {'loss': 3.0, 'worst': 1.0}
    """
    return {name: number if name == "loss" else share * number for name, number in numbers.items()}


def _checked(name: str, value: Any, shape: tuple[int, ...]) -> tf.Tensor:
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        raise ArgumentError("train_step", f"numbers as {name!r}", type(value).__name__) from None
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        raise ArgumentError("train_step", f"numbers as {name!r}", f"dtype {tensor.dtype.name}")
    if not tensor.shape.is_compatible_with(shape):
        expected = f"{name!r} of shape {shape}" if shape else f"a scalar as {name!r}"
        raise ArgumentError("train_step", expected, f"shape {tuple(tensor.shape)}")
    return tf.cast(tensor, tf.float32)
