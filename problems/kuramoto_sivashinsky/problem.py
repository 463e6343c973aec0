"""Kuramoto-Sivashinsky: find the forcing and the advection strength behind a chaotic trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import Instances, InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.kuramoto_sivashinsky.exponential import coefficients, excess_amplification
from kerasjoint.problems.kuramoto_sivashinsky.spectrum import Spectrum
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

_FORCE = 0.5
_INITIAL_RMS = 3.0
_INITIAL_WAVENUMBER = 1.2
_RESOLVED = 2.5
_SOLVED = 1e-18
_SPEED = 9.0
_MOST_POINTS, _MOST_STEPS, _MOST_NUMBERS = 4096, 10**6, 2**22
_TOLERATED = 1.01


class KuramotoSivashinsky(InverseProblem):
    """Find ``alpha`` and ``beta`` of a forced Kuramoto-Sivashinsky equation from the trajectory it produced.

    ``u_t = alpha G(s) - u_ss - u_ssss - beta u u_s``, periodic in s, from a known initial state to ``t = end``

    Every quantity is dimensionless. The condition is ``x = {"initial": (n, points)}``; the observation is the
    noise-free trajectory ``(n, stored, points)`` at equally spaced times, without t = 0. The unknowns are ``alpha``
    in [-1, 1] and ``beta`` in [1/2, 3/2], drawn uniformly and searched from (0, 1).

    Parameters
    ----------
    points
        Grid points, even. Dealiasing by the 2/3 rule keeps ``(points - 1) // 3`` waves, 21 of 64. Going to 128 changes
        the state at t = 25 by at most 3e-7 of its norm.
    length
        Period of s. Waves with k = 2 pi m / length below 1 grow, at the rate k^2 - k^4: three of them on 22.
    dt
        Time step; must divide ``end / stored``.
    end
        Final time, 25 in the paper.
    stored
        Times observed: 50 of them make an image of 50 x 64 for a convolutional network, one row every 0.5.

    Attributes
    ----------
    grid, force
        The points s and G on them, each (points,).

    Raises
    ------
    ArgumentError
        Also where the grid, dealiased, ends below k = 2.5 (damping rate 33, where the spectrum has decayed), and where
        the step is unstable: each mode, frozen and carried at speed 9, must not be amplified by the scheme beyond
        what the equation does to it (1 % tolerated). After the start |beta u| is below 6.4 in 99.9 % of all values.
        Of 64 trajectories 5 % ran away at dt = 0.5 and half at 1.0, none at 0.1; at 0.25, refused too, a percent on
        length 32.

    Notes
    -----
    *Scheme.* Fourth-order exponential time differencing with exact linear part; its coefficients come from means
    over a circle in the complex plane, so that none loses digits near k = 0 and k = 1 where k^2 - k^4 vanishes. The
    transforms are real matrices, cut into four by the symmetries of sine and cosine: at these sizes faster than FFTs,
    and the state stays real. The mean of u is conserved, G having none.

    *Accuracy.* Against DOP853 the state at any time is off by 2e-4 of its norm (median; worst 2e-3), most of it from
    the first time unit when steep fronts form. Stiffness lowers the order to 3 there; it rises to 3.7 at dt = 0.00625,
    and dt = 0.0125 reaches 1e-6 at eight times the cost. The inverse problem is posed for the discrete map, which makes
    both the observations and the predictions, so dt = 0.1 was kept.

    *Chaos.* Up to length 2 pi the state 0 is stable without forcing; chaos sets in near 22, with a Lyapunov exponent
    of 0.05, whatever beta is, since v = beta u obeys the equation with beta = 1 and forcing alpha beta G. So t = 25
    is about one Lyapunov time, and much of the ruggedness comes from transients and from coexisting forced states.
    Longer periods are more chaotic, yet were easier: there are more waves to fit.

    *Constants.* The paper states none of these. They were chosen on the landscape and on SciPy's L-BFGS-B alone (in
    the normalised coordinates, from the prior mean, ftol 1e-15, gtol 1e-12), n = 64 each. Solved fractions, and the
    share of slices in beta (at the true alpha, 16 or 32 instances) with more than one minimum:

    ======  ===================  =======  ======  ==============
    length  G                    initial  solved  several minima
    ======  ===================  =======  ======  ==============
    22      cos(2 pi s / L)      rms 1    0.59    0 %
    22      0.5 cos(2 pi s / L)  rms 1    0.62    9 %
    22      0.5 cos(2 pi s / L)  rms 3    0.70    22 %, chosen
    22      0.3 cos(2 pi s / L)  rms 3    0.73    12 %
    22      0.5 cos(4 pi s / L)  rms 3    0.89    19 %
    32      0.5 cos(2 pi s / L)  rms 1    0.70    6 %
    32      0.5 cos(4 pi s / L)  rms 3    0.77    28 %
    50.3    cos(2 pi s / L)      rms 3    0.98    6 %
    ======  ===================  =======  ======  ==============

    The strongest forcing locks the flow to it and smooths the landscape; long waves at rms 3 (Gaussian coefficients of
    all waves with 0 < k <= 1.2, the unstable band and a little more) give it ripples.

    *Baseline.* At n = 128 (seed 1) 68 % are solved from the prior mean, in 13 to 17 iterations (quartiles; 10 to 90 %:
    11 to 21) with 30 evaluations on average; the paper has about 60 % and 12 to 22. More than half of the failures end
    with the wrong sign of alpha, at losses of 0.2 to 1 |y|^2. The light twin behaves alike: 66 %, 12 to 18 iterations.
    Solved means a loss of at most 1e-18 |y|^2: runs that succeed end below 1e-20, where ftol stops them, the others
    above 0.09.

    *Memory.* A value and gradient carries two tangents along and keeps no steps but the observed ones: 2.5 MB for a
    chunk of 32 instances, on each core, beside 3.3 MB of observations at n = 128.

    Example
    -------
    >>> problem_set = KuramotoSivashinsky().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 50, 64)
    """

    unknowns = (Unknown("alpha", lower=-1.0, upper=1.0), Unknown("beta", lower=0.5, upper=1.5))
    chunk = 32
    periodic = (1,)
    shown_unknown = "beta"

    def __init__(
        self, points: int = 64, length: float = 22.0, dt: float = 0.1, end: float = 25.0, stored: int = 50
    ) -> None:
        if check_count("points", points, "an even number of at least 8", most=_MOST_POINTS) < 8 or points % 2:
            raise ArgumentError("points", "an even number of at least 8", points)
        for name, number in {"length": length, "dt": dt, "end": end}.items():
            check_number(name, number, "a positive number", above=0)
        self.points, self.length, self.dt, self.end = int(points), float(length), float(dt), float(end)
        self.stored = check_count("stored", stored, most=_MOST_NUMBERS // self.points)
        interval = self.end / self.stored
        if not interval / self.dt < _MOST_STEPS:
            raise ArgumentError("dt", f"fewer than {_MOST_STEPS:,} steps between stored times", dt)
        self._stride = round(interval / dt)
        if self._stride < 1 or abs(self._stride * dt - interval) > 1e-9 * interval:
            raise ArgumentError("dt", f"a divisor of the stored interval end / stored = {interval:g}", repr(dt))
        self.grid: FloatArray = np.arange(self.points) * self.length / self.points
        self.force: FloatArray = _FORCE * np.cos(2 * np.pi * self.grid / self.length)
        waves = (self.points - 1) // 3
        with np.errstate(over="ignore"):
            wavenumbers: FloatArray = 2 * np.pi * np.arange(waves + 1, dtype=np.float64) / self.length
        if wavenumbers[-1] < _RESOLVED:
            raise ArgumentError(
                "points",
                f"an even number that resolves wavenumbers up to {_RESOLVED:g} after dealiasing on length {length:g}",
                f"{points}, which keeps those up to {wavenumbers[-1]:.3g}",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            excess = excess_amplification(growth(wavenumbers), wavenumbers, self.dt, _SPEED)
        if not excess <= _TOLERATED:
            raise ArgumentError(
                "dt",
                f"a step at which no mode carried at speed {_SPEED:g} grows faster than the equation lets it",
                f"{dt!r}, where one is amplified {excess:.3g} times too much in a step",
            )
        self._spectrum = Spectrum(waves)
        self._scheme = coefficients(growth(2 * np.pi * self._spectrum.modes / self.length), self.dt)
        self._analyse = self._spectrum.analyse(self.points)
        self._synthesise = self._spectrum.evaluate(2 * np.pi * self.grid / self.length).reshape(-1, self.points)
        self._force_modes = (self._analyse @ self.force).reshape(*self._spectrum.modes.shape, 1)

    @classmethod
    def light(cls) -> KuramotoSivashinsky:
        """Return a twin for quick runs: half the points and a doubled step."""
        return cls(points=32, dt=0.2, stored=25)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Simulate from ``x["initial"]`` (n, points); return the trajectory (n, stored, points) without t = 0."""
        dtype, spectrum = xi["alpha"].dtype, self._spectrum
        scheme = {name: tf.constant(values[:, :, None], dtype) for name, values in self._scheme.items()}
        force, scale = tf.constant(self._force_modes, dtype), -np.pi / self.length
        shape = (*spectrum.modes.shape, -1)
        initial = tf.reshape(tf.matmul(tf.constant(self._analyse, dtype), x["initial"], transpose_b=True), shape)

        def step(modes: tf.Tensor, parameters: Parameters) -> tf.Tensor:
            forcing, strength = force * parameters["alpha"], scale * parameters["beta"]
            return advance(modes, scheme, lambda modes: forcing + strength * spectrum.slope_of_square(modes))

        def linearized(
            modes: tf.Tensor, tangents: tf.Tensor, parameters: Parameters, directions: Parameters
        ) -> tuple[tf.Tensor, tf.Tensor]:
            n = modes.shape[-1]
            alpha, beta = (tf.reshape(tf.concat([parameters[name], directions[name]], axis=0), (-1, n)) for name in xi)
            # The slope of u^2 has the derivative 2 (u w)_s in the direction w, and its own where beta changes.
            strengths, changes = (
                scale * derivative_factors(beta.shape[0], dtype) * beta[0],
                tf.concat([0 * beta[:1], scale * beta[1:]], axis=0),
            )
            forcings = force[..., None] * alpha

            def slope(both: tf.Tensor) -> tf.Tensor:
                slopes = spectrum.slope_of_products(both)
                return forcings + strengths * slopes + changes * slopes[:, :, :1]

            return advance_with_tangents(modes, tangents, scheme, slope)

        history = integrate(
            lambda _: initial,
            step,
            xi,
            self._stride * self.stored,
            store_every=self._stride,
            linearized=linearized,
            instances_last=True,
        )
        by_instance = tf.transpose(history, (3, 0, 1, 2))
        flat = tf.reshape(by_instance, (by_instance.shape[0], self.stored, spectrum.modes.size))
        return tf.matmul(flat, tf.constant(self._synthesise, dtype))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw ``n`` instances: unknowns uniform within their bounds, initial states of random long waves."""
        n, seed = check_draw(n, seed)
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        truth = rng.uniform(self.space.lower, self.space.upper, size=(n, 2))
        mode = np.arange(1, int(_INITIAL_WAVENUMBER * self.length / (2 * np.pi)) + 1)
        phase = 2 * np.pi * np.outer(mode, self.grid) / self.length
        cosines, sines = rng.normal(size=(2, n, len(mode))) * _INITIAL_RMS / np.sqrt(len(mode))
        condition = {"initial": cosines @ np.cos(phase) + sines @ np.sin(phase)}
        return ProblemSet(self, condition, self.simulate(truth, condition), truth)

    def solved(self, loss: NDArray[Any], xi: NDArray[Any], problem_set: Instances) -> NDArray[np.bool_]:
        """Return which instances reproduce the observation to rounding: a loss of at most 1e-18 |y|^2."""
        flat = problem_set.y.reshape(len(problem_set), -1)
        return loss <= _SOLVED * np.vecdot(flat, flat)


def growth(wavenumbers: NDArray[Any]) -> FloatArray:
    """Return the linear growth rate of each wave."""
    return wavenumbers**2 - wavenumbers**4


def advance(modes: tf.Tensor, scheme: dict[str, tf.Tensor], slope: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Return the modes (4, size, ...) after a step; ``slope`` gives their time derivative without the linear part."""
    first = slope(modes)
    half = scheme["half_decay"] * modes + scheme["half_step"] * first
    second = slope(half)
    third = slope(scheme["half_decay"] * modes + scheme["half_step"] * second)
    fourth = slope(scheme["half_decay"] * half + scheme["half_step"] * (2 * third - first))
    inner = scheme["weight_inner"] * (second + third)
    return scheme["decay"] * modes + scheme["weight_first"] * first + inner + scheme["weight_last"] * fourth


def advance_with_tangents(
    modes: tf.Tensor, tangents: tf.Tensor, scheme: dict[str, tf.Tensor], slope: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return modes (4, size, n) and their k tangents (4, size, k n) after a step.

    ``slope`` maps both together, (4, size, 1 + k, n), to their time derivative without the linear part.
    """
    n = modes.shape[-1]
    both = tf.reshape(tf.concat([modes, tangents], axis=-1), (*modes.shape[:2], -1, n))
    moved = advance(both, {name: values[..., None] for name, values in scheme.items()}, slope)
    moved = tf.reshape(moved, (*modes.shape[:2], -1))
    return moved[..., :n], moved[..., n:]


def derivative_factors(count: int, dtype: tf.DType) -> tf.Tensor:
    """Return what products count, (count, 1): the square of the modes once, those with tangents twice."""
    return tf.constant([1.0] + [2.0] * (count - 1), dtype)[:, None]
