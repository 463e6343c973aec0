"""Entry points of the package under malformed arguments and files: each ends well, or with an error of kerasjoint.

``python tests/attacks.py COUNT SEED`` makes COUNT attempts at each and prints what else was raised.
"""

from __future__ import annotations

import collections
import inspect
import random
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers import Decay, decay_set
from malformed import mutated, value
from rich.console import Console
from stored_rows import result_of, task_of

from kerasjoint import ProblemSet, Solution, Unknown, compare, refine, solve
from kerasjoint.errors import KerasjointError, RouteWarning
from kerasjoint.experiments.instance_files import read_instances
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import load_preset, parse_preset
from kerasjoint.experiments.row_checks import check_metadata, check_rows
from kerasjoint.experiments.stopping import TimeLimitExceeded, time_limit
from kerasjoint.experiments.task_files import from_json, from_parquet, to_json, to_parquet
from kerasjoint.methods import LBFGS, METHODS
from kerasjoint.npz import write_npz
from kerasjoint.problems import PROBLEMS, Billiards, WavePacket
from kerasjoint.problems.navier_stokes.grid import Box

CONSOLE = Console(soft_wrap=True, markup=False)
SECONDS = 10.0
DECAY = Decay()
SET = decay_set(DECAY, 4)
FOLDER = Path(tempfile.mkdtemp())
PRESET = b"""name: mine
description: a try
seeds: 3
seed: 7
time_limit: 60
problems:
  billiards: {n: [4, 16], seeds: 2, options: {friction: 0.2}, methods: {lbfgs: {history_size: 5}}}
  wave-packet@noisy:
    n: [2]
    options: {noise: 0.5}
methods:
  lbfgs: {}
  scipy-lbfgs: {max_iterations: 3, tolerance: 1.0e-9}
  reparameterized@small: {epochs: 3}
refinement: {method: lockstep-lbfgs, options: {first_step: 0.01}}
"""
Attack = Callable[[random.Random], None]


def some(generator: random.Random, right: dict[str, Any], chance: float = 0.4) -> dict[str, Any]:
    """Return the right arguments with some of them replaced."""
    return {name: value(generator) if generator.random() < chance else one for name, one in right.items()}


def options(generator: random.Random, factory: Callable[..., Any]) -> dict[str, Any]:
    names = [name for name in inspect.signature(factory).parameters if name not in ("args", "kwargs")]
    return {name: value(generator) for name in names if generator.random() < 0.4}


def unknown(generator: random.Random) -> None:
    right = {"name": "a", "shape": (2,), "lower": None, "upper": None, "guess": None, "scale": 1.0}
    Unknown(**some(generator, right))


def problem_set(generator: random.Random) -> None:
    right = {"problem": DECAY, "x": dict(SET.x), "y": SET.y, "truth": SET.truth, "guess": None}
    if generator.random() < 0.4:
        right["x"] = {"time": value(generator)}
    ProblemSet(**some(generator, right, 0.3))


def method(generator: random.Random) -> None:
    factory = METHODS.load(generator.choice(list(METHODS)))
    factory(**options(generator, factory))


def problem(generator: random.Random) -> None:
    name = generator.choice([name for name in PROBLEMS if not name.endswith("light")])
    PROBLEMS.load(name)(**options(generator, PROBLEMS.load(name)))


def box(generator: random.Random) -> None:
    Box(**some(generator, {"left": 1.0, "right": 2.0, "bottom": 1.0, "top": 2.0}))


def sample(generator: random.Random) -> None:
    right = some(generator, {"n": 2, "seed": 0}, 0.6)
    hook = generator.choice(("sample", "sample_training"))
    # Large numbers that can be drawn may take the time they need.
    if not (type(right["n"]) is int and right["n"] > 100):
        getattr(generator.choice((Billiards(), WavePacket())), hook)(**right)


def evaluation(generator: random.Random) -> None:
    what = generator.randrange(5)
    if what == 0:
        SET.objective(**some(generator, {"xi": SET.truth, "instances": np.arange(4)}))
    elif what == 1:
        SET.value_and_gradient(**some(generator, {"xi": SET.truth, "instances": None}))
    elif what == 2:
        SET[value(generator)]
    elif what == 3:
        ProblemSet.concatenate(value(generator))
    else:
        DECAY.simulate(**some(generator, {"xi": SET.truth, "x": dict(SET.x)}))


SOLUTION: Solution = LBFGS(max_iterations=2).solve(SET)


def call(generator: random.Random) -> None:
    what = generator.randrange(3)
    if what == 0:
        compare(**some(generator, {"solutions": {"a": SOLUTION}, "reference": "a", "absolute_tolerance": 0.0}, 0.6))
    elif what == 1:
        wrong = {"problem_set": SET, "solution": SOLUTION, "method": "lbfgs"}
        name = generator.choice(list(wrong))
        refine(**wrong | {name: not_a(generator, *wrong.values())})
    else:
        wrong = {"problem_set": SET, "method": "lbfgs", "local_method": "lbfgs"}
        name = generator.choice(list(wrong))
        solve(**wrong | {name: not_a(generator, *wrong.values())}, seed=value(generator))


