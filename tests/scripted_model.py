"""A model without a mind: an endpoint that answers every call of the method, for whole runs over real HTTP.

`scripted()` is an `LLMServer` whose replies keep to what each call shows (captions that exist, candidates that are
there) and whose programs get a little better from step to step: a ridge that does not compile, one that crashes on the
sample, one that runs, then boosted trees with other settings. What it says of tasks is generic on purpose; a run made
with it exercises the machinery and is no evidence of what a model can do.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.llm_server import Call, LLMServer, Reply
from tests.plugins.mutator.llm.programs import broken_syntax, crashing, fenced, reference

CALLS = (
    *("scenario", "scenario_challenges", "feedback_challenges", "hypotheses", "critique", "rewrite", "selection"),
    *("sketch", "merge", "code", "repair", "review", "feedback", "pick"),
)
"""Every call of the method but the one of its ablation (`change`)."""
SCORES = {"alignment": 8, "impact": 6, "novelty": 7, "feasibility": 9, "risk_reward": 5}
COMPONENTS = ("model", "features", "training", "target", "ensemble", "data", "workflow")
SCENARIO = (
    "Few rows for so many columns call for strong regularisation",
    "Categories of many levels are flattened into too few indicators",
    "The scale of the target makes errors of large values count most",
)
FEEDBACK = (
    "Folds differ by more than the last change has gained",
    "The present model bends too little with the strongest columns",
    "Settings of the boosting have not been looked at since the first draft",
)
BOOSTED = '''
"""Boosted trees on numbers and integer-coded categories; nothing here knows a column's name."""
import json
import os

import lightgbm as lgb
import numpy as np
import pandas as pd

KIND = "{kind}"
RATE, LEAVES, SHARE, ROUNDS = {rate}, {leaves}, {share}, {rounds}
PARTITION, SEED = os.environ.get("GOME_PARTITION", "0"), int(os.environ.get("GOME_SEED", "0"))
THREADS = int(os.environ.get("GOME_THREADS", "1"))

header = pd.read_csv("input/sample_submission.csv", dtype=str, nrows=0).columns
ID, PREDICTIONS = header[0], list(header[1:])
columns = {{name: pd.read_csv(f"input/{{name}}.csv", nrows=0).columns for name in ("train", "test")}}
(TARGET,) = set(columns["train"]) - set(columns["test"])
texts = {{ID: str}} if KIND == "regression" else {{ID: str, TARGET: str}}
train = pd.read_csv("input/train.csv", dtype=texts)
test = pd.read_csv("input/test.csv", dtype={{ID: str}})
folds = pd.read_csv("input/folds.csv", dtype={{ID: str}}).set_index(ID).loc[train[ID], f"p{{PARTITION}}"].to_numpy()
if KIND == "regression":
    y, classes = np.log1p(train[TARGET].to_numpy(float)), []
else:
    labels = pd.read_csv("input/train.csv", dtype=str, keep_default_na=False, usecols=[TARGET])[TARGET]
    classes = sorted(set(labels)) if KIND == "binary" else PREDICTIONS
    y = labels.map({{name: number for number, name in enumerate(classes)}}).to_numpy()

features = [c for c in train.columns if c not in (ID, TARGET)]
X, X_test = train[features].copy(), test[features].copy()
for column in features:
    if not pd.api.types.is_numeric_dtype(X[column]):
        levels = {{v: i for i, v in enumerate(sorted(X[column].dropna().astype(str).unique()))}}
        X[column], X_test[column] = (t[column].astype(str).map(levels) for t in (X, X_test))

