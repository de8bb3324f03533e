"""Features from text; term weights are fitted on all texts, without the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

TERMS: dict[str, tuple[Any, list[str]]] = {}


def add_text_statistics(table: pd.DataFrame, column: str) -> None:
    """Length, words, and shares of kinds of characters."""
    text = table[column].fillna("").astype(str)
    length = text.str.len().astype(float)
    words = text.map(lambda said: float(len(said.split())))
    table[f"{column}_length"] = length
    table[f"{column}_words"] = words
    table[f"{column}_word_length"] = length / words.clip(lower=1)
    for name, pattern in (("capitals", r"[A-Z]"), ("digits", r"[0-9]"), ("marks", r"[^\w\s]"), ("exclamations", "!")):
        table[f"{column}_{name}"] = text.str.count(pattern) / length.clip(lower=1)


def term_weights(
    table: pd.DataFrame, column: str, analyzer: str, ngrams: int, max_features: int, min_count: int, name: str
) -> tuple[Any, list[str]]:
    """TF-IDF matrix of a column and its terms; fitted once and kept for the other members."""
    key = f"{column}/{name}/{len(table)}"
    if key not in TERMS:
        low = 2 if analyzer == "char_wb" and ngrams > 2 else 1
        vectorizer = TfidfVectorizer(
            analyzer=analyzer,
            ngram_range=(low, ngrams),
            max_features=max_features,
            min_df=min_count,
            sublinear_tf=True,
            strip_accents="unicode",
            token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
        )
        try:
            matrix = vectorizer.fit_transform(table[column].fillna("").astype(str))
        except ValueError as err:
            raise SystemExit(f"no terms in column {column}: {err}") from None
        TERMS[key] = (matrix, [f"{column}:{term}" for term in vectorizer.get_feature_names_out()])
    return TERMS[key]


def add_tfidf(table: pd.DataFrame, svd: int, **terms: Any) -> list[Any]:
    """TF-IDF as a sparse block beside the table (returned), or as the columns of its truncated SVD."""
    name = f"{terms['analyzer']}{terms['ngrams']}_{terms['max_features']}_{terms['min_count']}"
    matrix, words = term_weights(table, name=name, **terms)
    if not svd:
        return [(sparse.csr_matrix(matrix), words)]
    width = max(1, min(svd, matrix.shape[1] - 1))
    reduced = TruncatedSVD(width, random_state=0).fit_transform(matrix)
    label = f"{terms['column']}_{terms['analyzer']}{terms['ngrams']}"
    columns = [f"{label}_svd{i}" for i in range(width)]
    for i, column in enumerate(columns):
        table[column] = np.ascontiguousarray(reduced[:, i])
    return []
