"""Phase retrieval: find a small picture from the magnitudes of its Fourier transform."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

MOST_PIXELS = 64
# Keeps the derivative of a magnitude finite where it is zero; far below any noise.
FLOOR = 1e-6


class PhaseRetrieval(InverseProblem):
    """Find a picture of 6 x 6 pixels from the magnitudes of its Fourier transform.

    The picture p is real and zero outside of its square, which is known (the support). Padded with zeros to twice its
    size, so that the magnitudes are sampled finely enough to determine its autocorrelation (oversampling by two in each
    direction), its discrete transform at the frequencies (k, l) has the magnitudes that are observed::

        y_kl = | sum_ab p_ab exp(-2 pi i (k a + l b) / 12) |

    As ``p`` is real, half of the frequencies say all: ``y`` is (n, 12, 7), with white noise. No condition; everything
    is dimensionless.

    Parameters
    ----------
    size
        Pixels along an edge.
    noise
        Standard deviation of the white Gaussian noise on each magnitude, of which the root mean square is ``size``.

    Notes
    -----
    *Unknown*: ``picture``, (6, 6). Its prior is white noise with deviation 1; there are no bounds. The guess is a point
    in a corner, 1 there and 0 elsewhere: a picture that equals its own mirror image would keep that symmetry for ever.

    *Solutions*. The magnitudes do not change with the sign of the picture, nor when it is turned by 180 degrees; both
    count as solved. A shift would leave the support. Beyond these a picture is unique but for a set of measure zero
    (Hayes, 1982), unlike a one-dimensional signal, of which exponentially many have the same magnitudes. *Solved*: the
    loss is at most that of the true picture, plus 1e-9. The minimum beside it fits the noise as well and is lower.

    *Landscape*: the loss is a sum of squares of magnitudes, not convex, with minima where parts of the picture and of
    its mirror image overlap: the twin-image stagnation of Fienup's algorithms.

    *Baseline*. ``python tests/validation/starts.py phase-retrieval --n 32 --seed 1 --starts 100`` (and
    ``--seed 0``), share solved by L-BFGS:

    =============================================  ======  ======
    start                                          seed 0  seed 1
    =============================================  ======  ======
    truth + 0.02, 0.1 or 0.2, 200 iterations       1.00    1.00
    guess, 200 or 1500 iterations                  0.00    0.00
    1500 evaluations, starts from the prior        0.09    0.19
    ``MultiStart(1500)``                           0.09    0.16
    100 random starts: of the starts               -       0.01
    100 random starts: instances, by at least one  -       0.44
    =============================================  ======  ======

    Of 8 x 8 pixels 1500 evaluations solve 0 to 3 % (seed 0).

    *References*: M. H. Hayes, "The reconstruction of a multidimensional sequence from the phase or magnitude of its
    Fourier transform", IEEE Trans. ASSP 30, 1982; J. R. Fienup, "Phase retrieval algorithms: a comparison", Applied
    Optics 21, 1982; Y. Shechtman et al., "Phase retrieval with application to optical imaging", IEEE Signal Processing
    Magazine 32, 2015.

    Example
    -------
    >>> problem_set = PhaseRetrieval().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 12, 7)
    """

    periodic = (0,)

    def __init__(self, size: int = 6, noise: float = 0.05) -> None:
        if not check_number("noise", noise) >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        self.size, self.noise = check_count("size", size, most=MOST_PIXELS), float(noise)
        corner = np.zeros((self.size, self.size))
        corner[0, 0] = 1
        self.unknowns = (Unknown("picture", (self.size, self.size), guess=corner, scale=1.0),)
        # The transform of every pixel: at this size a matrix product is faster than an FFT.
        pixels = np.eye(self.size**2).reshape(-1, self.size, self.size)
        self._waves = np.fft.rfft2(pixels, s=(2 * self.size, 2 * self.size))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the magnitudes without noise, (n, 2 size, size + 1)."""
        dtype, pixels = xi["picture"].dtype, self.size**2
        flat = tf.reshape(xi["picture"], (-1, pixels))
        waves = self._waves.reshape(pixels, -1)
        real, imaginary = (flat @ tf.constant(part, dtype) for part in (waves.real, waves.imag))
        return tf.reshape(tf.sqrt(real * real + imaginary * imaginary + FLOOR**2), (-1, *self._waves.shape[1:]))

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw pictures of white noise, (n, size^2)."""
        n, seed = check_draw(n, seed)
        return prior_generator(seed).standard_normal((n, self.size**2))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw pictures from the prior, and add white Gaussian noise to their magnitudes."""
        n, seed = check_draw(n, seed)
        return observe(self, truth_generator(seed).standard_normal((n, self.size**2)), self.noise, seed)
