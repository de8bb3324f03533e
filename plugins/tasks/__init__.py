"""Tasks: the real-data suite (`suite/`), own tables (`tables/`), folders with a task.toml (`folder/`), leak checks.

The three sources are found through entry points of `gome.tasks`; this package's plugin adds the verbs of `gome tasks`.
Modules at this level (`reading`, `guessing`, `split`, `writing`) are what the sources share.
"""

from __future__ import annotations

from gome.kernel.plugin import Plugin
from gome.plugins.tasks.commands import tasks

plugin = Plugin(name="tasks", role="plugin", summary="gome tasks: list, show, new, check", commands=(tasks,))
