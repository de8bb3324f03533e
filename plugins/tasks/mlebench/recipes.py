"""How public tables of a competition become a task of gome, and why those of the others cannot.

A task is one table to learn from, one to predict, and one target; programs are handed those two tables and nothing
else, and are scored on their out-of-fold predictions. That goes for the rendered programs of the mutator `pipeline`
as for those that a model writes (`llm`): the kernel carries no folder of images or recordings into a sandbox. So a
competition has a recipe where its tables say enough. Light to import; `prepare.py` follows the recipes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gome.events import TaskKind


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is what in the public tables.

    `key` names the rows of the submission; `key_tells` says that it is a feature, too. `targets` are its columns; with
    more than one each is a task of its own (`--target`), none means all columns of the sample submission. `classes`
    are 0/1 columns that together are one target. `metric` is gome's; `stands_for` says where that is not the graded
    one. `group` stays together in folds, `drop` is left out (with the reason), `rows` bounds the training rows.
    `within` clips predictions, `whole` rounds them. `left_out` says what else there is that programs do not see.
    """

    key: str
    targets: tuple[str, ...]
    kind: TaskKind
    metric: str
    key_tells: bool = False
    train: str = "train.csv"
    test: str = "test.csv"
    classes: tuple[str, ...] = ()
    stands_for: str = ""
    group: str = ""
    drop: tuple[tuple[str, str], ...] = ()
    rows: int | None = None
    within: tuple[float, float] | None = None
    whole: bool = False
    left_out: str = ""
    notes: tuple[str, ...] = ()


RECIPES: dict[str, Recipe] = {
    "detecting-insults-in-social-commentary": Recipe(
        key="Comment", key_tells=True, targets=("Insult",), kind="binary", metric="roc_auc"
    ),
    "jigsaw-toxic-comment-classification-challenge": Recipe(
        key="id",
        targets=("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"),
        kind="binary",
        metric="roc_auc",
        notes=("Rows whose answers are -1 are predicted, but not graded.",),
    ),
    "leaf-classification": Recipe(
        key="id", targets=("species",), kind="multiclass", metric="log_loss", left_out="images of the leaves"
    ),
    "new-york-city-taxi-fare-prediction": Recipe(
        key="key", targets=("fare_amount",), kind="regression", metric="rmse", train="labels.csv", rows=1_000_000
    ),
    "nomad2018-predict-transparent-conductors": Recipe(
        key="id",
        targets=("formation_energy_ev_natom", "bandgap_energy_ev"),
        kind="regression",
        metric="rmsle",
        left_out="geometry.xyz of each crystal",
    ),
    "random-acts-of-pizza": Recipe(
        key="request_id",
        targets=("requester_received_pizza",),
        kind="binary",
        metric="roc_auc",
        train="train.json",
        test="test.json",
        drop=(("giver_username_if_known", "it is known only of requests that were met: gives the answer away"),),
    ),
    "siim-isic-melanoma-classification": Recipe(
        key="image_name",
        targets=("target",),
        kind="binary",
        metric="roc_auc",
        group="patient_id",
        left_out="the images, which hold most of what can be known",
    ),
    "spooky-author-identification": Recipe(key="id", targets=("author",), kind="multiclass", metric="log_loss"),
    "tabular-playground-series-dec-2021": Recipe(
        key="Id", targets=("Cover_Type",), kind="multiclass", metric="accuracy", rows=1_000_000
    ),
    "tabular-playground-series-may-2022": Recipe(key="id", targets=("target",), kind="binary", metric="roc_auc"),
    "champs-scalar-coupling": Recipe(
        key="id",
        targets=("scalar_coupling_constant",),
        kind="regression",
        metric="mae",
        stands_for="the mean over coupling types of the logarithm of the MAE",
        group="molecule_name",
        rows=1_000_000,
        left_out="structures.csv and the other tables about molecules",
    ),
    "google-quest-challenge": Recipe(
        key="qa_id",
        targets=(),
        kind="regression",
        metric="rmse",
        stands_for="Spearman's rank correlation",
        within=(0.0, 1.0),
    ),
    "learning-agency-lab-automated-essay-scoring-2": Recipe(
        key="essay_id",
        targets=("score",),
        kind="regression",
        metric="quadratic_kappa",
        within=(1.0, 6.0),
        whole=True,
    ),
    "lmsys-chatbot-arena": Recipe(
        key="id",
        targets=("winner",),
        kind="multiclass",
        metric="log_loss",
        classes=("winner_model_a", "winner_model_b", "winner_tie"),
    ),
    "petfinder-pawpularity-score": Recipe(
        key="Id",
        targets=("Pawpularity",),
        kind="regression",
        metric="rmse",
        within=(1.0, 100.0),
        left_out="the photos, which hold most of what can be known",
    ),
    "us-patent-phrase-to-phrase-matching": Recipe(
        key="id", targets=("score",), kind="regression", metric="rmse", stands_for="Pearson's correlation"
    ),
    "ventilator-pressure-prediction": Recipe(
        key="id",
        targets=("pressure",),
        kind="regression",
        metric="mae",
        stands_for="the MAE of rows with u_out = 0 only",
        group="breath_id",
        rows=1_000_000,
    ),
    "movie-review-sentiment-analysis-kernels-only": Recipe(
        key="PhraseId",
        targets=("Sentiment",),
        kind="multiclass",
        metric="accuracy",
        train="train.tsv.zip",
        test="test.tsv.zip",
    ),
    "playground-series-s3e18": Recipe(key="id", targets=("EC1", "EC2"), kind="binary", metric="roc_auc"),
    "spaceship-titanic": Recipe(key="PassengerId", targets=("Transported",), kind="binary", metric="accuracy"),
}

