"""Training under a ``tf.distribute`` strategy: each replica has a shard of the instances, gradients are summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.evaluator import Route
from kerasjoint.models.epochs import Numbers
from kerasjoint.models.step_logs import part_of_whole
from kerasjoint.models.training_data import TrainingData
from kerasjoint.models.training_state import TENSORS, TrainingState
from kerasjoint.tensor_problem_set import TensorProblemSet

Epochs = Callable[[int], list[Numbers]]


def is_distributed(model: Any) -> bool:
    """Return whether a model was constructed in the scope of a strategy: its variables are the strategy's then."""
    return model._distribute_strategy is not None


def distributed_epochs(model: Any, state: TrainingState, data: TrainingData) -> tuple[Epochs, Callable[[], None]]:
    """Return a function that trains some epochs and returns their numbers, and one that ends the training.

    The latter gives ``state`` the best points of all n instances. It is not done with the epochs: these are called in
    portions by the time they take, which differs between processes, and all must communicate in the same order.

    Replica k of R has the k-th of R runs of neighbouring instances, in the processes of all workers. Keras's optimizer
    adds up the gradients of the replicas. XLA compiles the simulator, but not the network, and an epoch is a call of
    its own.
    """
    strategy, n = model.distribute_strategy, len(state.best_loss)
    count = strategy.num_replicas_in_sync
    if not model.sums_over_instances:
        expected = "a model whose loss is a sum over the instances, in the scope of a strategy"
        raise ArgumentError("fit", expected, type(model).__name__)
    if model.simulates and data.instances.evaluator.route is Route.HOST:
        raise ArgumentError("fit", "a simulator in TensorFlow or JAX, in the scope of a strategy", Route.HOST.value)
    if n < count:
        raise ArgumentError("problem_set", f"at least {count} instances, one for each replica", n)
    model._network_apart = False
    ends = np.linspace(0, n, count + 1).astype(int)
    evaluator, jit_compile = data.instances.evaluator, data.instances.jit_compile

    def distributed(structure: Any) -> Any:
        def own(context: Any) -> Any:
            k = context.replica_id_in_sync_group
            return tf.nest.map_structure(
                lambda tensor: tensor[ends[k] : ends[k + 1]] if tensor.shape.rank else tensor, structure
            )

        return strategy.experimental_distribute_values_from_function(own)

    def on_replica(tensors: Any, best: Any) -> Any:
        inputs, x, y, guess, targets = tensors
        instances = TensorProblemSet(evaluator, x, y, guess, jit_compile)
        numbers, after = model._epoch(TrainingData(inputs, instances, targets), *best)
        return part_of_whole(numbers, tf.cast(tf.shape(best[0])[0], tf.float32) / n), after

    @tf.function(autograph=False)
    def epoch(tensors: Any, best: Any) -> Any:
        numbers, best = strategy.run(on_replica, args=(tensors, best))
        added = {name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for name, part in numbers.items()}
        return added, best

    @tf.function(autograph=False)
    def gathered(best: Any) -> Any:
        return tuple(strategy.gather(part, axis=0) for part in best)

    tensors = distributed((data.inputs, *data.instances[1:4], data.targets))
    best = distributed(tuple(getattr(state, name) for name in TENSORS))

    def train(steps: int) -> list[Numbers]:
        nonlocal best
        found = []
        for _ in range(steps):
            numbers, best = epoch(tensors, best)
            found.append({name: float(number) for name, number in numbers.items()})
        return found

    def finish() -> None:
        for name, part in zip(TENSORS, gathered(best), strict=True):
            setattr(state, name, part)

    return train, finish
