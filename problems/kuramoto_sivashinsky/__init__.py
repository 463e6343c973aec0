"""Find the forcing and the advection strength behind a chaotic trajectory (paper, section 4.3)."""

from kerasjoint.problems.kuramoto_sivashinsky.problem import KuramotoSivashinsky

__all__ = ["KuramotoSivashinsky"]
