"""The verdict in words: an answer computed from the tables, for a reader who has seen nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entr.analysis.aggregation import select_rows
from entr.analysis.answer import find_answer
from entr.analysis.answer_parts import TARGET_NAMES, Answer, answer_table
from entr.analysis.claims import claims_table, evaluate_claims
from entr.analysis.entr_hypothesis import HYPOTHESIS, hypothesis_verdict
from entr.analysis.estimation import ALPHA, REPLICATES_FOR_TEST, TARGET_RATIO
from entr.analysis.formatting import format_effect, format_number
from entr.analysis.study import Claim, Study
from entr.config.study_design import StudyDesign
from entr.jobs.files import atomic_write
from entr.jobs.markdown import render_markdown
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import ALL, FINAL, PHASE, STAGES, SUBTOTAL, TIME_BASES, describe_networks
from entr.metrics.published_results import TREATMENTS
from entr.report.answer import answer_rows, answer_text, list_needs
from entr.report.cell_names import describe_seeds, group_by_seed, seeds_by_dataset
from entr.report.claims import claim_rows, describe_not_run

EFFECT_METRICS = {"accuracy_difference": "accuracy", "log_time_ratio": "time", "log_efficiency_ratio": "efficiency"}
"""The metric of each effect, in the order of the tables."""
COMPARISON_HEADS = {
    "time": ("T of control, s", "T, s", "ratio of T"),
    "accuracy": ("A of control, %", "A, %", "difference, points"),
    "efficiency": ("As of control, 1/√s", "As, 1/√s", "ratio of As"),
}
"""Heads of the columns with numbers in the comparison with the control, by metric."""


def write_verdict(
    metrics: str | Path,
    pairs: str | Path,
    effects: str | Path,
    cells: str | Path,
    *,
    design: StudyDesign,
    outputs: Mapping[str, str | Path],
) -> None:
    """Evaluate the claims and state the verdict.

    Parameters
    ----------
    metrics, cells : path
        Tables of `aggregation.write_metrics`.
    pairs, effects : path
        Tables of `paired_effects.write_effects`.
    design : StudyDesign
        The design of the study.
    outputs : mapping of str to path
        ``answer``, a CSV file with one row per part of the answer, see `Part`; ``claims``, a CSV file with
        one row per claim, see `Claim`; ``verdict``, a Markdown file; and ``text``, the answer for the
        terminal.

    Raises
    ------
    EntrError
        If a table is damaged.
    """
    study = Study(design, read_table(metrics))
    claims = evaluate_claims(study)
    write_table(claims_table(claims), outputs["claims"])
    cells_ = read_table(cells)
    answer = find_answer(study, cells_)
    write_table(answer_table(answer), outputs["answer"])
    with atomic_write(outputs["text"]) as file:
        file.write(answer_text(answer))
    values = verdict_values(study, answer, claims, read_table(pairs), read_table(effects), cells_)
    with atomic_write(outputs["verdict"]) as file:
        file.write(render_markdown("verdict.md.j2", **values))


def verdict_values(
    study: Study,
    answer: Answer,
    claims: Sequence[Claim],
    pairs: pd.DataFrame,
    effects: pd.DataFrame,
    cells: pd.DataFrame,
) -> dict[str, Any]:
    """Return the variables of the template of the verdict.

    Parameters
    ----------
    study : Study
        The study.
    answer : Answer
        Its answer.
    claims : sequence of Claim
        Its evaluated claims.
    pairs, effects, cells : DataFrame
        The tables of `paired_effects.write_effects` and the table of cells of `aggregation.write_metrics`.
    """
    design = study.design
    verdict = hypothesis_verdict(claims)
    decisive = [claim for claim in claims if claim.claim == HYPOTHESIS and claim.verdict == verdict]
    missing = study.missing_cells()
    return {
        "headline": answer.headline,
        "answers": {regime: answer_rows(answer.parts, regime) for regime in TREATMENTS if answer.select(regime=regime)},
        "needs": list_needs(answer.select(leading=True), *TARGET_NAMES),
        "targets": TARGET_NAMES,
        "verdict": verdict,
        "reason": decisive[0].reason,
        "supported_by": [claim.regime for claim in decisive],
        "datasets": [
            {"name": name, "title": title, "stand_in_for": design.stand_in_for.get(name)}
            for name, title in design.datasets.items()
        ],
        "models": design.models,
        "networks": describe_networks(cells["weights"], cells["scale"]),
        "control": design.control,
        "regimes": [regime for regime in design.regimes if regime != design.control],
        "seeds": describe_seeds(cells, design.datasets),
        "few_seeds": _few_seeds(cells, design),
        "time_basis": TIME_BASES[design.time_basis],
        "time_is_measured": design.time_basis == "training",
        "devices": sorted(set(cells["device"])),
        "finished_cells": len(cells),
        "grid_cells": len(design.datasets) * len(design.models) * len(design.regimes) * len(design.seeds),
        "comparisons": _comparisons(study, pairs, effects),
        "claims": claim_rows(claims),
        "not_run": describe_not_run(claims),
        "missing": group_by_seed(missing),
        "missing_count": len(missing),
        "random_weights": "none" in set(cells["weights"]),
        "losses": list(_losses(study, effects)),
        "cells_in_host_memory": int((cells["sizes_in_host_memory"].fillna("").astype(str) != "").sum()),
        "faster": f"{100 * (TARGET_RATIO - 1):.0f} %",
        "accuracy_loss": f"{100 * (1 - 1 / TARGET_RATIO):.0f} %",
    }


def _few_seeds(cells: pd.DataFrame, design: StudyDesign) -> list[dict[str, Any]]:
    """Return the datasets in which nothing can be significant, by their number of seeds."""
    counts = seeds_by_dataset(cells, design.datasets)
    few = sorted({number for number in counts.values() if number < REPLICATES_FOR_TEST})
    return [
        {
            "seeds": number,
            "datasets": [title for title, own in counts.items() if own == number],
            "smallest_p": f"{2.0 ** (1 - number):.2g}",
        }
        for number in few
    ]


def _effect(effects: pd.DataFrame, study: Study, **keys: str) -> dict[str, pd.Series] | None:
    """Return the rows of an effect by metric, at the size of the phase and on the time basis of the study."""
    rows = select_rows(effects, resolution=PHASE, time_basis=study.design.time_basis, **keys)
    by_metric = {EFFECT_METRICS[row["metric"]]: row for _, row in rows.iterrows()}
    return by_metric if len(by_metric) == len(EFFECT_METRICS) else None


def _with_interval(metric: str, row: pd.Series) -> str:
    return format_effect(metric, row["mean"], row["low_corrected"], row["high_corrected"])


def _comparisons(study: Study, pairs: pd.DataFrame, effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table per metric that compares the treatments with the control; none if there are no pairs."""
    tables = []
    for metric, heads in COMPARISON_HEADS.items():
        rows = list(_comparison_rows(metric, study, pairs, effects))
        if rows:
            tables.append({"heads": heads, "rows": rows})
    return tables


