"""Two runs' attempts fold by fold."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import (
    CODEC,
    ROOT,
    Artifact,
    Attempt,
    DataProfiled,
    Head,
    Metric,
    Payload,
    SearchEnded,
    StepPlanned,
    SubmissionScored,
    Trajectory,
    digest_of,
    event_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.comparing import Paired, Side, paired, parting
from gome.kernel.log_memory import MemoryLog
from gome.kernel.testing import MemoryArtifacts
from tests.kernel import toy

SCORES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8)


def trajectory(
    scores: list[float], *, folds: bytes = b"folds", greater: bool = False, partition: int = 0
) -> Trajectory:
    task = msgspec.structs.replace(toy.TASK, metric=Metric("m", greater))
    started = msgspec.structs.replace(toy.started(), task=task)
    scored = SubmissionScored("a1", "full", sum(scores) / len(scores), tuple(scores), partition=partition)
    file = Artifact(digest=digest_of(folds), size=len(folds), name="folds.csv")
    profiled = DataProfiled(folds=file, sample=file, fold_count=len(scores), partitions=1)
    return Trajectory(started=started, profiled=profiled, attempts={"a1": Attempt("a1", scored=scored)})


def test_a_lower_error_on_every_fold_is_better_by_its_mean_with_the_standard_error_of_the_differences() -> None:
    found = paired(trajectory([1.0, 2.0, 3.0]), trajectory([0.9, 1.8, 2.7]), ("a1", "a1"))
    assert found is not None and found.folds == 3
    assert found.difference == pytest.approx(0.2) and found.se == pytest.approx(0.1 / math.sqrt(3))


@given(SCORES, SCORES, st.booleans())
def test_turning_runs_or_the_metric_round_turns_the_difference_round(a: list[float], b: list[float], up: bool) -> None:
    size = min(len(a), len(b))
    one, other = trajectory(a[:size], greater=up), trajectory(b[:size], greater=up)
    found, back = paired(one, other, ("a1", "a1")), paired(other, one, ("a1", "a1"))
    turned = paired(trajectory(a[:size], greater=not up), other, ("a1", "a1"))
    assert isinstance(found, Paired) and isinstance(back, Paired) and isinstance(turned, Paired)
    assert back.difference == pytest.approx(-found.difference) == pytest.approx(turned.difference)
    assert back.se == pytest.approx(found.se) and paired(one, one, ("a1", "a1")) == Paired(0.0, 0.0, size)


def test_scores_of_other_folds_partitions_or_attempts_are_not_paired() -> None:
    one = trajectory([1.0, 2.0])
    assert paired(one, trajectory([1.0, 2.0], folds=b"others"), ("a1", "a1")) is None
    assert paired(one, trajectory([1.0, 2.0], partition=1), ("a1", "a1")) is None
    assert paired(one, trajectory([1.0, 2.0, 3.0]), ("a1", "a1")) is None
    assert paired(one, one, ("a1", "a9")) is None and paired(one, one, ("", "a1")) is None


@pytest.mark.anyio
async def test_what_an_older_version_wrote_without_a_later_field_is_the_same_course() -> None:
    artifacts, step = MemoryArtifacts(), StepPlanned("a1", 0, 1)
    log = MemoryLog()

    async def record(run: str, last: Payload, *, older: bool) -> None:
        ids = [event_id(ROOT, "client", i) for i in range(3)]
        said = [CODEC.saying(id, p) for id, p in zip(ids, (toy.started(), step, last), strict=True)]
        assert b',"context":""' in said[1].payload
        if older:
            said[1] = msgspec.structs.replace(said[1], payload=said[1].payload.replace(b',"context":""', b""))
        await log.append(Scribe(run, CODEC, artifacts, "client").draft("control", "client", ROOT, said), Head(run))

    await record("then", SearchEnded("done"), older=True)
    await record("now", SearchEnded("done"), older=False)
    await record("other", SearchEnded("given up"), older=False)
    then, now, other = (Side(run, log, artifacts.text) for run in ("then", "now", "other"))
    assert (await parting(CODEC, then, now)).same and (await parting(CODEC, then, now)).shared == 3
    assert (await parting(CODEC, then, other)).shared == 2
