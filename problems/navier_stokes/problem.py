"""Incompressible Navier-Stokes: a force stirs a fluid of which only the upper half is seen (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.navier_stokes.flow import Flow
from kerasjoint.problems.navier_stokes.grid import LENGTH, Box, Grid
from kerasjoint.problems.navier_stokes.transport import Field
from kerasjoint.time_loop import Parameters
from kerasjoint.unknown import Unknown
from kerasjoint.xla_flags import start_xla

OBSTACLES = (Box(18.75, 37.5, 43.75, 50.0), Box(62.5, 81.25, 37.5, 43.75), Box(43.75, 56.25, 68.75, 75.0))
FORCE_HEIGHT, FORCE_RADIUS = 20.0, 10.0
NOISE_SPEED, NOISE_LENGTH, NOISE_MODES = 0.1, 10.0, 20
X0_PRIOR = (20.0, 80.0)
MOST_CELLS, MOST_STEPS, MOST_NUMBERS = 1024, 10**6, 2**25
V0_PRIOR = ((-1.0, 3.0), (1.0, 5.0))


class NavierStokes(InverseProblem):
    """Find where and how fast a force region set off, from the velocity in the upper half of a box with obstacles.

    The fluid obeys ``du/dt + (u . grad) u = viscosity * laplace(u) - grad(p)`` with ``div(u) = 0``. At t = 0 its
    velocity is a random field; a blob ``v0 * exp(-|(x, y) - (x0, 20)|^2 / (2 * 10^2))`` is added, the sum projected.
    The condition ``x["initial"]`` is the random field at y >= 50 before the blob; the observation is the velocity at
    y >= 50 at the end. ``forward`` knows nothing of the lower half: it fills it with zero there before it adds the blob
    and projects. No unknowns can therefore fit exactly, and the best fit is not quite the truth.

    Snapshots are (cells / 2, cells, 2), row 0 lowest: every cell holds the horizontal velocity on its left face and the
    vertical velocity on its bottom face, as the staggered grid does, so nothing is lost to averaging. Condition and
    observation have one shape: a 2D convolution can take them as four channels. The loss is half the squared error.

    Parameters
    ----------
    cells
        Cells along each side; even, at least 8. 64 on a domain of 100 are PhiFlow's stock fluid.
    dt
        Time step. 2 gives 28 steps; semi-Lagrangian advection is stable at every step, the flow here crosses at most
        seven cells in the first one.
    end
        Time of the observation, a multiple of ``dt``; 56 as in the paper.
    viscosity
        In length^2 / time, not negative, explicit: refused above ``spacing^2 / (4 dt)``. The default 0.1 matches what
        the bilinear interpolation adds on its own, and damps eddies of size 10 several times over by the end.
    obstacles
        Solid boxes, snapped to the cells whose centres they hold. Refused outside the domain, where they cover it, or
        where they cut the fluid in two.

    Notes
    -----
    Lengths are in units of a hundredth of the domain, times in units of the paper's 56. Constants:

    - Outer walls are closed and free of friction: the box is only where the view ends, a boundary layer would be
      thinner than a cell for half the time, and the Taylor-Green vortex is then an exact solution to check against.
      Obstacles are bodies at rest; velocity inside them is zero.
    - Random field: stream function of 20 x 20 sines with a Gaussian spectrum of length 10 (PhiFlow's noise scale), of
      root mean square speed 0.1 per component. Twice that, or upward speeds of 2 to 4, and fits far from the truth
      reach the loss of the truth: the unknown lower half then matters as much as the force.
    - Force: height 20 and radius 10, as "near the bottom" and "localized" suggest; x0 uniform in 20 to 80, sideways
      speed in -1 to 1, upward speed in 3 to 5, which carries the vortex pair well past y = 50 by t = 56.
    - Bounds: x0 in 10 to 90, v0 in (-3, 3) and (0, 10), wider than the priors. Guess: the prior's mean, (50, 0, 4).

    Solved means, by the default of ``InverseProblem``, a loss at most that of the true unknowns under this same
    ``forward``; the best fit is always a little below that. SciPy's L-BFGS-B from the guess (n = 64, seed 2024,
    float64) converges for every instance and solves 67 %: x0 is then within 7 of the truth (median 0.5), else 12 to
    55 away. It takes 9 to 50 iterations (median 15; evaluations 11 to 60, median 20); with PhiFlow's tolerance of 1e-5
    8 to 38 (median 12). The paper: some optimum in all cases, usually within 10 iterations, at most about 40, many of
    the optima local.

    With three unknowns derivatives travel forward with the flow: nothing is stored from step to step. A
    ``value_and_gradient`` of n = 128 holds 8 MB of data and, per chunk of 8 instances at work, 2 MB of state and about
    ten times that in temporaries. Gradients flow to the unknowns alone.

    Example
    -------
    >>> from kerasjoint.problems.navier_stokes import Box
    >>> problem_set = NavierStokes(obstacles=[Box(40, 60, 40, 55)]).sample(16, seed=0)
    >>> problem_set.x["initial"].shape, problem_set.y.shape
    ((16, 32, 64, 2), (16, 32, 64, 2))
    """

    chunk = 8
    shown_unknown = "x0"
    unknowns = (
        Unknown("x0", lower=10.0, upper=90.0, guess=50.0),
        Unknown("v0", shape=(2,), lower=(-3.0, 0.0), upper=(3.0, 10.0), guess=(0.0, 4.0)),
    )

    def __init__(
        self,
        *,
        cells: int = 64,
        dt: float = 2.0,
        end: float = 56.0,
        viscosity: float = 0.1,
        obstacles: Iterable[Box] = OBSTACLES,
    ) -> None:
        if check_count("cells", cells, "an even whole number of at least 8", most=MOST_CELLS) < 8 or cells % 2:
            raise ArgumentError("cells", "an even whole number of at least 8", cells)
        for name, value in (("dt", dt), ("end", end)):
            check_number(name, value, "a positive number", above=0)
        if check_number("viscosity", viscosity, "a number not below 0") < 0:
            raise ArgumentError("viscosity", "a number not below 0", viscosity)
        if not end / dt < MOST_STEPS or round(end / dt) < 1 or abs(end / dt - round(end / dt)) > 1e-9:
            raise ArgumentError("end", f"a multiple of dt = {dt}, fewer than {MOST_STEPS:,} times it", end)
        if isinstance(obstacles, Box) or not isinstance(obstacles, Iterable):
            raise ArgumentError("obstacles", "a sequence of Box", describe(obstacles))
        self.cells = int(cells)
        self.dt, self.end, self.viscosity = float(dt), float(end), float(viscosity)
        try:
            self.obstacles = tuple(obstacles)
        except TypeError:  # An array of one number says that it is iterable, and is not.
            raise ArgumentError("obstacles", "a sequence of Box", describe(obstacles)) from None
        self.grid = Grid(self.cells, self.obstacles)
        faces, most = int(self.grid.closed_u.sum() + self.grid.closed_v.sum()), MOST_NUMBERS // self.cells**2
        if faces > most:
            expected = f"at most {most} faces around them on {cells} x {cells} cells, for a matrix of all cells each"
            raise ArgumentError("obstacles", expected, faces)
        longest = self.grid.spacing**2 / (4 * viscosity) if viscosity else np.inf
        if dt > longest:
            raise ArgumentError("dt", f"at most {longest:.4g}, where explicit viscosity {viscosity} is stable", dt)
        self.flow = Flow(self.grid, self.dt, round(end / dt), self.viscosity)

    @classmethod
    def light(cls) -> NavierStokes:
        """Return a twin for quick runs, at about a sixteenth of the cost: 32 x 32 cells in 14 steps."""
        return cls(cells=32, dt=4.0)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the velocity in the upper half at the end, (n, cells / 2, cells, 2).

        ``x["initial"]`` is the upper half at the start, or the whole field, (n, cells, cells, 2), where it is known.
        """
        half = self.cells // 2
        if set(x) != {"initial"}:
            raise ArgumentError("x", "one array, 'initial'", sorted(x))
        initial = x["initial"]
        upper, whole, got = (half, self.cells, 2), (self.cells, self.cells, 2), tuple(initial.shape[1:])
        if got not in (upper, whole):
            raise ArgumentError("x['initial']", f"shape {upper} per instance, one value per face", got)
        known = tf.pad(initial, ((0, 0), (self.cells - got[0], 0), (0, 0), (0, 0)))

        def start(parameters: Parameters) -> Field:
            u, v = self._force(parameters["x0"], parameters["v0"])
            return known[..., 0] + u, known[..., 1] + v

        return tf.stack(self.flow.run(start, xi), axis=-1)[:, half:]

    def residuals(self, prediction: tf.Tensor, y: tf.Tensor, x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the velocity errors in the upper half over the root of two: their squares are half squared errors."""
        return super().residuals(prediction, y, x) * np.sqrt(0.5)

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw random fields and forces from the priors, and let the whole field, known here, run to the end."""
        n, seed = check_draw(n, seed)
        generator = np.random.default_rng(seed)
        x0 = generator.uniform(*X0_PRIOR, size=n)
        v0 = generator.uniform(*V0_PRIOR, size=(n, 2))
        noise = self._random_field(n, generator)
        half = self.cells // 2
        truth = {"x0": x0, "v0": v0}
        y = self.simulate(truth, {"initial": noise})
        return ProblemSet(self, {"initial": noise[:, half:]}, y, truth)

    def picture(self, xi: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Return which cells are solid, (cells, cells), for figures."""
        return {"solid": self.grid.solid}

    def _force(self, x0: tf.Tensor, v0: tf.Tensor) -> Field:
        """Return the blob's velocity on the left and on the bottom faces."""
        places = [tf.constant(place, x0.dtype) for place in self.grid.positions()]
        velocity = []
        for component, (x, y) in enumerate((places[:2], places[2:])):
            square = tf.square(x - x0[:, None, None]) + tf.square(y - FORCE_HEIGHT)
            velocity.append(v0[:, component, None, None] * tf.exp(-0.5 * square / FORCE_RADIUS**2))
        return velocity[0], velocity[1]

    def _random_field(self, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw divergence-free velocity fields that no wall or obstacle is in the way of, (n, cells, cells, 2)."""
        waves = np.pi / LENGTH * np.arange(1, NOISE_MODES + 1)
        squares = waves[:, None] ** 2 + waves**2
        amplitude = np.exp(-squares * NOISE_LENGTH**2 / 4)
        amplitude *= NOISE_SPEED / np.sqrt(np.sum(amplitude**2 * squares) / 8)
        sines = np.sin(waves[:, None] * np.arange(self.cells + 1) * self.grid.spacing)
        stream = sines.T @ (generator.standard_normal((n, NOISE_MODES, NOISE_MODES)) * amplitude) @ sines
        u = np.diff(stream, axis=1)[:, :, :-1] / self.grid.spacing
        v = -np.diff(stream, axis=2)[:, :-1, :] / self.grid.spacing
        start_xla()  # Before TensorFlow runs anything, so that compiled code is kept.
        return np.stack(self.flow.projection((tf.constant(u), tf.constant(v))), axis=-1)
