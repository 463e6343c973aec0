from __future__ import annotations

import pandas as pd
from browser import Browser

from kerasjoint.experiments.figures import write_figures
from kerasjoint.experiments.html_report import write_html


def test_the_page_of_a_run_has_its_tables_figures_and_settings(store, tmp_path) -> None:
    path = write_html(store, write_figures(store, tmp_path))
    assert path == store.folder / "report.html"
    with Browser(path, tmp_path / "profile") as browser:
        headings = browser.evaluate("Array.from(document.querySelectorAll('h2'), one => one.textContent)")
        assert headings == ["billiards", "Baselines", "Settings", "Made with"]
        assert browser.evaluate("document.images.length") == 1
        assert browser.evaluate("document.images[0].naturalWidth") > 1000
        rows = "document.querySelectorAll('table')[3].rows"
        settings = f"Array.from({rows}, row => Array.from(row.cells, cell => cell.textContent))"
        frame = pd.DataFrame(browser.evaluate(settings)[1:]).set_index(1)
        assert frame.loc["reparameterized", 3] == '{"epochs": 20, "network_options": {"widths": [16]}}'
        assert frame.loc["lbfgs", [5, 6]].tolist() == ["2, 4", "2"]
        assert f"kerasjoint report {store.folder} --html" in browser.evaluate("document.body.innerText")
        assert browser.messages == []