def not_a(generator: random.Random, *right: Any) -> Any:
    """Return a value that is none of those that start expensive work."""
    while True:
        wrong = value(generator)
        if wrong is not None and not any(isinstance(wrong, str) and wrong in METHODS for _ in right):
            return wrong


def preset_text(generator: random.Random) -> None:
    path = FOLDER / "mine.yaml"
    path.write_bytes(mutated(generator, PRESET))
    plan(load_preset(str(path)))


def preset_values(generator: random.Random) -> None:
    plans = {"billiards": some(generator, {"n": [2], "seeds": 2, "options": {}, "methods": {}}, 0.2)}
    refinement = some(generator, {"method": "lbfgs", "options": {}}, 0.2)
    right = {"name": "mine", "seed": 0, "seeds": 1, "problems": plans, "methods": {"lbfgs": {}}, "time_limit": 3.0}
    content = some(generator, right | {"refinement": refinement}, 0.1)
    plan(parse_preset(content, "test"))


def preset_name(generator: random.Random) -> None:
    load_preset(str_of(generator))


def str_of(generator: random.Random) -> str:
    while True:
        text = value(generator)
        if isinstance(text, str):
            return text


def csv(generator: random.Random) -> None:
    path = FOLDER / "mine.csv"
    columns = {f"time[{k}]": [0.5, 1.0, 1.5] for k in range(3)} | {f"y[{k}]": [1.0, 2.0, 3.0] for k in range(3)}
    path.write_bytes(mutated(generator, pd.DataFrame(columns).to_csv(index=False).encode()))
    read_instances(DECAY, path, header=generator.random() < 0.7)


write_npz(FOLDER / "right.npz", SET.arrays())
np.savez(FOLDER / "plain.npz", **SET.arrays())
SOLUTION.save(FOLDER / "solution.npz")


def npz(generator: random.Random) -> None:
    path = FOLDER / "mine.npz"
    kind = generator.choice(("right", "plain", "solution"))
    path.write_bytes(mutated(generator, (FOLDER / f"{kind}.npz").read_bytes()))
    (Solution if kind == "solution" else ProblemSet).load(DECAY, path)


TASK = task_of()
METADATA = {"preset": TASK.preset, "settings": TASK.settings, "seconds": {"unrefined best": 0.5}}
ROWS = to_parquet(result_of(TASK).rows)


def stored_rows(generator: random.Random) -> None:
    """As somebody may change them together with their digest."""
    check_rows(from_parquet(FOLDER, mutated(generator, ROWS)), {TASK.name: METADATA}, FOLDER)


def stored_metadata(generator: random.Random) -> None:
    content = mutated(generator, to_json(METADATA))
    found = check_metadata(TASK.name, from_json(FOLDER, content), FOLDER)
    check_rows(result_of(TASK).rows, {TASK.name: found}, FOLDER)


ATTACKS: dict[str, tuple[Attack, int]] = {
    "Unknown": (unknown, 1000),
    "ProblemSet": (problem_set, 500),
    "methods": (method, 800),
    "problems": (problem, 300),
    "Box": (box, 200),
    "sample": (sample, 200),
    "evaluation": (evaluation, 400),
    "calls": (call, 300),
    "preset text": (preset_text, 700),
    "preset values": (preset_values, 300),
    "preset name": (preset_name, 100),
    "csv": (csv, 400),
    "npz": (npz, 600),
    "stored rows": (stored_rows, 300),
    "stored metadata": (stored_metadata, 300),
}


def attack(name: str, count: int, seed: int) -> list[str]:
    """Return what else than errors of kerasjoint was raised, one line per attempt."""
    found = []
    for k in range(count):
        generator = random.Random(f"{name} {seed} {k}")
        try:
            with time_limit(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", RouteWarning)
                ATTACKS[name][0](generator)
        except KerasjointError as error:
            if len(str(error)) > 5000:
                found.append(f"{name} {seed} {k}: a message of {len(str(error))} characters")
        except (Exception, TimeLimitExceeded) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            found.append(f"{name} {seed} {k}: {type(error).__name__}: {str(error)[:120]!r} at {where}")
    return found


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    total = 0
    for name, (_, usual) in ATTACKS.items():
        before = peak_megabytes()
        failures = attack(name, int(float(sys.argv[1]) * usual), int(sys.argv[2]))
        total += len(failures)
        kinds = collections.Counter(line.split(": ", 1)[1] for line in failures)
        growth = peak_megabytes() - before
        CONSOLE.print(f"{name}: {int(float(sys.argv[1]) * usual)} attempts, {len(failures)} failed, +{growth:.0f} MB")
        for kind, times in kinds.most_common(12):
            CONSOLE.print(f"   {times} x {kind}   e.g. {next(line for line in failures if kind in line).split(':')[0]}")
    CONSOLE.print(f"{total} failed, {peak_megabytes():.0f} MB")
