"""The paper's claims and the hypothesis itself, each judged by the replicates at hand.

Three words are used: *supported*; *not supported*, where it was tested and the evidence falls short; and
*not tested here*, where the grid lacks what the claim speaks of, or has too few replicates for any result
to be significant. A claim that needs several comparisons at once needs each at p <= 0.05 and no correction
(intersection-union test, Berger 1982, Technometrics 24, 295); where some of several would do, p is Holm's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from entr import statistics
from entr.statistics import ALPHA, MARGIN, TARGET_RATIO, Estimate, estimate, holm, replicates
from entr.tables import CELL

SUPPORTED, NOT_SUPPORTED, NOT_TESTED = "supported", "not supported", "not tested here"

PAPER_DATASETS = ("steel", "ucm", "bees")
PAPER_MODELS = ("resnet18", "resnet34", "resnet50")
TREATMENTS = ("gradual", "stepwise")
EARLY, LATE, FINAL = "sub-total", "total", "total-tta"
"""The paper's results before re-training are the sub-total's, its final ones those with test-time augmentation."""
NOT_WORSE = "A is equivalent or better"
LOGARITHMIC = ("time", "efficiency", "training_negative_log_likelihood")
NEGLIGIBLE_GAIN = np.log(TARGET_RATIO)
"""Logarithm of the ratio within which two times, or two training losses, count as the same."""

Tables = Mapping[tuple[str, str, str], pd.DataFrame]
"""Values by measure, stage and ``at``: indexed by dataset and seed, columns model and regime."""


@dataclass(frozen=True)
class Study:
    """What was to be run, and what the finished cells measured."""

    cells: pd.DataFrame
    """That of `tables.cells_of`."""
    datasets: Mapping[str, str]
    """Titles by name."""
    stands_for: Mapping[str, str]
    """By the name of a dataset: that of the paper's which it stands near, if any."""
    models: Sequence[str]
    regimes: Sequence[str]
    seeds: Sequence[int]
    control: str
    basis: str
    """Of *T*."""
    overlap: float
    """Validation over training images; see `statistics.overlap_of`."""
    margin: float = MARGIN
    flips: int = statistics.FLIPS

    def missing(self) -> list[str]:
        """Name the cells of the grid that have no results."""
        done = set(self.cells[CELL].drop_duplicates().itertuples(index=False, name=None))
        asked = product(self.datasets, self.models, self.regimes, self.seeds)
        return [" ".join([*cell[:3], f"seed{cell[3]}"]) for cell in asked if cell not in done]


@dataclass(frozen=True)
class Claim:
    """One row of the verdict."""

    claim: str
    on: str
    """Names of the datasets that it is judged on."""
    stands_for: str
    """Name of the paper's dataset that a stand-in is near; empty where the claim is judged on its own."""
    statement: str
    verdict: str
    ours: str
    """What we found, in the terms of `paper`."""
    paper: str
    measure: str
    """What `value` is."""
    value: float
    """Of the comparison that decides: the weakest."""
    low: float
    high: float
    """95 % interval of `value`, widened for folds that share training images."""
    p: float
    """That decides; adjusted where only one of several had to be shown."""
    replicates: float
    why: str


@dataclass(frozen=True)
class Comparison:
    """One inequality that a claim needs."""

    label: str
    measure: str
    estimate: Estimate
    holds: bool
    """Whether the mean lies where the claim says."""
    p: float
    """Of the opposite, so that a small one supports the claim."""


@dataclass(frozen=True)
class Finding:
    """What comparisons say together."""

    verdict: str
    why: str
    deciding: Comparison | None = None
    p: float = np.nan


def judge(study: Study) -> list[Claim]:
    """Judge the hypothesis and each of the paper's claims."""
    tables = _tables(study)
    return [
        *hypothesis(study, tables),
        *_always_more_efficient(study, tables),
        *_best_cell("C2", "efficiency", "steel", ("resnet18", "stepwise"), study, tables),
        *_best_cell("C3", "efficiency", "ucm", ("resnet18", "gradual"), study, tables),
        *_best_cell("C4", "efficiency", "bees", ("resnet18", "gradual"), study, tables),
        *_control_most_accurate("C5", "ucm", len(PAPER_MODELS), study, tables),
        *_control_most_accurate("C6", "steel", 2, study, tables),
        *_best_cell("C7", "accuracy", "bees", ("resnet50", "stepwise"), study, tables),
        _small_then_large(study, tables),
        _regularisation(study, tables),
    ]


