"""Kuramoto-Sivashinsky: forcing and advection strength behind a trajectory (paper, section 4.3); its initial state."""

from kerasjoint.problems.kuramoto_sivashinsky.problem import KuramotoSivashinsky
from kerasjoint.problems.kuramoto_sivashinsky.state import KuramotoSivashinskyState

__all__ = ["KuramotoSivashinsky", "KuramotoSivashinskyState"]
