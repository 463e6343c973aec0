"""Thin film: find the thicknesses of a stack of layers from the spectrum of the light that it reflects."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

SHORTEST, LONGEST = 400.0, 1000.0
GLASS = 1.52
MOST_LAYERS = 200
# Thicknesses in nm: the guess, and how far the bounds are beyond the prior.
NOMINAL, MARGIN = 100.0, 10.0


class ThinFilm(InverseProblem):
    """Find the thicknesses of 20 layers from the reflectance of the stack between 400 and 1000 nm.

    Layers of silica and titania by turns, silica first, lie on glass (index 1.52); light falls on them from the air,
    perpendicularly. ``y`` is the reflectance, the reflected share of the power, (n, 121), at wavelengths equally spaced
    in wavenumber, with white noise. No condition.

    Parameters
    ----------
    layers
        How many, an even number of at most 200.
    wavelengths
        How many are measured.
    spread
        How far a thickness may be from 100 nm, in nm, below 90.
    noise
        Standard deviation of the white Gaussian noise on each reflectance.

    Notes
    -----
    *Scheme.* The transfer-matrix method (Abelès; Macleod, chapter 2). With the complex index N of a layer of thickness
    d, the electric and magnetic fields (B, C) pass from its bottom to its top by::

        B <- cos(phi) B + i sin(phi) / N C,  C <- i N sin(phi) B + cos(phi) C,  phi = 2 pi N d / wavelength

    from (1, 1.52) at the glass; the reflectance is ``|(B - C) / (B + C)|^2``. Indices follow Cauchy's law with the
    wavelength w in micrometres: 2.20 + 0.025 / w^2 for titania, which absorbs below 450 nm or so (extinction
    0.0006 (0.4 / w)^8), and 1.45 + 0.0035 / w^2 for silica, which does not: typical of evaporated films. The arithmetic
    is complex, of the precision of the inputs.

    *Unknown*: ``thickness``, of each layer in nm, from the air downwards. Its prior is uniform within ``spread`` of
    100 nm; the bounds are 10 nm beyond. The guess is 100 nm. *Solved*: the loss is at most that of
    the true thicknesses, plus 1e-9. The minimum beside it fits the noise as well and is lower.

    *Landscape*: the spectrum is a sum of waves in the optical paths of all pairs of interfaces. Where a path is off by
    more than half a wavelength, its fringe fits the wrong maximum: many minima, as designers of filters know
    (Tikhonravov and Trubetskov).

    *Baseline*. ``python tests/validation/starts.py thin-film --seed 0`` (and 1), n = 64, share solved by L-BFGS:

    =======================================  ======  ======
    start                                    seed 0  seed 1
    =======================================  ======  ======
    truth + 0.02, 50 iterations              1.00    1.00
    truth + 0.2, 200 iterations              0.97    0.94
    guess, 200 or 1500 iterations            0.05    0.02
    1500 evaluations, starts from the prior  0.12    0.11
    ``MultiStart(1500)``                     0.09    0.14
    =======================================  ======  ======

    The truth's neighbours are at white noise in normalised coordinates, where 0.2 is 8 nm. What is solved lies within
    0.1 of the truth (root mean square). With a spread of 70 nm random starts solved none of 32 instances, with 40 nm 6
    %, with 25 nm 34 %.

    *References*: H. A. Macleod, "Thin-Film Optical Filters", 4th ed., CRC Press, 2010; A. V. Tikhonravov,
    M. K. Trubetskov and G. W. DeBell, "Application of the needle optimization technique to the design of optical
    coatings", Applied Optics 35, 1996.

    Example
    -------
    >>> problem_set = ThinFilm().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 121)
    """

    chunk = 16

    def __init__(self, layers: int = 20, wavelengths: int = 121, spread: float = 30.0, noise: float = 0.003) -> None:
        if check_count("layers", layers, "an even number", most=MOST_LAYERS) % 2:
            raise ArgumentError("layers", "an even number, since silica and titania take turns", layers)
        if not check_number("noise", noise) >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        if check_number("spread", spread, "a positive number", above=0) >= NOMINAL - MARGIN:
            raise ArgumentError("spread", f"below {NOMINAL - MARGIN:g} nm", spread)
        self.layers, self.spread, self.noise = int(layers), float(spread), float(noise)
        wavelengths = check_count("wavelengths", wavelengths, most=10_000)
        self.wavelengths: FloatArray = 1 / np.linspace(1 / LONGEST, 1 / SHORTEST, wavelengths)
        reach = self.spread + MARGIN
        self.unknowns = (Unknown("thickness", (self.layers,), lower=NOMINAL - reach, upper=NOMINAL + reach),)
        self._indices = indices(self.wavelengths)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the reflectance without noise, (n, wavelengths)."""
        dtype = tf.complex128 if xi["thickness"].dtype == tf.float64 else tf.complex64
        titania, silica = (tf.constant(index, dtype) for index in self._indices)
        wavenumber = tf.constant(2 * np.pi / self.wavelengths, dtype)

        def bottom(parameters: Parameters) -> tuple[tf.Tensor, ...]:
            ones = tf.ones_like(parameters["thickness"][:, :1] * tf.math.real(wavenumber))
            field = tf.complex(ones, tf.zeros_like(ones))
            return field, GLASS * field, parameters["thickness"]

        def ascend(state: tuple[tf.Tensor, ...], _: Parameters) -> tuple[tf.Tensor, ...]:
            electric, magnetic, thickness = state
            # The gradient of a cast to complex numbers warns of the imaginary part that it drops.
            complex_thickness = tf.complex(thickness, tf.zeros_like(thickness))
            for index, place in ((titania, -1), (silica, -2)):
                phase = wavenumber * index * complex_thickness[:, place, None]
                cos, sin = tf.cos(phase), 1j * tf.sin(phase)
                electric, magnetic = cos * electric + sin / index * magnetic, index * sin * electric + cos * magnetic
            return electric, magnetic, tf.roll(thickness, 2, axis=1)

        electric, magnetic, _ = integrate(bottom, ascend, xi, self.layers // 2)
        return _power(electric - magnetic) / _power(electric + magnetic)

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw thicknesses uniformly about 100 nm, (n, layers)."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw thicknesses from the prior, and add white Gaussian noise to their reflectance."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), self.noise, seed)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        return NOMINAL + self.spread * generator.uniform(-1, 1, (n, self.layers))


def indices(wavelengths: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    """Return the complex indices of titania and silica at wavelengths in nm."""
    micrometres = wavelengths / 1000
    titania = 2.2 + 0.025 / micrometres**2 - 6e-4j * (0.4 / micrometres) ** 8
    return titania.astype(np.complex128), (1.45 + 0.0035 / micrometres**2).astype(np.complex128)


def _power(field: tf.Tensor) -> tf.Tensor:
    # Of abs() TensorFlow's gradient divides by zero where the field is zero, as where nothing is reflected.
    return tf.square(tf.math.real(field)) + tf.square(tf.math.imag(field))
