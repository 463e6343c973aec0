"""The zoo of problems: one file or folder each, differentiable in TensorFlow and batched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerasjoint.registry import Registry

if TYPE_CHECKING:
    from kerasjoint.problems.acoustic_waveform import AcousticWaveform
    from kerasjoint.problems.ballistics import Ballistics
    from kerasjoint.problems.billiards import Billiards
    from kerasjoint.problems.carbon_dioxide import CarbonDioxide
    from kerasjoint.problems.epidemic import Epidemic
    from kerasjoint.problems.kuramoto_sivashinsky import KuramotoSivashinsky, KuramotoSivashinskyState
    from kerasjoint.problems.layered_ground import LayeredGround
    from kerasjoint.problems.lorenz_96 import Lorenz96
    from kerasjoint.problems.navier_stokes import NavierStokes
    from kerasjoint.problems.phase_retrieval import PhaseRetrieval
    from kerasjoint.problems.robotic_arm import RoboticArm
    from kerasjoint.problems.sine_wave import SineWave
    from kerasjoint.problems.thin_film import ThinFilm
    from kerasjoint.problems.wave_packet import WavePacket

PROBLEMS = Registry(
    "problem",
    {
        "wave-packet": ("kerasjoint.problems.wave_packet:WavePacket", "locate a wave packet in a noisy signal"),
        "billiards": ("kerasjoint.problems.billiards:Billiards", "hit a ball so that it comes to rest at a target"),
        "kuramoto-sivashinsky": (
            "kerasjoint.problems.kuramoto_sivashinsky:KuramotoSivashinsky",
            "find forcing and advection strength of a chaotic flame front",
        ),
        "kuramoto-sivashinsky-light": (
            "kerasjoint.problems.kuramoto_sivashinsky:KuramotoSivashinsky.light",
            "the same on a coarser grid with longer steps",
        ),
        "navier-stokes": (
            "kerasjoint.problems.navier_stokes:NavierStokes",
            "find the force that stirred a fluid of which half is seen",
        ),
        "navier-stokes-light": (
            "kerasjoint.problems.navier_stokes:NavierStokes.light",
            "the same on a coarser grid with longer steps",
        ),
        "layered-ground": (
            "kerasjoint.problems.layered_ground:LayeredGround",
            "find the wave speeds of 16 layers from the echo of a pulse",
        ),
        "lorenz-96": (
            "kerasjoint.problems.lorenz_96:Lorenz96",
            "find the initial state of a chaotic system of which a quarter is observed",
        ),
        "sine-wave": (
            "kerasjoint.problems.sine_wave:SineWave",
            "find a point where a wavy surface has a given height",
        ),
        "ballistics": (
            "kerasjoint.problems.ballistics:Ballistics",
            "throw a ball so that it lands at a given place",
        ),
        "robotic-arm": (
            "kerasjoint.problems.robotic_arm:RoboticArm",
            "find height and angles with which an arm reaches a point",
        ),
        "thin-film": (
            "kerasjoint.problems.thin_film:ThinFilm",
            "find the thicknesses of 20 layers from the light that they reflect",
        ),
        "phase-retrieval": (
            "kerasjoint.problems.phase_retrieval:PhaseRetrieval",
            "find a picture from the magnitudes of its Fourier transform",
        ),
        "epidemic": (
            "kerasjoint.problems.epidemic:Epidemic",
            "find a changing contact rate from daily counts of new cases",
        ),
        "kuramoto-sivashinsky-state": (
            "kerasjoint.problems.kuramoto_sivashinsky:KuramotoSivashinskyState",
            "find the initial state of a chaotic flame front of which a quarter is observed",
        ),
        "carbon-dioxide": (
            "kerasjoint.problems.carbon_dioxide:CarbonDioxide",
            "find trend and cycles in the carbon dioxide measured on Mauna Loa",
        ),
        "acoustic-waveform": (
            "kerasjoint.problems.acoustic_waveform:AcousticWaveform",
            "find a map of the wave speed under the ground from recorded shots",
        ),
        "acoustic-waveform-light": (
            "kerasjoint.problems.acoustic_waveform:AcousticWaveform.light",
            "the same with two shots, recorded for less time",
        ),
    },
)

__all__ = [
    "PROBLEMS",
    "AcousticWaveform",
    "Ballistics",
    "Billiards",
    "CarbonDioxide",
    "Epidemic",
    "KuramotoSivashinsky",
    "KuramotoSivashinskyState",
    "LayeredGround",
    "Lorenz96",
    "NavierStokes",
    "PhaseRetrieval",
    "RoboticArm",
    "SineWave",
    "ThinFilm",
    "WavePacket",
]

_CLASSES = {PROBLEMS.class_name(name): name for name in PROBLEMS if "." not in PROBLEMS.class_name(name)}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return PROBLEMS.load(_CLASSES[name])
    raise AttributeError(f"module 'kerasjoint.problems' has no attribute {name!r}")
