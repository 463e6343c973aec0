"""Robotic arm: find the height and the angles with which an arm of three parts reaches a point."""

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

LENGTHS = (0.5, 0.5, 1.0)
DEVIATIONS = np.array([0.25, 0.5, 0.5, 0.5])


class RoboticArm(InverseProblem):
    """Find the height of the base and the three angles with which an arm in a plane reaches a point.

    The inverse kinematics of Ardizzone et al. (2019) and Kruse et al. (2021), a part of the benchmark of Ren, Padilla
    and Malof (2020). With the angles a, b, c the parts, of length 0.5, 0.5 and 1, point in the directions a, b - a and
    c - b - a, counted from the horizontal; the base slides on a vertical rail. ``y`` is the place of the tip,
    horizontal and vertical, (n, 2), without noise. No condition. Lengths have no unit, angles are in radians.

    Parameters
    ----------
    tolerance
        How far from the target the tip may be in a solution.

    Notes
    -----
    *Unknowns*: ``height``, normal with deviation 1/4, and ``angles``, normal with deviation 1/2, all with mean 0, which
    is the guess: a straight horizontal arm. Four unknowns meet two numbers, so every target has families of solutions.
    *Solved*: the tip is within ``tolerance``; the measure of Ren et al. is the square of that distance.

    *Baseline*. ``python tests/validation/starts.py robotic-arm --seed 0 --starts 1000`` (and 1), n = 64, solved by
    L-BFGS:

    ==============================================  ======  ======
    start                                           seed 0  seed 1
    ==============================================  ======  ======
    guess, 200 iterations                           1.00    1.00
    1000 random starts: of the starts               1.00    1.00
    1000 random starts: instances, by at least one  1.00    1.00
    ==============================================  ======  ======

    It is an easy problem for whoever may differentiate the true simulator, and is here to compare with what learned
    inverse models reach.

    *References*: L. Ardizzone et al., "Analyzing inverse problems with invertible neural networks", ICLR 2019;
    J. Kruse, L. Ardizzone, C. Rother and U. Koethe, "Benchmarking invertible architectures on inverse problems",
    arXiv:2101.10763, 2021; S. Ren, W. J. Padilla and J. M. Malof, "Benchmarking deep inverse models over time, and the
    neural-adjoint method", NeurIPS 2020.

    Example
    -------
    >>> problem_set = RoboticArm().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 2)
    """

    unknowns = (Unknown("height", scale=DEVIATIONS[0]), Unknown("angles", shape=(3,), scale=DEVIATIONS[1]))
    shown_unknown = "angles[2]"

    def __init__(self, tolerance: float = 1e-3) -> None:
        self.tolerance = float(check_number("tolerance", tolerance, "a positive number", above=0))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the place of the tip, (n, 2)."""
        first, second, third = tf.unstack(xi["angles"], axis=1)
        directions = tf.stack([first, second - first, third - second - first], axis=1)
        lengths = tf.constant(LENGTHS, directions.dtype)
        along = tf.reduce_sum(lengths * tf.cos(directions), axis=1)
        return tf.stack([along, xi["height"] + tf.reduce_sum(lengths * tf.sin(directions), axis=1)], axis=1)

    def picture(self, xi: FloatArray) -> dict[str, NDArray[np.float64]]:
        """Return the places of the joints from the base to the tip, (4, 2)."""
        height, first, second, third = xi
        directions = np.array([first, second - first, third - second - first])
        parts = np.array(LENGTHS)[:, None] * np.stack([np.cos(directions), np.sin(directions)], axis=1)
        return {"joints": np.cumsum(np.vstack([[0.0, height], parts]), axis=0)}

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw heights and angles, (n, 4)."""
        n, seed = check_draw(n, seed)
        return DEVIATIONS * prior_generator(seed).standard_normal((n, 4))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw heights and angles from the prior and take where the tip is."""
        n, seed = check_draw(n, seed)
        return observe(self, DEVIATIONS * truth_generator(seed).standard_normal((n, 4)), 0.0, seed)

    def solved(self, loss: FloatArray, xi: FloatArray, problem_set: Instances) -> NDArray[np.bool_]:
        """Return which instances reach the target within ``tolerance``."""
        return loss <= self.tolerance**2
