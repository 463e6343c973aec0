"""The methods: each turns a problem set into a solution; one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerasjoint.registry import Registry

if TYPE_CHECKING:
    from kerasjoint.methods.amortized_multi_start import AmortizedMultiStart
    from kerasjoint.methods.basin_hopping import BasinHopping
    from kerasjoint.methods.cma_es import CMAES
    from kerasjoint.methods.differential_evolution import DifferentialEvolution
    from kerasjoint.methods.lbfgs import LBFGS
    from kerasjoint.methods.lockstep_hybrid import LockstepHybrid
    from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
    from kerasjoint.methods.lockstep_lm import LockstepLM
    from kerasjoint.methods.multi_level_single_linkage import MultiLevelSingleLinkage
    from kerasjoint.methods.multi_start import MultiStart
    from kerasjoint.methods.neural_adjoint import NeuralAdjoint
    from kerasjoint.methods.reparameterized import Reparameterized
    from kerasjoint.methods.scipy_lbfgs import ScipyLBFGS
    from kerasjoint.methods.supervised import Supervised

_HERE = "kerasjoint.methods"

METHODS = Registry(
    "method",
    {
        "lbfgs": (f"{_HERE}.lbfgs:LBFGS", "batched L-BFGS of TensorFlow Probability, every instance for itself"),
        "lockstep-lbfgs": (f"{_HERE}.lockstep_lbfgs:LockstepLBFGS", "batched L-BFGS, no instance waits for another"),
        "lockstep-lm": (f"{_HERE}.lockstep_lm:LockstepLM", "batched Levenberg-Marquardt, for sums of squares"),
        "lockstep-hybrid": (f"{_HERE}.lockstep_hybrid:LockstepHybrid", "batched L-BFGS, then Levenberg-Marquardt"),
        "scipy-lbfgs": (f"{_HERE}.scipy_lbfgs:ScipyLBFGS", "SciPy's L-BFGS-B, one instance after the other"),
        "multi-start": (f"{_HERE}.multi_start:MultiStart", "batched L-BFGS from many random starts"),
        "basin-hopping": (f"{_HERE}.basin_hopping:BasinHopping", "SciPy's basin hopping with L-BFGS"),
        "differential-evolution": (
            f"{_HERE}.differential_evolution:DifferentialEvolution",
            "SciPy's differential evolution, without gradients",
        ),
        "cma-es": (f"{_HERE}.cma_es:CMAES", "covariance matrix adaptation with restarts, without gradients"),
        "multi-level-single-linkage": (
            f"{_HERE}.multi_level_single_linkage:MultiLevelSingleLinkage",
            "NLopt's multi-level single linkage with L-BFGS",
        ),
        "amortized-multi-start": (
            f"{_HERE}.amortized_multi_start:AmortizedMultiStart",
            "batched L-BFGS from starts that a network proposes",
        ),
        "reparameterized": (f"{_HERE}.reparameterized:Reparameterized", "one network trained through the simulator"),
        "supervised": (f"{_HERE}.supervised:Supervised", "a network trained on synthetic solutions"),
        "neural-adjoint": (f"{_HERE}.neural_adjoint:NeuralAdjoint", "L-BFGS on a learned surrogate of the simulator"),
    },
)

# What ``solve`` takes if no method is given.
DEFAULT = "amortized-multi-start"

_CLASSES = {METHODS.class_name(name): name for name in METHODS}

__all__ = [
    "CMAES",
    "DEFAULT",
    "LBFGS",
    "METHODS",
    "AmortizedMultiStart",
    "BasinHopping",
    "DifferentialEvolution",
    "LockstepHybrid",
    "LockstepLBFGS",
    "LockstepLM",
    "MultiLevelSingleLinkage",
    "MultiStart",
    "NeuralAdjoint",
    "Reparameterized",
    "ScipyLBFGS",
    "Supervised",
]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return METHODS.load(_CLASSES[name])
    raise AttributeError(f"module 'kerasjoint.methods' has no attribute {name!r}")