def _comparison_rows(metric: str, study: Study, pairs: pd.DataFrame, effects: pd.DataFrame) -> Iterator[list[str]]:
    design = study.design
    scopes = [("dataset", name, title) for name, title in design.datasets.items()]
    if len(scopes) > 1:
        scopes.append(("all", ALL, "all"))
    for scope, dataset, title in scopes:
        for stage in (SUBTOTAL, FINAL):
            for regime in design.regimes:
                effect = _effect(effects, study, scope=scope, dataset=dataset, stage=stage, regime=regime)
                if effect:
                    means = _means(pairs, study, dataset, stage, regime) if scope == "dataset" else None
                    yield [title, STAGES[stage], regime, *_comparison_values(metric, means, effect[metric])]


def _means(pairs: pd.DataFrame, study: Study, dataset: str, stage: str, regime: str) -> pd.Series:
    """Return means over models, of the seeds that have every model, as the differences are."""
    rows = select_rows(
        pairs,
        resolution=PHASE,
        time_basis=study.design.time_basis,
        dataset=dataset,
        stage=stage,
        regime=regime,
    )
    complete = rows.groupby("seed")["model"].transform("nunique") == rows["model"].nunique()
    columns = [name for metric in EFFECT_METRICS.values() for name in (metric, f"{metric}_of_control")]
    return rows.loc[complete, columns].mean()


def _comparison_values(metric: str, means: pd.Series | None, effect: pd.Series) -> Iterator[str]:
    scale = 100 if metric == "accuracy" else 1
    for column in (f"{metric}_of_control", metric):
        yield "" if means is None else format_number(scale * means[column])
    yield _format_change(metric, effect["mean"], effect["low_corrected"], effect["high_corrected"])
    yield f"{effect['replicates']:.0f}"


def _format_change(metric: str, mean: float, low: float, high: float) -> str:
    """Return a change without its unit, which is in the head of its column."""
    return format_effect(metric, mean, low, high).removeprefix("×").replace(" points", "")


def _losses(study: Study, effects: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the datasets in which the accuracy of a treatment was shown to be lower."""
    for dataset, title in study.design.datasets.items():
        for regime in TREATMENTS:
            effect = _effect(effects, study, scope="dataset", dataset=dataset, stage=FINAL, regime=regime)
            if effect and effect["accuracy"]["high_corrected"] < 0 and effect["accuracy"]["p"] <= ALPHA:
                difference = _with_interval("accuracy", effect["accuracy"])
                yield {"title": title, "regime": regime, "difference": difference}
