"""Full-batch training on a set in memory and on one device: many epochs in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from kerasjoint import compile_cache
from kerasjoint.evaluator import Evaluator, Route
from kerasjoint.models.epochs import EPOCHS_PER_RUN, Numbers
from kerasjoint.models.shared_runs import SHARED_RUNS
from kerasjoint.models.step_logs import names_of_numbers
from kerasjoint.models.training_data import TrainingData
from kerasjoint.models.training_state import TENSORS, TrainingState
from kerasjoint.models.variables import of_one_name
from kerasjoint.problem_set import ProblemSet
from kerasjoint.tensor_problem_set import TensorProblemSet
from kerasjoint.tracing import concrete_function

Best = tuple[tf.Tensor, ...]


def outside_of_xla(model: Any, evaluator: Evaluator) -> tuple[bool, bool]:
    """Return whether the simulator stays outside of what XLA compiles, and whether nothing is compiled at all.

    Outside are simulators that are spread over the cores, and those that XLA does not compile.
    """
    apart = model.simulates and (evaluator.route is not Route.XLA or evaluator.problem.chunk is not None)
    return apart, model.run_eagerly or (model.simulates and evaluator.route is Route.HOST)


def whole_set_epochs(model: Any, state: TrainingState, data: TrainingData) -> Callable[[int], list[Numbers]]:
    """Compile the training of a ``ProblemSetModel``; return what trains some epochs and returns their numbers."""
    evaluator = data.instances.evaluator
    apart, eager = outside_of_xla(model, evaluator)
    model._network_apart = apart and model.jit_compile
    tensors = (data.inputs, *data.instances[1:4], data.targets)

    def best() -> Best:
        return tuple(getattr(state, name) for name in TENSORS)

    if eager:
        run: Any = partial(_run_eagerly, model, data)
    else:
        compiled = _compiled(model, evaluator, model.jit_compile and not apart, tensors, best())
        run = partial(compiled, *tensors)

    def epochs(steps: int) -> list[Numbers]:
        found, *new = run(*best(), tf.constant(steps))
        for name, tensor in zip(TENSORS, new, strict=True):
            setattr(state, name, tensor)
        columns = {name: column.numpy()[:steps].tolist() for name, column in found.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    key = evaluator, _shapes(tensors), apart
    if not eager and key not in model._rehearsed:
        try:
            _rehearse(model, lambda steps: run(*best(), steps))
        except tf.errors.OpError as error:
            if compile_cache.forget_refused(error):
                model._runs.clear()
            elif not (model.simulates and evaluator.leave_xla(error)):
                raise
            return whole_set_epochs(model, state, data)
        model._rehearsed.add(key)
    return epochs


def compile_ahead(model: Any, problem_set: ProblemSet, count: int) -> None:
    """Compile the training of a model on ``count`` instances of the shapes of a problem set, which need not exist yet.

    Then ``fit`` on so many need not wait for it. Nothing is done for a model that was compiled for a set already.
    """
    if model._rehearsed:
        return
    with of_one_name():
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    one = model._training_data(problem_set[:1])
    instances = TensorProblemSet(one.instances.evaluator, *_repeated(one.instances[1:4], count), *one.instances[4:])
    data = TrainingData(_repeated(one.inputs, count), instances, _repeated(one.targets, count))
    whole_set_epochs(model, TrainingState("", count, model._point_size), data)


def _repeated(tensors: Any, count: int) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.repeat(tensor, count, axis=0), tensors)


def _rehearse(model: Any, run: Callable[[tf.Tensor], Any]) -> None:
    """Trigger compilation without changing model state: run no epoch or, if that leaves code out, undo one."""
    if not model._network_apart:
        run(tf.constant(0))
        return
    variables = [*model.variables, *model.optimizer.variables]
    values = [variable.numpy() for variable in variables]
    run(tf.constant(1))
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compiled(model: Any, evaluator: Evaluator, jit_compile: bool, tensors: Sequence[Any], best: Best) -> Any:
    """Return the function that trains up to ``EPOCHS_PER_RUN`` epochs; traced once per evaluator and shapes."""
    key = evaluator, jit_compile, _shapes(tensors)
    if key not in model._runs:
        # A concrete function, since finding the right one of a tf.function takes as long as many cheap epochs.
        arguments = (*tensors, *best, tf.constant(0))
        trace = partial(concrete_function, partial(_run, model, evaluator), *arguments, jit_compile=jit_compile)
        model._runs[key] = SHARED_RUNS.of(model, (*key, model.jit_compile), trace)
    return model._runs[key]


def _run(
    model: Any, evaluator: Evaluator, inputs: Any, x: Any, y: Any, guess: Any, targets: Any,
    best_loss: tf.Tensor, best_z: tf.Tensor, non_finite: tf.Tensor, steps: tf.Tensor,
) -> tuple[Any, ...]:  # fmt: skip
    data = TrainingData(inputs, TensorProblemSet(evaluator, x, y, guess, model.jit_compile), targets)
    columns = {
        name: tf.TensorArray(tf.float32, size=EPOCHS_PER_RUN, element_shape=())
        for name in names_of_numbers(model, data, *best_z.shape)
    }

    def epoch(i: tf.Tensor, columns: dict[str, Any], *best: tf.Tensor) -> tuple[Any, ...]:
        numbers, best = model._epoch(data, *best)
        return i + 1, {name: column.write(i, numbers[name]) for name, column in columns.items()}, *best

    _, columns, *best = tf.while_loop(
        lambda i, *_: i < steps,
        epoch,
        (tf.constant(0), columns, best_loss, best_z, non_finite),
        maximum_iterations=EPOCHS_PER_RUN,
    )
    return {name: column.stack() for name, column in columns.items()}, *best


def _run_eagerly(
    model: Any, data: TrainingData, best_loss: tf.Tensor, best_z: tf.Tensor, non_finite: tf.Tensor, steps: tf.Tensor
) -> tuple[Any, ...]:
    best, rows = (best_loss, best_z, non_finite), []
    for _ in range(int(steps)):
        numbers, best = model._epoch(data, *best)
        rows.append(numbers)
    return tf.nest.map_structure(lambda *column: tf.stack(column), *rows), *best


def _shapes(tensors: Any) -> str:
    return str(tf.nest.map_structure(lambda tensor: (tuple(tensor.shape), tensor.dtype.name), tensors))
