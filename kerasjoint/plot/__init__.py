"""Pictures of a user's own results, drawn with matplotlib: each function takes the results and returns axes.

Every function draws into ``ax=`` if it is given, otherwise into a new figure, and returns what it drew into: one
``Axes``, or an array of them where a picture has several panels. A method has the same colour in all of them. Those
that take tables (``convergence``, ``solved``, ``comparison``, ``profile``) need no TensorFlow.
"""

from __future__ import annotations

from kerasjoint.plot.comparisons import comparison
from kerasjoint.plot.corners import corner
from kerasjoint.plot.costs import profile, solved
from kerasjoint.plot.endings import statuses
from kerasjoint.plot.estimates import unknowns
from kerasjoint.plot.fits import residuals
from kerasjoint.plot.landscapes import landscape
from kerasjoint.plot.traces import convergence

__all__ = [
    "comparison",
    "convergence",
    "corner",
    "landscape",
    "profile",
    "residuals",
    "solved",
    "statuses",
    "unknowns",
]