settings = dict(
    learning_rate=RATE, num_leaves=LEAVES, colsample_bytree=SHARE, n_estimators=ROUNDS, min_child_samples=10,
    subsample=0.8, subsample_freq=1, random_state=SEED, n_jobs=THREADS, deterministic=True, force_row_wise=True,
    verbose=-1,
)
oof, predicted, scores = np.zeros((len(train), len(PREDICTIONS))), [], []
for fold in np.unique(folds):
    held = folds == fold
    maker = lgb.LGBMRegressor if KIND == "regression" else lgb.LGBMClassifier
    model = maker(**settings).fit(X[~held], y[~held])
    if KIND == "regression":
        answers = [np.expm1(model.predict(part)).clip(0)[:, None] for part in (X[held], X_test)]
    else:
        answers = [model.predict_proba(part) for part in (X[held], X_test)]
        answers = [part[:, 1:] if KIND == "binary" else part for part in answers]
    oof[held] = answers[0]
    predicted.append(answers[1])
    print(f"fold {{fold}}: {{held.sum()}} rows")

table = pd.DataFrame({{ID: train[ID], "fold": folds}})
table[PREDICTIONS] = oof
table.to_csv("oof.csv", index=False)
table = pd.DataFrame({{ID: test[ID]}})
table[PREDICTIONS] = np.mean(predicted, axis=0)
table.to_csv("submission.csv", index=False)
with open("diagnostics.json", "w") as file:
    json.dump({{"feature_importance": dict(zip(features, map(int, model.feature_importances_)))}}, file)
