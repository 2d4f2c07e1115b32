"""The verdict in words: an answer computed from the tables, for a reader who has seen nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entr.analysis.aggregation import select_rows
from entr.analysis.claims import claims_table, evaluate_claims
from entr.analysis.entr_hypothesis import HYPOTHESIS, hypothesis_verdict
from entr.analysis.estimation import REPLICATES_FOR_TEST, TARGET_RATIO
from entr.analysis.formatting import format_effect, format_interval, format_percentage
from entr.analysis.study_results import Claim, Study
from entr.config.study import StudyDesign
from entr.jobs.files import atomic_write
from entr.jobs.markdown import render_markdown
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import ALL, FINAL, PHASE, STAGES, SUBTOTAL, TIME_BASES, describe_weights
from entr.metrics.published_results import TREATMENTS

EFFECT_METRICS = {"accuracy_difference": "accuracy", "log_time_ratio": "time", "log_efficiency_ratio": "efficiency"}
"""The metric of each effect, in the order of the table."""


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
        Tables of `paired.write_effects`.
    design : StudyDesign
        The design of the study.
    outputs : mapping of str to path
        ``claims``, a CSV file with one row per claim, see `Claim`; and ``verdict``, a Markdown file.

    Raises
    ------
    EntrError
        If a table is damaged.
    """
    study = Study(design, read_table(metrics))
    claims = evaluate_claims(study)
    write_table(claims_table(claims), outputs["claims"])
    text = render_verdict(study, claims, *(read_table(path) for path in (pairs, effects, cells)))
    with atomic_write(outputs["verdict"]) as file:
        file.write(text)


def render_verdict(
    study: Study, claims: Sequence[Claim], pairs: pd.DataFrame, effects: pd.DataFrame, cells: pd.DataFrame
) -> str:
    """Return the verdict as Markdown.

    Parameters
    ----------
    study : Study
        The study.
    claims : sequence of Claim
        Its evaluated claims.
    pairs, effects, cells : DataFrame
        The tables of `paired.write_effects` and the table of cells of `aggregation.write_metrics`.
    """
    design = study.design
    verdict = hypothesis_verdict(claims)
    decisive = [claim for claim in claims if claim.claim == HYPOTHESIS and claim.verdict == verdict]
    treatments = list(_treatments(study, effects))
    missing = study.missing_cells()
    seeds = len(design.seeds)
    return render_markdown(
        "verdict.md.j2",
        verdict=verdict,
        reason=decisive[0].reason,
        supported_by=[claim.regime for claim in decisive],
        treatments=treatments,
        has_intervals=any(effect["time_interval"] or "[" in effect["accuracy"] for effect in treatments),
        titles=list(design.datasets.values()),
        datasets=[
            {"name": name, "title": title, "stand_in_for": design.stand_in_for.get(name)}
            for name, title in design.datasets.items()
        ],
        models=design.models,
        weights=sorted({describe_weights(label) for label in cells["weights"]}),
        control=design.control,
        regimes=[regime for regime in design.regimes if regime != design.control],
        seeds=design.seeds,
        time_basis=TIME_BASES[design.time_basis],
        time_is_measured=design.time_basis == "training",
        devices=sorted(set(cells["device"])),
        finished_cells=len(cells),
        grid_cells=len(design.datasets) * len(design.models) * len(design.regimes) * seeds,
        comparisons=list(_comparisons(study, pairs, effects)),
        claims=claims,
        replicates_for_test=REPLICATES_FOR_TEST,
        smallest_p=f"{2.0 ** (1 - seeds):.2g}",
        missing=_group_by_seed(missing),
        missing_count=len(missing),
        random_weights="none" in set(cells["weights"]),
        losses=list(_losses(study, effects)),
        faster=f"{100 * (TARGET_RATIO - 1):.0f} %",
        accuracy_loss=f"{100 * (1 - 1 / TARGET_RATIO):.0f} %",
    )


def _effect(effects: pd.DataFrame, study: Study, **keys: str) -> dict[str, pd.Series] | None:
    """Return the rows of an effect by metric, at the size of the phase and on the time basis of the study."""
    rows = select_rows(effects, resolution=PHASE, time_basis=study.design.time_basis, **keys)
    by_metric = {EFFECT_METRICS[row["metric"]]: row for _, row in rows.iterrows()}
    return by_metric if len(by_metric) == len(EFFECT_METRICS) else None


def _with_interval(metric: str, row: pd.Series) -> str:
    return format_effect(metric, row["mean"], row["low_corrected"], row["high_corrected"])


def _interval(metric: str, row: pd.Series) -> str:
    return format_interval(metric, row["low_corrected"], row["high_corrected"])


def _treatments(study: Study, effects: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Yield what each treatment changed in time, accuracy and efficiency, over all datasets."""
    for regime in TREATMENTS:
        effect = _effect(effects, study, scope="all", regime=regime, stage=FINAL)
        if effect:
            replicates = effect["time"]["replicates"]
            yield {
                "regime": regime,
                "time": f"{np.exp(effect['time']['mean']):.2f}",
                "time_interval": _interval("time", effect["time"]),
                "accuracy": _with_interval("accuracy", effect["accuracy"]),
                "efficiency": f"{np.exp(effect['efficiency']['mean']):.2f}",
                "efficiency_interval": _interval("efficiency", effect["efficiency"]),
                "replicates": "one replicate" if replicates == 1 else f"{replicates:.0f} replicates",
            }


def _comparisons(study: Study, pairs: pd.DataFrame, effects: pd.DataFrame) -> Iterator[list[str]]:
    """Yield the rows of the comparison with the control."""
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
                    yield [title, STAGES[stage], regime, *_comparison_values(means, effect)]


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


def _comparison_values(means: pd.Series | None, effect: Mapping[str, pd.Series]) -> Iterator[str]:
    for metric in EFFECT_METRICS.values():
        for column in (f"{metric}_of_control", metric):
            if means is None:
                yield ""
            else:
                yield format_percentage(means[column]) if metric == "accuracy" else f"{means[column]:.3g}"
        yield _with_interval(metric, effect[metric])
    yield f"{effect['efficiency']['replicates']:.0f}"
    p = effect["efficiency"]["p_holm"]
    yield "not available" if np.isnan(p) else f"{p:.2g}"


def _group_by_seed(missing: Sequence[tuple[str, str, str, int]]) -> list[str]:
    """Return missing cells as text, with the seeds of each dataset, model and regime together."""
    seeds: dict[str, list[str]] = {}
    for dataset, model, regime, seed in missing:
        seeds.setdefault(f"{dataset} {model} {regime}", []).append(str(seed))
    return [f"{name} {'seed' if len(of) == 1 else 'seeds'} {', '.join(of)}" for name, of in seeds.items()]


def _losses(study: Study, effects: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the datasets in which the accuracy of a treatment was shown to be lower."""
    for dataset, title in study.design.datasets.items():
        for regime in TREATMENTS:
            effect = _effect(effects, study, scope="dataset", dataset=dataset, stage=FINAL, regime=regime)
            if effect and effect["accuracy"]["high_corrected"] < 0:
                difference = _with_interval("accuracy", effect["accuracy"])
                yield {"title": title, "regime": regime, "difference": difference}
