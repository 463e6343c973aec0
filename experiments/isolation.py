"""A table of runs that change one thing at a time, to tell what a number hangs on."""

from __future__ import annotations

import pandas as pd

from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import comparison_table, in_refined_comparison

KEY = ["problem", "n", "method", "selection"]


def isolation_section(store: Store) -> str:
    """Return a section in Markdown: every variant, refined, against each reference, n by n."""
    rows = store.rows()
    tables = [comparison_table(rows, problem, per_n=True) for problem in dict.fromkeys(rows["problem"])]
    whole = pd.concat(tables, ignore_index=True)
    shown = whole[in_refined_comparison(whole)]
    shares = {share: shown.pivot(index=KEY, columns="reference", values=share) for share in ("better", "equal")}
    facts = shown.drop_duplicates(KEY).set_index(KEY)
    lines = []
    for place, fact in facts.iterrows():
        problem, n, method, selection = place
        line = {"problem": problem, "n": n, "method": method + (", last iterate" if selection == "last" else "")}
        for name in shares["better"]:
            better, equal = (100 * share.loc[place, name] for share in shares.values())
            line[f"better than / equal to {name}, %"] = f"{better:.0f} / {equal:.0f}"
        line |= {"solved, %": f"{100 * fact['solved']:.0f}", "median error": f"{fact['median_error']:.2g}"}
        lines.append(line | {"mean loss": f"{fact['mean_loss']:.2g}"})
    table = pd.DataFrame(lines).to_markdown(index=False)
    return f"## One change at a time: `{store.folder.name}`, refined\n\n{table}\n"
