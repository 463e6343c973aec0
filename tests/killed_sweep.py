"""Kills processes that run, pack and report a small sweep without TensorFlow, and compares what is left at the end.

``python tests/killed_sweep.py FOLDER KILLS SEED`` prints one line for each kind of moment, and exits with 1 if rows or
tables differ from those of an undisturbed run. Nothing here reads a file before it forks, since threads do not survive.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from stored_rows import in_order, result_of, sweep, written

from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import write_tables

CONSOLE = Console(soft_wrap=True)
TASKS = sweep(2)
KINDS = ("run", "pack", "report")


def start(action: Callable[[], object]) -> int:
    """Run ``action`` in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def finish(*children: int) -> bool:
    """Wait for processes; return whether all ended well."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return not any(codes)


def die_at(change: int) -> None:
    """Let this process kill itself right before so many changes of the disk."""
    left = [change]

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)


def run(store: Store, pause: float = 0.0) -> None:
    store.open_for(TASKS)
    for task in TASKS:
        if not store.has(task):
            store.write(task, result_of(task))
            time.sleep(pause)


def pack(store: Store) -> None:
    for _ in range(4):
        store.pack()


def report(store: Store) -> None:
    write_tables(store.rows(), store.folder / "tables", failed=store.failed())


def compare(first: Path, second: Path) -> None:
    """Fail unless both folders have the same rows, and tables of the same bytes."""
    one, other = Store(first), Store(second)
    for read in (Store.rows, Store.traces):
        pd.testing.assert_frame_equal(in_order(read(one)), in_order(read(other)))
    tables = [{path.name: path.read_bytes() for path in (f / "tables").glob("[!.]*")} for f in (first, second)]
    assert tables[0] == tables[1], [sorted(names) for names in tables]


def killed(folder: Path, kind: str, generator: random.Random) -> bool:
    """Kill a process that works while another one does, at a random time or change of the disk; then end undisturbed.

    Returns
    -------
    bool
        Whether it was killed before it had finished.
    """
    store = Store(folder)
    half = TASKS[: len(TASKS) // 2]
    if kind != "run":
        assert finish(start(lambda: written(store, half if kind == "pack" else TASKS).failed()))
    if kind == "report" and generator.random() < 0.5:
        assert finish(start(lambda: pack(store)))
    action = {"run": run, "pack": pack, "report": report}[kind]
    change = generator.choice((0, generator.randrange(1, {"run": 60, "pack": 40, "report": 12}[kind])))
    victim = start(lambda: (die_at(change), action(Store(folder))))
    other = start(lambda: run(Store(folder), pause=0.002))
    if change == 0:
        time.sleep(generator.uniform(0.0, 0.5))
        os.kill(victim, signal.SIGKILL)
    early = os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
    assert finish(other), "another process was harmed"
    assert finish(start(lambda: written(Store(folder), TASKS).failed()))
    if generator.random() < 0.5:
        assert finish(start(lambda: pack(Store(folder))))
        assert finish(start(lambda: report(Store(folder))))
        left = [path.name for path in (folder / "tasks").iterdir() if path.name[0] != "."]
        assert len(left) == 1, f"a pack left {left}"
    return early


def main(folder: Path, kills: int, seed: int) -> int:
    undisturbed = folder / "undisturbed"
    assert finish(start(lambda: written(Store(undisturbed), TASKS).failed()))
    generator, different = random.Random(seed), 0
    early = dict.fromkeys(KINDS, 0)
    for k in range(kills):
        # Two of three while packing or reporting.
        kind = KINDS[k % len(KINDS)]
        here = folder / f"{k}-{kind}"
        early[kind] += killed(here, kind, generator)
        different += not finish(start(lambda here=here: compare(undisturbed, here)))
    CONSOLE.print(f"{kills} kills, in time {early}, different {different}")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