def table_of(claims: Iterable[Claim]) -> pd.DataFrame:
    """Return a row a claim."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def _tables(study: Study) -> Tables:
    # the test sizes are of several sizes at once, and no claim speaks of them
    of_stages = study.cells[study.cells["at"] != "test"]
    rows = of_stages[of_stages["basis"].isin(["", study.basis])]
    tables = {}
    for (measure, stage, at), group in rows.groupby(["measure", "stage", "at"], sort=False):
        table = group.pivot(index=["dataset", "seed"], columns=["model", "regime"], values="value")  # noqa: PD010  no mean
        if measure in LOGARITHMIC:
            table = np.log(table.where(table > 0))
        tables[measure, stage, at] = table
    return tables


# comparing


def _differences(table: pd.DataFrame | None, one: str, other: str) -> pd.DataFrame:
    """Return one regime minus another: indexed by dataset and seed, a column a model."""
    regimes = set() if table is None else set(table.columns.get_level_values("regime"))
    if not {one, other} <= regimes:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["dataset", "seed"]))
    found = table.xs(one, level="regime", axis=1) - table.xs(other, level="regime", axis=1)
    there = found.notna().to_numpy()
    return found.loc[there.any(1), there.any(0)]


def _estimate(differences: pd.DataFrame, study: Study) -> Estimate | None:
    """Estimate the mean over datasets, models and seeds, if there are pairs of each dataset."""
    samples = list(replicates(differences).values())
    whole = len(samples) == differences.index.get_level_values("dataset").nunique()
    return estimate(samples, study.overlap, flips=study.flips) if samples and whole else None


def _above(label: str, measure: str, found: Estimate) -> Comparison:
    """Return the comparison that the mean is above zero."""
    holds = found.mean > 0
    return Comparison(label, measure, found, holds, found.p_shown if holds else 1.0)


def _below(label: str, measure: str, found: Estimate) -> Comparison:
    """Return the comparison that the mean is below zero."""
    holds = found.mean < 0
    return Comparison(label, measure, found, holds, found.p_shown if holds else 1.0)


def _not_worse(label: str, measure: str, found: Estimate, margin: float) -> Comparison:
    """Return the comparison that the mean is above -margin: equivalent or better."""
    p = float(np.nan_to_num(found.p_above(-margin), nan=1))
    return Comparison(label, measure, found, found.mean > -margin, p)


def _together(comparisons: Sequence[Comparison]) -> Finding:
    """Judge a claim that needs every comparison."""
    if too_few := _too_few(comparisons):
        return Finding(NOT_TESTED, f"{_count(comparisons)}, but {too_few}", _weakest(comparisons))
    return _all(comparisons)


def _weakest(comparisons: Iterable[Comparison]) -> Comparison:
    return max(comparisons, key=lambda one: (one.p, not one.holds))


def _all(comparisons: Sequence[Comparison], counted: Sequence[Comparison] = ()) -> Finding:
    """Judge comparisons that have replicates enough, and say how many of those to be counted hold."""
    weakest, count = _weakest(comparisons), _count(counted or comparisons)
    if weakest.p <= ALPHA:
        return Finding(SUPPORTED, f"{count}, each beyond noise", weakest, weakest.p)
    how = "within noise" if weakest.holds else "the other way"
    return Finding(NOT_SUPPORTED, f"{count}; weakest: {weakest.label}, {_said(weakest)}, {how}", weakest, weakest.p)


def _too_few(comparisons: Iterable[Comparison]) -> str:
    """Say why no result could be significant, if none could."""
    fewest = min((one.estimate for one in comparisons), key=lambda one: one.replicates)
    if fewest.replicates == 1:
        return "there is one replicate, which cannot tell a difference from noise"
    if any(np.isnan(one.estimate.p) for one in comparisons):
        return "a dataset has one replicate, which cannot tell a difference from noise"
    if not fewest.testable:
        least = statistics.least_p(fewest)
        return f"{fewest.replicates} replicates cannot reach p < {ALPHA}: the least possible is {least:.2g}"
    return ""


def _count(comparisons: Sequence[Comparison]) -> str:
    holding = sum(one.holds for one in comparisons)
    return f"{holding} of {len(comparisons)} comparisons come out as claimed"


def _said(comparison: Comparison) -> str:
    """Say the figure of a comparison with its interval, if it has one."""
    found = comparison.estimate
    low, high = found.low_overlap, found.high_overlap
    return f"{number(comparison.measure, found.mean)}{interval(comparison.measure, low, high)}"


def number(measure: str, value: float) -> str:
    """Say a difference of a measure: a logarithm as a ratio, a share in points."""
    if np.isnan(value):
        return "none"
    if measure in LOGARITHMIC:
        return f"×{digits(np.exp(value))}" if abs(value) < 20 else "beyond measure"
    return f"{100 * value:+.1f} points" if measure in {"accuracy", "accuracy_gap"} else f"{value:+.3f} nats"


def digits(value: float) -> str:
    """Say a number by three significant digits."""
    return f"{value:#.3g}".removesuffix(".")


def interval(measure: str, low: float, high: float) -> str:
    """Say an interval in brackets, or nothing."""
    if measure == "accuracy":
        low, high = np.maximum(low, -1), np.minimum(high, 1)
    if np.isnan(low):
        return ""
    bare = [number(measure, value).removeprefix("×").partition(" ")[0] for value in (low, high)]
    return f" [{', '.join(bare)}]"


def _claim(
    name: str, on: str, statement: str, finding: Finding, *, paper: str, ours: str = "", stands_for: str = ""
) -> Claim:
    deciding = finding.deciding
    of = deciding.estimate if deciding else None
    unit = np.exp if deciding and deciding.measure in LOGARITHMIC else float
    values = (of.mean, of.low_overlap, of.high_overlap) if of else (np.nan,) * 3
    with np.errstate(over="ignore"):
        value, low, high = (float(unit(one)) for one in values)
    measure = ""
    if deciding:
        kind = "ratio" if deciding.measure in LOGARITHMIC else "difference"
        measure = f"{deciding.measure} {kind}: {deciding.label}"
    return Claim(
        claim=name, on=on, stands_for=stands_for, statement=statement, verdict=finding.verdict, ours=ours,
        paper=paper, measure=measure, value=value, low=low, high=high, p=finding.p,
        replicates=of.replicates if of else np.nan, why=finding.why,
    )  # fmt: skip


# the hypothesis


def hypothesis(study: Study, tables: Tables | None = None) -> list[Claim]:
    """Judge ENTR for each treatment: T falls, A is no worse, and no rival has the same A at the same T.

    Any treatment would do, so the p of each, the largest of what it needs, is adjusted by Holm. Rivals are
    ``matched`` (full size, as little time) and ``small`` or ``medium`` (no increase): each must be shown to
    be less accurate, or to cost more by a ratio above 1.05.
    """
    tables = _tables(study) if tables is None else tables
    treatments = [one for one in TREATMENTS if one in study.regimes]
    findings = {one: _entr(one, study, tables) for one in treatments}
    ps = {one: finding.p for one, finding in findings.items() if not np.isnan(finding.p)}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True)) if ps else {}
    claims = []
    for treatment, finding in findings.items():
        p = float(adjusted.get(treatment, np.nan))
        verdict, why = finding.verdict, finding.why
        if verdict == SUPPORTED and p > ALPHA:
            verdict, why = NOT_SUPPORTED, f"{why}, but not when adjusted for several treatments (p = {p:.2g})"
        statement = f"{treatment}: T falls, A is equivalent or better, and no rival has the same A at the same T"
        found = Finding(verdict, why, finding.deciding, p)
        ours = _versus_control(treatment, study, tables)
        paper = "As above the control's in all nine cells; neither A nor rivals were tested"
        claims.append(_claim("ENTR", _run(study), statement, found, paper=paper, ours=ours))
    if not claims:
        nothing = Finding(NOT_TESTED, f"neither {' nor '.join(TREATMENTS)} is in the grid")
        claims.append(_claim("ENTR", _run(study), "the hypothesis", nothing, paper="As above the control's"))
    return claims


def overall(claims: Iterable[Claim]) -> str:
    """Return the verdict on the hypothesis: any treatment would support it."""
    verdicts = {claim.verdict for claim in claims if claim.claim == "ENTR"}
    return next(one for one in (SUPPORTED, NOT_TESTED, NOT_SUPPORTED) if one in verdicts)


def _entr(treatment: str, study: Study, tables: Tables) -> Finding:
    of = {
        name: _estimate(_differences(tables.get((name, FINAL, "phase")), treatment, study.control), study)
        for name in ("time", "accuracy")
    }
    if None in of.values():
        return Finding(NOT_TESTED, f"no pairs of {treatment} and {study.control}")
    needs = [
        _below("T falls", "time", of["time"]),
        _not_worse(f"{NOT_WORSE} (margin {study.margin:g})", "accuracy", of["accuracy"], study.margin),
    ]
    found = {name: _rival(name, treatment, study, tables) for name in ("matched", "small", "medium")}
    rivals = {name: need for name, need in found.items() if need}
    needs += rivals.values()
    missing = [] if "matched" in rivals else ["matched"]
    missing += [] if {"small", "medium"} & rivals.keys() else ["small or medium"]
    if too_few := _too_few(needs):
        return Finding(NOT_TESTED, too_few, needs[0])
    weakest = _weakest(needs)
    if failed := [_unmet(one) for one in needs if one.p > ALPHA]:
        return Finding(NOT_SUPPORTED, "; ".join(failed), weakest, weakest.p)
    if missing:
        return Finding(
            NOT_TESTED,
            f"{_listed(one.label for one in needs)}: shown; but the grid lacks the rivals {_listed(missing)}",
            weakest,
        )
    return Finding(SUPPORTED, f"shown: {'; '.join(f'{one.label}, {_said(one)}' for one in needs)}", weakest, weakest.p)


def _unmet(need: Comparison) -> str:
    """Say a need that is not shown, or of which the opposite is."""
    fell = need.label.startswith(NOT_WORSE) and need.estimate.high_overlap < 0
    return f"{'A fell' if fell else f'not shown that {need.label}'}: {_said(need)}"


def _rival(rival: str, treatment: str, study: Study, tables: Tables) -> Comparison | None:
    """Return the comparison that a rival is less accurate, or costs more, than a treatment."""
    accuracy = _estimate(_differences(tables.get(("accuracy", FINAL, "phase")), treatment, rival), study)
    differences = _differences(tables.get(("time", FINAL, "phase")), rival, treatment) - NEGLIGIBLE_GAIN
    time = _estimate(differences, study)
    if accuracy is None or time is None:
        return None
    label = f"A is above that of {rival}, or {rival} costs over {100 * (TARGET_RATIO - 1):.0f} % more"
    # two-sided p of one-sided questions, so that asking two of them is paid for
    ways = [_above(label, "accuracy", accuracy), _above(label, "time", time)]
    best = min(ways, key=lambda one: one.p)
    # said in terms of A, which both have to do with
    return Comparison(label, "accuracy", accuracy, best.holds, best.p)


def _versus_control(treatment: str, study: Study, tables: Tables) -> str:
    parts = []
    for symbol, measure in (("A", "accuracy"), ("T", "time"), ("As", "efficiency")):
        found = _estimate(_differences(tables.get((measure, FINAL, "phase")), treatment, study.control), study)
        if found:
            parts.append(f"{symbol} {_said(Comparison('', measure, found, True, 1))}")
    return ", ".join(parts)


# C1


def _always_more_efficient(study: Study, tables: Tables) -> Iterator[Claim]:
    paper_run = [name for name in study.datasets if name in PAPER_DATASETS]
    whole = set(paper_run) == set(PAPER_DATASETS) and set(PAPER_MODELS) <= set(study.models)
    missing = [*_lacking(PAPER_DATASETS, study.datasets), *_lacking(PAPER_MODELS, study.models)]
    missing += _lacking(TREATMENTS, study.regimes)
    statement = "As of both treatments exceeds the control's in every dataset and model, at both stages"
    paper = "36 of 36"
    finding, ours = _inequalities(paper_run, PAPER_MODELS, study, tables)
    if not whole or missing:
        why = f"the grid lacks {_listed(missing)}"
        finding = Finding(NOT_TESTED, f"{why}; {finding.why}" if paper_run else why)
    yield _claim("C1", _listed(PAPER_DATASETS), statement, finding, paper=paper, ours=ours)
    if not whole:
        finding, ours = _inequalities(list(study.datasets), study.models, study, tables)
        yield _claim(
            "C1",
            _run(study),
            f"{statement} that were run",
            finding,
            paper=paper,
            ours=ours,
            stands_for=_listed(PAPER_DATASETS),
        )


def _inequalities(datasets: Sequence[str], models: Sequence[str], study: Study, tables: Tables) -> tuple[Finding, str]:
    """Judge that As rises in each dataset and model: the exact test pooled, and each interval."""
    pooled, each = [], []
    for treatment, stage in product(TREATMENTS, (EARLY, FINAL)):
        differences = _differences(tables.get(("efficiency", stage, "phase")), treatment, study.control)
        differences = differences[differences.index.get_level_values("dataset").isin(datasets)]
        differences = differences[[model for model in differences if model in models]]
        found = _estimate(differences, study)
        if found is None:
            continue
        pooled.append(_above(f"{treatment} {stage}, pooled", "efficiency", found))
        for dataset, rows in differences.groupby(level="dataset", sort=False):
            for model in rows.columns[rows.notna().any()]:
                label = f"{dataset} {model} {treatment} {stage}"
                each.append(_in_one_block(label, estimate([rows[model].dropna().to_numpy()], study.overlap, flips=1)))
    if not each:
        return Finding(NOT_TESTED, f"no pairs of {' or '.join(TREATMENTS)} and {study.control}"), ""
    ours = f"{sum(one.holds for one in each)} of {len(each)}"
    if too_few := _too_few(pooled):
        weakest = min(each, key=lambda one: one.estimate.mean)
        return Finding(NOT_TESTED, f"{ours} mean ratios exceed 1, but {too_few}", weakest), ours
    lone = [one.label for one in each if one.estimate.replicates < 2]
    if lone:
        return Finding(NOT_TESTED, f"one replicate of {_listed(lone)}"), ours
    return _all([*each, *pooled], each), ours


def _in_one_block(label: str, found: Estimate) -> Comparison:
    """Return the comparison by a block's interval; the exact test is done on all blocks together."""
    holds = found.mean > 0
    p = found.p_overlap if holds and found.sd > 0 else 1.0
    return Comparison(label, "efficiency", found, holds, p)


