"""The claims of the paper for readers: those that were evaluated, and one sentence about the others."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from entr.analysis.formatting import format_number
from entr.analysis.study import Claim

LACKS = "the grid lacks "
"""How the reason of a claim begins whose cells are not in the grid."""
POINTS = "accuracy difference"
"""How the deciding comparison of accuracies begins; its value is a fraction."""


@dataclass(frozen=True)
class ClaimRow:
    """A row of the table of claims."""

    claim: str
    regime: str
    evaluated_on: str
    stand_in_for: str
    statement: str
    verdict: str
    ours: str
    """The result of this study."""
    paper: str
    decision: str
    """The deciding comparison, with its interval; empty if there is none."""
    reason: str


def read_claims(table: pd.DataFrame) -> list[Claim]:
    """Return the claims of a table that `claims_table` made."""
    names = [field.name for field in fields(Claim)]
    return [Claim(**row) for row in table[names].to_dict("records")]


def claim_rows(claims: Iterable[Claim]) -> list[ClaimRow]:
    """Return the rows of the claims that were evaluated on cells of the grid."""
    rows = []
    for claim in claims:
        if not _was_run(claim):
            continue
        decision = _describe_decision(claim)
        rows.append(
            ClaimRow(
                claim=claim.claim,
                regime=claim.regime,
                evaluated_on=claim.evaluated_on,
                stand_in_for=claim.stand_in_for,
                statement=claim.statement,
                verdict=claim.verdict,
                ours=claim.result or decision,
                paper=claim.paper,
                decision=decision,
                reason=claim.reason,
            )
        )
    return rows


def claims_not_run(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims whose cells are not in the grid."""
    return [claim for claim in claims if not _was_run(claim)]


def describe_not_run(claims: Iterable[Claim]) -> str:
    """Return one sentence on which claims were not tested and what they need; an empty string if there are none."""
    names: dict[str, list[str]] = {}
    for claim in claims_not_run(claims):
        names.setdefault(claim.reason, []).append(claim.claim)
    if not names:
        return ""
    texts = [f"{_join(claims_)} ({reason.removeprefix(LACKS)})" for reason, claims_ in names.items()]
    cause = ", because the grid lacks their cells" if all(reason.startswith(LACKS) for reason in names) else ""
    return f"Not tested here{cause}: {', '.join(texts)}."


def _was_run(claim: Claim) -> bool:
    return bool(claim.result) or not np.isnan(claim.value)


def _describe_decision(claim: Claim) -> str:
    if np.isnan(claim.value):
        return ""
    is_accuracy = claim.comparison.startswith(POINTS)
    scale, unit = (100, " points") if is_accuracy else (1, "")
    value, low, high = (format_number(scale * number) for number in (claim.value, claim.low, claim.high))
    interval = "" if np.isnan(claim.low) else f" [{low} to {high}]"
    return f"{claim.comparison}: {value}{unit}{interval}".replace("_", " ")


def _join(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
