"""The claims of the paper, C1 to C9, each evaluated with the available replicates.

A claim is *supported*; *not supported*, if it was tested and the evidence is insufficient; or *not tested
here*, if the grid lacks what the claim is about or has too few replicates for any result to be significant.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from entr.analysis.comparisons import (
    NEGLIGIBLE_LOG_RATIO,
    Comparison,
    Finding,
    above_zero,
    below_zero,
    estimate_pooled,
    join_names,
    make_claim,
    missing_names,
    not_worse,
    paired_differences,
    require_all,
    require_all_if_testable,
    weakest_of,
    where,
    why_untestable,
)
from entr.analysis.entr_hypothesis import evaluate_hypothesis
from entr.analysis.estimation import ALPHA, TARGET_RATIO, Estimate, estimate, holm
from entr.analysis.formatting import format_number, format_percentage
from entr.analysis.study import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Claim, Study
from entr.metrics import published_results
from entr.metrics.labels import FINAL, FULL, SUBTOTAL, TOTAL
from entr.metrics.published_results import TREATMENTS

SMALL = "small"
TRAINING_LOSS, LOSS_GAP = "training_negative_log_likelihood", "loss_gap"


def evaluate_claims(study: Study) -> list[Claim]:
    """Evaluate the hypothesis and each claim of the paper."""
    claims = evaluate_hypothesis(study)
    for name, evaluate in CLAIMS.items():
        claims += evaluate(name, study)
    return claims


def claims_table(claims: Iterable[Claim]) -> pd.DataFrame:
    """Return the table of claims: one row per claim, with the fields of `Claim` as columns."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def _always_more_efficient(claim: str, study: Study) -> Iterator[Claim]:
    """Evaluate that As rises in every dataset and model, before and after fine-tuning."""
    design = study.design
    of_paper = [name for name in design.datasets if name in published_results.DATASETS]
    complete = set(of_paper) == set(published_results.DATASETS) and set(published_results.MODELS) <= set(design.models)
    missing = [
        *missing_names(published_results.DATASETS, design.datasets),
        *missing_names(published_results.MODELS, design.models),
        *missing_names(TREATMENTS, design.regimes),
    ]
    published = f"{len(published_results.DATASETS) * len(published_results.MODELS) * len(TREATMENTS) * 2}"
    statement = "As of both treatments exceeds the control's in every dataset and model{}, at both stages"
    make = partial(make_claim, claim, paper=f"{published} of {published}")
    finding, result = _evaluate_inequalities(of_paper, published_results.MODELS, study)
    if missing:
        reason = f"the grid lacks {join_names(missing)}"
        finding = Finding(NOT_TESTED, f"{reason}; {finding.reason}" if result else reason)
    yield make(statement.format(""), finding, datasets=published_results.DATASETS, result=result)
    if not complete:
        finding, result = _evaluate_inequalities(list(design.datasets), design.models, study)
        statement = statement.format(" of this grid")
        replaced = dict.fromkeys(name for name in map(design.stand_in_for.get, design.datasets) if name)
        yield make(statement, finding, datasets=design.datasets, result=result, stand_in_for=replaced)


def _evaluate_inequalities(datasets: Sequence[str], models: Sequence[str], study: Study) -> tuple[Finding, str]:
    """Evaluate that As rises in each dataset and model: each interval, and the exact tests of pooled effects."""
    control = study.design.control
    pooled, single, lacking = [], [], []
    for treatment, stage in product(TREATMENTS, (SUBTOTAL, FINAL)):
        differences = paired_differences(study.values("efficiency", stage), treatment, control)
        differences = differences[differences.index.get_level_values("dataset").isin(datasets)]
        differences = differences[[model for model in differences if model in models]]
        result = estimate_pooled(differences, study, datasets)
        if result is None:
            lacking.append(treatment)
            continue
        pooled.append(above_zero(f"{treatment} {stage}, pooled", "efficiency", result))
        for dataset, rows in differences.groupby(level="dataset", sort=False):
            for model in rows.columns[rows.notna().any()]:
                label = f"{dataset} {model} {treatment} {stage}"
                pairs = rows[model].dropna().to_numpy()
                single.append(_above_zero_by_interval(label, estimate([pairs], study.overlap, flips=1)))
    if not single:
        return Finding(NOT_TESTED, f"no pairs of {' or '.join(TREATMENTS)} and {control}"), ""
    count = f"{sum(comparison.holds for comparison in single)} of {len(single)}"
    if lacking:
        return Finding(
            NOT_TESTED, f"no pairs of {' or '.join(dict.fromkeys(lacking))} and {control}{where(study)}"
        ), count
    if obstacle := why_untestable(pooled):
        weakest = min(single, key=lambda comparison: comparison.estimate.mean)
        return Finding(NOT_TESTED, f"{count} mean ratios exceed 1, but {obstacle}", weakest), count
    without_interval = [comparison.label for comparison in single if comparison.estimate.replicates < 2]
    if without_interval:
        return Finding(NOT_TESTED, f"one replicate of {join_names(without_interval)}"), count
    return require_all([*single, *pooled], single), count


