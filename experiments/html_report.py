"""One page about a run: its tables and figures, settings, versions, commits and commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kerasjoint.experiments.labels import Label
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import TOLERANCE, TROUBLES, baseline_table, comparison_table, legible
from kerasjoint.page import Page

NAME = "report.html"


def write_html(store: Store, figures: Sequence[Path]) -> Path:
    """Write ``report.html`` into the store's folder, from the stored rows and the figures drawn of them.

    Example
    -------
    >>> store = Store("results/quick")
    >>> write_html(store, write_figures(store, store.folder / "figures"))
    """
    rows, metadata = store.rows(), store.metadata()
    problems = list(dict.fromkeys(rows["problem"]))
    drawn = {path.stem: path for path in figures}
    page = Page(f"kerasjoint: {store.folder.resolve().name}")
    page.text(f"{len(metadata)} tasks on {', '.join(Label(problem).title for problem in problems)}.")
    page.text(f"Equal, where marked (tol): {TOLERANCE}. Brackets: 95 % Wilson intervals, in percent.", note=True)
    for problem in problems:
        label = Label(problem)
        page.heading(label.title)
        if label.slug in drawn:
            caption = "(a) an instance, (b) the loss along an unknown, (c) optimisation, (d) loss after refinement"
            page.figure(drawn[label.slug].read_bytes(), f"{label.title}: {caption}")
        for per_n, title in ((False, "Mean over n"), (True, "By n")):
            table = comparison_table(rows, problem, per_n=per_n)
            if not table.empty:
                page.heading(title, 3)
                page.table(legible(table))
    baselines = baseline_table(rows)
    if not baselines.empty:
        page.heading("Baselines")
        page.table(baselines)
    for name, table in (("failed", store.failed()), ("simulator-errors", store.simulator_errors())):
        if not table.empty:
            page.heading(TROUBLES[name])
            page.table(table)
    page.heading("Settings")
    page.table(_settings(metadata))
    page.heading("Made with")
    for name in ("preset", "commit", "machine"):
        page.text(f"{name.capitalize()}: {', '.join(_distinct(metadata[name]))}.")
    page.table(_versions(metadata))
    page.heading("Commands", 3)
    page.code("\n".join([*_distinct(metadata["command"]), f"kerasjoint report {store.folder} --html"]))
    return page.write(store.folder / NAME)


def _settings(metadata: pd.DataFrame) -> pd.DataFrame:
    """One row per problem and method with its options, and the sizes and seeds that were run with them."""
    table = pd.DataFrame(list(metadata["settings"]))
    for column in ("problem_options", "method_options", "refinement"):
        table[column] = [json.dumps(value, sort_keys=True) if value else "" for value in table[column]]
    key = ["problem", "method", "problem_options", "method_options", "refinement"]
    grouped = table.groupby(key, sort=False).agg(n=("n", _sizes), seeds=("seed", "nunique")).reset_index()
    return grouped.rename(columns=lambda name: name.replace("_", " "))


def _versions(metadata: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(list(metadata["versions"]))
    return pd.DataFrame({"package": table.columns, "version": [", ".join(_distinct(table[name])) for name in table]})


def _sizes(values: pd.Series) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _distinct(values: pd.Series) -> list[str]:
    """Return the different values as text, in the order of their first appearance."""
    known: list[Any] = [value for value in values if isinstance(value, str)]
    return list(dict.fromkeys(known)) or ["unknown"]
