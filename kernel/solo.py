"""Performing one intent outside any run: what `gome doctor` tries a plugin with, and tests of performers.

Nothing is recorded; the context has a task that nobody opens, an empty trajectory, and artifacts in a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from gome.events import ROOT, Artifact, Draw, Event, Intent, Metric, RunStarted, Task, Trajectory
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.diagnostics import logger
from gome.kernel.errors import GomeError
from gome.kernel.plugin import Context, Plugin, Result

_FILE = Artifact(digest="", size=0)
_TASK = Task(
    name="none",
    kind="regression",
    metric=Metric("none", False),
    target="",
    id="",
    columns=(),
    train=_FILE,
    test=_FILE,
    rows_train=0,
    rows_test=0,
)


async def perform_once(plugin: Plugin, intent: Intent, tables: Mapping[str, Any], folder: Path) -> Result:
    """Let a plugin perform an intent and return what it says. `tables` are settings by plugin, as in `RunStarted`;
    files go below `folder`. Raises whatever the plugin raises."""
    if plugin.perform is None:
        raise GomeError(f"plugin {plugin.name} performs nothing")

    async def call(child: Intent) -> NoReturn:
        raise GomeError(f"{type(child).__name__} cannot be asked for outside a run")

    event = Event(id=ROOT, type=type(intent).__name__, seq=1, ts=0.0, payload=intent)
    context = Context(
        run="",
        intent=event,
        attempt=1,
        started=RunStarted(task=_TASK, seed=0, settings=dict(tables)),
        trajectory=Trajectory(),
        settings=dict(tables.get(plugin.name, {})),
        artifacts=ArtifactStore(folder / "artifacts"),
        workdir=folder / "work",
        home=folder,
        draw=Draw(0, ROOT),
        call=call,
        cancelled=lambda: False,
        log=logger(),
    )
    answer = await plugin.perform(event, context)
    return answer if isinstance(answer, Result) else Result(answer)
