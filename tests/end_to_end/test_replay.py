"""Recorded runs in one sitting: imported, shown, exported, taken elsewhere, decided again, gone on from otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import Terminal
from tests.kernel.importing.files import canonical
from tests.lookalikes import Shape
from tests.lookalikes import write as look_alike


def elsewhere(folder: Path) -> Terminal:
    folder.mkdir()
    return Terminal(folder)


def test_traces_are_imported_shown_taken_elsewhere_and_written_back(tmp_path: Path) -> None:
    here = Terminal(tmp_path)
    source = look_alike(tmp_path / "Trace_1.json", Shape(competitions=2, loops=5), seed=3)
    assert here.gome("import", source.name).returncode == 0
    runs = [json.loads(line)["run"] for line in here.gome("runs", "--json").stdout.splitlines()]
    assert len(runs) == 2
    shown = here.gome("show", runs[0])
    assert "imported as recorded" in shown.stdout and "±" not in shown.stdout, shown.stdout
    compared = here.gome("compare", *runs)
    assert compared.returncode == 0 and all(run in compared.stdout for run in runs), compared.stderr
    reported = here.gome("report", "traces", "--all")
    assert reported.returncode == 0 and "which components earn" in reported.stdout, reported.stderr
    replayed = here.gome("replay", runs[0])
    assert replayed.returncode == 0 and runs[0] in replayed.stdout, replayed.stderr
    assert here.gome("export", *runs, "both.gome", "--with-grades").returncode == 0
    assert here.gome("export", *runs, "back.json", "--with-grades").returncode == 0
    assert canonical((tmp_path / "back.json").read_bytes()) == canonical(source.read_bytes())

    there = elsewhere(tmp_path / "there")
    assert there.gome("import", "../both.gome").returncode == 0
    assert there.gome("show", runs[0]).stdout == here.gome("show", runs[0]).stdout.replace(here.folder.name, "there")
    verified = there.gome("verify", "--all")
    assert verified.returncode == 0 and "carry no decisions" in verified.stdout, verified.stdout


def test_a_live_run_is_replayed_exported_and_gone_on_from_otherwise(
    finished: tuple[Terminal, dict[str, Any]], tmp_path: Path
) -> None:
    here, result = finished
    run = result["run"]
    replayed = here.gome("replay", run, "--until", "30")
    assert replayed.returncode == 0 and "at event" in replayed.stdout and "open" in replayed.stdout, replayed.stderr
    assert here.gome("export", run, str(tmp_path / "run.gome")).returncode == 0
    there = elsewhere(tmp_path / "there")
    assert there.gome("verify", "../run.gome").returncode == 0
    assert there.gome("import", "../run.gome").returncode == 0
    assert "verified" in there.gome("verify", run).stdout
    fork = there.gome("fork", run, "--at", "30", "--substitute", "--run", "again")
    assert fork.returncode == 0, fork.stderr
    same = json.loads(there.gome("show", "again", "--json").stdout.splitlines()[0])
    assert same["summary"]["score"] == result["score"]
    assert "verified" in there.gome("verify", "again").stdout
    compared = there.gome("compare", run, "again")
    assert compared.returncode == 0 and "took the same course" in compared.stdout, compared.stdout + compared.stderr
