"""Ballistics: throw a ball through the air so that it lands at a given place."""

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

GRAVITY, MASS, DRAG = 9.81, 0.2, 0.25
# Of the horizontal start, of the height, and of both deviations, in m; of the speed, in m/s.
PLACE, HEIGHT, SPREAD, SPEED = 0.0, 1.5, 0.25, 15.0
LOWEST, HIGHEST = np.radians([9.0, 72.0])
# Newton's method on a concave function from the right: tested down to rounding over the prior.
NEWTON = 8
# Points of a picture.
PATH = 400


class Ballistics(InverseProblem):
    """Find from where, at what angle and how fast to throw a ball so that it lands at a given place.

    The inverse ballistics of Kruse et al. (2021), a part of the benchmark of Ren, Padilla and Malof (2020). Drag is
    proportional to the velocity. With mass m = 0.2 kg, drag k = 0.25 kg/s, g = 9.81 m/s^2 and the velocity (u, w) at
    the start, the ball is at time t at::

        place + u m / k (1 - e),  height + m / k ((w + g m / k) (1 - e) - g t),  e = exp(-k t / m)

    ``y`` is the horizontal position where the height is 0, (n, 1), in m, without noise. No condition.

    Parameters
    ----------
    tolerance
        How far from the target the ball may land in a solution, in m.

    Notes
    -----
    *Scheme.* The time of landing comes from Newton's method, which converges from the right since the height is concave
    in time; the last step alone is differentiated, which gives the exact derivative of the root.

    *Unknowns*: ``place``, normal with mean 0 and deviation 0.25 m; ``height``, normal with mean 1.5 and deviation
    0.25 m; ``angle``, uniform from 9 to 72 degrees, in radians; ``speed``, Poisson with mean 15, in m/s. The guess is
    the mean of each. Four unknowns meet one number, so every target has a three-dimensional family of solutions.
    *Solved*: the ball thrown again lands within ``tolerance``; the measure of Ren et al. is the square of that error.

    *Baseline*. ``python tests/validation/starts.py ballistics --seed 0 --starts 1000`` (and 1), n = 64, solved by
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

    *References*: J. Kruse, L. Ardizzone, C. Rother and U. Koethe, "Benchmarking invertible architectures on inverse
    problems", arXiv:2101.10763, 2021; S. Ren, W. J. Padilla and J. M. Malof, "Benchmarking deep inverse models over
    time, and the neural-adjoint method", NeurIPS 2020.

    Example
    -------
    >>> problem_set = Ballistics().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 1)
    """

    unknowns = (
        Unknown("place", guess=PLACE, scale=SPREAD),
        Unknown("height", lower=0.0, guess=HEIGHT, scale=SPREAD),
        Unknown("angle", lower=LOWEST, upper=HIGHEST),
        Unknown("speed", lower=0.0, guess=SPEED, scale=np.sqrt(SPEED)),
    )
    shown_unknown = "angle"

    def __init__(self, tolerance: float = 1e-3) -> None:
        self.tolerance = float(check_number("tolerance", tolerance, "a positive number", above=0))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return where the ball lands in m, (n, 1)."""
        time, final = MASS / DRAG, GRAVITY * MASS / DRAG
        along, up = xi["speed"] * tf.cos(xi["angle"]), xi["speed"] * tf.sin(xi["angle"])

        def newton(t: tf.Tensor) -> tf.Tensor:
            left = tf.exp(-t / time)
            height = xi["height"] + time * (up + final) * (1 - left) - final * t
            return t - height / ((up + final) * left - final)

        landing = (xi["height"] + time * (up + final)) / final
        for _ in range(NEWTON):
            landing = newton(tf.stop_gradient(landing))
        return (xi["place"] + along * time * (1 - tf.exp(-landing / time)))[:, None]

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw throws, (n, 4)."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw throws and take where they land."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), 0.0, seed)

    def solved(self, loss: FloatArray, xi: FloatArray, problem_set: Instances) -> NDArray[np.bool_]:
        """Return which instances land within ``tolerance``."""
        return loss <= self.tolerance**2

    def picture(self, xi: FloatArray) -> dict[str, NDArray[np.float64]]:
        """Return points of the ball's path, (m, 2)."""
        place, height, angle, speed = xi
        time, final = MASS / DRAG, GRAVITY * MASS / DRAG
        t = np.linspace(0, (height + time * (speed * np.sin(angle) + final)) / final, PATH)
        left = np.exp(-t / time)
        along = place + speed * np.cos(angle) * time * (1 - left)
        above = height + time * (speed * np.sin(angle) + final) * (1 - left) - final * t
        return {"path": np.stack([along, above], axis=1)[above >= 0]}

    @staticmethod
    def _draw(n: int, generator: np.random.Generator) -> FloatArray:
        # Once in 3e6 draws Poisson's is 0, on the bound; the height is six deviations away from its own.
        return np.stack(
            [
                generator.normal(PLACE, SPREAD, n),
                np.maximum(generator.normal(HEIGHT, SPREAD, n), 0.01),
                generator.uniform(LOWEST, HIGHEST, n),
                np.maximum(generator.poisson(SPEED, n), 1.0),
            ],
            axis=1,
        )
