"""NIST's Statistical Reference Datasets for nonlinear regression: data, starts, certified values, models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint import InverseProblem, ProblemSet, Unknown

FOLDER = Path(__file__).parent / "data" / "nist_strd"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """One file: d parameters with two starts (2, d), certified values and standard deviations (d,), and the data."""

    name: str
    starts: FloatArray
    certified: FloatArray
    deviations: FloatArray
    squares: float
    y: FloatArray
    x: FloatArray


def read(name: str) -> Dataset:
    """Read the file of a dataset."""
    text = (FOLDER / f"{name}.dat").read_text()
    parameters = re.findall(rf"^\s*b\d+ =\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s*$", text, re.MULTILINE)
    table = np.array(parameters, dtype=np.float64)
    squares = float(re.search(rf"Residual Sum of Squares:\s+({NUMBER})", text)[1])
    lines = text[text.rindex("Data:") :].splitlines()[1:]
    data = np.array([line.split() for line in lines if line.strip()], dtype=np.float64)
    return Dataset(name, table[:, :2].T, table[:, 2], table[:, 3], squares, data[:, 0], data[:, 1:])


class Regression(InverseProblem):
    """A dataset's model, with its parameters as unknowns without bounds, or as positive ones."""

    def __init__(self, name: str, scale: FloatArray, positive: bool) -> None:
        self.name = name
        lower = 0.0 if positive else None
        self.unknowns = (Unknown("b", shape=scale.shape, lower=lower, scale=scale),)

    def forward(self, xi, x):
        b = [xi["b"][:, k, None] for k in range(xi["b"].shape[1])]
        return MODELS[self.name](b, *(x["x"][..., k] for k in range(x["x"].shape[2])))


def problem_set(dataset: Dataset, positive: bool = False) -> ProblemSet:
    """Return two instances, one for each start, whose distances to zero are the scales of the unknowns."""
    y = np.log(dataset.y) if dataset.name == "Nelson" else dataset.y
    problem = Regression(dataset.name, np.abs(dataset.starts[1]), positive)
    return ProblemSet(problem, {"x": np.stack([dataset.x] * 2)}, np.stack([y] * 2), guess=dataset.starts)


def _exponentials(b, x):
    return b[0] * tf.exp(-b[1] * x) + b[2] * tf.exp(-b[3] * x) + b[4] * tf.exp(-b[5] * x)


def _gauss(b, x):
    first, second = tf.exp(-(((x - b[3]) / b[4]) ** 2)), tf.exp(-(((x - b[6]) / b[7]) ** 2))
    return b[0] * tf.exp(-b[1] * x) + b[2] * first + b[5] * second


def _cubics(b, x):
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6])))


def _cycles(b, x):
    year, first, second = (2 * np.pi * x / period for period in (12, b[3], b[6]))
    annual = b[0] + b[1] * tf.cos(year) + b[2] * tf.sin(year)
    return annual + b[4] * tf.cos(first) + b[5] * tf.sin(first) + b[7] * tf.cos(second) + b[8] * tf.sin(second)


MODELS = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda b, x: b[0] * (1 - tf.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: tf.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: tf.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": _cycles,
    "Eckerle4": lambda b, x: b[0] / b[1] * tf.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubics,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": _exponentials,
    "Lanczos2": _exponentials,
    "Lanczos3": _exponentials,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * tf.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * tf.exp(-x * b[3]) + b[2] * tf.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1 - tf.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2.0),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda b, x1, x2: b[0] - b[1] * x1 * tf.exp(-b[2] * x2),
    "Rat42": lambda b, x: b[0] / (1 + tf.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + tf.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - tf.atan(b[2] / (x - b[3])) / np.pi,
    "Thurber": _cubics,
}