# C2 to C7


def _subjects(dataset: str, study: Study) -> list[tuple[str, str]]:
    """Return the datasets that a claim is judged on: the paper's own, then stand-ins, with what they stand for."""
    return [(dataset, ""), *((name, dataset) for name in study.datasets if study.stands_for.get(name) == dataset)]


def _best_cell(
    name: str, measure: str, dataset: str, claimed: tuple[str, str], study: Study, tables: Tables
) -> Iterator[Claim]:
    """Judge that one model and regime is best of the paper's nine."""
    kind, paper = ("most efficient", "the best of nine cells")
    if measure == "accuracy":
        kind, paper = "most accurate", "73.8 % sub-total (231 of 313), 85.6 % total (268 of 313)"
    for on, stands_for in _subjects(dataset, study):
        statement = f"{claimed[1]} with {claimed[0]} is the {kind} cell"
        finding, ours = _argmax(measure, on, claimed, study, tables)
        yield _claim(name, on, statement, finding, paper=paper, ours=ours, stands_for=stands_for)


def _argmax(measure: str, dataset: str, claimed: tuple[str, str], study: Study, tables: Tables) -> tuple[Finding, str]:
    table = _of_dataset(tables.get((measure, FINAL, "phase")), dataset)
    regimes = (study.control, *TREATMENTS)
    cells = list(product(PAPER_MODELS, regimes))
    present = [cell for cell in cells if cell in table and table[cell].notna().any()]
    missing = _missing(dataset, study)
    missing += [*_lacking(PAPER_MODELS, study.models), *_lacking(TREATMENTS, study.regimes)]
    missing = missing or [f"cells of {' '.join(cell)}" for cell in cells if cell not in present]
    ours = _best(table, present, measure, dataset, tables)
    if missing:
        return Finding(NOT_TESTED, f"the grid lacks {_listed(missing)}"), f"of what was run: {ours}" if ours else ""
    comparisons = []
    for other in (cell for cell in cells if cell != claimed):
        pairs = (table[claimed] - table[other]).dropna().to_numpy()
        if not pairs.size:
            return Finding(NOT_TESTED, f"no seed has both {' '.join(claimed)} and {' '.join(other)}"), ours
        found = estimate([pairs], study.overlap, flips=study.flips)
        comparisons.append(_above(f"{' '.join(claimed)} over {' '.join(other)}", measure, found))
    return _together(comparisons), ours


