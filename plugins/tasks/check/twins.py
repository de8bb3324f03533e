"""Are rows to predict already among the training rows, exactly or nearly?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gome.kernel.tasks import Finding
from gome.plugins.tasks.check.sample import Array, Sample

MOST = 0.05
"""Share of test rows with a twin among the training rows that makes it a leak."""
FEW = 0.005
"""Share of test rows with a twin that is not worth a warning."""
ALIKE = 0.3
"""Equal rows whose targets agree less often than this are different things that look alike."""
SAME = 0.002
"""Ranks (or class numbers) closer than this are the same target."""
NEAR = 0.02
"""Nearly equal: a distance below this share of the usual distance to the nearest row."""
ROWS, TRAIN = 1500, 20_000


def check_twins(sample: Sample) -> list[Finding]:
    """Exact duplicates across and within the tables, then near ones across."""
    train, test = _hashes(sample.train[sample.features]), _hashes(sample.test[sample.features])
    across = np.asarray(test.isin(train))
    repeated = np.asarray(train.duplicated(keep=False))
    # In a table of a few coarse columns equal rows are no accident but the rule.
    excuse = "coarse" if train.nunique() < 0.5 * len(train) else ""
    agreement = _agreement(sample, train, repeated)
    if not excuse and agreement is not None and agreement < ALIKE:
        excuse = "different targets"
    found = []
    if across.any():
        share = float(across.mean())
        harmless = bool(excuse) or share < FEW
        because = {
            "coarse": ", as expected with so few different values",
            "different targets": ", but equal rows have different targets: they only look alike",
        }.get(excuse, "")
        found.append(
            Finding(
                "info" if harmless else "leak" if share >= MOST else "warning",
                "duplicates across",
                f"{int(across.sum()):,} of {len(test):,} rows to predict ({share:.1%}) equal a training row in every "
                f"feature{because}.",
                "" if harmless else "Remove repeated rows before splitting, or keep them together with a group column.",
            )
        )
    if repeated.any() and excuse != "coarse":
        share = float(repeated.mean())
        harmless = bool(excuse) or share < 0.01
        same = "" if agreement is None else f", {agreement:.0%} of them with its target"
        found.append(
            Finding(
                "info" if harmless else "warning",
                "duplicates within",
                f"{int(repeated.sum()):,} training rows ({share:.1%}) share all features with another one{same}.",
                "" if harmless else "Folds would put equal rows on both sides: remove repetitions or group them.",
            )
        )
    return found + _near(sample, across)


def _hashes(frame: pd.DataFrame) -> pd.Series:
    """A number per row; numbers as floats first, since a gap in one of the tables makes integers floats there."""
    plain = {
        name: frame[name].astype(float if pd.api.types.is_numeric_dtype(frame[name]) else str) for name in frame.columns
    }
    return pd.util.hash_pandas_object(pd.DataFrame(plain), index=False)


def _agreement(sample: Sample, hashes: pd.Series, repeated: Array) -> float | None:
    """Share of neighbouring pairs among equal training rows whose target is the same, too (None: too few to say)."""
    table = pd.DataFrame({"row": hashes[repeated].to_numpy(), "target": sample.target[repeated]}).sort_values("row")
    pair = np.asarray(table["row"].eq(table["row"].shift()))
    if pair.sum() < 5:
        return None
    same = np.asarray(table["target"].diff().abs() < SAME)
    return float(same[pair].mean())


def _near(sample: Sample, exact: Array) -> list[Finding]:
    from sklearn.neighbors import NearestNeighbors

    train, test = sample.numbers
    fine = [name for name in train if train[name].nunique() > 20]
    if len(fine) < 3:  # in two dimensions rows come close by chance
        return []
    known, asked = _standard(train, test)
    known = known[sample.draw(len(known), TRAIN, 1)]
    rest = np.flatnonzero(~exact)
    rows = rest[sample.draw(len(rest), ROWS, 2)]
    usual_rows = sample.draw(len(known), ROWS, 3)
    if len(rows) < 20:
        return []
    search = NearestNeighbors(n_neighbors=2, algorithm="brute", n_jobs=1).fit(known)
    usual = float(np.median(search.kneighbors(known[usual_rows])[0][:, 1]))
    distance = search.kneighbors(asked[rows], n_neighbors=1)[0][:, 0]
    share = float((distance < NEAR * usual).mean())
    if share <= FEW or usual == 0:
        return []
    return [
        Finding(
            "leak" if share >= MOST else "warning",
            "near-duplicates across",
            f"about {share:.1%} of the rows to predict nearly equal a training row (closer than {NEAR:.0%} of the "
            f"usual distance to the nearest row).",
            "Probably the same thing measured or listed twice: find what identifies it and keep it together with "
            "--group.",
        )
    ]


def _standard(train: pd.DataFrame, test: pd.DataFrame) -> tuple[Array, Array]:
    """Centre and scale by the training rows, robustly; missing becomes the middle."""
    middle = train.median()
    spread = train.std().replace(0, np.nan)
    both = [
        np.asarray(((frame - middle) / spread).fillna(0.0).clip(-10, 10), dtype=np.float32) for frame in (train, test)
    ]
    return both[0], both[1]
