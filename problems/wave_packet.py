"""Wave packet localization: a curve fit with many local minima (paper, section 4.1)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasjoint.checks import check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.unknown import Unknown

SAMPLES = 256
PRIOR_MARGIN = 2.5


class WavePacket(InverseProblem):
    """Find the centre t0 of a wave packet of known shape in a noisy signal.

    u(t) = amplitude sin(t - t0) exp(-(t - t0)^2 / width^2) + noise, at t = 1, ..., 256 samples. The forward model is
    noise-free, so the loss of a perfect estimate is the noise's energy, not zero.

    Parameters
    ----------
    amplitude
        Of the packet, in units of the signal. 1: only its ratio to the noise matters.
    width
        Of the envelope, in samples. 20 makes the packet a dozen ripples of period 2 pi long, a minority of the
        window's 256 samples, with an energy of amplitude^2 width sqrt(pi / 2) / 2 = 12.5 against the noise's 2.56.
    noise
        Standard deviation of the white Gaussian noise, independent for each sample. At 0.1 the packet is plain to see,
        and far from it, where the overlap of the packets has died away, what is left of the ripples is this noise.
    margin
        Distance, in widths, that the bounds of t0 keep from the window's ends; negative lets t0 leave the window. The
        prior keeps 2.5 widths whatever the bounds are.

    Notes
    -----
    *Unknown*: ``t0`` in samples, within 2.5 widths of the window's ends (51 to 206), so that the whole packet is
    always seen: with looser bounds the lowest loss is found where half the packet has left. Its prior is uniform
    there, the guess is the middle, 128.5. No condition. *Solved*: the loss is at most that of the true t0, plus 1e-9.

    *Landscape*: local minima every 2 pi samples; between them the loss rises to four times the packet's energy next
    to the true t0 and levels off at twice the energy three widths away.

    *Baseline* (``sample(256, seed=0)``): SciPy's L-BFGS-B solves 3 % in 7 iterations (median 6), 64 % end farther
    from the true t0 than the guess was, and two thirds end with more loss than the plateau without any packet. tfp's,
    whose line search looks around more, solves 7 % at seven times the evaluations; of another 256
    (``reports/baseline``) SciPy's solves 7 % and tfp's 8 %. The paper: "BFGS moves a considerable distance in the first
    iteration and then quickly halts ... leading many solutions to lie further from the actual optimum than the initial
    guess".

    Example
    -------
    >>> problem_set = WavePacket().sample(n=256, seed=0)
    """

    def __init__(
        self, amplitude: float = 1.0, width: float = 20.0, noise: float = 0.1, margin: float = PRIOR_MARGIN
    ) -> None:
        for name, value in (("amplitude", amplitude), ("width", width)):
            check_number(name, value, "a positive number", above=0)
        if not check_number("noise", noise) >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        if not 5 * width < SAMPLES - 1:
            raise ArgumentError("width", f"a packet that fits into {SAMPLES} samples, 5 * width < {SAMPLES - 1}", width)
        self.amplitude = amplitude
        self.width = width
        self.noise = noise
        if not check_number("margin", margin) <= PRIOR_MARGIN:
            raise ArgumentError("margin", f"at most {PRIOR_MARGIN:g}, so that the prior lies within the bounds", margin)
        low, high = _window(margin * width)
        self.unknowns = (Unknown("t0", lower=low, upper=high, guess=(1 + SAMPLES) / 2),)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the noise-free signal, (n, 256)."""
        t0 = xi["t0"]
        delay = tf.range(1, SAMPLES + 1, dtype=t0.dtype) - t0[:, None]
        return self.amplitude * tf.sin(delay) * tf.exp(-tf.square(delay / self.width))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw centres uniformly, 2.5 widths from the window's ends, and add white Gaussian noise."""
        n, seed = check_draw(n, seed)
        generator = np.random.default_rng(seed)
        t0 = generator.uniform(*_window(PRIOR_MARGIN * self.width), size=(n, 1))
        signal = self.simulate(t0)
        return ProblemSet(self, y=signal + self.noise * generator.standard_normal(signal.shape), truth=t0)


def _window(margin: float) -> tuple[float, float]:
    """Return the first and the last place at this distance from the window's ends."""
    return 1 + margin, SAMPLES - margin