def _of_dataset(table: pd.DataFrame | None, dataset: str) -> pd.DataFrame:
    if table is None or dataset not in table.index.get_level_values("dataset"):
        return pd.DataFrame()
    return table.xs(dataset, level="dataset")


def _best(table: pd.DataFrame, cells: Sequence[tuple[str, str]], measure: str, dataset: str, tables: Tables) -> str:
    """Say which cell has the highest mean; with As also A and T."""
    if not cells:
        return ""
    best = max(cells, key=lambda cell: table[cell].mean())
    means = {
        stage: _of_dataset(tables.get(("accuracy", stage, "phase")), dataset)[best].mean() for stage in (EARLY, FINAL)
    }
    accuracy = f"{100 * means[EARLY]:.1f} % sub-total, {100 * means[FINAL]:.1f} % total"
    if measure == "accuracy":
        return f"{best[1]} with {best[0]}: {accuracy}"
    seconds = np.exp(_of_dataset(tables.get(("time", FINAL, "phase")), dataset)[best].mean())
    return (
        f"{best[1]} with {best[0]}: As {np.exp(table[best].mean()):.3g} 1/√s, "
        f"A {100 * means[FINAL]:.1f} %, T {seconds:.3g} s"
    )


def _control_most_accurate(name: str, dataset: str, least: int, study: Study, tables: Tables) -> Iterator[Claim]:
    """Judge that the control has the highest accuracy for at least so many of the paper's models."""
    paper = {
        "ucm": "best 91.4 % sub-total (192 of 210), 97.1 % total (204 of 210)",
        "steel": "resnet50 79.6 % sub-total, 84.2 % total",
    }[dataset]
    which = "every model" if least == len(PAPER_MODELS) else "most models"
    statement = f"{study.control} has the highest accuracy for {which}"
    for on, stands_for in _subjects(dataset, study):
        finding, ours = _control_leads(on, least, study, tables)
        yield _claim(name, on, statement, finding, paper=paper, ours=ours, stands_for=stands_for)


