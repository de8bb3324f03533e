"""Which grader belongs to which competition: one row each, in the order of the benchmark's splits.

The metrics are in `tables.py`, `words.py`, `masks.py` and `special.py`. Importing this imports scikit-learn and scipy:
`gome.plugins.tasks.mlebench.graders.graders` does so when the first submission is graded, and nobody else does.
"""

from __future__ import annotations

from gome.plugins.tasks.mlebench.graders import masks, special, tables, words
from gome.plugins.tasks.mlebench.graders.checking import Grade

CATHETERS = (
    "ETT - Abnormal",
    "ETT - Borderline",
    "ETT - Normal",
    "NGT - Abnormal",
    "NGT - Borderline",
    "NGT - Incompletely Imaged",
    "NGT - Normal",
    "CVC - Abnormal",
    "CVC - Borderline",
)
"""The nine of eleven labels that the published grader of ranzcr-clip knows."""

GRADERS: dict[str, Grade] = {
    # Low
    "aerial-cactus-identification": tables.auc("id", "has_cactus"),
    "aptos2019-blindness-detection": tables.kappa("id_code", "diagnosis", as_sets=True),
    "denoising-dirty-documents": tables.rmse("id", "value"),
    "detecting-insults-in-social-commentary": tables.auc("Comment", "Insult"),
    "dog-breed-identification": tables.class_log_loss("id"),
    "dogs-vs-cats-redux-kernels-edition": tables.binary_log_loss("id", "label"),
    "histopathologic-cancer-detection": tables.auc("id", "label"),
    "jigsaw-toxic-comment-classification-challenge": tables.toxic,
    "leaf-classification": tables.class_log_loss("id", exactly=True),
    "mlsp-2013-birds": tables.auc("Id", "Probability"),
    "new-york-city-taxi-fare-prediction": tables.rmse("key", "fare_amount", ids=False),
    "nomad2018-predict-transparent-conductors": tables.mean_rmsle("formation_energy_ev_natom", "bandgap_energy_ev"),
    "plant-pathology-2020-fgvc7": tables.auc_of_scores(
        "image_id", ("healthy", "multiple_diseases", "rust", "scab"), exactly=True
    ),
    "random-acts-of-pizza": tables.auc("request_id", "requester_received_pizza"),
    "ranzcr-clip-catheter-line-classification": tables.auc("StudyInstanceUID", *CATHETERS),
    "siim-isic-melanoma-classification": tables.auc("image_name", "target"),
    "spooky-author-identification": tables.class_log_loss("id", shape=True),
    "tabular-playground-series-dec-2021": tables.accuracy("Id", "Cover_Type"),
    "tabular-playground-series-may-2022": tables.auc("id", "target"),
    "text-normalization-challenge-english-language": tables.accuracy_of_texts("id", "after"),
    "text-normalization-challenge-russian-language": tables.accuracy_of_texts("id", "after"),
    "the-icml-2013-whale-challenge-right-whale-redux": tables.auc("clip", "probability"),
    # Medium
    "AI4Code": words.kendall_tau,
    "alaska2-image-steganalysis": special.steganalysis,
    "billion-word-imputation": words.words_edit_distance,
    "cassava-leaf-disease-classification": tables.accuracy("image_id", "label"),
    "cdiscount-image-classification-challenge": tables.accuracy("_id", "category_id"),
    "chaii-hindi-and-tamil-question-answering": words.jaccard,
    "champs-scalar-coupling": tables.mean_log_mae,
    "facebook-recruiting-iii-keyword-extraction": words.tags_f1("Id", "Tags"),
    "freesound-audio-tagging-2019": special.lwlrap,
    "google-quest-challenge": special.mean_spearman,
    "h-and-m-personalized-fashion-recommendations": words.map_at(
        12, "customer_id", "prediction", exactly=True, superset=True
    ),
    "herbarium-2020-fgvc7": tables.macro_f1("Id", "Predicted"),
    "herbarium-2021-fgvc8": tables.macro_f1("Id", "Predicted"),
    "herbarium-2022-fgvc9": tables.macro_f1("Id", "Predicted"),
    "hotel-id-2021-fgvc8": words.map_at(5, "image", "hotel_id"),
    "hubmap-kidney-segmentation": masks.kidneys,
    "icecube-neutrinos-in-deep-ice": special.angle,
    "imet-2020-fgvc7": words.tags_f1("id", "attribute_ids"),
    "inaturalist-2019-fgvc6": tables.top1_error,
    "iwildcam-2020-fgvc7": tables.accuracy("Id", "Category"),
    "jigsaw-unintended-bias-in-toxicity-classification": special.bias,
    "kuzushiji-recognition": special.characters,
    "learning-agency-lab-automated-essay-scoring-2": tables.kappa("essay_id", "score"),
    "lmsys-chatbot-arena": tables.class_log_loss("id", ("winner_model_a", "winner_model_b", "winner_tie"), decimals=6),
    "multi-modal-gesture-recognition": words.gestures,
    "osic-pulmonary-fibrosis-progression": special.lungs,
    "petfinder-pawpularity-score": tables.rmse("Id", "Pawpularity", length=False, within=(1, 100)),
    "plant-pathology-2021-fgvc8": words.tags_f1("image", "labels"),
    "seti-breakthrough-listen": tables.auc("id", "target"),
    "statoil-iceberg-classifier-challenge": tables.binary_log_loss("id", "is_iceberg", length=False),
    "tensorflow-speech-recognition-challenge": tables.accuracy("fname", "label"),
    "tensorflow2-question-answering": words.questions,
    "tgs-salt-identification-challenge": masks.salt,
    "tweet-sentiment-extraction": words.tweets,
    "us-patent-phrase-to-phrase-matching": special.pearson,
    "uw-madison-gi-tract-image-segmentation": masks.guts,
    "ventilator-pressure-prediction": tables.breathing_mae,
    "whale-categorization-playground": words.map_at(5, "Image", "Id", exactly=True),
    # High
    "bms-molecular-translation": words.mean_edit_distance("image_id", "InChI"),
    "google-research-identify-contrails-reduce-global-warming": masks.contrails,
    "hms-harmful-brain-activity-classification": special.divergence,
    "iwildcam-2019-fgvc6": tables.macro_f1("Id", "Category"),
    "nfl-player-contact-detection": tables.matthews,
    "predict-volcanic-eruptions-ingv-oe": tables.merged_mae("segment_id", "time_to_eruption"),
    "rsna-2022-cervical-spine-fracture-detection": special.fractures,
    "rsna-breast-cancer-detection": special.probabilistic_f1,
    "rsna-miccai-brain-tumor-radiogenomic-classification": tables.auc("BraTS21ID", "MGMT_value"),
    "siim-covid19-detection": special.boxes,
    "smartphone-decimeter-2022": special.positions,
    "stanford-covid-vaccine": tables.mean_rmse_of_kept,
    "vesuvius-challenge-ink-detection": masks.ink,
    # Development
    "invasive-species-monitoring": tables.auc("name", "invasive"),
    "ml2021spring-hw2": tables.accuracy("Id", "ClassId"),
    "movie-review-sentiment-analysis-kernels-only": tables.accuracy("PhraseId", "Sentiment"),
    "paddy-disease-classification": tables.paddy,
    "plant-seedlings-classification": tables.micro_f1("file", "species"),
    "playground-series-s3e18": tables.auc_of_scores("id", ("EC1", "EC2")),
    "spaceship-titanic": tables.accuracy("PassengerId", "Transported"),
}
"""Every grader by competition."""
