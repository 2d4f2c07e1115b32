"""The recommended model in words."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from entr.analysis.aggregation import select_rows
from entr.analysis.formatting import format_effect, format_number
from entr.analysis.recommendation import GOALS, Choice, Interval, choices_table, choose_models
from entr.config.study_design import StudyDesign
from entr.jobs.files import atomic_write
from entr.jobs.markdown import render_markdown
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import ALL, FINAL, PHASE, describe_share

log = logging.getLogger("entr")


def write_recommendation(
    metrics: str | Path,
    summary: str | Path,
    fronts: str | Path,
    *,
    design: StudyDesign,
    limits: Mapping[str, float | None],
    outputs: Mapping[str, str | Path],
    tested: bool = False,
    budget: Sequence[str] = (),
    exported: bool = True,
) -> None:
    """Choose a model and regime for each dataset and goal, and explain the choice.

    Parameters
    ----------
    metrics, summary : path
        Tables of `aggregation.write_metrics`.
    fronts : path
        The table of `pareto_front.write_fronts`.
    design : StudyDesign
        The design of the study.
    limits : mapping
        The section ``recommend`` of the configuration.
    outputs : mapping of str to path
        ``table``, a CSV file with one row per dataset and goal, see `Choice`; and ``text``, a Markdown file.
    tested : bool
        Whether the recommended model is tested on held-out images.
    budget : sequence of str
        Sentences about what fits into the budget and what does not, see `config.budget.describe`.
    exported : bool
        Whether the recommended model is exported.

    Raises
    ------
    EntrError
        If a table is damaged.
    """
    all_metrics, means = read_table(metrics), read_table(summary)
    choices = [
        choice for dataset in design.datasets for choice in choose_models(all_metrics, means, dataset, design, limits)
    ]
    for choice in choices:
        if choice.model:
            log.info(
                "%s: %s is %s with %s (A %.1f %%, T %.3g s)",
                choice.dataset,
                GOALS[choice.goal][0],
                choice.model,
                choice.regime,
                100 * choice.accuracy.mean,
                choice.seconds.mean,
            )
    write_table(choices_table(choices), outputs["table"])
    with atomic_write(outputs["text"]) as file:
        text = render_recommendation(
            choices, read_table(fronts), design, limits, tested=tested, budget=budget, exported=exported
        )
        file.write(text)


def render_recommendation(
    choices: Sequence[Choice],
    fronts: pd.DataFrame,
    design: StudyDesign,
    limits: Mapping[str, float | None],
    *,
    tested: bool = False,
    budget: Sequence[str] = (),
    exported: bool = True,
) -> str:
    """Return the recommendation as Markdown.

    Parameters
    ----------
    choices : sequence of Choice
        As `choose_models` yields them.
    fronts : DataFrame
        The table of `pareto_front.fronts_table`.
    design : StudyDesign
        The design of the study.
    limits : mapping
        The section ``recommend`` of the configuration.
    tested : bool
        Whether the recommended model is tested on held-out images.
    budget : sequence of str
        Sentences about what fits into the budget and what does not.
    exported : bool
        Whether the recommended model is exported.
    """
    datasets = [
        {
            "name": name,
            "title": title,
            "choices": [_values(choice) for choice in choices if choice.dataset == name],
            "regimes": _regimes(fronts, design, scope="dataset", dataset=name),
        }
        for name, title in design.datasets.items()
    ]
    goals = {goal: words for goal, (words, _) in GOALS.items()}
    return render_markdown(
        "recommendation.md.j2",
        datasets=datasets,
        regimes=_regimes(fronts, design, scope=ALL) if len(datasets) > 1 else [],
        control=design.control,
        goals=goals,
        limits=list(_describe(limits)),
        tested=tested,
        budget=budget,
        exported=exported,
    )


def _describe(limits: Mapping[str, float | None]) -> Iterator[str]:
    if limits["max_seconds"] is not None:
        yield f"*T* of at most {limits['max_seconds']:g} s"
    if limits["min_accuracy"] is not None:
        yield f"*A* of at least {100 * limits['min_accuracy']:g} %"


def _values(choice: Choice) -> dict[str, object]:
    """Return a choice with its intervals as text."""
    return vars(choice) | {
        "accuracy": _format(choice.accuracy, lambda fraction: format_number(100 * fraction)),
        "seconds": _format(choice.seconds, format_number),
        "efficiency": _format(choice.efficiency, format_number),
    }


def _format(interval: Interval, number: Callable[[float], str]) -> str:
    text = number(interval.mean)
    return text if np.isnan(interval.low) else f"{text} [{number(interval.low)}, {number(interval.high)}]"


def _regimes(fronts: pd.DataFrame, design: StudyDesign, **scope: str) -> list[dict[str, str]]:
    """Return accuracy, time and place of each regime as text, those first that are most often on the Pareto front."""
    rows = select_rows(fronts, stage=FINAL, resolution=PHASE, time_basis=design.time_basis, **scope)
    if not len(rows):
        return []
    rows = rows.sort_values(["front_share", "on_front", "time"], ascending=[False, False, True])
    return [
        {
            "regime": row.regime,
            "accuracy": format_effect("accuracy", row.accuracy, row.accuracy_low, row.accuracy_high),
            "time": _format(Interval(row.time, row.time_low, row.time_high), format_number),
            "front": _place(row.on_front, row.front_share),
            "note": row.note,
        }
        for row in rows.itertuples()
    ]


def _place(on_front: bool, share: float) -> str:
    """Return the share of draws in which a regime is on the front; without a share, whether it is."""
    if np.isnan(share):
        return "yes" if on_front else "no"
    return describe_share(share)
