"""MLE-bench: competitions from a prepared data folder as tasks, their graders, medals and reports.

`gome run mlebench:ID` runs one of the competitions whose tables say enough (`recipes.py`); `gome mle-bench` lists them
all, turns what a run hands in into a submission, grades submissions and averages reports over seeds; `gome report
--mle-bench` shows the published leaderboard with our own row. Found through the entry point `mlebench`; the verbs
belong to the plugin `tasks`.
"""

from __future__ import annotations

from pathlib import Path

from gome.kernel.errors import UsageError
from gome.kernel.tasks import Finding, PreparedTask, TaskOptions
from gome.plugins.tasks.mlebench.competitions import competition, competitions, data_folder
from gome.plugins.tasks.mlebench.recipes import RECIPES

PREFIX = "mlebench:"


class MleBench:
    """Task source for prepared competitions: `mlebench:ID`, or `mlebench:FOLDER/ID` for another data folder."""

    name = "mlebench"
    summary = "prepared competitions of MLE-bench: mlebench:ID, or mlebench:FOLDER/ID (see gome mle-bench list)"

    def matches(self, spec: str) -> bool:
        return spec.startswith(PREFIX)

    def names(self) -> list[tuple[str, str]]:
        """Those that gome can run and that are prepared in the data folder."""
        data = data_folder()
        return [
            (PREFIX + one.id, f"{one.name}: {one.complexity}, {one.metric}")
            for one in competitions().values()
            if one.id in RECIPES and (data / one.id / "prepared" / "public").is_dir()
        ]

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        from gome.plugins.tasks.mlebench.prepare import prepare

        fixed = ("test", "metric", "id", "group", "time_column", "drop", "holdout", "name", "description")
        if given := [name for name in fixed if getattr(options, name)]:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(f"{spec} is fixed by MLE-bench, {flags} cannot change it; only --target can be chosen")
        path = Path(spec.removeprefix(PREFIX))
        data = data_folder() if path.parent == Path() else path.parent
        return prepare(competition(path.name), data, options, folder)

    def check(self, prepared: PreparedTask) -> list[Finding]:
        from gome.plugins.tasks.check import check

        return check(prepared)


source = MleBench()