def _above_zero_by_interval(label: str, result: Estimate) -> Comparison:
    """Return the comparison by the interval of one dataset and model; the exact test is of pooled effects."""
    holds = result.mean > 0
    p = 0.0 if result.constant else result.corrected.p
    return Comparison(label, "efficiency", result, holds, p if holds else 1.0)


def _best_cell(claim: str, study: Study, *, metric: str, dataset: str, model: str, regime: str) -> Iterator[Claim]:
    """Evaluate that one model and regime is the best of the paper's nine."""
    kind, published = ("most efficient", "the best of nine cells")
    if metric == "accuracy":
        kind, published = "most accurate", _published_accuracy(dataset)
    for name, stand_in_for in _datasets_for(dataset, study):
        finding, result = _evaluate_best_cell(metric, name, (model, regime), study)
        statement = f"{regime} with {model} is the {kind} cell"
        yield make_claim(
            claim,
            statement,
            finding,
            datasets=[name],
            paper=published,
            result=result,
            stand_in_for=stand_in_for,
        )


def _datasets_for(dataset: str, study: Study) -> Iterator[tuple[str, list[str]]]:
    """Yield the datasets on which a claim is evaluated: the paper's own, and stand-ins with the paper's name."""
    yield dataset, []
    for name in study.design.datasets:
        if study.design.stand_in_for.get(name) == dataset:
            yield name, [dataset]


def _evaluate_best_cell(metric: str, dataset: str, claimed: tuple[str, str], study: Study) -> tuple[Finding, str]:
    table = _values_of(dataset, study, metric, FINAL)
    cells = list(product(published_results.MODELS, (study.design.control, *TREATMENTS)))
    available = [cell for cell in cells if cell in table and table[cell].notna().any()]
    missing = _missing_of_paper(dataset, study)
    missing = missing or [f"cells of {' '.join(cell)}" for cell in cells if cell not in available]
    result = _describe_best(available, metric, dataset, study)
    if missing:
        return Finding(NOT_TESTED, f"the grid lacks {join_names(missing)}"), f"best so far: {result}" if result else ""
    comparisons = []
    for other in cells:
        if other == claimed:
            continue
        pairs = (table[claimed] - table[other]).dropna().to_numpy()
        if not pairs.size:
            return Finding(NOT_TESTED, f"no seed has both {' '.join(claimed)} and {' '.join(other)}"), result
        label = f"{' '.join(claimed)} over {' '.join(other)}"
        comparisons.append(above_zero(label, metric, estimate([pairs], study.overlap, flips=study.flips)))
    return require_all_if_testable(comparisons), result


def _missing_of_paper(dataset: str, study: Study) -> list[str]:
    """Return what the grid lacks of a dataset, the paper's models and its treatments."""
    design = study.design
    return [
        *missing_names([dataset], design.datasets),
        *missing_names(published_results.MODELS, design.models),
        *missing_names(TREATMENTS, design.regimes),
    ]


def _values_of(dataset: str, study: Study, metric: str, stage: str) -> pd.DataFrame:
    """Return a metric in one dataset: indexed by seed, with the column levels model and regime."""
    values = study.values(metric, stage)
    if dataset not in values.index.get_level_values("dataset"):
        return pd.DataFrame()
    return values.xs(dataset, level="dataset")


