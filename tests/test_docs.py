"""README, guides and how-to pages: their Python runs as it stands, presets and commands are valid, links lead on.

A page's blocks run in order, as one module, in an empty folder. A block that begins with a comment such as
``# damped.py`` is written to that file too. Blocks with the info string ``python torch`` run where the marker ``torch``
is chosen (``make test-torch``). The cells of tutorials run when the site is built (``make docs``).
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
GUIDES = sorted([*DOCS.glob("[0-9]-*.md"), *DOCS.glob("how-to/*.md")])
PAGES = [README, *sorted(page for page in DOCS.rglob("*.md") if "generated" not in page.parts)]
LANGUAGES = {"python", "python torch", "yaml", "shell", ""}


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    line: int
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text()
    fences = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [Block(match[1].strip(), text[: match.start()].count("\n") + 1, match[2]) for match in fences]
    return [block for block in found if block.language in languages] if languages else found


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch, *languages: str) -> ModuleType:
    """Run a page's blocks as one module, so that its classes can be pickled; tracebacks show the page's lines."""
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page, *languages):
        write_file(block)
        code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
        exec(code, module.__dict__)
    return module


def write_file(block: Block) -> None:
    name = re.match(r"# (\w+\.py)\n", block.text)
    if name:
        Path(name[1]).write_text(block.text)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    page = run_page(README, monkeypatch, "python")
    assert len(page.history.history["loss"]) == 1000
    assert (page.refined.loss <= page.trained.loss).all()
    stored = pd.read_csv("comparison.csv").set_index("method")
    assert stored.loc["lbfgs", "equal"] == 1
    joint = stored.loc["reparameterized"]
    assert joint["better"] + joint["equal"] + joint["worse"] == pytest.approx(1)
    assert joint["solved"] > stored.loc["lbfgs", "solved"]
    assert joint["evaluations"] > 1000


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guide(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, monkeypatch, "python")


@pytest.mark.torch
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python torch")], ids=lambda page: page.stem)
def test_guide_with_torch(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    run_page(page, monkeypatch, "python", "python torch")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_are_of_known_kinds(page: Path) -> None:
    unknown = [
        (block.line, block.language)
        for block in blocks(page)
        if block.language not in LANGUAGES and block.language[:1] != "{"
    ]
    assert not unknown
    assert page.read_text().count("\n```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.stem)
def test_presets_are_valid(page: Path) -> None:
    from kerasjoint.experiments.preset import parse_preset

    for block in blocks(page, "python"):
        write_file(block)
    for block in blocks(page, "yaml"):
        parse_preset(yaml.safe_load(block.text), f"{page.name}, line {block.line}")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "shell")], ids=lambda page: page.stem)
def test_commands_are_valid(page: Path) -> None:
    from typer.main import get_command

    from kerasjoint.experiments.cli import app

    command = get_command(app)
    for block in blocks(page, "shell"):
        for line in block.text.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            if Path(program).name != "kerasjoint":
                continue
            if arguments[0].startswith("--"):
                # Parsing an option of the command itself would carry it out, such as --install-completion.
                assert arguments[0] in {option for parameter in command.params for option in parameter.opts}
            else:
                # Parses the arguments without running anything; wrong ones raise.
                context = command.make_context("kerasjoint", arguments)
                name, subcommand, rest = command.resolve_command(context, arguments)
                subcommand.make_context(name, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    written = [link for link in targets if not link.startswith(("http", "../generated/"))]
    missing = [link for link in written if not (page.parent / link).exists()]
    assert not missing
