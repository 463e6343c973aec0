"""From a preset to cells: the units that are run, stored and resumed."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerasjoint.experiments.preset import Preset
from kerasjoint.experiments.variants import base_name


@dataclass(frozen=True)
class Cell:
    """One method on one problem set: the smallest unit that a run can lose.

    Attributes
    ----------
    problem, method, n, seed
        Which; ``seed`` counts repetitions from 0.
    problem_options, method_options
        How both are constructed.
    preset_seed
        What all randomness derives from, together with problem, n and seed.
    refinement
        By which local method a learned solution is refined, and its options.
    """

    problem: str
    method: str
    n: int
    seed: int
    problem_options: dict[str, Any]
    method_options: dict[str, Any]
    preset_seed: int
    refinement: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.problem}.{self.method}.n{self.n}.s{self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides its result."""
        return asdict(self)

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
        entropy = [self.preset_seed, zlib.crc32(base_name(self.problem).encode()), self.n, self.seed]
        return np.random.SeedSequence(entropy).generate_state(2).tolist()


def plan(preset: Preset) -> list[Cell]:
    """List the cells of a preset, those that share compiled code next to each other."""
    return [
        Cell(
            problem=problem,
            method=method,
            n=n,
            seed=seed,
            problem_options=problem_plan.options,
            method_options=preset.method_options(problem, method),
            preset_seed=preset.seed,
            refinement=preset.refinement.model_dump(),
        )
        for problem, problem_plan in preset.problems.items()
        for n in problem_plan.n
        for method in preset.methods
        for seed in range(problem_plan.seeds or preset.seeds)
    ]
