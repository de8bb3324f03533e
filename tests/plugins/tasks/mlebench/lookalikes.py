"""Prepared competitions that look like MLE-bench's and hold made-up data: the same files, columns and quirks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from gome.plugins.tasks.mlebench.competitions import competition


def _titanic(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "PassengerId": [f"{i // 3:04d}_{i % 3 + 1:02d}" for i in range(rows)],
            "HomePlanet": rng.choice(["Earth", "Europa", "Mars"], rows),
            "CryoSleep": rng.random(rows) < 0.35,
            "Age": rng.integers(0, 80, rows).astype(float),
            "Spa": rng.exponential(300, rows).round(),
        }
    )
    frame.loc[::17, "Age"] = np.nan
    chance = 1 / (1 + np.exp(-(2.5 * frame["CryoSleep"] - frame["Spa"] / 400 + (frame["HomePlanet"] == "Europa"))))
    return frame.assign(Transported=rng.random(rows) < chance)


def _write(
    folder: Path, name: str, sample: pd.DataFrame, answers: pd.DataFrame, tables: dict[str, pd.DataFrame]
) -> None:
    one, base = competition(name), folder / name / "prepared"
    for part in ("public", "private"):
        (base / part).mkdir(parents=True)
    for file, table in tables.items():
        path = base / "public" / file
        if file.endswith(".json"):
            path.write_text(json.dumps(table.to_dict("records")))
        elif file.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(file.removesuffix(".zip"), table.to_csv(index=False, sep="\t"))
        else:
            table.to_csv(path, index=False)
    sample.to_csv(base / one.sample, index=False)
    answers.to_csv(base / one.answers, index=False)
    (base / "public" / "description.md").write_text(f"# {one.name}\n\nA made-up description.\n")


def spaceship(folder: Path) -> None:
    """`spaceship-titanic`: classes True and False, accuracy."""
    frame = _titanic(np.random.default_rng(1), 500)
    train, test = frame.iloc[:400], frame.iloc[400:]
    sample = test[["PassengerId"]].assign(Transported=False)
    _write(
        folder,
        "spaceship-titanic",
        sample,
        test,
        {"train.csv": train, "test.csv": test.drop(columns="Transported")},
    )


def nomad(folder: Path) -> None:
    """`nomad2018`: two targets, ids from 1 in both tables, rows compared by position."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.random((240, 4)).round(4), columns=["atoms", "al", "ga", "angle"])
    frame["formation_energy_ev_natom"] = (0.1 + 0.2 * frame["al"] + rng.normal(0, 0.01, 240)).clip(0).round(4)
    frame["bandgap_energy_ev"] = (1 + 3 * frame["ga"] + rng.normal(0, 0.1, 240)).clip(0).round(4)
    train, test = frame.iloc[:200].reset_index(drop=True), frame.iloc[200:].reset_index(drop=True)
    train.insert(0, "id", range(1, 201))
    test.insert(0, "id", range(1, 41))
    targets = ["formation_energy_ev_natom", "bandgap_energy_ev"]
    sample = test[["id"]].assign(formation_energy_ev_natom=0.1779, bandgap_energy_ev=1.8892)
    _write(
        folder,
        "nomad2018-predict-transparent-conductors",
        sample,
        test,
        {"train.csv": train, "test.csv": test.drop(columns=targets)},
    )


def spooky(folder: Path) -> None:
    """`spooky-author-identification`: texts, three classes, answers one column per class."""
    rng = np.random.default_rng(3)
    authors = np.array(["EAP", "HPL", "MWS"])
    words = {"EAP": "raven night dreary", "HPL": "elder shadow abyss", "MWS": "creature misery heart"}
    who = rng.choice(authors, 260)
    texts = [" ".join(rng.choice((words[name] + " the and of a was in").split(), 8)) for name in who]
    frame = pd.DataFrame({"id": [f"id{i:05d}" for i in range(260)], "text": texts, "author": who})
    train, test = frame.iloc[:200], frame.iloc[200:].reset_index(drop=True)
    hot = test[["id"]].assign(**{name: (test["author"] == name).astype(int) for name in authors})
    sample = hot.assign(EAP=0.403493538995863, HPL=0.287808366106543, MWS=0.308698094897594)
    _write(
        folder,
        "spooky-author-identification",
        sample,
        hot,
        {"train.csv": train, "test.csv": test.drop(columns="author")},
    )


