"""Look-alikes of the published GPT-5 traces, of any size, the same for the same seed, written piece by piece.

    write(path, Shape(competitions=3, loops=5, code=2_000), seed=1)
    python -m tests.lookalikes FOLDER 0.1      three files of a tenth of the published sizes

They have the structure that is documented and the irregularities that are expected of such logs: missing and null
fields, gaps in the numbering, failed loops that carry their base code, NaN and Infinity, scores as text, as tables and
as printed tensors, rendered feedback, fields that nobody knows. Nothing in them was taken from the published files.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = {"Trace_1": 219_029_856, "Trace_2": 204_593_757, "Trace_3": 121_081_711}
"""Bytes of the published files by trace."""
COMPETITIONS = 40
COMPONENTS = ("DataLoadSpec", "FeatureEng", "Model", "Ensemble", "Workflow")
METRICS = (("Multi-class Logarithmic Loss", False), ("Area Under the ROC Curve", True), ("RMSE", False), ("F1", True))
_WORDS = (
    *("model", "feature", "fold", "train", "valid", "target", "encode", "scale", "blend"),
    *("seed", "epoch", "batch", "layer", "tree", "depth", "leaf", "rate"),
)
_TRICKY = ('print("done\\n")', "# größer als früher: ±0.3 → 0.28", "x = {'a': [1, 2], \"b\": '}'}", "# 模型 😀\ttab")


@dataclass(frozen=True)
class Shape:
    """How large a file is: competitions, loops of each, and the mean length of a program in characters. `regular`
    leaves the irregularities out."""

    competitions: int = 3
    loops: int = 6
    code: int = 1_500
    regular: bool = False


def shape_for(size: int) -> Shape:
    """The published shape scaled to about `size` bytes."""
    loops = max(4, round(60 * (size / 200e6) ** 0.5))
    # A loop holds about two programs and 9 kB of other text; escapes make a program's text 10 % longer.
    code = max(800, int((size / COMPETITIONS / loops - 9_000) / 2.15))
    return Shape(COMPETITIONS, loops, code)


def write(path: Path, shape: Shape = Shape(), seed: int = 0) -> Path:
    """Write one file; memory is bounded by one loop."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
        for number in range(shape.competitions):
            file.write(("," if number else "") + f'"{_name(number)}": {{')
            for place, (key, value) in enumerate(_members(number, shape, draw)):
                file.write((", " if place else "") + f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
            file.write("}")
        file.write("}")
    return path


def _name(number: int) -> str:
    return f"{_WORDS[number % len(_WORDS)]}-challenge_{number}"


def _text(draw: random.Random, length: int) -> str:
    found: list[str] = []
    while length > 0:
        found.append(" ".join(draw.choices(_WORDS, k=12)).capitalize() + ".")
        length -= len(found[-1]) + 1
    return " ".join(found)


def _program(draw: random.Random, length: int) -> str:
    lines = ['"""A program."""', "import numpy as np"]
    size = 0
    while size < length:
        a, b = draw.choices(_WORDS, k=2)
        line = draw.choice(
            (f"{a}_{draw.randrange(99)} = np.mean({b}[:, {draw.randrange(40)}])", f'    print("{a} {b}")', *_TRICKY[:2])
        )
        lines.append(line)
        size += len(line) + 1
    return "\n".join([*lines, *_TRICKY]) + "\n"


def _members(number: int, shape: Shape, draw: random.Random) -> Iterator[tuple[str, Any]]:
    metric, greater = METRICS[number % len(METRICS)]
    yield "scenario", _scenario(draw, metric, greater, shape)
    accepted: list[tuple[str, dict[str, Any], float]] = []
    at = 0
    for _ in range(shape.loops):
        base = accepted[-1] if accepted else None
        loop, score = _loop(draw, shape, metric, greater, base)
        if not shape.regular and draw.random() < 0.05:
            loop["exp_gen_time_info"] = {"start": draw.random(), "kind": None}
        if loop["feedback"] and isinstance(loop["feedback"], dict) and loop["feedback"]["decision"]:
            assert score is not None
            accepted.append((loop["code"], loop["final_hypothesis"], score))
        yield f"loop_{at}", loop if shape.regular else _worn(draw, loop)
        at += 1 if shape.regular or draw.random() > 0.1 else 2


def _scenario(draw: random.Random, metric: str, greater: bool, shape: Shape) -> dict[str, Any]:
    length = min(6_000, shape.code)
    return {
        "background": _text(draw, length),
        "submission_specifications": _text(draw, length // 4),
        "evaluation": _text(draw, length // 4),
        "metric_name": metric,
        "metric_direction": greater,
        "raw_description": f"# Overview\n\n{_text(draw, length)}",
        "runtime_environment": "=== Python Environment ===\nPython 3.11\n=== GPU ===\nTesla V100",
        "rendered": _text(draw, 2 * length),
        "rewrite_scen": None if draw.random() < 0.1 else _text(draw, 80),
    }


def _hypothesis(draw: random.Random) -> dict[str, Any]:
    component = draw.choice(COMPONENTS)
    chosen = draw.random() < 0.5
    return {
        "hypothesis": _text(draw, 300),
        "component": component if draw.random() < 0.7 else f"HypothesisComponent.{component}",
        "reason": None if chosen else _text(draw, 400),
        "problem_name": None if chosen else _text(draw, 30),
        "problem_desc": None if chosen else _text(draw, 200),
        "problem_label": draw.choice(("SCENARIO_PROBLEM", "FEEDBACK_PROBLEM")),
        "appendix": None,
        **dict.fromkeys(("concise_reason", "concise_observation", "concise_justification", "concise_knowledge")),
    }


def _loop(
    draw: random.Random, shape: Shape, metric: str, greater: bool, base: tuple[str, dict[str, Any], float] | None
) -> tuple[dict[str, Any], float | None]:
    failed = not shape.regular and draw.random() < 0.2
    start = base[2] if base else 0.6
    score = None if failed else round(start + draw.gauss(0.002 if greater else -0.002, 0.01), 5)
    better = score is not None and (base is None or (score > base[2]) == greater)
    code = (
        base[0] if failed and base and draw.random() < 0.5 else _program(draw, int(shape.code * draw.uniform(0.5, 1.5)))
    )
    loop: dict[str, Any] = {
        "base_code": base[0] if base else "",
        "code": code,
        "final_hypothesis": _hypothesis(draw),
        "task": {
            "name": "PipelineTask",
            "description": _text(draw, 2_500),
            "version": 1,
            "package_info": None,
            "user_instructions": None,
            "base_code": None,
        },
        "feedback": _feedback(draw, better, failed),
        "valid_score": _score(draw, score, metric, shape),
        "test_report": None if failed else _report(draw, score, greater),
        "sota_hypothesis": base[1] if base else None,
        "running_time": None if failed else round(draw.uniform(60, 9_000), 3),
    }
    return loop, score


def _feedback(draw: random.Random, better: bool, failed: bool) -> Any:
    if failed:
        return {"decision": False, "reason": "The experiment fails due to an error", "exception": "CoderError: ☠"}
    return {
        "decision": better,
        "reason": _text(draw, 500),
        "code_change_summary": _text(draw, 300),
        "observations": _text(draw, 600),
        "hypothesis_evaluation": _text(draw, 400),
        "new_hypothesis": "No new hypothesis provided",
        "eda_improvement": "no",
        "acceptable": True,
        "exception": None,
    }


def _score(draw: random.Random, score: float | None, metric: str, shape: Shape) -> Any:
    if score is None:
        return draw.choice((None, float("nan"), float("inf")))
    if shape.regular:
        return score
    table = {metric: {"model_a": score - 0.01, "ensemble": score}}
    return draw.choice((score, score, score, str(score), table, f"tensor({score})"))


def _report(draw: random.Random, score: float | None, greater: bool) -> dict[str, Any]:
    medal = draw.choices((None, "gold", "silver", "bronze"), (65, 10, 12, 13))[0]
    return {
        "competition_id": "a-challenge",
        "score": score,
        "gold_threshold": 0.9,
        "silver_threshold": 0.8,
        "bronze_threshold": 0.7,
        "median_threshold": 0.6,
        "any_medal": medal is not None,
        **{f"{name}_medal": medal == name for name in ("gold", "silver", "bronze")},
        "above_median": medal is not None or draw.random() < 0.3,
        "submission_exists": True,
        "valid_submission": True,
        "is_lower_better": not greater,
        "created_at": "2025-09-20T12:00:00",
        "submission_path": "submission.csv",
    }


def _worn(draw: random.Random, loop: dict[str, Any]) -> dict[str, Any]:
    """A loop as logs have them: fields missing or null, feedback as text."""
    chance = draw.random()
    if chance < 0.04:
        return {name: loop[name] for name in ("base_code", "final_hypothesis")}
    if chance < 0.10:
        del loop[draw.choice(("running_time", "test_report", "task"))]
    if chance < 0.14 and isinstance(loop["feedback"], dict):
        said = loop["feedback"]
        loop["feedback"] = f"Decision: {said['decision']}\nReason: {said['reason']}"
    return loop


def main() -> None:
    """Write the three files, scaled."""
    folder, scale = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, size) in enumerate(SIZES.items()):
        path = write(folder / f"{name}.json", shape_for(int(size * scale)), seed)
        print(f"{path}: {path.stat().st_size:,} bytes, {path.stat().st_size / (size * scale):.2f} of what was asked")


if __name__ == "__main__":
    main()
