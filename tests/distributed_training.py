"""Trains models under a strategy of TensorFlow, and stores losses and best points.

``python tests/distributed_training.py FOLDER mirrored`` takes two logical devices, and trains without a strategy beside
it; ``... FOLDER 0 PORT PORT`` and ``... FOLDER 1 PORT PORT`` are the two workers of a cluster on loopback.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from helpers import Decay, decay_set

from kerasjoint import ProblemSet
from kerasjoint.models import ReparameterizedModel
from kerasjoint.problems import Billiards

EPOCHS = 6


class Watched(ReparameterizedModel):
    """Reports the mean loss of the instances, which is that of all wherever these are."""

    def train_step(self, data):
        logs = super().train_step(data)
        return logs | {"mean": tf.reduce_mean(logs["instance_loss"])}


class ChunkedDecay(Decay):
    chunk = 2


def cases() -> dict[str, tuple[ProblemSet, str]]:
    """Problem sets of sizes that two replicas cannot share evenly, and networks."""
    return {
        "dense": (decay_set(Decay(), 7), "dense"),
        "convolutional": (decay_set(Decay(), 9), "convolutional"),
        "chunked": (decay_set(ChunkedDecay(), 7), "dense"),
        "billiards": (Billiards().sample(5, seed=0), "dense"),
    }


def train(strategy: tf.distribute.Strategy | None) -> dict[str, np.ndarray]:
    found = {}
    for name, (problem_set, network) in cases().items():
        with nullcontext() if strategy is None else strategy.scope():
            model = Watched.for_problem_set(problem_set, network, seed=1)
            # Plain descent: Adam divides by the size of gradients, and doubles rounding where they are near zero.
            model.compile(keras.optimizers.SGD(1e-4))
        history = model.fit(problem_set, epochs=EPOCHS, verbose=0)
        again = model.fit(problem_set, epochs=2, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
        solution = model.solution(problem_set)
        found |= {
            f"{name}/losses": np.array(history.history["loss"] + again.history["loss"]),
            f"{name}/means": np.array(history.history["mean"]),
            f"{name}/xi": solution.xi,
            f"{name}/best": model.state.best_loss.numpy(),
            f"{name}/evaluations": solution.evaluations,
            f"{name}/weights": np.concatenate([np.ravel(weight) for weight in model.get_weights()]),
        }
    return found


def main(folder: Path, which: str, *ports: str) -> None:
    if which == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        np.savez(folder / "mirrored.npz", **train(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])))
        np.savez(folder / "alone.npz", **train(None))
        return
    workers = [f"127.0.0.1:{port}" for port in ports]
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": workers}, "task": {"type": "worker", "index": int(which)}}
    )
    np.savez(folder / f"worker-{which}.npz", **train(tf.distribute.MultiWorkerMirroredStrategy()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
