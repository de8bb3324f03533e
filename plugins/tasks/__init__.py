"""Tasks: the real-data suite (`suite/`), own tables (`tables/`), folders with a task.toml (`folder/`), leak checks,
MLE-bench (`mlebench/`).

The sources are found through entry points of `gome.tasks`; this package's plugin adds the verbs `gome tasks` and
`gome mle-bench` and a report.
Modules at this level (`reading`, `guessing`, `split`, `writing`) are what the sources share.
"""

from __future__ import annotations

from gome.kernel.plugin import Plugin, Report
from gome.plugins.tasks.commands import tasks
from gome.plugins.tasks.mlebench.commands import mle_bench
from gome.plugins.tasks.mlebench.leaderboard import report

plugin = Plugin(
    name="tasks",
    role="plugin",
    summary="gome tasks: list, show, new, check; gome mle-bench: submissions, grades, seeds",
    commands=(tasks, mle_bench),
    reports=(Report(report, lambda arguments: "--mle-bench" in arguments),),
)