def _describe_best(cells: Sequence[tuple[str, str]], metric: str, dataset: str, study: Study) -> str:
    """Describe the cell with the highest mean: its accuracy at both stages, or As with A and T."""
    if not cells:
        return ""
    table = _values_of(dataset, study, metric, FINAL)
    best = max(cells, key=lambda cell: table[cell].mean())
    model, regime = best
    early, final = (_values_of(dataset, study, "accuracy", stage)[best].mean() for stage in (SUBTOTAL, FINAL))
    if metric == "accuracy":
        return f"{regime} with {model}: {_describe_accuracy(early, final)}"
    seconds = np.exp(_values_of(dataset, study, "time", FINAL)[best].mean())
    efficiency = np.exp(table[best].mean())
    values = f"As {format_number(efficiency)} 1/√s, A {format_percentage(final)}, T {format_number(seconds)} s"
    return f"{regime} with {model}: {values}"


def _describe_accuracy(early: float, final: float, early_note: str = "", final_note: str = "") -> str:
    return f"{format_percentage(early)} before fine-tuning{early_note}, {format_percentage(final)} after it{final_note}"


def _published_accuracy(dataset: str) -> str:
    early, final = (published_results.published(dataset, stage) for stage in (SUBTOTAL, FINAL))
    text = _describe_accuracy(early.accuracy, final.accuracy, f" ({early.count})", f" ({final.count})")
    return f"{final.cell}: {text}"


def _control_most_accurate(claim: str, study: Study, *, dataset: str, models_needed: int) -> Iterator[Claim]:
    """Evaluate that the control has the highest accuracy for at least so many of the paper's models."""
    which = "every model" if models_needed == len(published_results.MODELS) else "most models"
    for name, stand_in_for in _datasets_for(dataset, study):
        finding, result = _evaluate_control(name, models_needed, study)
        yield make_claim(
            claim,
            f"{study.design.control} has the highest accuracy for {which}",
            finding,
            datasets=[name],
            paper=_published_accuracy(dataset),
            result=result,
            stand_in_for=stand_in_for,
        )


def _evaluate_control(dataset: str, models_needed: int, study: Study) -> tuple[Finding, str]:
    control = study.design.control
    table = _values_of(dataset, study, "accuracy", FINAL)
    control_cells = [(model, control) for model in published_results.MODELS if (model, control) in table]
    result = _describe_best(control_cells, "accuracy", dataset, study)
    missing = _missing_of_paper(dataset, study)
    grid_is_complete = not missing
    leads = {}
    for model in published_results.MODELS:
        if not {(model, regime) for regime in (control, *TREATMENTS)} <= set(table.columns):
            missing += [f"cells of {model}"] if grid_is_complete else []
            continue
        comparisons = []
        for treatment in TREATMENTS:
            pairs = (table[model, control] - table[model, treatment]).dropna().to_numpy()
            if pairs.size:
                label = f"{control} over {treatment} with {model}"
                comparisons.append(above_zero(label, "accuracy", estimate([pairs], study.overlap, flips=study.flips)))
        if len(comparisons) == len(TREATMENTS):
            leads[model] = weakest_of(comparisons)
        else:
            missing.append(f"pairs of {model}")
    if missing:
        return Finding(NOT_TESTED, f"the grid lacks {join_names(dict.fromkeys(missing))}"), result
    if models_needed == len(leads) or why_untestable(leads.values()):
        return require_all_if_testable(list(leads.values())), result
    return _require_some(leads, models_needed), result


def _require_some(leads: Mapping[str, Comparison], needed: int) -> Finding:
    """Evaluate a claim that requires so many of several comparisons: those significant by Holm's p-value."""
    adjusted = dict(zip(leads, holm([lead.p for lead in leads.values()]), strict=True))
    ranked = sorted(leads, key=lambda model: (adjusted[model], not leads[model].holds))
    deciding = ranked[needed - 1]
    shown = sum(p <= ALPHA for p in adjusted.values())
    verdict = SUPPORTED if shown >= needed else NOT_SUPPORTED
    lead = leads[deciding]
    reason = f"shown for {shown} of {len(leads)} models ({needed} needed); deciding: {lead.label}, {lead}"
    return Finding(verdict, reason, lead, float(adjusted[deciding]))


