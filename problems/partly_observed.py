"""Arguments of problems in which every so-manieth variable of a system is observed at regular times, with noise."""

from __future__ import annotations

from kerasjoint.checks import check_count, check_divisor, check_number
from kerasjoint.errors import ArgumentError

MOST_STEPS = 10_000


def observation_steps(
    window: float, interval: float, every: int, noise: float, dt: float, size: int
) -> tuple[int, int]:
    """Check the arguments; return the steps between two observations, and the number of observations.

    Parameters
    ----------
    window, interval, dt
        How long is observed, the time between observations, which divides it, and the time step, which divides that.
    every, noise
        Of this many variables one is observed, a divisor of ``size``; the deviation of the noise, not below 0.
    size
        Number of variables.

    Raises
    ------
    ArgumentError
        Names the argument; also for more than 10,000 steps.

    Example
    -------
    >>> observation_steps(window=1.5, interval=0.05, every=4, noise=0.25, dt=0.05, size=40)
    (1, 30)
    """
    for name, value in (("window", window), ("interval", interval), ("dt", dt)):
        check_number(name, value, "a positive number", above=0)
    if not check_number("noise", noise) >= 0:
        raise ArgumentError("noise", "a number not below 0", noise)
    if size % check_count("every", every):
        raise ArgumentError("every", f"a divisor of {size}", every)
    if window / dt > MOST_STEPS:
        raise ArgumentError("window", f"at most {MOST_STEPS:,} steps dt", window)
    return check_divisor("dt", interval, dt, "interval"), check_divisor("interval", window, interval, "window")
