"""Find the force that stirred a fluid of which only the upper half is seen (paper, section 4.4)."""

from kerasjoint.problems.navier_stokes.grid import Box
from kerasjoint.problems.navier_stokes.problem import NavierStokes

__all__ = ["Box", "NavierStokes"]
