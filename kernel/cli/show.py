"""`gome show`: a run in words and as a table of its attempts, or one attempt with everything that is known of it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gome.events import BASELINE, Attempt, SubmissionGraded, Trajectory
from gome.kernel.cli.opening import complete, folded, hidden_of, over_run, reading
from gome.kernel.cli.output import cell, duration, emit, moment, table
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.kernel.state import RunState

NUMBERS = ("trace", "score", "hidden", "gain", "seconds")


@click.command("show")
@over_run
@click.option("--attempt", default="", metavar="A", help="Code, diff to its parent, diagnostics and feedback of one.")
@click.option("--calls", is_flag=True, help="Calls to language models: what worked, tokens, price.")
def show(run: str, attempt: str, calls: bool, nats: str, as_json: bool) -> None:
    """Show RUN (an id or an archive): its result and its attempts, one of them, or its calls to language models."""
    if calls:
        _calls(run, nats, as_json)
        return

    async def read() -> tuple[RunState, dict[str, SubmissionGraded]]:
        async with reading(run, nats) as (connection, name):
            state = await folded(connection, name)
            return state, await hidden_of(connection, state)

    state, hidden = complete(read)
    if attempt:
        found = _named(run, state.trajectory, attempt)
        show_attempt(state.run, state.trajectory, found, hidden, as_json=as_json)
    else:
        _run(state.run, state, hidden, as_json, given=run)


def _calls(run: str, nats: str, as_json: bool) -> None:
    from gome.kernel.calls import CallRow, Calls
    from gome.kernel.history import commits

    async def read() -> list[CallRow]:
        async with reading(run, nats) as (connection, name):
            found = Calls()
            async for commit in commits(connection.log, connection.artifacts.text, name):
                for event in commit.events:
                    found.apply(event)
            return found.rows()

    rows = complete(read)
    if as_json:
        for row in rows:
            emit(row)
        return
    if not rows:
        print(f"run {run} has asked no language model")
        return
    head = ["call", "model", "as", "asked", "answered", "again", "cut", "failed", "in", "out", "USD", "wait"]
    table(
        head,
        [
            [
                r.name,
                ", ".join(r.models),
                ", ".join(r.modes),
                r.asked,
                r.answered,
                r.again,
                r.cut,
                ", ".join(f"{count} {why}" for why, count in r.failures.items()),
                f"{r.tokens_in:,}",
                f"{r.tokens_out:,}",
                "unknown" if r.money is None else f"{r.money:.4f}",
                duration(r.wait),
            ]
            for r in rows
        ],
        right=("asked", "answered", "again", "cut", "in", "out", "USD", "wait"),
    )


def _named(run: str, t: Trajectory, name: str) -> Attempt:
    found = t.baseline if name == BASELINE else t.attempts.get(name)
    if found is None:
        near = difflib.get_close_matches(name, t.attempts, n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`gome show {run}` lists them"
        raise UsageError(f"run {run} has no attempt {name!r}; {hint}")
    return found


def _verdict(a: Attempt) -> str:
    if a.id == BASELINE:
        return "reference"
    if a.accepted is None:
        return (a.failure or a.rule) if a.rule else "open"
    return "accepted" if a.accepted else (a.failure or "rejected")


def _row(a: Attempt, hidden: dict[str, SubmissionGraded]) -> dict[str, Any]:
    return {
        "attempt": a.id,
        "trace": None if a.id == BASELINE else a.trace,
        "parent": a.parent,
        "score": a.score,
        "hidden": hidden[a.id].score if a.id in hidden else None,
        "gain": a.gain if a.accepted is not None and a.rule else None,
        "verdict": _verdict(a),
        "seconds": round(a.seconds, 1) if a.seconds else None,
        "change": a.hypothesis.statement if a.hypothesis else "",
        "why": a.reason,
    }


def attempt_rows(t: Trajectory, hidden: dict[str, SubmissionGraded]) -> list[dict[str, Any]]:
    """A row per attempt, the baseline first."""
    return [_row(a, hidden) for a in (*([t.baseline] if t.baseline else []), *t.attempts.values())]


def print_attempts(rows: list[dict[str, Any]], hidden: dict[str, SubmissionGraded]) -> None:
    """Print such rows as a table, at least one of them; hidden scores have a column where there are any."""
    columns = [c for c in rows[0] if c != "hidden" or hidden]
    table(columns, [[row[c] for c in columns] for row in rows], right=NUMBERS)


def _run(run: str, state: RunState, hidden: dict[str, SubmissionGraded], as_json: bool, *, given: str) -> None:
    from gome.kernel.report import executed, headline, spent
    from gome.kernel.results import summarise

    t = state.trajectory
    assert t.started is not None
    summary = summarise(run, t, hidden, state.ledger)
    rows = attempt_rows(t, hidden)
    if as_json:
        emit({"summary": summary, "started": t.started_at, "plugins": state.pins or t.started.plugins})
        for row in rows:
            emit(row)
        return
    task = t.started.task
    if kind := t.started.kind:
        print(f"{run}: {task.name}, a run of plugin {kind} (see `gome {kind} --help`), {task.metric.name}")
        print(f"  {summary.outcome}" + (f" ({summary.reason})" if summary.reason else ""))
        if task.description:
            print(f"  {task.description}")
        print(f"  {duration(summary.seconds)}, {state.events} events, started {moment(t.started_at)}")
        return
    print(f"{run}: {task.name}, {task.metric.name}, {task.rows_train:,} training rows, {len(task.columns)} columns")
    print(f"  {summary.outcome}" + (f" ({summary.reason})" if summary.reason else ""))
    for line in headline(summary):
        print(f"  {line}")
    counts = f"{summary.steps} steps, {summary.accepted} accepted, {executed(summary)}"
    print(f"  {counts}, {duration(summary.seconds)}, {state.events} events")
    if asked := spent(summary):
        print(f"  {asked}")
    print(f"  started {moment(t.started_at)}, seed {t.started.seed}")
    if pins := state.pins or t.started.plugins:
        print("  " + ", ".join(f"{p.role} {p.name} {p.version}" for p in pins))
    for finding in task.findings:
        print(f"  {finding}")
    if rows:
        print()
        print_attempts(rows, hidden)
        print(f"\ngome show {given} --attempt {t.best or rows[-1]['attempt']}   shows one with its code")


def show_attempt(run: str, t: Trajectory, a: Attempt, hidden: dict[str, SubmissionGraded], *, as_json: bool) -> None:
    """Print all that is known of one attempt."""
    parent = t.attempts.get(a.parent)
    if as_json:
        emit(
            {
                **_row(a, hidden),
                "run": run,
                "hypothesis": a.hypothesis,
                "challenges": a.challenges,
                "considered": a.considered,
                "recollections": a.recollections,
                "program": str(a.code.program) if a.code else None,
                "spec": a.code.spec if a.code else None,
                "versions": [str(v.program) for v in a.versions],
                "faults": a.faults,
                "reviews": a.reviews,
                "diff": _diff(a, parent),
                "executions": a.executions,
                "scored": a.scored,
                "diagnostics": a.diagnostics,
                "feedback": a.feedback,
                "tokens": a.tokens,
                "money": a.money,
            }
        )
        return
    _facts(a, hidden)
    if a.challenges or a.considered:
        _section("diagnosis")
        for c in a.challenges:
            print(f"  {c.weight:.2f}  {c.name}: {c.evidence}")
        for h in a.considered:
            print(f"  passed over ({h.scores.total:.1f}): {h.statement}")
    if a.diagnostics:
        _section("diagnostics")
        print(msgspec.json.format(msgspec.json.encode(a.diagnostics), indent=2).decode())
    if a.faults:
        _section("versions")
        for number, fault in enumerate(a.faults):
            first, _, rest = fault.partition("\n")
            print(f"  {number}  {first}")
            for line in rest.strip().splitlines():
                print(f"     {line}")
        print(f"  {len(a.faults)}  the program below")
    if a.executions:
        _section("executions")
        _executions(a)
    if a.feedback:
        _section("feedback")
        for text in (a.feedback.observations, a.feedback.reason, a.feedback.lesson):
            if text:
                print(f"  {text}")
    failed = a.execution if a.execution and not a.execution.ok else None
    if failed:
        _section("stderr")
        print(str(failed.stderr)[-4000:] or failed.error)
        if failed.error and failed.error.partition("\n")[0] not in str(failed.stderr):
            print(failed.error)
    if a.code and (diff := _diff(a, parent)):
        _section(f"diff to {a.parent}")
        print(diff)
    if a.code:
        _section("program")
        print(str(a.code.program))


def _facts(a: Attempt, hidden: dict[str, SubmissionGraded]) -> None:
    where = (
        "the default model that others must beat" if a.id == BASELINE else f"trace {a.trace}, step {a.step}, {a.kind}"
    )
    print(f"{a.id}: {where}" + (f", on top of {a.parent}" if a.parent else ""))
    from gome.kernel.report import dollars

    facts = {
        "change": a.hypothesis.statement if a.hypothesis else "",
        "because": a.hypothesis.reason if a.hypothesis else "",
        "score": f"{cell(a.score)} ± {cell(a.scored.se)}" if a.scored else "",
        "hidden": f"{cell(hidden[a.id].score)} ± {cell(hidden[a.id].se)}" if a.id in hidden else "",
        "verdict": _verdict(a) + (f": {a.reason}" if a.reason else ""),
        "gain": f"{a.gain:+.5f}, noise {a.noise:.5f}, rule {a.rule}" if a.rule else "",
        "time": duration(a.seconds) if a.seconds else "",
        "models": f"{a.tokens:,} tokens, {dollars(a.money)}" if a.tokens else "",
        "members": ", ".join(a.code.members) if a.code else "",
    }
    for name, value in facts.items():
        if value:
            print(f"  {name:8} {value}")


def _executions(a: Attempt) -> None:
    """A line per execution, and where the whole of long output lies."""
    columns = ["purpose", "end", "exception", "seconds", "cpu", "MB", "device", "remark"]
    rows = []
    for e in a.executions:
        remark = [f"{e.sampled} training rows"] if e.sampled else []
        remark += [f"in full about {duration(e.estimated_seconds)}"] if e.estimated_seconds else []
        remark += ["answered by an earlier one"] if e.cached else ["warm start"] if e.warm else []
        end = "ok" if e.ok else e.failure
        rows.append([e.purpose, end, e.exception, e.seconds, e.cpu_seconds, e.peak_mb, e.device, ", ".join(remark)])
    table(columns, rows, right=("seconds", "cpu", "MB"))
    for e in a.executions:
        for name, stream in e.streams.items():
            print(f"  {e.purpose}: all of {name} ({stream.size:,} bytes) is artifact {stream.digest}")


def _section(name: str) -> None:
    print(f"\n── {name} " + "─" * max(0, 60 - len(name)))


def _diff(a: Attempt, parent: Attempt | None) -> str:
    if not (a.code and parent and parent.code):
        return ""
    old, new = str(parent.code.program).splitlines(), str(a.code.program).splitlines()
    return "\n".join(difflib.unified_diff(old, new, parent.id, a.id, lineterm="", n=2))