def _control_leads(dataset: str, least: int, study: Study, tables: Tables) -> tuple[Finding, str]:
    table = _of_dataset(tables.get(("accuracy", FINAL, "phase")), dataset)
    missing = _missing(dataset, study)
    missing += [*_lacking(PAPER_MODELS, study.models), *_lacking(TREATMENTS, study.regimes)]
    own = [(model, study.control) for model in PAPER_MODELS if (model, study.control) in table]
    ours = _best(table, own, "accuracy", dataset, tables)
    leads = {}
    for model in PAPER_MODELS:
        rivals = [(model, regime) for regime in TREATMENTS]
        if not {(model, study.control), *rivals} <= set(table.columns):
            missing += [] if missing else [f"cells of {model}"]
            continue
        parts = []
        for rival in rivals:
            pairs = (table[model, study.control] - table[rival]).dropna().to_numpy()
            if pairs.size:
                found = estimate([pairs], study.overlap, flips=study.flips)
                parts.append(_above(f"{study.control} over {rival[1]} with {model}", "accuracy", found))
        if len(parts) == len(rivals):
            leads[model] = _weakest(parts)
        else:
            missing += [f"pairs of {model}"]
    if missing:
        return Finding(NOT_TESTED, f"the grid lacks {_listed(dict.fromkeys(missing))}"), ours
    if least == len(leads) or _too_few(leads.values()):
        return _together(list(leads.values())), ours
    return _most(leads, least), ours


