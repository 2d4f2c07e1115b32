"""The verdict in words: an answer computed from the tables, readable by someone who saw nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entr import claims
from entr.claims import EARLY, FINAL, NOT_SUPPORTED, NOT_TESTED, SUPPORTED, TREATMENTS, Claim, Study, interval, number
from entr.guards import atomic_write
from entr.statistics import EVERY, LEAST_FOR_TEST, TARGET_RATIO, overlap_of, read_cells

STAGES = {EARLY: "before re-training", FINAL: "final"}
TIMES = {
    "training": "seconds in training steps, measured",
    "forward": "seconds of the forward passes that the schedule asks for, computed from benchmarked costs",
    "latency": "seconds to predict one image with the finished network, which no regime can change",
}
WEIGHTS = {"imagenet": "ImageNet weights", "none": "random first weights, all layers trained"}
SHOWN = {"accuracy_difference": "accuracy", "log_time_ratio": "time", "log_efficiency_ratio": "efficiency"}


def write(
    cells: str | Path,
    efficiency: str | Path,
    effects: str | Path,
    runs: str | Path,
    settings: Mapping[str, Any],
    *,
    claims_table: str | Path,
    verdict: str | Path,
) -> None:
    """Judge a study and say what was found.

    Parameters
    ----------
    cells, efficiency, effects, runs : path
        Tables of `tables.write` and `statistics.write`.
    settings : mapping
        ``datasets`` (titles by name), ``stands_for``, ``models``, ``regimes``, ``seeds``, ``control``,
        ``basis`` and ``folds``.
    claims_table, verdict : path
        A CSV file, a row a claim; and a Markdown file.
    """
    settings = dict(settings)
    overlap = overlap_of(settings.pop("folds"))
    study = Study(cells=read_cells(cells), overlap=overlap, **settings)
    judged = claims.judge(study)
    with atomic_write(claims_table) as file:
        claims.table_of(judged).to_csv(file, index=False)
    tables = [_read(path) for path in (efficiency, effects, runs)]
    with atomic_write(verdict) as file:
        file.write(text(study, judged, *tables))


def _read(path: str | Path) -> pd.DataFrame:
    """Read a table; one of no rows has no columns."""
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def text(
    study: Study, judged: Sequence[Claim], efficiency: pd.DataFrame, effects: pd.DataFrame, runs: pd.DataFrame
) -> str:
    """Return the verdict as Markdown."""
    parts = [
        "# Does a network train more efficiently when it starts on small images?\n",
        answer(study, judged, effects) + "\n",
        "## What was run\n",
        _items(_what_was_run(study, runs)),
        "## Against the control\n",
        _against_control(study, efficiency, effects),
        "## The claims\n",
        _claims(judged),
        "## What to bear in mind\n",
        _items(_caveats(study, effects, runs)),
    ]
    return "\n".join(parts)


def answer(study: Study, judged: Sequence[Claim], effects: pd.DataFrame) -> str:
    """Return two or three plain sentences: the verdict, and what each treatment did."""
    of_entr = [claim for claim in judged if claim.claim == "ENTR"]
    verdict = claims.overall(judged)
    first = {
        SUPPORTED: "**Yes, where this study looked:** the ENTR hypothesis is supported",
        NOT_SUPPORTED: "**Not shown:** this study does not support the ENTR hypothesis",
        NOT_TESTED: "**This study cannot tell:** the ENTR hypothesis is not tested here",
    }[verdict]
    which = [claim.statement.partition(":")[0] for claim in of_entr if claim.verdict == verdict]
    named = f" for {' and for '.join(which)}" if verdict == SUPPORTED else ""
    reason = next(claim.why for claim in of_entr if claim.verdict == verdict)
    sentences = [f"{first}{named} ({reason})."]
    sentences += [said for one in TREATMENTS if (said := _treatment(one, study, effects))]
    if "[" in " ".join(sentences[1:]):
        sentences.append("Brackets hold 95 % intervals.")
    return " ".join(sentences)


def _treatment(regime: str, study: Study, effects: pd.DataFrame) -> str:
    """Say in one sentence what a treatment did to time, accuracy and efficiency."""
    found = _effect(effects, study, scope="all", regime=regime, stage=FINAL)
    if found is None:
        return ""
    time, accuracy, efficiency = (found[measure] for measure in ("time", "accuracy", "efficiency"))
    where = (
        study.datasets[only] if (only := next(iter(study.datasets))) and len(study.datasets) == 1 else "all datasets"
    )
    replicates = "one replicate" if time["replicates"] == 1 else f"{time['replicates']:.0f} replicates"
    return (
        f"Over {where}, {regime} took {np.exp(time['mean']):.2f} times as long as {study.control}"
        f"{_interval('time', time)}, its accuracy differed by {number('accuracy', accuracy['mean'])}"
        f"{_interval('accuracy', accuracy)}, and so its efficiency As = √(A/T) was "
        f"{np.exp(efficiency['mean']):.2f} times as high{_interval('efficiency', efficiency)} ({replicates})."
    )


def _interval(measure: str, row: pd.Series) -> str:
    return interval(measure, row["low_overlap"], row["high_overlap"])


def _effect(effects: pd.DataFrame, study: Study, **keys: str) -> dict[str, pd.Series] | None:
    """Return the rows of an effect by measure, at the phase's own size and on the study's basis of T."""
    rows = effects
    for key, value in ({"at": "phase", "basis": study.basis} | keys).items():
        rows = rows[rows[key] == value] if len(rows) else rows
    found = {SHOWN[row["measure"]]: row for _, row in rows.iterrows()}
    return found if len(found) == len(SHOWN) else None


def _what_was_run(study: Study, runs: pd.DataFrame) -> Iterator[str]:
    total = len(study.datasets) * len(study.models) * len(study.regimes) * len(study.seeds)
    yield f"{len(runs)} of {total} cells, each a network trained once."
    yield f"Datasets: {', '.join(_dataset(name, study) for name in study.datasets)}."
    yield f"Networks: {', '.join(study.models)}; {_distinct(runs['weights'].map(_weights))}."
    yield f"Regimes: {study.control} (the control), {', '.join(one for one in study.regimes if one != study.control)}."
    yield (
        f"Seeds: {', '.join(map(str, study.seeds))}; within a dataset all networks and regimes of a seed share "
        "training and validation images, so that they are compared in pairs."
    )
    yield f"*A*: share of validation images that are named rightly. *T*: {TIMES[study.basis]}. *As* = √(*A*/*T*)."
    yield f"Device: {_distinct(runs['device'])}."


def _dataset(name: str, study: Study) -> str:
    stands_for = study.stands_for.get(name)
    return f"{study.datasets[name]} (`{name}`{f', a stand-in for {stands_for}' if stands_for else ''})"


def _weights(kind: str) -> str:
    return WEIGHTS.get(kind, f"weights of {kind}")


def _distinct(values: pd.Series) -> str:
    return " and ".join(sorted(set(values)))


def _against_control(study: Study, efficiency: pd.DataFrame, effects: pd.DataFrame) -> str:
    heads = ["dataset", "stage", "regime", "A, control", "A", "difference", "T, control", "T", "ratio"]
    heads += ["As, control", "As", "ratio", "replicates", "p of As (Holm)"]
    rows = []
    for dataset in (*study.datasets, *([EVERY] if len(study.datasets) > 1 else [])):
        scope = "all" if dataset == EVERY else "dataset"
        for stage, title_of_stage in STAGES.items():
            for regime in (one for one in study.regimes if one != study.control):
                found = _effect(effects, study, scope=scope, dataset=dataset, stage=stage, regime=regime)
                if found:
                    means = _means(efficiency, study, dataset, stage, regime)
                    title = study.datasets.get(dataset, "all")
                    rows.append([title, title_of_stage, regime, *_cells(means, found)])
    if not rows:
        return "There are no pairs yet.\n"
    return (
        _table(heads, rows) + "\nMeans over networks and seeds; *T* in seconds, *As* in 1/√s; in brackets 95 % "
        "intervals, paired by seed. Ratios are means of logarithms. Each *A* is at the size of the phase that it "
        "follows; `tables/effects.csv` has the full size, the other bases of *T* and each network by itself.\n"
    )


def _means(efficiency: pd.DataFrame, study: Study, dataset: str, stage: str, regime: str) -> pd.Series | None:
    """Return means over networks, of the seeds that have every network, as the differences are."""
    if dataset == EVERY:
        return None
    keys = {"at": "phase", "basis": study.basis, "dataset": dataset, "stage": stage, "regime": regime}
    rows = efficiency
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    whole = rows.groupby("seed")["model"].transform("nunique") == rows["model"].nunique()
    return rows.loc[whole, [name for measure in SHOWN.values() for name in (measure, f"{measure}_of_control")]].mean()


def _cells(means: pd.Series | None, found: Mapping[str, pd.Series]) -> Iterator[str]:
    for measure in SHOWN.values():
        for name in (f"{measure}_of_control", measure):
            value = None if means is None else means[name]
            yield "" if value is None else f"{100 * value:.1f} %" if measure == "accuracy" else f"{value:.3g}"
        yield f"{number(measure, found[measure]['mean'])}{_interval(measure, found[measure])}"
    yield f"{found['efficiency']['replicates']:.0f}"
    p = found["efficiency"]["p_holm"]
    yield "none" if np.isnan(p) else f"{p:.2g}"


def _claims(judged: Sequence[Claim]) -> str:
    heads = ["claim", "on", "what it says", "verdict", "ours", "the paper's", "what decides", "95 % interval", "why"]
    rows = []
    for claim in judged:
        on = f"{claim.on}, for {claim.stands_for}" if claim.stands_for else claim.on
        decides = "" if np.isnan(claim.value) else f"{claim.measure} {claim.value:.3g}"
        between = "" if np.isnan(claim.low) else f"{claim.low:.3g} to {claim.high:.3g}"
        rows.append(
            [
                claim.claim,
                on,
                claim.statement,
                f"**{claim.verdict}**",
                claim.ours,
                claim.paper,
                decides,
                between,
                claim.why,
            ]
        )
    return _table(heads, rows)


def _caveats(study: Study, effects: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    seeds = len(study.seeds)
    if seeds == 1:
        yield "**One replicate.** One run of each cell cannot tell a regime's effect from chance; nothing is tested."
    elif seeds < LEAST_FOR_TEST:
        yield (
            f"**{seeds} seeds.** In a single dataset {seeds} replicates can reach no p below {2.0 ** (1 - seeds):.2g}, "
            "so what is said of one dataset alone stays untested; only what holds over several datasets can be shown."
        )
    yield from _missing(study)
    if "none" in set(runs["weights"]):
        yield (
            "**Random first weights.** The paper trained networks that had seen ImageNet; with random first weights "
            "this is not its experiment, and its claims are judged of another one."
        )
    for name in study.datasets:
        if study.stands_for.get(name):
            yield f"**{study.datasets[name]} is no dataset of the paper**; it stands in for {study.stands_for[name]}."
    if study.basis != "training":
        yield f"**T was not measured in training.** It is {TIMES[study.basis]}."
    yield from _falls(study, effects)
    yield (
        "Intervals and verdicts speak of further seeds of these datasets and networks, and allow for folds that share "
        "training images; datasets and networks that were not run may behave otherwise."
    )
    yield (
        "*As* follows from *A* and *T*: the ratio of *As* is √(ratio of *A* / ratio of *T*). A regime that is "
        f"{100 * (TARGET_RATIO - 1):.0f} % faster may lose nearly {100 * (1 - 1 / TARGET_RATIO):.0f} % of its "
        "accuracy and still count as more efficient."
    )
    yield (
        f"*{SUPPORTED}*: shown at p ≤ 0.05 by the exact test and by the interval. *{NOT_SUPPORTED}*: tested, and not "
        f"shown, which does not show the opposite. *{NOT_TESTED}*: what it speaks of was not run, or too rarely."
    )


def _missing(study: Study) -> Iterator[str]:
    missing = study.missing()
    if not missing:
        return
    cells: dict[str, list[str]] = {}
    for one in missing:
        cell, _, seed = one.rpartition(" seed")
        cells.setdefault(cell, []).append(seed)
    named = "; ".join(f"{cell} seed {', '.join(seeds)}" for cell, seeds in cells.items())
    are = "1 cell is" if len(missing) == 1 else f"{len(missing)} cells are"
    yield f"**{are} missing** and left out of what is said: {named}."


def _falls(study: Study, effects: pd.DataFrame) -> Iterator[str]:
    """Name the datasets in which a treatment's accuracy was shown to be lower."""
    for dataset in study.datasets:
        for regime in (one for one in TREATMENTS if one in study.regimes):
            found = _effect(effects, study, scope="dataset", dataset=dataset, stage=FINAL, regime=regime)
            if found and found["accuracy"]["high_overlap"] < 0:
                lost = f"{number('accuracy', found['accuracy']['mean'])}{_interval('accuracy', found['accuracy'])}"
                yield f"**On {study.datasets[dataset]} {regime} lost accuracy**: {lost}."


def _items(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(one.replace('|', '/') for one in line)} |\n" for line in lines)
