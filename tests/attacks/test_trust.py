"""Programs that claim to be trusted where no sandbox can be made: only what the log bears out may run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gome.events import CodeWritten, Event, ExecutionRequested, StepPlanned, Text
from gome.kernel.errors import SandboxUnavailable
from gome.plugins.runner.sandbox import plugin, seccomp, trust
from tests.plugins.runner.conftest import OUTPUTS, Bench, event_of, make_bench

pytestmark = pytest.mark.anyio
RENDERED = f"{OUTPUTS}\nprint('rendered')\n"


@pytest.fixture(autouse=True)
def _told_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is told once that it has no sandbox; the runs of these tests are told for themselves."""
    monkeypatch.setattr(trust, "_noticed", set())


@pytest.fixture
def exposed(tmp_path: Path) -> Bench:
    """A runner that can make no sandbox, in a run whose pipeline mutator has rendered one program."""
    bench = make_bench(tmp_path)
    bench.settings["isolation"] = "none"
    bench.vouch(RENDERED)
    return bench


def written(attempt: str, program: str, *, trusted: bool, renderer: str) -> list[Event]:
    """What the log says of a program that somebody wrote."""
    text = Text.of(program)
    code = CodeWritten(attempt=attempt, program=text, digest=text.digest, trusted=trusted, renderer=renderer)
    return [event_of(StepPlanned(attempt=attempt, trace=0, step=1)), event_of(code)]


MARK = "open('/tmp/gome-untrusted', 'w')"


@pytest.mark.parametrize(
    ("program", "claim"),
    [
        (f"{RENDERED}{MARK}\n", {"trusted": True, "renderer": "r"}),
        (f"{RENDERED}#", {"trusted": True, "renderer": "r"}),
        (RENDERED, {"trusted": True, "renderer": "another"}),
        (RENDERED, {"trusted": True, "renderer": ""}),
        (RENDERED, {"trusted": False, "renderer": "r"}),
        (MARK, {"trusted": True, "renderer": "r", "attempt": "written"}),
    ],
    ids=["changed", "a sign more", "another renderer", "no renderer", "not claimed", "written by a model"],
)
async def test_a_forged_claim_of_trust_is_refused(exposed: Bench, program: str, claim: dict[str, Any]) -> None:
    for event in written("written", MARK, trusted=False, renderer="r"):
        exposed.trajectory.apply(event)
    with pytest.raises(SandboxUnavailable, match="needs a sandbox"):
        await exposed.run(program, **claim)
    assert not list(exposed.home.glob("work/*/manifest.json")), "nothing has been run"


async def test_a_text_that_lies_about_its_digest_is_not_what_was_rendered(exposed: Bench) -> None:
    exposed.vouch("pass")
    forged = Text(text=MARK, ref=Text.of("pass").digest, size=4)
    claim = ExecutionRequested("a1", "full", forged, exposed.inputs, trusted=True, renderer="r")
    event = event_of(claim)
    assert plugin.perform is not None
    with pytest.raises(SandboxUnavailable, match="needs a sandbox"):
        await plugin.perform(event, exposed.context(event))


async def test_a_rendered_program_runs_without_a_sandbox_but_also_without_network(tmp_path: Path) -> None:
    if seccomp.problem():
        pytest.skip(seccomp.problem())
    bench = make_bench(tmp_path)
    bench.settings["isolation"] = "none"
    program = f"""{OUTPUTS}
import json, socket
said = []
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
    try:
        socket.socket(family, socket.SOCK_RAW)
    except OSError as error:
        said.append(error.errno)
print(json.dumps(said))
"""
    bench.vouch(program)
    done = await bench.run(program, trusted=True, renderer="r")
    assert done.ok and json.loads(str(done.stdout)) == [97, 97, 97]
