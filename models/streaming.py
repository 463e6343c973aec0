"""Full-batch training on sets that are not in memory: gradients are added up slab by slab, then one step is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.models.epochs import Numbers
from kerasjoint.models.layers import BatchStatistics
from kerasjoint.models.step_logs import part_of_whole
from kerasjoint.models.training_data import TrainingData
from kerasjoint.models.training_state import TENSORS, TrainingState
from kerasjoint.models.whole_set import outside_of_xla
from kerasjoint.problem_set import ProblemSet
from kerasjoint.tensor_problem_set import TensorProblemSet

COUPLING = (BatchStatistics, keras.layers.BatchNormalization)


def is_streamed(model: Any, problem_set: ProblemSet) -> bool:
    """Return whether a set is trained on slab by slab: a large one, by a network that treats instances apart."""
    if len(problem_set.slabs()) == 1 or not model.sums_over_instances:
        return False
    return not any(isinstance(layer, COUPLING) for layer in model.network._flatten_layers())


def streamed_epochs(model: Any, state: TrainingState, problem_set: ProblemSet) -> Callable[[int], list[Numbers]]:
    """Return the function that trains some epochs of a ``ProblemSetModel`` and returns their numbers.

    An epoch goes through the slabs, of which one is in memory, and takes one step along the sum of their gradients. Its
    loss is the sum of theirs, other numbers are means over the instances.
    """
    evaluator, parts = problem_set.evaluator, problem_set.slabs()
    apart, eager = outside_of_xla(model, evaluator)
    model._network_apart = apart and model.jit_compile and not eager

    def of_slab(data: Any, best: Any) -> tuple[Any, list[Any], Any]:
        with model._collected_gradients() as found:
            numbers, best = model._epoch(data, *best)
        if not found:
            expected = f"one that calls super().train_step(data), for a set of {len(parts)} slabs in turn"
            raise ArgumentError("train_step", expected, "one that takes the step by itself")
        return numbers, found[0], best

    @partial(tf.function, jit_compile=model.jit_compile and not apart, autograph=False)
    def compiled(inputs: Any, x: Any, y: Any, guess: Any, targets: Any, best: Any) -> tuple[Any, list[Any], Any]:
        instances = TensorProblemSet(evaluator, x, y, guess, model.jit_compile)
        return of_slab(TrainingData(inputs, instances, targets), best)

    targets = [model._targets(problem_set[slab]) for slab in parts]

    def train(steps: int) -> list[Numbers]:
        best = {name: np.array(getattr(state, name)) for name in TENSORS}
        epochs = []
        for _ in range(steps):
            totals: Numbers = {}
            sums = None
            for slab, known in zip(parts, targets, strict=True):
                instances = TensorProblemSet.of(problem_set[slab], jit_compile=model.jit_compile)
                inputs = model._named_inputs(problem_set[slab])
                before = tuple(tf.constant(best[name][slab]) for name in TENSORS)
                if eager:
                    numbers, gradients, after = of_slab(TrainingData(inputs, instances, known), before)
                else:
                    numbers, gradients, after = compiled(inputs, *instances[1:4], known, before)
                for name, part in part_of_whole(numbers, len(instances.y) / len(problem_set)).items():
                    totals[name] = totals.get(name, 0.0) + float(part)
                sums = gradients if sums is None else [a + b for a, b in zip(sums, gradients, strict=True)]
                for name, part in zip(TENSORS, after, strict=True):
                    best[name][slab] = part
            model.optimizer.apply(sums, model.trainable_variables)
            epochs.append(totals)
        for name, array in best.items():
            setattr(state, name, tf.constant(array))
        return epochs

    return train


def mean_and_deviation(array: NDArray[Any], slabs: Sequence[slice]) -> tuple[float, float]:
    """Return those of all numbers of an array, which is gone through twice if it has several slabs."""
    if len(slabs) == 1:
        return float(np.mean(array)), float(np.std(array))
    mean = sum(float(np.sum(array[slab])) for slab in slabs) / array.size
    return mean, float(np.sqrt(sum(float(np.sum(np.square(array[slab] - mean))) for slab in slabs) / array.size))
