"""The parts of the answer to the question of a study, as a table."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from entr.analysis.estimation import NEW_IMAGES, THESE_IMAGES

FASTER, AS_ACCURATE, BETTER, MORE_EFFICIENT = "faster", "as_accurate", "better_than_less", "more_efficient"
QUESTIONS = {
    FASTER: "Is it faster?",
    AS_ACCURATE: "Is it as accurate?",
    BETTER: "Is it better than shorter training or smaller images?",
    MORE_EFFICIENT: "Is As, the efficiency of Wanger & Frohn, higher?",
}
METRICS = {FASTER: "time", AS_ACCURATE: "accuracy", MORE_EFFICIENT: "efficiency"}
"""The metric in which a treatment is compared with the control."""
YES, NO, UNDECIDED, NOT_TESTED = "yes", "no", "undecided", "not tested"
TARGET_NAMES = {THESE_IMAGES: "these images", NEW_IMAGES: "new images of the same kind"}


@dataclass(frozen=True)
class Part:
    """The answer to one part of the question, for one treatment, comparator and target."""

    part: str
    regime: str
    comparator: str
    """The control, or a rival of the treatment."""
    target: str
    verdict: str
    metric: str = ""
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    """Mean and 95 % interval: a ratio to the comparator for times and efficiencies, otherwise a difference."""
    time_change: str = ""
    """For a rival: the change in time relative to it, which decides as well, in words."""
    p: float = np.nan
    """Decisive p-value of the verdict; of *yes* if it is undecided."""
    replicates: int = 0
    sentence: str = ""
    seeds_needed: float = np.nan
    """Seeds per dataset that would probably decide the part; infinite if none would."""
    lacking: str = ""
    """What an undecided part needs."""
    leading: bool = False
    """Whether the headline is about this treatment."""


@dataclass(frozen=True)
class Answer:
    """The answer of a study."""

    headline: str
    parts: tuple[Part, ...]

    def select(self, **values: object) -> list[Part]:
        """Return the parts whose fields have these values."""
        return [part for part in self.parts if all(getattr(part, name) == value for name, value in values.items())]


def answer_table(answer: Answer) -> pd.DataFrame:
    """Return the table of an answer: one row per part, with the fields of `Part` as columns."""
    columns = list(Part.__dataclass_fields__)
    return pd.DataFrame([asdict(part) for part in answer.parts], columns=columns)


def combined_verdict(parts: Iterable[Part]) -> str:
    """Return the verdict of several parts that are all required.

    Parameters
    ----------
    parts : iterable of Part
        For example, one per rival.
    """
    verdicts = [part.verdict for part in parts]
    return next((verdict for verdict in (NO, UNDECIDED, NOT_TESTED) if verdict in verdicts), YES)
