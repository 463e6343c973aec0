"""What the zoo's models share: named inputs, their scaling, and full-batch training in compiled runs of many epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_seed, did_you_mean
from kerasjoint.errors import ArgumentError
from kerasjoint.models.compiled_network import CompiledNetwork
from kerasjoint.models.distributed import distributed_epochs, is_distributed
from kerasjoint.models.epochs import Numbers, refuse, run_epochs
from kerasjoint.models.networks import suitable_network
from kerasjoint.models.registry import NETWORKS, check_network
from kerasjoint.models.step_logs import StepLogs
from kerasjoint.models.streaming import is_streamed, mean_and_deviation, streamed_epochs
from kerasjoint.models.training_data import TrainingData
from kerasjoint.models.training_state import TrainingState
from kerasjoint.models.variables import of_one_name
from kerasjoint.models.whole_set import whole_set_epochs
from kerasjoint.problem_set import ProblemSet

Shapes = dict[str, tuple[int, ...]]
REFUSED = ("loss", "metrics", "weighted_metrics", "loss_weights", "steps_per_execution")


class ProblemSetModel(keras.Model):
    """A Keras model that trains on a whole problem set at once.

    One epoch is one step on all n instances, which the replicas share out if the model is constructed in the scope of a
    ``tf.distribute`` strategy. Without callbacks many epochs run in one compiled call; callbacks see every epoch. A
    subclass defines ``train_step``; a user overrides ``build_network``.

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
    sums_over_instances
        Whether the loss of ``train_step`` is a sum over the instances, which may then be evaluated in parts.
    """

    simulates = False
    sums_over_instances = False

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
        self.network_name = check_network(network)
        self.network_options = dict(network_options or {})
        self.seed = check_seed(seed)
        with of_one_name():
            self.network = self.build_network(self.input_shapes, output_size)
        if not isinstance(self.network, keras.Model):
            raise ArgumentError("build_network", "a keras.Model", type(self.network).__name__)
        if not self.network.built:
            raise ArgumentError("build_network", "a network that begins with keras.Input", "one without input shapes")
        if self.network.output_shape != (None, output_size):
            expected = f"a network with output (n, {output_size})"
            raise ArgumentError("build_network", expected, f"one with output {self.network.output_shape}")
        with of_one_name():
            self._scales = {
                name: self.add_weight((2,), "ones", trainable=False, name=f"{name}_mean_and_deviation")
                for name in self._scaled_names()
            }
            self._adapted = self.add_weight((), "zeros", trainable=False, name="adapted")
        self.state: TrainingState | None = None
        self._compiled_network = CompiledNetwork(self.network)
        self._network_apart = False
        self._collected: Any = None
        self._runs: dict[Any, Any] = {}
        self._rehearsed: set[Any] = set()
        self.built = True

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
            scaled[name] = self._scaled((inputs[name] - self._scales[name][0]) / self._scales[name][1])
        return (self._compiled_network if self._network_apart else self.network)(scaled, training=training)

    def compile(self, optimizer: Any = "adam", *, jit_compile: bool = True, **kwargs: Any) -> None:
        """Choose the optimizer.

        ``jit_compile=False`` trains without XLA, and ``run_eagerly=True`` without compiling anything, for debugging. A
        loss, metrics and ``steps_per_execution`` are refused: the objective is the problem's, and an epoch one step.
        """
        refused = [name for name in REFUSED if kwargs.get(name) not in (None, [], 1, "auto")]
        if refused:
            expected = "nothing: the objective comes from the problem, and an epoch is one step on all instances"
            raise ArgumentError(refused[0], expected, repr(kwargs[refused[0]]))
        kwargs = {name: value for name, value in kwargs.items() if name not in REFUSED}
        if jit_compile not in (True, False, "auto"):
            raise ArgumentError("jit_compile", "True or False", repr(jit_compile))
        jit_compile = bool(jit_compile) and not kwargs.get("run_eagerly")
        with of_one_name():
            super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._runs = {}
        self._rehearsed = set()

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what ``compile`` was given, for saving; ``None`` before."""
        if not getattr(self, "compiled", False):
            return None
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "jit_compile": self.jit_compile, "run_eagerly": self.run_eagerly}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as when saved."""
        expected = ["optimizer", "jit_compile", "run_eagerly"]
        if sorted(config) != sorted(expected):
            raise ArgumentError("saved model", f"{expected} to compile with", sorted(config))
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        if not isinstance(optimizer, keras.Optimizer):
            raise ArgumentError("saved model", "an optimizer of Keras", type(optimizer).__name__)
        self.compile(optimizer, jit_compile=config["jit_compile"], run_eagerly=config["run_eagerly"])
        self.optimizer.build(self.trainable_variables)

    @property
    def _point_size(self) -> int:
        """Size of the best points, which every compiled run carries: none where no step evaluates the objective."""
        return self.output_size if self.simulates else 0

    def save_own_variables(self, store: Any) -> None:
        """Save the best points of the instances beside the weights."""
        super().save_own_variables(store)
        if self.state is not None:
            self.state.save(store)

    def load_own_variables(self, store: Any) -> None:
        """Load what ``save_own_variables`` saved."""
        self.state = TrainingState.load(store, self._point_size)
        super().load_own_variables({name: store[name] for name in store.keys() if name.isdigit()})  # noqa: SIM118

    def fit(
        self,
        problem_set: ProblemSet,
        *unexpected: Any,
        epochs: int = 1,
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
            As in ``keras.Model.fit``. With callbacks each epoch is a compiled call of its own.

        Returns
        -------
        keras.callbacks.History
            With the loss of every epoch (summed over the instances whose loss is finite), the other numbers that
            ``train_step`` returned, and what callbacks add.

        Raises
        ------
        ArgumentError
            For ``batch_size`` and other arguments of Keras that have no meaning for a joint optimisation.
        """
        if unexpected:
            raise ArgumentError("fit", "a ProblemSet, and everything else by name", f"{len(unexpected)} arguments more")
        if refused:
            name = next(iter(refused))
            hint = did_you_mean(name, ("epochs", "verbose", "callbacks", "initial_epoch"))
            raise ArgumentError(name, f"nothing: an epoch is one step on all instances{hint}", repr(refused[name]))
        if not getattr(self, "compiled", False):
            raise ArgumentError("fit", "a compiled model: call model.compile(optimizer=...) first", "none")
        epochs = check_count("epochs", epochs)
        if initial_epoch not in range(epochs + 1):
            raise ArgumentError("initial_epoch", f"a whole number from 0 to epochs = {epochs}", repr(initial_epoch))
        named_arrays(problem_set)
        streamed = not is_distributed(self) and is_streamed(self, problem_set)
        data = self._training_data(problem_set[:1] if streamed else problem_set)
        with self.distribute_strategy.scope(), of_one_name():
            if not self._adapted.numpy():
                if streamed:
                    self._adapt(self._named_arrays(problem_set), problem_set.slabs())
                else:
                    self._adapt(self._scaled_arrays(data))
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)
        if self.state is None or not self.state.is_of(problem_set):
            self.state = TrainingState(TrainingState.key_of(problem_set), len(problem_set), self._point_size)
        start = time.perf_counter()
        run, finish = self._prepare(self.state, data, problem_set if streamed else None)
        self.state.compile_seconds += time.perf_counter() - start
        given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        try:
            history = run_epochs(self, run, epochs, initial_epoch, verbose, given)
        except KeyboardInterrupt:
            finish()
            raise
        finish()
        return history

    def evaluate(
        self,
        problem_set: ProblemSet,
        *unexpected: Any,
        return_dict: bool = False,
        verbose: int | str = "auto",
        **refused: Any,
    ) -> float | dict[str, float]:
        """Return the loss that ``fit`` minimises, at the present weights; as a dict if so asked."""
        if unexpected:
            raise ArgumentError("evaluate", "a ProblemSet alone", f"{len(unexpected)} arguments more")
        if refused:
            name = next(iter(refused))
            raise ArgumentError(name, "nothing: all instances are evaluated at once", repr(refused[name]))
        loss = self._evaluation(problem_set)
        return {"loss": loss} if return_dict else loss

    train_on_batch = refuse("train_on_batch")
    test_on_batch = refuse("test_on_batch")
    predict_on_batch = refuse("predict_on_batch")

    def _prepare(
        self, state: TrainingState, data: TrainingData, streamed: ProblemSet | None
    ) -> tuple[Callable[[int], list[Numbers]], Callable[[], None]]:
        """Compile the training; return what trains some epochs and returns their numbers, and what ends the training.

        ``streamed`` is a set to be trained on slab by slab, of which ``data`` has one instance.
        """
        if streamed is not None:
            epochs, finish = streamed_epochs(self, state, streamed), _nothing
        elif is_distributed(self):
            epochs, finish = distributed_epochs(self, state, data)
        else:
            epochs, finish = whole_set_epochs(self, state, data), _nothing

        def train(steps: int) -> list[Numbers]:
            began = time.perf_counter()
            found = epochs(steps)
            state.seconds += time.perf_counter() - began
            if state.epochs == 0:
                self._look_at_first_losses(state)
            state.epochs += steps
            return found

        return train, finish

    def _look_at_first_losses(self, state: TrainingState) -> None:
        """Called after the first epochs on a problem set, with the best loss of each instance so far."""

    def _epoch(
        self, data: TrainingData, best_loss: tf.Tensor, best_z: tf.Tensor, non_finite: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Train one epoch; return the numbers of its history by name, and the best points so far."""
        numbers, loss, z = StepLogs.of(self, self.train_step(data), *best_z.shape)
        if loss is not None:
            better = loss < best_loss
            best_z = tf.where(better[:, None], z, best_z)
            best_loss = tf.where(better, loss, best_loss)
            non_finite += tf.cast(~tf.math.is_finite(loss), tf.int32)
        return numbers, (best_loss, best_z, non_finite)

    def _descend(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        variables = self.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        if self._collected is None:
            self.optimizer.apply(gradients, variables)
        else:
            self._collected.append(gradients)

    @contextmanager
    def _collected_gradients(self) -> Iterator[list[Any]]:
        """Let training steps in the block leave their gradients in a list instead of taking the step."""
        self._collected = []
        try:
            yield self._collected
        finally:
            self._collected = None

    def _scaled(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return what the network gets of inputs whose mean and deviation are 0 and 1."""
        return inputs

    def _center_and_spread(self, array: NDArray[Any], slabs: Sequence[slice]) -> tuple[float, float]:
        return mean_and_deviation(array, slabs)

    def _scaled_names(self) -> list[str]:
        return list(self.input_shapes)

    def _scaled_arrays(self, data: TrainingData) -> dict[str, tf.Tensor]:
        return data.inputs

    def _adapt(self, arrays: Mapping[str, Any], slabs: Sequence[slice] = (slice(None),)) -> None:
        """Set each input's mean and deviation, one of each per array, from the first problem set trained on."""
        for name, array in arrays.items():
            mean, deviation = self._center_and_spread(np.asarray(array), slabs)
            self._scales[name].assign([mean, deviation if deviation > 1e-6 * max(abs(mean), 1e-30) else 1.0])
        self._adapted.assign(1.0)

    def _training_data(self, problem_set: ProblemSet) -> TrainingData:
        raise NotImplementedError

    def _targets(self, problem_set: ProblemSet) -> tf.Tensor:
        """Return the targets of models that sum over instances."""
        raise NotImplementedError

    def _evaluation(self, problem_set: ProblemSet) -> float:
        raise NotImplementedError

    def _named_arrays(self, problem_set: ProblemSet) -> dict[str, NDArray[np.float64]]:
        return {name: array for name, array in named_arrays(problem_set).items() if name in self.input_shapes}

    def _named_inputs(self, problem_set: ProblemSet) -> dict[str, tf.Tensor]:
        """The condition and the observation by the names of the network's inputs, float32."""
        arrays = self._named_arrays(problem_set)
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        expected = {name: shape for name, shape in self.input_shapes.items() if name != "xi"}
        if shapes != expected:
            raise ArgumentError("problem_set", f"arrays of shapes {expected} per instance, as the model", shapes)
        return {name: tf.constant(array, tf.float32) for name, array in arrays.items()}


def _nothing() -> None:
    """Do nothing: the state has the best points after every epoch."""


def named_arrays(problem_set: ProblemSet) -> dict[str, NDArray[np.float64]]:
    """Name what is known of each instance as the networks do: ``y``, and ``x_<name>`` for each condition.

    Keras allows no slash in a name, so that it is written ``%2F``, as in addresses.
    """
    if not isinstance(problem_set, ProblemSet):
        raise ArgumentError("problem_set", "a ProblemSet", type(problem_set).__name__)
    return {"y": problem_set.y} | {f"x_{name.replace('/', '%2F')}": array for name, array in problem_set.x.items()}