def insults(folder: Path) -> None:
    """`detecting-insults`: rows are named by their comment, which is the feature."""
    rng = np.random.default_rng(4)
    bad = rng.random(160) < 0.4
    comments = [
        f"you {'fool and idiot' if b else 'nice person'} number {i} {rng.integers(9)}" for i, b in enumerate(bad)
    ]
    frame = pd.DataFrame({"Insult": bad.astype(int), "Date": "20120618192155Z", "Comment": comments})
    train, test = frame.iloc[:120], frame.iloc[120:]
    _write(
        folder,
        "detecting-insults-in-social-commentary",
        test.assign(Insult=0),
        test.assign(Usage="PrivateTest"),
        {"train.csv": train, "test.csv": test.drop(columns="Insult")},
    )


def pizza(folder: Path) -> None:
    """`random-acts-of-pizza`: JSON, a field that gives the answer away, lists in cells."""
    rng = np.random.default_rng(5)
    rows = pd.DataFrame(
        {
            "request_id": [f"t3_{i}" for i in range(150)],
            "request_text": [f"please {'kind' if i % 2 else 'hungry'} {i}" for i in range(150)],
            "requester_subreddits_at_request": [["pizza", "pics"][: i % 3] for i in range(150)],
            "requester_account_age": rng.random(150).round(3),
        }
    )
    rows["requester_received_pizza"] = rng.random(150) < 0.3
    rows["giver_username_if_known"] = np.where(rows["requester_received_pizza"], "giver", "N/A")
    rows["post_was_edited"] = False
    train, test = rows.iloc[:110], rows.iloc[110:].drop(columns="post_was_edited")
    answers = test[["request_id"]].assign(requester_received_pizza=test["requester_received_pizza"].astype(int))
    _write(
        folder,
        "random-acts-of-pizza",
        answers.assign(requester_received_pizza=0),
        answers,
        {"train.json": train, "test.json": test.drop(columns="requester_received_pizza")},
    )


def arena(folder: Path) -> None:
    """`lmsys-chatbot-arena`: three 0/1 columns that are one target."""
    rng = np.random.default_rng(6)
    names = ["winner_model_a", "winner_model_b", "winner_tie"]
    won = rng.integers(0, 3, 150)
    frame = pd.DataFrame({"id": range(1000, 1150), "model_a": "x", "model_b": "y"})
    for side in ("prompt", "response_a", "response_b"):
        frame[side] = [f"{side} words that go on {w if side != 'prompt' else ''} {i}" for i, w in enumerate(won)]
    for place, name in enumerate(names):
        frame[name] = (won == place).astype(int)
    train, test = frame.iloc[:110], frame.iloc[110:]
    shown = ["id", "prompt", "response_a", "response_b"]
    sample = test[["id"]].assign(**dict.fromkeys(names, 1 / 3))
    _write(folder, "lmsys-chatbot-arena", sample, test, {"train.csv": train, "test.csv": test[shown]})


def review(folder: Path) -> None:
    """`movie-review`: tab-separated tables in zip archives, whole numbers as classes."""
    rng = np.random.default_rng(7)
    label = rng.integers(0, 5, 200)
    frame = pd.DataFrame(
        {"PhraseId": range(1, 201), "SentenceId": np.arange(200) // 4, "Phrase": [f"w{x} it" for x in label]}
    )
    frame["Sentiment"] = label
    train, test = frame.iloc[:150], frame.iloc[150:]
    _write(
        folder,
        "movie-review-sentiment-analysis-kernels-only",
        test[["PhraseId"]].assign(Sentiment=2),
        test,
        {"train.tsv.zip": train, "test.tsv.zip": test.drop(columns="Sentiment")},
    )


def essays(folder: Path) -> None:
    """`learning-agency-lab-automated-essay-scoring-2`: whole scores 1 to 6."""
    rng = np.random.default_rng(8)
    score = rng.integers(1, 7, 120)
    frame = pd.DataFrame(
        {"essay_id": [f"e{i}" for i in range(120)], "full_text": ["well " * int(s) for s in score], "score": score}
    )
    train, test = frame.iloc[:90], frame.iloc[90:]
    sample = test[["essay_id"]].assign(score=rng.integers(1, 7, 30))
    name = "learning-agency-lab-automated-essay-scoring-2"
    _write(folder, name, sample, test, {"train.csv": train, "test.csv": test.drop(columns="score")})


MAKERS = {
    "spaceship-titanic": spaceship,
    "nomad2018-predict-transparent-conductors": nomad,
    "spooky-author-identification": spooky,
    "detecting-insults-in-social-commentary": insults,
    "random-acts-of-pizza": pizza,
    "lmsys-chatbot-arena": arena,
    "movie-review-sentiment-analysis-kernels-only": review,
    "learning-agency-lab-automated-essay-scoring-2": essays,
}
