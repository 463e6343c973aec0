"""What a training step gets."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from kerasjoint.tensor_problem_set import TensorProblemSet


class TrainingData(NamedTuple):
    """What ``train_step`` gets: the network's inputs, the instances, and targets where the model learns from some.

    The targets of joint optimisation are the weights of the instances, (n,), if they are scaled.
    """

    inputs: dict[str, tf.Tensor]
    instances: TensorProblemSet
    targets: tf.Tensor