def _most(leads: Mapping[str, Comparison], least: int) -> Finding:
    """Judge a claim that needs so many of several comparisons: Holm's p counts those shown."""
    adjusted = dict(zip(leads, holm([one.p for one in leads.values()]), strict=True))
    ranked = sorted(leads, key=lambda model: (adjusted[model], not leads[model].holds))
    deciding = ranked[least - 1]
    shown = sum(p <= ALPHA for p in adjusted.values())
    verdict = SUPPORTED if shown >= least else NOT_SUPPORTED
    why = f"shown for {shown} of {len(leads)} models; {least} needed; {leads[deciding].label}: {_said(leads[deciding])}"
    return Finding(verdict, why, leads[deciding], float(adjusted[deciding]))


# C8 and C9


def _small_then_large(study: Study, tables: Tables) -> Claim:
    statement = "small throughout costs less and reaches less; starting small and ending large reaches all for less"
    treatments = [one for one in TREATMENTS if one in study.regimes]
    finding = Finding(NOT_TESTED, f"the grid lacks {_listed(_lacking(('small', *TREATMENTS), study.regimes))}")
    if "small" in study.regimes and len(treatments) == len(TREATMENTS):
        asked = [("small", "time", _below), ("small", "accuracy", _below)]
        asked += [(one, "time", _below) for one in treatments]
        comparisons = []
        for regime, measure, way in asked:
            found = _estimate(_differences(tables.get((measure, FINAL, "phase")), regime, study.control), study)
            if found:
                comparisons.append(way(f"{regime} below {study.control}", measure, found))
        for one in treatments:
            found = _estimate(_differences(tables.get(("accuracy", FINAL, "phase")), one, study.control), study)
            if found:
                label = f"{one} no worse than {study.control}"
                comparisons.append(_not_worse(label, "accuracy", found, study.margin))
        asked_for = len(asked) + len(treatments)
        finding = _together(comparisons) if len(comparisons) == asked_for else Finding(NOT_TESTED, "pairs are missing")
    return _claim("C8", _run(study), statement, finding, paper="Fig. 1, a sketch without numbers")


