"""From a preset to tasks: the units that are run, stored and resumed."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerasjoint.experiments.labels import Label
from kerasjoint.experiments.preset import Preset
from kerasjoint.experiments.references import source_digest


@dataclass(frozen=True)
class Task:
    """One method on one problem set: the smallest unit that a run can lose.

    Attributes
    ----------
    preset
        Name of the preset that it belongs to.
    problem, method, n, seed
        Which; ``seed`` counts repetitions from 0.
    problem_options, method_options
        How both are constructed.
    preset_seed
        What all randomness derives from, together with problem, n and seed.
    refinement
        By which local method a learned solution is refined, and its options.
    sources
        A digest of each file that the user's own problem and methods are in.
    """

    preset: str
    problem: str
    method: str
    n: int
    seed: int
    problem_options: dict[str, Any]
    method_options: dict[str, Any]
    preset_seed: int
    refinement: dict[str, Any]
    sources: dict[str, str]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{Label(self.problem).slug}.{Label(self.method).slug}.n{self.n}.s{self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides its result."""
        return {key: value for key, value in asdict(self).items() if key != "preset"}

    @property
    def data_seed(self) -> int:
        """Seed of the problem set: the same for all methods."""
        return self._seeds[0]

    @property
    def method_seed(self) -> int:
        """Seed of the method: initial weights and training examples."""
        return self._seeds[1]

    @property
    def _seeds(self) -> list[int]:
        entropy = [self.preset_seed, zlib.crc32(Label(self.problem).seed_name.encode()), self.n, self.seed]
        return np.random.SeedSequence(entropy).generate_state(2).tolist()


def plan(preset: Preset) -> list[Task]:
    """List the tasks of a preset, those that share compiled code next to each other.

    Example
    -------
    >>> [task.name for task in plan(load_preset("quick"))]
    """
    return [
        Task(
            preset=preset.name,
            problem=problem,
            method=method,
            n=n,
            seed=seed,
            problem_options=problem_plan.options,
            method_options=preset.method_options(problem, method),
            preset_seed=preset.seed,
            refinement=preset.refinement.model_dump(),
            sources=_sources(problem, method, preset.refinement.method),
        )
        for problem, problem_plan in preset.problems.items()
        for n in problem_plan.n
        for method in preset.methods
        for seed in range(problem_plan.seeds or preset.seeds)
    ]


def _sources(*labels: str) -> dict[str, str]:
    digests = {Label(text).base: source_digest(text) for text in labels}
    return {text: digest for text, digest in digests.items() if digest is not None}