'''.lstrip()
GRID = [(0.05, 15, 0.4), (0.03, 15, 0.3), (0.05, 8, 0.3), (0.03, 31, 0.5), (0.04, 12, 0.25), (0.06, 20, 0.6)]


def boosted(kind: str, number: int, rounds: int = 250) -> str:
    """The `number`-th program of boosted trees."""
    rate, leaves, share = GRID[number % len(GRID)]
    return BOOSTED.format(kind=kind, rate=rate, leaves=leaves, share=share, rounds=rounds + 10 * (number // len(GRID)))


def _captions(call: Call) -> list[str]:
    """The challenges that a call shows, in any turn of its conversation."""
    said = "\n".join(m["content"] for m in call.body["messages"])
    return [c for c in (*SCENARIO, *FEEDBACK) if c in said]


def _challenges(captions: tuple[str, ...]) -> dict[str, Any]:
    found = [
        {"evidence": f"Seen in the figures: {c.lower()}.", "statement": f"{c}.", "weight": 0.6 - 0.1 * i, "caption": c}
        for i, c in enumerate(captions)
    ]
    return {"analysis": ["The table is small and mixed."], "challenges": found}


def _hypotheses(call: Call) -> dict[str, Any]:
    found = []
    for number, caption in enumerate(_captions(call)):
        scores = {**SCORES, "impact": 9 - number % 5}
        statement = f"Meet it with other settings of the model, variant {number}: {caption.lower()}."
        component = COMPONENTS[number % len(COMPONENTS)]
        reason = "Smaller steps and fewer leaves overfit later."
        found.append(
            {"challenge": caption, "reason": reason, "statement": statement, "component": component, "scores": scores}
        )
    return {"hypotheses": found}


def _rewrite(call: Call) -> dict[str, Any]:
    found = _hypotheses(call)
    for hypothesis in found["hypotheses"]:
        hypothesis["statement"] = hypothesis["statement"].replace("Meet it", "After a second look, meet it")
    return found


def _selection(call: Call) -> dict[str, Any]:
    chosen = next(c for c in _captions(call))
    kind = call.number % 3
    ensembles = "has to be" in call.user  # the last stage asks for them, and so does the answer to a wrong choice
    if kind == 0 and not ensembles:
        return {"reason": "It is the strongest.", "action": "select", "challenge": chosen}
    action = "modify" if kind == 1 else "create"
    return {
        "reason": "Two of them belong together.",
        "action": action,
        "challenge": chosen,
        "statement": f"Boost with smaller steps and fewer leaves, since {chosen.lower()}.",
        "component": "ensemble" if ensembles else "model",
        "scores": SCORES,
    }


def _merge(call: Call) -> dict[str, Any]:
    return {
        "hypotheses": [
            {
                "reason": "Their errors differ.",
                "statement": "Take the settings of one and the rounds of the other.",
                "component": "ensemble",
                "scores": SCORES,
            }
        ]
    }


def _pick(call: Call) -> dict[str, Any]:
    numbers = sorted({int(n) for n in re.findall(r"candidate (\d+), score", call.user)})
    return {"reason": "The first one leads on the same folds.", "order": numbers}


VERDICT = {
    "observations": "It ran and was scored.",
    "format_valid": True,
    "alignment": "Folds are kept apart and both paths are the same.",
    "aligned": True,
    "analysis": "Smaller steps did what they should.",
    "better": True,
    "reason": "It is better in most folds.",
    "lesson": "Small steps with few leaves generalise on small mixed tables.",
}
REVIEW = {
    "observations": "It fits inside the folds only.",
    "contract": True,
    "aligned": True,
    "implemented": True,
    "ok": True,
    "problem": "",
}


class Programs:
    """The programs in the order in which they are asked for: two that fail first, then ever other ones. With `patches`
    a program that is to be changed by a patch gets one that sets its rounds."""

    def __init__(self, kind: str, rounds: int) -> None:
        good = reference(kind)
        self._first = [broken_syntax(good), crashing(good), good]
        self._kind, self._rounds, self._count = kind, rounds, 0
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> str | Reply:
        with self._lock:
            number = self._count
            self._count += 1
        if call.schema_name:
            line = next((m for m in re.findall(r"^RATE, LEAVES.*$", call.user, re.MULTILINE)), "")
            rate, leaves, share = GRID[number % len(GRID)]
            new = f"RATE, LEAVES, SHARE, ROUNDS = {rate}, {leaves}, {share}, {self._rounds + 7 * number}"
            if line:
                return json.dumps({"edits": [{"find": line, "replace": new}]})
            stiffer = f"{number + 2} * np.eye(X.shape[1])"
            return json.dumps({"edits": [{"find": "np.eye(X.shape[1])", "replace": stiffer}]})
        return fenced(self._first[number] if number < 3 else boosted(self._kind, number, self._rounds))


Trouble = Sequence[tuple[Callable[[Call], bool], Reply]]
"""Calls that get another reply than the usual one."""


def scripted(kind: str = "regression", *, rounds: int = 250, trouble: Trouble = (), **endpoint: Any) -> LLMServer:
    """An endpoint that answers every call; `kind` is the task's, `rounds` how long its programs boost."""
    programs = Programs(kind, rounds)
    server = LLMServer(programs, **endpoint)
    for match, reply in trouble:
        server.on(match, reply)
    replies: dict[str, Any] = {
        "scenario": {
            "problem": "A number per row is predicted from mixed columns.",
            "data": "Rows are independent; some columns are missing often.",
            "metric": "Relative errors count.",
            "traps": ["A column that is known only later."],
            "approaches": ["Boosted trees with small steps.", "Ridge on indicators as a member."],
        },
        "scenario_challenges": _challenges(SCENARIO),
        "feedback_challenges": _challenges(FEEDBACK),
        "hypotheses": _hypotheses,
        "critique": lambda call: {
            "critiques": [{"challenge": c, "critique": "Feasible; say how many leaves."} for c in _captions(call)]
        },
        "rewrite": _rewrite,
        "selection": _selection,
        "merge": _merge,
        "sketch": {
            "starting_point": "Reading and writing stay.",
            "changes": ["Other settings of the model."],
            "sketch": "### Model\nBoosted trees, small steps, few leaves.\n### Output\nAs before.",
        },
        "change": {
            "reason": "The last change helped.",
            "statement": "Boost with smaller steps.",
            "component": "model",
            "sketch": "### Model\nBoosted trees, small steps.",
        },
        "feedback": VERDICT,
        "review": REVIEW,
        "pick": _pick,
        "doctor": {"city": "Paris", "letters": 5},
    }
    for name, reply in replies.items():
        server.on(lambda call, wanted=name: call.schema_name == wanted, reply)
    return server
