"""Which intents a recorded world answers, under which key, and how an answer becomes the result of an intent at hand.

Recorded is whatever opens a table or runs a program: executions, scores, profiles, masked folds, averages. What merely
thinks (a reasoner, a memory) is done anew in every run, since it depends on all that the run has seen. A key covers
what an answer depends on and nothing of the run that asks: program, inputs (hence task, split and folds), seed,
partition and purpose of an execution; files, folds and comparisons of a score.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gome.events import Codec, Cost, ExecutionFinished, ExecutionRequested, Intent, Payload, Task
from gome.kernel.plugin import Plugin, Result
from gome.plugins.bench.world.store import Answer

RECORDED = ("runner", "scorer", "selection")
"""Roles whose effects are answered from the store."""
LEAST = 0.001
"""Seconds that an execution takes at least: two ends of one slot never fall together."""


def is_recorded(plugin: Plugin) -> bool:
    """Whether what a plugin performs is recorded, rather than done anew in every run."""
    return plugin.role in RECORDED


def key_of(codec: Codec, intent: Intent, task: Task) -> str:
    """The digest of what the answer to an intent depends on."""
    parts = []
    if isinstance(intent, ExecutionRequested):
        # Who has vouched for a program does not change what it does.
        intent = msgspec.structs.replace(intent, trusted=False, renderer="")
        # Limits are no argument of an execution, but its threads may change a result, and the metric what is collected.
        parts = [str(intent.limits.cores), str(intent.limits.gpus), task.metric.name]
    parts.append(codec.argument_digest(intent))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def kept(codec: Codec, key: str, payload: Payload, hidden: tuple[float, float] | None) -> Answer:
    """What is stored of a result: nothing that says which run has asked. An execution's seconds are its CPU seconds:
    how long it had to wait for a core of a busy machine is nobody's merit."""
    seconds = 0.0
    if isinstance(payload, ExecutionFinished):
        seconds = max(LEAST, payload.cpu_seconds)
        slowed = seconds / payload.seconds if payload.seconds > 0 else 1.0
        told = scaled(payload.diagnostics, slowed)
        payload = msgspec.structs.replace(payload, seconds=seconds, startup=0.0, cached=False, diagnostics=told)
    if hasattr(payload, "attempt"):
        payload = msgspec.structs.replace(payload, attempt="")
    said = codec.saying("", payload)
    grade, se = hidden or (None, None)
    return Answer(key, said.type, said.tv, msgspec.Raw(said.payload), seconds, grade, se)


def scaled(diagnostics: Any, factor: float) -> Any:
    """Diagnostics with the seconds that a program has measured itself, by the wall, brought to the CPU's."""
    if isinstance(diagnostics, dict):
        return {
            name: round(value * factor, 4) if name == "seconds" and isinstance(value, float) else scaled(value, factor)
            for name, value in diagnostics.items()
        }
    return [scaled(value, factor) for value in diagnostics] if isinstance(diagnostics, list) else diagnostics


def answered(codec: Codec, answer: Answer, intent: Intent) -> Result:
    """A stored answer as the result of an intent: it names the attempt that asks, and an execution that would have
    taken longer than it may is one that was stopped by its time."""
    payload = codec.decode(answer.type, answer.version, bytes(answer.payload))
    assert isinstance(payload, Payload), f"{answer.type} is none of this run's events"
    if hasattr(payload, "attempt"):
        payload = msgspec.structs.replace(payload, attempt=str(getattr(intent, "attempt", "")))
    if not isinstance(payload, ExecutionFinished) or not isinstance(intent, ExecutionRequested):
        return Result(payload)
    limit = intent.limits.seconds
    if answer.seconds > limit:
        payload = ExecutionFinished(
            attempt=intent.attempt,
            purpose=intent.purpose,
            ok=False,
            failure="time",
            error=f"stopped after {limit:g} s: it takes {answer.seconds:.3g} s of CPU",
            seconds=limit,
            cpu_seconds=limit,
            program=payload.program,
            seed=payload.seed,
            partition=payload.partition,
            masked_fold=payload.masked_fold,
            versions=payload.versions,
        )
    return Result(payload, Cost(seconds=payload.seconds, cpu_seconds=payload.seconds))
