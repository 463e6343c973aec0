"""What L-BFGS solves from near the truth, from the guess and from random starts.

``python tests/validation/starts.py lorenz-96 --seed 0`` prints the numbers in the docstring of a problem with a prior.
The unsolved share of starts near the truth is that of needle-like minima; the distance of solved instances from the
truth shows whether other minima are as good; the row with more iterations, whether descents end too early. With
``--starts 1000`` so many descents from the prior are made for each instance: the share of them that solve it, and the
share of the instances that at least one solves.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kerasjoint import ProblemSet, Solution
from kerasjoint.best import with_runs
from kerasjoint.methods import LockstepLBFGS, MultiStart
from kerasjoint.problems import PROBLEMS

Array = NDArray[np.float64]
NEAR = (0.02, 0.1, 0.2)
STEPS = (25, 50, 100, 200)
TOGETHER = 1024


def from_prior(problem_set: ProblemSet, evaluations: int, seed: int) -> Solution:
    """Spend the evaluations on L-BFGS from the guess and then from starts drawn from the problem's prior."""
    local, best, draws = LockstepLBFGS(), LockstepLBFGS().solve(problem_set), 0
    while (rows := np.flatnonzero(best.evaluations < evaluations)).size:
        rows = np.tile(rows, max(1, min(256 // len(rows), evaluations // max(int(best.evaluations.mean()), 1) - 1)))
        draws += 1
        xi = problem_set.problem.prior(len(rows), int(np.random.SeedSequence([seed, draws]).generate_state(1)[0]))
        start = problem_set.space.to_z(problem_set.space.move_inside(xi), problem_set.guess[rows])
        best = with_runs(best, rows, local.solve(problem_set[rows], start=start))
    return best


def every_start(problem_set: ProblemSet, starts: int, seed: int) -> Array:
    """Descend from so many starts drawn from the prior for each instance; return which solved it, (starts, n)."""
    n, generator = len(problem_set), np.random.default_rng(np.random.SeedSequence([seed, 7]))
    together, solved = max(1, TOGETHER // n), []
    while len(solved) < starts:
        rows = np.tile(np.arange(n), min(together, starts - len(solved)))
        found = LockstepLBFGS().solve(problem_set[rows], start=problem_set.draw_starts(rows, generator))
        solved.extend(found.solved.reshape(-1, n))
    return np.array(solved)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=list(PROBLEMS))
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=1500)
    parser.add_argument("--starts", type=int, default=0, help="random starts of each instance, all of them descended")
    parser.add_argument("--options", type=json.loads, default={}, help="of the problem, as '{\"window\": 2.0}'")
    chosen = parser.parse_args()
    problem_set = PROBLEMS.load(chosen.problem)(**chosen.options).sample(chosen.n, chosen.seed)
    space, known = problem_set.space, problem_set.truth is not None
    table = Table(title=f"{chosen.problem}, n = {chosen.n}, seed {chosen.seed}")
    for heading in ("L-BFGS", "solved", "iterations", "loss / that of the truth", "distance, solved", "unsolved"):
        table.add_column(heading)

    def row(name: str, solution: Solution) -> None:
        solved, loss = solution.solved, solution.loss
        distance = np.zeros(0)
        if known:
            distance = np.sqrt(np.mean(((solution.xi - problem_set.truth) / space.scale) ** 2, axis=1))
            # Where there is no noise, the loss itself.
            loss = loss / np.where(problem_set.truth_loss > 0, problem_set.truth_loss, 1.0)
        ratio = np.quantile(loss, (0.1, 0.5, 0.9))
        cells = [
            f"{np.median(part):.3f} ({part.max():.3f})" if part.size else "" for part in _split(distance, solved, known)
        ]
        median = f"{np.median(solution.iterations):.0f}"
        table.add_row(name, f"{solved.mean():.3f}", median, "{:.3g} {:.3g} {:.3g}".format(*ratio), *cells)

    for size in NEAR if known else ():
        truth = space.to_z(problem_set.truth, problem_set.guess)
        noise = np.random.default_rng(chosen.seed).standard_normal(truth.shape)
        for steps in STEPS if size == NEAR[0] else STEPS[-1:]:
            row(f"truth + {size:g}, {steps} steps", LockstepLBFGS(steps).solve(problem_set, start=truth + size * noise))
    row("guess, 200 steps", LockstepLBFGS().solve(problem_set))
    row(f"guess, {chosen.evaluations} steps", LockstepLBFGS(chosen.evaluations).solve(problem_set))
    row(f"prior, {chosen.evaluations} evaluations", from_prior(problem_set, chosen.evaluations, chosen.seed))
    row(f"multi-start, {chosen.evaluations}", MultiStart(chosen.evaluations).solve(problem_set, chosen.seed))
    if chosen.starts:
        solved = every_start(problem_set, chosen.starts, chosen.seed)
        table.add_row(f"{chosen.starts} random starts, each", f"{solved.mean():.3f}")
        table.add_row(f"{chosen.starts} random starts, at least one", f"{solved.any(axis=0).mean():.3f}")
    Console(width=120).print(table)


def _split(values: Array, mask: NDArray[np.bool_], known: bool) -> tuple[Array, Array]:
    return (values[mask], values[~mask]) if known else (values, values)


if __name__ == "__main__":
    main()