def _regularisation(study: Study, tables: Tables) -> Claim:
    """Judge that the gap is smaller though training images are learned as well: otherwise less was learned."""
    statement = "the effect is regularisation: at equal training loss the generalisation gap is smaller"
    paper = "an interpretation, not measured"
    treatments = [one for one in TREATMENTS if one in study.regimes]
    comparisons = []
    for one in treatments:
        loss = tables.get(("training_negative_log_likelihood", LATE, "full"))
        learned = _estimate(_differences(loss, study.control, one), study)
        gap = _estimate(_differences(tables.get(("loss_gap", LATE, "full")), one, study.control), study)
        if learned and gap:
            label = f"training loss of {study.control} over that of {one} not below {1 / TARGET_RATIO:.2f}"
            name = "training_negative_log_likelihood"
            comparisons.append(_not_worse(label, name, learned, NEGLIGIBLE_GAIN))
            comparisons.append(_below(f"{one} has a smaller loss gap", "loss_gap", gap))
    whole = len(comparisons) == 2 * len(TREATMENTS)
    lacking = _lacking(TREATMENTS, study.regimes) or ["the loss on training images of each cell"]
    finding = _together(comparisons) if whole else Finding(NOT_TESTED, f"the results lack {_listed(lacking)}")
    return _claim("C9", _run(study), statement, finding, paper=paper)


# words


def _run(study: Study) -> str:
    return _listed(study.datasets)


def _lacking(needed: Iterable[str], given: Iterable[str]) -> list[str]:
    given = set(given)
    return [name for name in needed if name not in given]


def _missing(dataset: str, study: Study) -> list[str]:
    return _lacking([dataset], study.datasets)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
