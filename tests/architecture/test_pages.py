"""The code on the pages is code that runs: the plugin authors' page against the package a stranger would install."""

from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gome.events import Sealed
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.reasoning import as_plugin
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from tests.architecture.tree import ROOT
from tests.kernel import toy

PAGE = ROOT / "plugins" / "README.md"
PACKAGE = ROOT / "tests" / "examples" / "gome-example-plugins"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(code: str, **given: Any) -> dict[str, Any]:
    """Execute a block and return its names."""
    names = {"__name__": "a_page", **given}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_the_examples_on_the_page_are_the_installable_ones() -> None:
    reasoner, observer, _ = blocks(PAGE, "python")
    assert reasoner == (PACKAGE / "gome_example_plugins" / "hunch.py").read_text(encoding="utf-8")
    assert observer == (PACKAGE / "gome_example_plugins" / "cheer.py").read_text(encoding="utf-8")
    (toml,) = blocks(PAGE, "toml")
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert tomllib.loads(toml)["project"]["entry-points"] == declared


def test_a_reasoner_is_no_longer_than_is_said() -> None:
    body = blocks(PAGE, "python")[0].partition("class Hunch:")[2]
    assert len(body.strip().splitlines()) <= 16
    assert as_plugin(run(blocks(PAGE, "python")[0])["Hunch"](), name="hunch").role == "reasoner"


@pytest.mark.anyio
async def test_the_test_on_the_page_passes() -> None:
    _, observer, test = blocks(PAGE, "python")
    plugin = run(observer)["plugin"]
    assert isinstance(plugin, Plugin)
    await run(test, plugin=plugin)["test_cheer_is_a_decider"](history())


async def history() -> AsyncIterator[Sealed]:
    """A recorded run of toy plugins, in which attempts are accepted."""
    time, artifacts = VirtualTime(), MemoryArtifacts()
    log = MemoryLog(clock=time.now)
    live = await open_run(log, "r", toy.PLUGINS, artifacts, time)
    await start(live, toy.started())
    await drive(live, toy.world, time)
    async for sealed in log.read("r"):
        yield sealed


def test_the_reasoner_in_the_readme_is_the_one_on_the_page() -> None:
    shown = [b for b in blocks(ROOT / "README.md", "python") if "def propose" in b]
    assert shown and all(b.strip() in blocks(PAGE, "python")[0] for b in shown)
