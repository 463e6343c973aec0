"""How much of its time ``solve`` trains: ``python -m benchmarks.training_share wave-packet --n 256``."""

from __future__ import annotations

import time
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console

from kerasjoint.methods import AmortizedMultiStart
from kerasjoint.models import MixtureDensityModel
from kerasjoint.problems import PROBLEMS


def main(
    problem: str,
    n: Annotated[int, typer.Option(help="Instances.")] = 64,
    evaluations: Annotated[int, typer.Option(help="Budget per instance.")] = 150,
    seed: Annotated[int, typer.Option(help="Of the instances and of the method.")] = 0,
) -> None:
    """Solve instances in a fresh process; print the seconds of it all and of training, compilation included."""
    problem_set, fit, trainings = PROBLEMS.load(problem)().sample(n, seed), MixtureDensityModel.fit, []

    @wraps(fit)
    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        history = fit(*arguments, **options)
        trainings.append(time.perf_counter() - began)
        return history

    MixtureDensityModel.fit = timed
    began = time.perf_counter()
    solution = AmortizedMultiStart(evaluations).solve(problem_set, seed)
    whole, trained = time.perf_counter() - began, sum(trainings)
    Console().print(
        f"{problem}, n = {n}, {evaluations} evaluations, seed {seed}: {whole:.1f} s, of these {trained:.1f} s "
        f"({trained / whole:.0%}) in {len(trainings)} trainings; {solution.solved.mean():.1%} solved",
        soft_wrap=True,
    )


if __name__ == "__main__":
    typer.run(main)
