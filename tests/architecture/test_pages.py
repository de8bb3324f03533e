"""The code on the pages is code that runs: the plugin authors' page against the package a stranger would install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from gome.kernel.reasoning import as_plugin
from tests.architecture.tree import ROOT

PAGE = ROOT / "plugins" / "README.md"
PACKAGE = ROOT / "tests" / "examples" / "gome-example-plugins"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(code: str, **given: Any) -> dict[str, Any]:
    """Execute a block and return its names."""
    names = {"__name__": "a_page", **given}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    return names


def test_the_examples_on_the_page_are_the_installable_ones() -> None:
    reasoner, asker, observer, _ = blocks(PAGE, "python")
    assert asker == (PACKAGE / "gome_example_plugins" / "asker.py").read_text(encoding="utf-8")
    assert reasoner == (PACKAGE / "gome_example_plugins" / "hunch.py").read_text(encoding="utf-8")
    assert observer == (PACKAGE / "gome_example_plugins" / "cheer.py").read_text(encoding="utf-8")
    (toml,) = blocks(PAGE, "toml")
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert tomllib.loads(toml)["project"]["entry-points"] == declared


def test_a_reasoner_is_no_longer_than_is_said() -> None:
    body = blocks(PAGE, "python")[0].partition("class Hunch:")[2]
    assert len(body.strip().splitlines()) <= 16
    assert as_plugin(run(blocks(PAGE, "python")[0])["Hunch"](), name="hunch").role == "reasoner"


def test_the_tests_on_the_page_pass() -> None:
    hunch, asker, observer, tests = blocks(PAGE, "python")
    names = run(tests, **{k: v for code in (hunch, asker, observer) for k, v in run(code).items() if k[0] != "_"})
    names["RUN"] = str(ROOT / "tests" / "recorded" / "ames-0.1.0" / "run.jsonl")
    found = [value for name, value in names.items() if name.startswith("test_")]
    assert len(found) == 3
    for test in found:
        test()


def test_the_reasoner_in_the_readme_is_the_one_on_the_page() -> None:
    shown = [b for b in blocks(ROOT / "README.md", "python") if "def propose" in b]
    assert shown and all(b.strip() in blocks(PAGE, "python")[0] for b in shown)
