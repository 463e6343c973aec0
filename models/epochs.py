"""The loop over epochs: compiled runs of many where nothing happens in between, one by one where callbacks need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasjoint.errors import ArgumentError

EPOCHS_PER_RUN = 50
# How long a run without callbacks may keep the interpreter waiting.
SECONDS_PER_RUN = 0.5

Numbers = dict[str, float]
Run = Callable[[int], Sequence[Numbers]]


class SparseCallback(keras.callbacks.Callback):
    """A callback that needs few epochs only: training runs on without a stop until ``next_epoch`` epochs are done.

    ``on_epoch_end`` is called after these and after the last one.
    """

    next_epoch: int = 1


def run_epochs(
    model: keras.Model,
    run: Run,
    epochs: int,
    initial_epoch: int,
    verbose: int | str,
    callbacks: Sequence[keras.callbacks.Callback],
) -> keras.callbacks.History:
    """Train from ``initial_epoch`` to ``epochs``; ``run(k)`` trains k epochs and returns the numbers of each by name.

    Callbacks see every epoch as in Keras: with any but ``SparseCallback`` each epoch is a run of its own. Without, runs
    hold up to 50 epochs, and as many as take half a second; what they compute does not depend on it.
    """
    sparse = [one for one in callbacks if isinstance(one, SparseCallback)]
    every = [one for one in callbacks if not isinstance(one, SparseCallback)]
    verbose = 1 if verbose == "auto" else verbose
    settings = {"verbose": verbose, "epochs": epochs, "steps": 1}
    called = keras.callbacks.CallbackList(every, add_history=True, add_progbar=verbose != 0, model=model, **settings)
    model.stop_training = False
    called.on_train_begin()
    for one in sparse:
        one.set_model(model)
        one.set_params(settings)
        one.on_train_begin()

    def begin(epoch: int) -> None:
        called.on_epoch_begin(epoch)
        called.on_train_batch_begin(0)

    def end(epoch: int, logs: Numbers) -> None:
        called.on_train_batch_end(0, logs)
        called.on_epoch_end(epoch, dict(logs))

    trained: list[Numbers] = []
    epoch, most = initial_epoch, 1
    while epoch < epochs and not model.stop_training:
        steps = min([most, epochs - epoch, *(max(one.next_epoch - epoch, 1) for one in sparse)])
        if every:
            begin(epoch)
        began = time.perf_counter()
        found = run(steps)
        spent = (time.perf_counter() - began) / steps
        most = 1 if every else int(min(max(SECONDS_PER_RUN / max(spent, 1e-9), 1), EPOCHS_PER_RUN))
        for k, logs in enumerate(found):
            if verbose and not every:
                begin(epoch + k)
            if verbose or every:
                end(epoch + k, logs)
        trained.extend(found)
        epoch += steps
        for one in sparse:
            if epoch >= one.next_epoch or epoch == epochs:
                one.on_epoch_end(epoch - 1, dict(trained[-1]))
    if not (verbose or every):
        model.history.epoch = list(range(initial_epoch, epoch))
        for name in trained[0] if trained else ():
            model.history.history[name] = [logs[name] for logs in trained]
    called.on_train_end(dict(trained[-1]) if trained else {})
    return model.history


def refuse(name: str) -> Callable[..., Any]:
    """Return a method that refuses to be called: ``name`` of Keras has no meaning for a whole problem set."""

    def refused(self: Any, *_: Any, **__: Any) -> Any:
        raise ArgumentError(name, "fit, evaluate, predict or solution, which take the whole problem set", "a batch")

    return refused
