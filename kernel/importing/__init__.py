"""Runs that were recorded elsewhere become runs of this log: the published GPT-5 traces, one run per competition.

`sniff` says by content what a file is, `import_file` takes a traces file in, `rebuild` writes a competition again as
JSON. Pure reading (`scan`, `fields`, `forest`, `story`) is apart from what touches log and stores (`take`). Archives of
gome's own (`FILE.gome`) are not read here. Called by the verbs `import`, `export` and `report`.
"""

from gome.kernel.importing.report import Competition, Report
from gome.kernel.importing.sniff import is_traces
from gome.kernel.importing.take import import_file

__all__ = ["Competition", "Report", "import_file", "is_traces"]