_IMAGES = "its inputs are image files"
_SOUND = "its inputs are recordings in files"
_SPAN = "a piece of text is to be found or written, not a number or a class"
_TAGS = "each row has any number of labels from a vocabulary of thousands"
_SIGNAL = "the signal of each row lies in a file of its own"

UNFIT: dict[str, str] = {
    "denoising-dirty-documents": "its inputs and outputs are images",
    "mlsp-2013-birds": "its recordings and their features lie in text files of several kinds, with many labels each",
    "the-icml-2013-whale-challenge-right-whale-redux": _SOUND,
    "text-normalization-challenge-english-language": _SPAN,
    "text-normalization-challenge-russian-language": _SPAN,
    "AI4Code": "the cells of notebooks, one JSON file each, are to be put in order",
    "billion-word-imputation": _SPAN,
    "chaii-hindi-and-tamil-question-answering": _SPAN,
    "tweet-sentiment-extraction": _SPAN,
    "tensorflow2-question-answering": _SPAN,
    "facebook-recruiting-iii-keyword-extraction": _TAGS,
    "freesound-audio-tagging-2019": _SOUND,
    "tensorflow-speech-recognition-challenge": _SOUND,
    "h-and-m-personalized-fashion-recommendations": "a list of articles is to be recommended to each customer",
    "icecube-neutrinos-in-deep-ice": "an event is a set of pulses in Parquet files, and its target is a direction",
    "jigsaw-unintended-bias-in-toxicity-classification": "its grader cuts predictions at 0.5 before ranking them and "
    "weighs identities, which no metric of gome stands for",
    "multi-modal-gesture-recognition": "its inputs are videos, recordings and skeletons in archives",
    "osic-pulmonary-fibrosis-progression": "the rows to predict are weeks of patients whose scans are files, with a "
    "confidence beside the value",
    "seti-breakthrough-listen": _SIGNAL,
    "statoil-iceberg-classifier-challenge": "its inputs are radar images, packed as JSON in 7z archives",
    "bms-molecular-translation": "images are to be written as texts",
    "hms-harmful-brain-activity-classification": _SIGNAL,
    "nfl-player-contact-detection": "pairs of players are to be joined with tables of tracks and with videos",
    "predict-volcanic-eruptions-ingv-oe": _SIGNAL,
    "smartphone-decimeter-2022": "positions are to be computed from logs of receivers, two values a row",
    "stanford-covid-vaccine": "a sequence of values is to be predicted for each molecule",
    "ml2021spring-hw2": "its inputs are NumPy files of speech frames",
}
"""Why a competition without a recipe is none of gome's tasks; those that are not named here have images as inputs."""


def unfit(name: str) -> str:
    """Why a competition is no task; "" for one that is."""
    return "" if name in RECIPES else UNFIT.get(name, _IMAGES)
