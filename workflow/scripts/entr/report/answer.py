"""The answer for readers: a compact table, what is lacking, and plain text for the terminal."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from entr.analysis.answer import UNFINISHED
from entr.analysis.answer_parts import (
    BETTER,
    MORE_EFFICIENT,
    NOT_TESTED,
    QUESTIONS,
    TARGET_NAMES,
    Answer,
    Part,
)
from entr.analysis.answer_wording import describe_change, describe_evidence
from entr.analysis.entr_hypothesis import MATCHED
from entr.analysis.estimation import NEW_IMAGES, THESE_IMAGES

WIDTH = 100
"""Longest line of the text, in characters."""
MAX_LINES = 12
"""Lines of the text."""
SEEDS_COMMAND = "snakemake --config seeds={seeds:.0f}"
IN_REGIMES = " in grid.regimes"
"""How the need of a part ends that lacks a rival."""
SHORTER, SMALLER_IMAGES = "Is it better than shorter training?", "Is it better than smaller images?"
"""The third question, by rival."""


@dataclass(frozen=True)
class Row:
    """A row of the compact table: one question, or one rival of the third."""

    part: str
    question: str
    comparator: str
    change: str
    """Mean of the change."""
    replicates: int
    """Seeds of all datasets together that have both regimes."""
    verdicts: dict[str, str]
    """The verdict for each of `TARGET_NAMES`."""
    intervals: dict[str, str]
    """The 95 % interval for each of `TARGET_NAMES`, or an empty string."""


def read_parts(table: pd.DataFrame) -> tuple[Part, ...]:
    """Return the parts of a table that `answer_table` made."""
    names = [field.name for field in fields(Part)]
    rows = table.assign(leading=table["leading"].astype(str) == "True")[names].to_dict("records")
    return tuple(Part(**row) for row in rows)


def answer_rows(parts: Iterable[Part], regime: str) -> list[Row]:
    """Return the compact table of a treatment.

    Parameters
    ----------
    parts : iterable of Part
        The parts of an answer.
    regime : str
        The treatment.
    """
    own = [part for part in parts if part.regime == regime]
    here = [part for part in own if part.target == THESE_IMAGES]
    elsewhere = {(part.part, part.comparator): part for part in own if part.target == NEW_IMAGES}
    return [_row(part, elsewhere[part.part, part.comparator]) for part in _in_order(here)]


def _in_order(parts: Iterable[Part]) -> list[Part]:
    order = list(QUESTIONS)
    return sorted(parts, key=lambda part: order.index(part.part))


def _row(here: Part, elsewhere: Part) -> Row:
    changes = {part.target: _change(part) for part in (here, elsewhere)}
    return Row(
        part=here.part,
        question=describe_question(here),
        comparator=here.comparator,
        change=changes[here.target][0],
        replicates=here.replicates,
        verdicts={part.target: part.verdict for part in (here, elsewhere)},
        intervals={target: change[1] for target, change in changes.items()},
    )


def describe_question(part: Part) -> str:
    """Return the question that a part answers; the third one for its rival."""
    if part.part != BETTER:
        return QUESTIONS[part.part]
    return SHORTER if part.comparator == MATCHED else SMALLER_IMAGES


def _change(part: Part) -> tuple[str, str]:
    """Return the change of a part, and its interval."""
    if not part.metric or np.isnan(part.value):
        return "", ""
    mean, _, interval = describe_change(part.metric, part.value, part.low, part.high).partition(" [")
    of_time = part.time_change.partition(" [")[0]
    return ", ".join(filter(None, (mean, of_time))), f"[{interval}" if interval else ""


def answer_text(answer: Answer) -> str:
    """Return the answer as plain text for the terminal: the headline, a line per comparison, and what is lacking.

    There are at most `MAX_LINES` lines of at most `WIDTH` characters.
    """
    lines = textwrap.wrap(answer.headline, WIDTH)
    leading = _in_order(answer.select(leading=True, target=THESE_IMAGES))
    for part in leading:
        if part.verdict == NOT_TESTED or part.part == MORE_EFFICIENT:
            continue
        question = f"Better than {part.comparator}?" if part.part == BETTER else QUESTIONS[part.part]
        evidence = ", ".join(filter(None, (describe_evidence(part), part.time_change)))
        lines += _indented(f"{question} {part.verdict.capitalize()}: {evidence}")
    if needs := list_needs(leading, THESE_IMAGES):
        lines += _indented(f"To decide the rest: {'; '.join(need.text for need in needs)}.")
        lines += [f"    {need.command}" for need in needs if need.command]
    return "\n".join(lines[:MAX_LINES]) + "\n"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


@dataclass(frozen=True)
class Need:
    """What undecided or untested parts need to be decided."""

    text: str
    command: str = ""
    """The command that adds seeds."""
    target: str = ""
    """The name of the target that it is for; empty if it is for both."""


def list_needs(parts: Iterable[Part], *targets: str) -> list[Need]:
    """Return what parts need to be decided, each once: seeds for the part that needs most, images, and regimes.

    Whether *As* is higher is left out: it is not part of the answer, and usually needs most seeds.

    Parameters
    ----------
    parts : iterable of Part
        The parts of one treatment.
    *targets : str
        The targets in question.
    """
    parts = list(parts)
    by_target = {target: _needs([part for part in parts if part.target == target]) for target in targets}
    everywhere = [need for need in next(iter(by_target.values())) if all(need in needs for needs in by_target.values())]
    single = [
        Need(need.text, need.command, TARGET_NAMES[target])
        for target, needs in by_target.items()
        for need in needs
        if need not in everywhere
    ]
    return single + everywhere


def _needs(parts: Sequence[Part]) -> list[Need]:
    lacking = [part for part in parts if part.lacking and part.part != MORE_EFFICIENT]
    seeds = [part for part in lacking if np.isfinite(part.seeds_needed)]
    needs = []
    if seeds:
        most = max(seeds, key=lambda part: part.seeds_needed)
        command = "" if most.lacking == UNFINISHED else SEEDS_COMMAND.format(seeds=most.seeds_needed)
        needs.append(Need(most.lacking, command))
    others = list(dict.fromkeys(part.lacking for part in lacking if part not in seeds))
    regimes = [text.removesuffix(IN_REGIMES) for text in others if text.endswith(IN_REGIMES)]
    needs += [Need(text) for text in others if not text.endswith(IN_REGIMES)]
    if regimes:
        needs.append(Need(f"runs of the regimes {' and '.join(regimes)} (add them to grid.regimes)"))
    return needs