def _small_then_large(claim: str, study: Study) -> Iterator[Claim]:
    """Evaluate that small images throughout cost accuracy, and that increasing sizes do not."""
    statement = (
        "small images throughout cost less and reach lower accuracy; starting small and ending large reaches full "
        "accuracy at lower cost"
    )
    missing = missing_names((SMALL, *TREATMENTS), study.design.regimes)
    finding = Finding(NOT_TESTED, f"the grid lacks {join_names(missing)}") if missing else _evaluate_sketch(study)
    sketch = "Fig. 1, a sketch without numbers"
    yield make_claim(claim, statement, finding, datasets=study.design.datasets, paper=sketch)


def _evaluate_sketch(study: Study) -> Finding:
    control = study.design.control
    required: list[tuple[str, str, Callable[[Estimate], Comparison]]] = [
        (SMALL, "time", partial(below_zero, f"{SMALL} costs less than {control}", "time")),
        (SMALL, "accuracy", partial(below_zero, f"{SMALL} is less accurate than {control}", "accuracy")),
    ]
    for treatment in TREATMENTS:
        label = f"{treatment} costs less than {control}"
        required.append((treatment, "time", partial(below_zero, label, "time")))
    for treatment in TREATMENTS:
        label = f"{treatment} is not less accurate than {control}"
        required.append((treatment, "accuracy", partial(not_worse, label, "accuracy", margin=study.margin)))
    comparisons = []
    for regime, metric, compare in required:
        result = estimate_pooled(paired_differences(study.values(metric, FINAL), regime, control), study)
        if result is None:
            return Finding(NOT_TESTED, f"no complete pairs of {regime} and {control}")
        comparisons.append(compare(result))
    return require_all_if_testable(comparisons)


def _regularisation(claim: str, study: Study) -> Iterator[Claim]:
    """Evaluate that the generalisation gap is smaller at equal training loss; otherwise less was learned."""
    statement = "the effect is regularisation: at equal training loss, the generalisation gap is smaller"
    finding = _evaluate_regularisation(study)
    interpretation = "an interpretation, not measured"
    yield make_claim(claim, statement, finding, datasets=study.design.datasets, paper=interpretation)


def _evaluate_regularisation(study: Study) -> Finding:
    control = study.design.control
    losses, gaps = (study.values(metric, TOTAL, FULL) for metric in (TRAINING_LOSS, LOSS_GAP))
    comparisons = []
    for treatment in TREATMENTS:
        loss = estimate_pooled(paired_differences(losses, control, treatment), study)
        gap = estimate_pooled(paired_differences(gaps, treatment, control), study)
        if loss is None or gap is None:
            missing = missing_names(TREATMENTS, study.design.regimes) or ["the training losses of all cells"]
            return Finding(NOT_TESTED, f"the results lack {join_names(missing)}")
        label = f"training loss of {control} relative to {treatment} is at least {1 / TARGET_RATIO:.2f}"
        comparisons.append(not_worse(label, TRAINING_LOSS, loss, NEGLIGIBLE_LOG_RATIO))
        comparisons.append(below_zero(f"{treatment} has a smaller loss gap", LOSS_GAP, gap))
    return require_all_if_testable(comparisons)


CLAIMS: Mapping[str, Callable[[str, Study], Iterator[Claim]]] = {
    "C1": _always_more_efficient,
    "C2": partial(_best_cell, metric="efficiency", dataset="steel", model="resnet18", regime="stepwise"),
    "C3": partial(_best_cell, metric="efficiency", dataset="ucm", model="resnet18", regime="gradual"),
    "C4": partial(_best_cell, metric="efficiency", dataset="bees", model="resnet18", regime="gradual"),
    "C5": partial(_control_most_accurate, dataset="ucm", models_needed=len(published_results.MODELS)),
    "C6": partial(_control_most_accurate, dataset="steel", models_needed=2),
    "C7": partial(_best_cell, metric="accuracy", dataset="bees", model="resnet50", regime="stepwise"),
    "C8": _small_then_large,
    "C9": _regularisation,
}
"""The claims of the paper by name."""
