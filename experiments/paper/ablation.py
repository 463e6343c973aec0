"""A table of runs that change one thing at a time, to find what a number depends on."""

from __future__ import annotations

import pandas as pd

from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import BEST_OF_BOTH, comparison_table, in_refined_comparison

KEY = ["problem", "n", "method", "selection"]


def ablation_section(store: Store) -> str:
    """Return a section in Markdown: every variant, refined, against each reference, n by n."""
    rows = store.rows()
    tables = [comparison_table(rows, problem, per_n=True) for problem in dict.fromkeys(rows["problem"])]
    whole = pd.concat(tables, ignore_index=True)
    shown = whole[in_refined_comparison(whole) & (whole["method"] != BEST_OF_BOTH)]
    lines = []
    for (problem, n, method, selection), group in shown.groupby(KEY, sort=False):
        line = {"problem": problem, "n": n, "method": f"{method}, last iterate" if selection == "last" else method}
        for reference, better, equal in zip(group["reference"], group["better"], group["equal"], strict=True):
            line[f"better than / equal to {reference}, %"] = f"{100 * better:.0f} / {100 * equal:.0f}"
        fact = group.iloc[0]
        line |= {"solved, %": f"{100 * fact['solved']:.0f}", "median error": f"{fact['median_error']:.2g}"}
        lines.append(line | {"mean loss": f"{fact['mean_loss']:.2g}"})
    table = pd.DataFrame(lines).to_markdown(index=False)
    return f"## One change at a time: `{store.folder.name}`, refined\n\n{table}\n"
