"""Joint optimisation of many inverse problems: one network reparameterizes all solutions, L-BFGS refines them.

Public names are resolved when first used, so that importing the package does not import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasjoint import methods, plot
    from kerasjoint.comparison import compare
    from kerasjoint.compile_cache import set_cache
    from kerasjoint.cores import set_cores
    from kerasjoint.errors import (
        ArgumentError,
        BackendError,
        ClusterError,
        KerasjointError,
        NoGradientError,
        RouteWarning,
        ScaleWarning,
        SimulatorError,
        SimulatorWarning,
        WriteError,
    )
    from kerasjoint.minimization import minimize
    from kerasjoint.problem import InverseProblem
    from kerasjoint.problem_set import ProblemSet
    from kerasjoint.refinement import refine
    from kerasjoint.reporting import report
    from kerasjoint.solution import Solution, Status
    from kerasjoint.solving import solve
    from kerasjoint.time_loop import integrate
    from kerasjoint.unknown import Unknown
    from kerasjoint.wrappers import wrap_jax, wrap_numpy, wrap_torch

__version__ = version("kerasjoint")

_HOMES = {
    "ArgumentError": "errors",
    "BackendError": "errors",
    "ClusterError": "errors",
    "InverseProblem": "problem",
    "KerasjointError": "errors",
    "NoGradientError": "errors",
    "ProblemSet": "problem_set",
    "RouteWarning": "errors",
    "ScaleWarning": "errors",
    "SimulatorError": "errors",
    "SimulatorWarning": "errors",
    "Solution": "solution",
    "Status": "solution",
    "Unknown": "unknown",
    "WriteError": "errors",
    "compare": "comparison",
    "integrate": "time_loop",
    "minimize": "minimization",
    "refine": "refinement",
    "report": "reporting",
    "set_cache": "compile_cache",
    "set_cores": "cores",
    "solve": "solving",
    "wrap_jax": "wrappers",
    "wrap_numpy": "wrappers",
    "wrap_torch": "wrappers",
}

__all__ = [
    "ArgumentError",
    "BackendError",
    "ClusterError",
    "InverseProblem",
    "KerasjointError",
    "NoGradientError",
    "ProblemSet",
    "RouteWarning",
    "ScaleWarning",
    "SimulatorError",
    "SimulatorWarning",
    "Solution",
    "Status",
    "Unknown",
    "WriteError",
    "compare",
    "integrate",
    "methods",
    "minimize",
    "plot",
    "refine",
    "report",
    "set_cache",
    "set_cores",
    "solve",
    "wrap_jax",
    "wrap_numpy",
    "wrap_torch",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"kerasjoint.{_HOMES[name]}"), name)
    elif name in ("methods", "models", "plot", "problems"):
        value = import_module(f"kerasjoint.{name}")
    else:
        raise AttributeError(f"module 'kerasjoint' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
