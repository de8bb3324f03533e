"""`gome export RUN… FILE.json`: imported runs written back as a traces file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gome.kernel.cli.opening import complete, must_exist, opened
from gome.kernel.cli.output import emit

SUFFIX = ".json"


def export_traces(runs: Sequence[str], target: Path, *, grades: bool, nats: str = "", as_json: bool = False) -> None:
    """Write the competitions of these runs to `target`, with hidden grades only where they are asked for."""

    async def work() -> int:
        from gome.kernel.importing.rebuild import write_traces

        async with opened(nats) as connection:
            for run in runs:
                await must_exist(connection, run)
            return await write_traces(connection, runs, target, grades=grades)

    size = complete(work)
    if as_json:
        emit({"file": str(target), "runs": list(runs), "bytes": size, "grades": grades})
    else:
        print(f"{target}: {len(runs)} competitions, {size:,} bytes" + ("" if grades else ", without hidden grades"))
