"""What the zoo's models share: named inputs, their scaling, and full-batch training in compiled runs of many epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.errors import ArgumentError
from kerasjoint.models import NETWORKS
from kerasjoint.models.compiled_network import CompiledNetwork
from kerasjoint.models.networks import suitable_network
from kerasjoint.problem_set import ProblemSet
from kerasjoint.tensor_problem_set import TensorProblemSet

Shapes = dict[str, tuple[int, ...]]
EPOCHS_PER_RUN = 50


class TrainingData(NamedTuple):
    """What ``train_step`` gets: the network's inputs, the instances, and targets where the model learns from some."""

    inputs: dict[str, tf.Tensor]
    instances: TensorProblemSet
    targets: tf.Tensor


class Progress:
    """Where training stands: kept outside the weights, and not saved with them."""

    def __init__(self, problem_set: ProblemSet, size: int) -> None:
        n = len(problem_set)
        self.problem_set = problem_set
        self.best_loss = tf.fill((n,), np.float32(np.inf))
        self.best_z = tf.zeros((n, size))
        self.non_finite = tf.zeros((n,), tf.int32)
        self.epochs = 0
        self.seconds = 0.0
        self.compile_seconds = 0.0


class ProblemSetModel(keras.Model):
    """A Keras model that trains on a whole problem set at once.

    One epoch is one step on all n instances. Epochs run in compiled runs of ``steps_per_execution``; callbacks fire
    once a run. A subclass defines ``train_step``; a user overrides ``build_network``.

    Parameters
    ----------
    input_shapes
        Shape per instance of each named input.
    output_size
        Numbers per instance that the network puts out.
    network
        Name of a network of the zoo, or ``"auto"``.
    network_options
        Keyword arguments of that network.
    seed
        Of the initial weights.

    Attributes
    ----------
    simulates
        Whether ``train_step`` runs the simulator.
    """

    simulates = False

    def __init__(
        self,
        input_shapes: Mapping[str, Sequence[int]],
        output_size: int,
        network: str = "auto",
        network_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._shapes = tuple((name, tuple(shape)) for name, shape in input_shapes.items())
        self.output_size = output_size
        self.network_name = network if network == "auto" else NETWORKS.check(network)
        self.network_options = dict(network_options or {})
        self.seed = seed
        self.network = self.build_network(self.input_shapes, output_size)
        if not isinstance(self.network, keras.Model):
            raise ArgumentError("build_network", "a keras.Model", type(self.network).__name__)
        self._scales = {
            name: self.add_weight(shape=(2,), initializer="ones", trainable=False, name=f"{name}_mean_and_deviation")
            for name in self._scaled_names()
        }
        self._adapted = self.add_weight(shape=(), initializer="zeros", trainable=False, name="adapted")
        self.progress: Progress | None = None
        self._compiled_network = CompiledNetwork(self.network)
        self._network_apart = False
        self._runs: dict[bool, Any] = {}
        self._rehearsed: set[Any] = set()

    @property
    def input_shapes(self) -> Shapes:
        """Shape per instance of each named input."""
        return dict(self._shapes)

    def build_network(self, input_shapes: Shapes, output_size: int) -> keras.Model:
        """Build the network from a dict of inputs, each (n, *shape), to (n, output_size). Override for your own.

        Example
        -------
        >>> def build_network(self, input_shapes, output_size):
        ...     inputs = {name: keras.Input(shape, name=name) for name, shape in input_shapes.items()}
        ...     return keras.Model(inputs, keras.layers.Dense(output_size)(inputs["y"]))
        """
        name = suitable_network(input_shapes) if self.network_name == "auto" else self.network_name
        network = NETWORKS.load(name)
        known = list(signature(network).parameters)[2:]
        if not self.network_options.keys() <= set(known):
            raise ArgumentError("network_options", f"options of {name!r}: {known}", list(self.network_options))
        return network(input_shapes, output_size, seed=self.seed, **self.network_options)

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the network is built with the model."""
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "input_shapes": {name: list(shape) for name, shape in self._shapes},
            "output_size": self.output_size,
            "network": self.network_name,
            "network_options": dict(self.network_options),
            "seed": self.seed,
        }

    def call(self, inputs: dict[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Apply the network to named inputs, scaled by the mean and deviation that training began with."""
        scaled = {}
        for name in self.input_shapes:
            scaled[name] = (inputs[name] - self._scales[name][0]) / self._scales[name][1]
        return (self._compiled_network if self._network_apart else self.network)(scaled, training=training)

    def compile(self, optimizer: Any = "adam", *, steps_per_execution: int = EPOCHS_PER_RUN, **kwargs: Any) -> None:
        """Choose the optimizer, and how many epochs one compiled run holds.

        ``jit_compile=False`` trains without XLA. A loss or metrics are refused: the objective is the problem's.
        """
        refused = [name for name in ("loss", "metrics", "weighted_metrics", "loss_weights") if kwargs.get(name)]
        if refused:
            raise ArgumentError(refused[0], "nothing, since the objective comes from the problem", kwargs[refused[0]])
        steps_per_execution = check_count("steps_per_execution", steps_per_execution)
        jit_compile = kwargs.pop("jit_compile", True) is not False
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._epochs_per_run = steps_per_execution
        self._runs = {}
        self._rehearsed = set()

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what ``compile`` was given, for saving; ``None`` before."""
        if not getattr(self, "compiled", False):
            return None
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "steps_per_execution": self._epochs_per_run,
            "jit_compile": self.jit_compile,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as when saved."""
        optimizer = keras.saving.deserialize_keras_object(config.pop("optimizer"))
        self.compile(optimizer=optimizer, **config)
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        problem_set: ProblemSet,
        epochs: int = 1,
        *,
        verbose: int | str = "auto",
        callbacks: list[keras.callbacks.Callback] | None = None,
        initial_epoch: int = 0,
        **refused: Any,
    ) -> keras.callbacks.History:
        """Train on all instances of the problem set, one full-batch step an epoch.

        Parameters
        ----------
        problem_set
            The instances.
        epochs, verbose, callbacks, initial_epoch
            As in ``keras.Model.fit``.

        Returns
        -------
        keras.callbacks.History
            With the loss of every epoch (summed over the instances whose loss is finite).

        Raises
        ------
        ArgumentError
            For ``batch_size`` and other arguments of Keras that have no meaning for a joint optimisation.
        """
        if refused:
            name = next(iter(refused))
            raise ArgumentError(name, "nothing: an epoch is one step on all instances", repr(refused[name]))
        if not getattr(self, "compiled", False):
            raise ArgumentError("fit", "a compiled model: call model.compile(optimizer=...) first", "none")
        epochs = check_count("epochs", epochs)
        if initial_epoch not in range(epochs + 1):
            raise ArgumentError("initial_epoch", f"a whole number from 0 to epochs = {epochs}", repr(initial_epoch))
        data = self._training_data(problem_set)
        if not self._adapted.numpy():
            self._adapt(data)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        if self.progress is None or self.progress.problem_set is not problem_set:
            self.progress = Progress(problem_set, self.output_size)
        return self._fit_in_runs(self.progress, data, epochs, initial_epoch, verbose, callbacks)

    def _fit_in_runs(
        self,
        progress: Progress,
        data: TrainingData,
        epochs: int,
        initial_epoch: int,
        verbose: int | str,
        callbacks: list[keras.callbacks.Callback] | None,
    ) -> keras.callbacks.History:
        spread = self.simulates and data.instances.problem.chunk is not None
        self._network_apart = spread and self.jit_compile
        arguments = (data.instances.problem, data.inputs, *data.instances[1:], data.targets)
        so_far = (progress.best_loss, progress.best_z, progress.non_finite, tf.constant(0))
        start = time.perf_counter()
        # A concrete function, since finding the right one of a tf.function takes as long as many cheap epochs.
        run = self._compiled_run(self.jit_compile and not spread).get_concrete_function(*arguments, *so_far)

        def one_run(steps: int) -> Any:
            return run(*arguments, progress.best_loss, progress.best_z, progress.non_finite, tf.constant(steps))

        key = tf.nest.map_structure(lambda tensor: tuple(tensor.shape), arguments[1:])
        key = (id(data.instances.problem), str(key))
        if key not in self._rehearsed:
            self._rehearse(one_run)
            self._rehearsed.add(key)
        progress.compile_seconds += time.perf_counter() - start
        callback_list = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=1 if verbose == "auto" else verbose,
            epochs=epochs,
            steps=1,
            model=self,
        )
        self.stop_training = False
        callback_list.on_train_begin()
        losses: list[float] = []
        epoch = initial_epoch
        while epoch < epochs and not self.stop_training:
            steps = min(self._epochs_per_run, epochs - epoch)
            callback_list.on_epoch_begin(epoch + steps - 1)
            callback_list.on_train_batch_begin(0)
            start = time.perf_counter()
            run_losses, progress.best_loss, progress.best_z, progress.non_finite = one_run(steps)
            losses.extend(run_losses.numpy()[:steps].tolist())
            progress.seconds += time.perf_counter() - start
            progress.epochs += steps
            epoch += steps
            logs = {"loss": losses[-1]}
            callback_list.on_train_batch_end(0, logs)
            callback_list.on_epoch_end(epoch - 1, logs)
        callback_list.on_train_end({"loss": losses[-1]} if losses else {})
        self.history.epoch = list(range(initial_epoch, epoch))
        self.history.history["loss"] = losses
        return self.history

    def _rehearse(self, run: Callable[[int], Any]) -> None:
        """Compile and leave nothing behind: run no epoch or, where that would not reach all code, undo one."""
        if not self._network_apart:
            run(0)
            return
        variables = [*self.variables, *self.optimizer.variables]
        values = [variable.numpy() for variable in variables]
        run(1)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _compiled_run(self, jit_compile: bool) -> Any:
        """The function that runs up to ``steps_per_execution`` epochs; traced once per problem and shapes."""
        if jit_compile not in self._runs:
            # Models of one class share the code by which TensorFlow counts traces: the partial keeps them apart.
            self._runs[jit_compile] = tf.function(partial(self._run), jit_compile=jit_compile, autograph=False)
        return self._runs[jit_compile]

    def _run(
        self, problem: Any, inputs: Any, x: Any, y: Any, guess: Any, targets: Any,
        best_loss: tf.Tensor, best_z: tf.Tensor, non_finite: tf.Tensor, steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:  # fmt: skip
        data = TrainingData(inputs, TensorProblemSet(problem, x, y, guess), targets)
        losses = tf.TensorArray(tf.float32, size=self._epochs_per_run, element_shape=())

        def epoch(i: tf.Tensor, losses: Any, best_loss: Any, best_z: Any, non_finite: Any) -> tuple[Any, ...]:
            logs = self.train_step(data)
            if "z" in logs:
                better = logs["instance_loss"] < best_loss
                best_z = tf.where(better[:, None], logs["z"], best_z)
                best_loss = tf.where(better, logs["instance_loss"], best_loss)
                non_finite += tf.cast(~tf.math.is_finite(logs["instance_loss"]), tf.int32)
            return i + 1, losses.write(i, logs["loss"]), best_loss, best_z, non_finite

        _, losses, best_loss, best_z, non_finite = tf.while_loop(
            lambda i, *_: i < steps,
            epoch,
            (tf.constant(0), losses, best_loss, best_z, non_finite),
            maximum_iterations=self._epochs_per_run,
        )
        return losses.stack(), best_loss, best_z, non_finite

    def _descend(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    def _scaled_names(self) -> list[str]:
        return list(self.input_shapes)

    def _scaled_arrays(self, data: TrainingData) -> dict[str, tf.Tensor]:
        return data.inputs

    def _adapt(self, data: TrainingData) -> None:
        """Set each input's mean and deviation, one of each per array, from the first problem set trained on."""
        for name, array in self._scaled_arrays(data).items():
            mean, deviation = float(np.mean(array)), float(np.std(array))
            self._scales[name].assign([mean, deviation if deviation > 1e-6 * max(abs(mean), 1e-30) else 1.0])
        self._adapted.assign(1.0)

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        raise NotImplementedError

    def _named_inputs(self, problem_set: ProblemSet) -> dict[str, tf.Tensor]:
        """The condition and the observation by the names of the network's inputs, float32."""
        arrays = {name: array for name, array in named_arrays(problem_set).items() if name in self.input_shapes}
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        expected = {name: shape for name, shape in self.input_shapes.items() if name != "xi"}
        if shapes != expected:
            raise ArgumentError("problem_set", f"arrays of shapes {expected} per instance, as the model", shapes)
        return {name: tf.constant(array, tf.float32) for name, array in arrays.items()}


def named_arrays(problem_set: ProblemSet) -> dict[str, NDArray[np.float64]]:
    """Name what is known of each instance as the networks do: ``y``, and ``x_<name>`` for each condition."""
    if not isinstance(problem_set, ProblemSet):
        raise ArgumentError("problem_set", "a ProblemSet", type(problem_set).__name__)
    return {"y": problem_set.y} | {f"x_{name}": array for name, array in problem_set.x.items()}
