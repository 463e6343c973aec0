"""One self-contained HTML page: text, tables that sort, and figures, with all text escaped and nothing loaded."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Mapping
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pandas as pd

from kerasjoint.checks import check_path
from kerasjoint.errors import ArgumentError
from kerasjoint.files import atomic_path

# More rows than a page can be read with; tables of all are in CSV files and frames.
MOST_ROWS = 2000

STYLE = """
:root { --line: #d5d9de; --soft: #f4f6f8; --text: #1d2530; --accent: #0173b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 4rem; color: var(--text); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 50rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; display: block; }
figcaption, .note { color: #55606e; font-size: .9rem; }
.scroll { overflow-x: auto; margin: .6rem 0; border: 1px solid var(--line); border-radius: 6px; max-height: 36rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .6rem; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--line); }
td.long { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
tbody tr:nth-child(even) { background: var(--soft); }
thead th { position: sticky; top: 0; background: #fff; box-shadow: inset 0 -2px var(--line); padding: 0; }
thead button { all: unset; cursor: pointer; padding: .4rem .6rem; width: 100%; box-sizing: border-box;
  font-weight: 600; }
thead button:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; color: var(--accent); }
th[aria-sort="descending"] button::after { content: " \\25BC"; color: var(--accent); }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow-x: auto; }
"""

# A number is compared as such, also with an interval after it; what is empty stays at the end.
SCRIPT = """
"use strict";
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = Array.from(body.rows, (row, place) => ({ row, place, text: key(row), number: parseFloat(key(row)) }));
    const sign = down ? -1 : 1;
    rows.sort((a, b) => {
      if (!a.text || !b.text) return (a.text ? 0 : 1) - (b.text ? 0 : 1) || a.place - b.place;
      const numbers = !Number.isNaN(a.number) && !Number.isNaN(b.number);
      const order = numbers && a.number !== b.number
        ? a.number - b.number : a.text.localeCompare(b.text, "en", { numeric: true });
      return sign * order || a.place - b.place;
    });
    body.append(...rows.map(one => one.row));
  });
}
"""


class Page:
    """An HTML page that is built from its top to its end.

    Parameters
    ----------
    title
        Its heading.

    Example
    -------
    >>> page = Page("Decays")
    >>> page.heading("Comparison")
    >>> page.table(table)
    >>> page.write("decays.html")
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading."""
        self._parts.append(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, text: str, *, note: bool = False) -> None:
        """Add a paragraph; a note is smaller."""
        kind = ' class="note"' if note else ""
        self._parts.append(f"<p{kind}>{escape(text)}</p>")

    def code(self, text: str) -> None:
        """Add lines to type or to read as they are."""
        self._parts.append(f"<pre><code>{escape(text)}</code></pre>")

    def table(self, frame: pd.DataFrame) -> None:
        """Add a table that sorts by the column whose head is clicked; of very many rows the first 2,000."""
        numeric = [_is_numeric(frame.iloc[:, k]) for k in range(frame.shape[1])]
        kinds = [' class="number"' if one else "" for one in numeric]
        heads = "".join(
            f'<th scope="col"{kind}><button type="button">{escape(str(name))}</button></th>'
            for name, kind in zip(frame.columns, kinds, strict=True)
        )
        shown = frame.iloc[:MOST_ROWS]
        rows = "\n".join(
            f"<tr>{''.join(_cell(value, one) for value, one in zip(row, numeric, strict=True))}</tr>"
            for row in shown.itertuples(index=False, name=None)
        )
        self._parts.append(
            f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table></div>"
        )
        if len(frame) > len(shown):
            self.text(f"The first {len(shown):,} of {len(frame):,} rows.", note=True)

    def figure(self, png: bytes, description: str) -> None:
        """Add a figure, which becomes a part of the page; the description is for those who cannot see it."""
        data = base64.b64encode(png).decode("ascii")
        self._parts.append(
            f'<figure><img alt="{escape(description)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(description)}</figcaption></figure>"
        )

    def pairs(self, values: Mapping[str, Any]) -> None:
        """Add a table of names and values."""
        texts = {name: "" if value is None else str(value) for name, value in values.items()}
        self.table(pd.DataFrame({"": list(texts), "value": list(texts.values())}))

    def html(self) -> str:
        """Return the page. Its policy lets browsers load nothing, and run no script but its own."""
        policy = (
            f"default-src 'none'; img-src data:; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
            "base-uri 'none'; form-action 'none'"
        )
        body = "\n".join(self._parts)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # Browsers ask for an icon otherwise.
            '<link rel="icon" href="data:,">\n'
            f"<title>{escape(self._title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"<h1>{escape(self._title)}</h1>\n{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all; return its path."""
        target = check_html_path(path)
        with atomic_path(target) as whole:
            whole.write_text(self.html(), encoding="utf-8")
        return target


def check_html_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a page to write: a name ending in ``.html`` in an existing folder."""
    target = check_path("path", path)
    if target.suffix != ".html" or not target.parent.is_dir():
        raise ArgumentError("path", "a name ending in .html in an existing folder", target)
    return target


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cell(value: Any, numeric: bool) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "<td></td>"
    if numeric and isinstance(value, Real):
        text = str(value) if isinstance(value, Integral) else f"{value:.4g}"
        # JavaScript's word for it.
        key = repr(float(value)).replace("inf", "Infinity")
        return f'<td class="number" data-value="{key}">{text}</td>'
    text = str(value)
    kind = ' class="long"' if len(text) > 60 else ""
    return f"<td{kind}>{escape(text)}</td>"


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
