"""Own data: `gome run train.csv --target price`. Found through the entry point `tables`; `prepare.py` does the work."""

from __future__ import annotations

from pathlib import Path

from gome.kernel.tasks import Finding, PreparedTask, TaskOptions

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".pq")
"""File names that are taken for tables."""


class OwnTables:
    """Task source for a table on disk (and a test table, where there is one)."""

    name = "tables"
    summary = "own data: a CSV, TSV or Parquet table and --target"

    def matches(self, spec: str) -> bool:
        return spec.lower().endswith(SUFFIXES) or Path(spec).is_file()

    def names(self) -> list[tuple[str, str]]:
        return []

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        from gome.plugins.tasks.tables.prepare import Wish, prepare

        return prepare(Wish(train=Path(spec), options=options), folder)

    def check(self, prepared: PreparedTask) -> list[Finding]:
        from gome.plugins.tasks.check import check

        return check(prepared)


source = OwnTables()
