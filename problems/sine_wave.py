"""Sine wave: find a point of a plane at which a wavy surface has a given height."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_draw, check_number
from kerasjoint.problem import Instances, InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

# In half waves per unit of length.
WAVES = 3
# Of a picture, along each axis.
GRID = 121


class SineWave(InverseProblem):
    """Find a point at which ``sin(3 pi p_1) + cos(3 pi p_2)`` has a given value.

    The sinusoidal wave of Ren, Padilla and Malof (2020). ``y`` is the height, (n, 1), without noise; no condition.
    Everything is dimensionless.

    Parameters
    ----------
    tolerance
        How far the height may be off in a solution.

    Notes
    -----
    *Unknown*: ``point``, in [-1, 1]^2, drawn uniformly. The guess is (1/4, 1/4), since the cosine is stationary in the
    middle. Every level is a family of closed or open curves: there are always many solutions. *Solved*: the height of
    the found point, simulated again, is off by at most ``tolerance``; their measure is the square of that error.

    *Landscape*: every extremum of the surface is at least as high or as low as all of it, so the loss has no minimum
    above zero inside the square. What fails runs into a bound, where normalised coordinates are flat.

    *Baseline*. ``python tests/validation/starts.py sine-wave --seed 0 --starts 1000`` (and 1), n = 64, solved by
    L-BFGS:

    ==============================================  ======  ======
    start                                           seed 0  seed 1
    ==============================================  ======  ======
    guess, 200 iterations                           1.00    1.00
    1000 random starts: of the starts               0.96    0.96
    1000 random starts: instances, by at least one  1.00    1.00
    ==============================================  ======  ======

    *Reference*: S. Ren, W. J. Padilla and J. M. Malof, "Benchmarking deep inverse models over time, and the
    neural-adjoint method", NeurIPS 2020.

    Example
    -------
    >>> problem_set = SineWave().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 1)
    """

    unknowns = (Unknown("point", shape=(2,), lower=-1.0, upper=1.0, guess=0.25),)

    def __init__(self, tolerance: float = 1e-3) -> None:
        self.tolerance = float(check_number("tolerance", tolerance, "a positive number", above=0))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the height, (n, 1)."""
        angle = WAVES * np.pi * xi["point"]
        return tf.sin(angle[:, :1]) + tf.cos(angle[:, 1:])

    def picture(self, xi: FloatArray) -> dict[str, NDArray[np.float64]]:
        """Return the height of the surface on a grid over the square, (second, first) coordinate."""
        axis = np.linspace(-1, 1, GRID)
        points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        return {"surface": self.simulate(points).reshape(GRID, GRID)}

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw points uniformly, (n, 2)."""
        n, seed = check_draw(n, seed)
        return prior_generator(seed).uniform(-1, 1, (n, 2))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw points uniformly and take the height there."""
        n, seed = check_draw(n, seed)
        return observe(self, truth_generator(seed).uniform(-1, 1, (n, 2)), 0.0, seed)

    def solved(self, loss: FloatArray, xi: FloatArray, problem_set: Instances) -> NDArray[np.bool_]:
        """Return which instances are off by at most ``tolerance``."""
        return loss <= self.tolerance**2
