"""The analysis tried on simulated grids whose truth is known.

Accuracies are counts of right answers on validation images that all cells of a seed share, easy and hard
ones, and so are correlated as real ones are; times are lognormal, with a speed of the machine that all
cells of a seed share. ``python -m entr.simulation`` runs the whole study and writes its tables.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from entr import claims, statistics
from entr.claims import FINAL, PAPER_DATASETS, PAPER_MODELS, SUPPORTED, Study
from entr.guards import atomic_write

SEEDS = (2, 3, 5, 10)
CONTROL = "no-increase"
REGIMES = (CONTROL, "gradual", "stepwise", "matched", "small")
OVERLAP = statistics.overlap_of(10)
FLIPS = 1024
"""Every set of signs of ten replicates; of more, so many at random."""
PILOT = 20_000
"""Seeds of which standard deviation and expected logarithm are taken as true."""
DOCUMENT = Path(__file__).parents[3] / "docs" / "statistics.md"
TABLE = Path(__file__).parents[3] / "docs" / "simulation.csv"
BEGIN, END = "<!-- simulation: made by `make simulate` -->\n", "<!-- end of simulation -->\n"


@dataclass(frozen=True)
class Truth:
    """What holds in a simulated grid."""

    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Differences of expected accuracy to the control's, shares, by regime; at most 0.03."""
    time: Mapping[str, float] = field(default_factory=dict)
    """Ratios of time to the control's, by regime."""
    spared: tuple[str, str] | None = None
    """A dataset and model in which no regime differs from the control."""
    shared_sd: float = 0.0
    """Standard deviation of what all seeds of a dataset share in the difference of two regimes, a share: the
    luck of its training images."""
    images: int = 200
    """Validation images of a fold."""


def right_answers(
    rng: np.random.Generator, truth: Truth, datasets: Sequence[str], seeds: int, regimes: Sequence[str]
) -> NDArray[np.floating]:
    """Draw accuracies.

    Returns
    -------
    array, shape (datasets, seeds, models, regimes)
        Shares of right answers; the expected ones are 0.74, 0.76 and 0.78 in the control, for the
        three models.
    """
    size = (len(datasets), seeds)
    # an image is easy or hard for all cells of its fold, and some folds are harder
    fold = rng.beta(0.85 * 300, 0.15 * 300, size)[..., None]
    easy = rng.beta(fold, 1 - fold, (*size, truth.images))[:, :, None, None, :]
    luck = rng.uniform(0.88, 0.96, (*size, len(PAPER_MODELS), len(regimes)))
    level = np.array([0.95, 0.975, 1.0])[:, None]
    expected = 0.85 * 0.92 * level
    effect = np.array([truth.accuracy.get(regime, 0.0) for regime in regimes])
    # each regime has its own, so that any two differ by the standard deviation that was asked for
    shared = rng.normal(0, truth.shared_sd / np.sqrt(2), (len(datasets), 1, 1, len(regimes)))
    effect = np.broadcast_to(effect + shared, luck.shape).copy()
    if truth.spared:
        effect[_place(truth.spared, datasets)] = 0
    chance = (luck * level * (1 + effect / expected))[..., None] * easy
    return (rng.random(chance.shape) < chance).mean(-1)


def _place(block: tuple[str, str], datasets: Sequence[str]) -> tuple[Any, ...]:
    return list(datasets).index(block[0]), slice(None), PAPER_MODELS.index(block[1])


def seconds(
    rng: np.random.Generator, truth: Truth, datasets: Sequence[str], seeds: int, regimes: Sequence[str]
) -> NDArray[np.floating]:
    """Draw times in seconds, in an array of the shape of `right_answers`."""
    ratio = np.array([truth.time.get(regime, 1.0) for regime in regimes])
    ratio = np.broadcast_to(ratio, (len(datasets), seeds, len(PAPER_MODELS), len(regimes))).copy()
    if truth.spared:
        ratio[_place(truth.spared, datasets)] = 1
    machine = rng.normal(0, 0.1, (len(datasets), seeds, 1, 1))
    model = np.array([100.0, 200.0, 300.0])[:, None]
    return model * ratio * np.exp(machine + rng.normal(0, 0.03, ratio.shape))


def cells(rng: np.random.Generator, truth: Truth, datasets: Sequence[str], seeds: int) -> pd.DataFrame:
    """Draw a grid, as a table like that of `tables.cells_of`; before re-training *T* is half as long."""
    shape = (len(datasets), seeds, len(PAPER_MODELS), len(REGIMES))
    where = np.indices(shape).reshape(4, -1)
    names = {
        "dataset": np.array(datasets)[where[0]],
        "model": np.array(PAPER_MODELS)[where[2]],
        "regime": np.array(REGIMES)[where[3]],
        "seed": where[1],
    }
    parts = []
    for stage, part in ((claims.EARLY, 0.5), (FINAL, 1.0)):
        accuracy = right_answers(rng, truth, datasets, seeds, REGIMES).ravel()
        time = part * seconds(rng, truth, datasets, seeds, REGIMES).ravel()
        of = {"accuracy": accuracy, "time": time, "efficiency": np.sqrt(accuracy / time)}
        for measure, value in of.items():
            basis = "" if measure == "accuracy" else "training"
            keys = names | {"stage": stage, "at": "phase", "size": 250}
            parts.append(pd.DataFrame(keys | {"measure": measure, "basis": basis, "value": value, "unit": ""}))
    return pd.concat(parts, ignore_index=True)


def pilot(truth: Truth) -> dict[str, tuple[float, float]]:
    """Return the true mean and standard deviation between seeds of each difference, averaged over models."""
    rng = np.random.default_rng(0)
    alone = replace(truth, shared_sd=0.0)
    chunks = [_differences(rng, alone, 1, PILOT // 20) for _ in range(20)]
    pooled = {measure: np.concatenate([chunk[measure].ravel() for chunk in chunks]) for measure in chunks[0]}
    found = {measure: (float(values.mean()), float(values.std())) for measure, values in pooled.items()}
    # what was set is known better than from the draws
    return found | {"accuracy_difference": (truth.accuracy.get("gradual", 0.0), found["accuracy_difference"][1])}


def _differences(rng: np.random.Generator, truth: Truth, datasets: int, seeds: int) -> dict[str, NDArray]:
    """Draw differences of `gradual` to the control, averaged over models, each of shape (datasets, seeds)."""
    names, regimes = PAPER_DATASETS[:datasets], REGIMES[:2]
    accuracy = right_answers(rng, truth, names, seeds, regimes)
    time = np.log(seconds(rng, truth, names, seeds, regimes))
    efficiency = (np.log(accuracy) - time) / 2
    values = {"accuracy_difference": accuracy, "log_efficiency_ratio": efficiency}
    return {name: (value[..., 1] - value[..., 0]).mean(-1) for name, value in values.items()}


def coverage(grids: int, seeds: Iterable[int] = SEEDS, datasets: Iterable[int] = (1, 3)) -> pd.DataFrame:
    """Count how often intervals hold the truth, and how often tests see an effect where there is none.

    Returns
    -------
    DataFrame
        A row a number of datasets and of seeds, measure, and whether folds share the luck of their
        training images; shares of the grids in ``student``, ``widened`` and ``bootstrap``; false
        positives in ``false_exact`` and ``false_shown``, the p that verdicts go by.
    """
    effect = Truth(accuracy={"gradual": -0.01}, time={"gradual": 0.83})
    known = pilot(effect)
    rows = []
    for shared in (False, True):
        for count in datasets:
            for replicates in seeds:
                rng = np.random.default_rng([int(shared), count, replicates])
                for measure, (mean, _) in known.items():
                    # a correlation of 1/10 between folds, as Nadeau & Bengio take it
                    luck = np.sqrt(OVERLAP) * known["accuracy_difference"][1] * shared
                    truths = (replace(effect, shared_sd=luck), Truth(shared_sd=luck))
                    drawn = [_coverage_of(rng, truths, count, replicates, measure, mean) for _ in range(grids)]
                    key = {"datasets": count, "seeds": replicates, "measure": measure, "shared_luck": shared}
                    # an undefined interval holds nothing
                    rows.append(key | {"grids": grids} | pd.DataFrame(drawn).mean().to_dict())

    return pd.DataFrame(rows)


def _coverage_of(
    rng: np.random.Generator, truths: tuple[Truth, Truth], datasets: int, seeds: int, measure: str, mean: float
) -> dict[str, float]:
    samples = list(_differences(rng, truths[0], datasets, seeds)[measure])
    found = statistics.estimate(samples, OVERLAP, flips=1)
    low, high = statistics.bca(samples, resamples=999)
    nothing = list(_differences(rng, truths[1], datasets, seeds)[measure])
    none = statistics.estimate(nothing, OVERLAP, flips=FLIPS)
    given = not found.constant
    return {
        "given": given,
        "student": found.low <= mean <= found.high if given else np.nan,
        "widened": found.low_overlap <= mean <= found.high_overlap if given else np.nan,
        "bootstrap": low <= mean <= high,
        "false_exact": none.p <= statistics.ALPHA,
        "false_shown": none.p_shown <= statistics.ALPHA,
    }


FASTER = {"gradual": 0.83, "stepwise": 0.88, "matched": 0.83, "small": 0.5}
SCENARIOS = {
    "no effect": (Truth(), ("ENTR", *(f"C{number}" for number in range(1, 9)))),
    "faster, accuracy falls by the margin": (
        Truth(
            accuracy={"gradual": -0.01, "stepwise": -0.01, "matched": -0.05, "small": -0.08},
            time=FASTER,
        ),
        ("ENTR",),
    ),
    "faster, but `matched` does as well": (Truth(accuracy={"small": -0.08}, time=FASTER), ("ENTR", "C5", "C6", "C7")),
    "faster, but not in one network": (
        Truth(accuracy={"matched": -0.05, "small": -0.08}, time=FASTER, spared=("ucm", "resnet34")),
        ("C1",),
    ),
    "ENTR holds, accuracy is the same": (Truth(accuracy={"matched": -0.05, "small": -0.08}, time=FASTER), ()),
    "ENTR holds, accuracy rises by 0.02": (
        Truth(accuracy={"gradual": 0.02, "stepwise": 0.02, "matched": -0.05, "small": -0.08}, time=FASTER),
        (),
    ),
}
"""What is true, and the claims that it makes false."""


def verdicts(grids: int, seeds: Iterable[int] = SEEDS, scenarios: Iterable[str] = tuple(SCENARIOS)) -> pd.DataFrame:
    """Count how often each claim is supported.

    Returns
    -------
    DataFrame
        A row a scenario, number of seeds and claim: ``false``, whether its support is an error, and
        ``supported``, the share of the grids.
    """
    rows = []
    luck = float(np.sqrt(OVERLAP) * pilot(Truth())["accuracy_difference"][1])
    for name in scenarios:
        truth, false = SCENARIOS[name]
        truth = replace(truth, shared_sd=luck)
        for count in seeds:
            rng = np.random.default_rng([list(SCENARIOS).index(name), count])
            # the hypothesis alone is judged faster, and is all that some scenarios ask about
            whole = false not in {(), ("ENTR",)}
            found = [_supported(cells(rng, truth, PAPER_DATASETS, count), count, whole=whole) for _ in range(grids)]
            for claim, share in pd.DataFrame(found).mean().items():
                key = {"scenario": name, "seeds": count, "claim": claim, "false": claim in false}
                rows.append(key | {"grids": grids, "supported": share})
    return pd.DataFrame(rows)


def _supported(table: pd.DataFrame, seeds: int, *, whole: bool) -> dict[str, bool]:
    study = Study(
        cells=table, datasets={name: name for name in PAPER_DATASETS}, stands_for={}, models=PAPER_MODELS,
        regimes=REGIMES, seeds=range(seeds), control=CONTROL, basis="training", overlap=OVERLAP, flips=FLIPS,
    )  # fmt: skip
    judged = claims.judge(study) if whole else claims.hypothesis(study)
    found = {claim.claim: claim.verdict == SUPPORTED for claim in judged if claim.claim != "ENTR"}
    return {"ENTR": claims.overall(judged) == SUPPORTED} | found


def write(covered: pd.DataFrame, judged: pd.DataFrame) -> None:
    """Write both tables as one CSV file and as Markdown into docs/statistics.md."""
    with atomic_write(TABLE) as file:
        pd.concat([covered.assign(study="coverage"), judged.assign(study="verdicts")]).to_csv(file, index=False)
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    with atomic_write(DOCUMENT) as file:
        file.write(f"{before}{BEGIN}{''.join(_markdown(covered, judged))}{END}{after}")


def _markdown(covered: pd.DataFrame, judged: pd.DataFrame) -> Iterator[str]:
    words = {"accuracy_difference": "*A* difference", "log_efficiency_ratio": "ln *As* ratio"}
    yield f"\nOf {covered['grids'].min()} grids each, in per cent; three networks.\n\n"
    yield "| datasets | seeds | measure | folds share luck | Student | widened | BCa "
    yield "| false, exact | false, as used |\n"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    for row in covered.to_dict("records"):
        shares = [row[name] for name in ("student", "widened", "bootstrap", "false_exact", "false_shown")]
        said = " | ".join(f"{100 * share:.1f}" for share in shares)
        luck = "yes" if row["shared_luck"] else "no"
        yield f"| {row['datasets']} | {row['seeds']} | {words[row['measure']]} | {luck} | {said} |\n"
    yield f"\nOf {judged['grids'].min()} grids each, three datasets and three networks: how often a claim is "
    yield "*supported*, in per cent. Bold: support is an error.\n\n"
    wide = judged.groupby(["scenario", "claim", "false"], sort=False)
    seeds = list(dict.fromkeys(judged["seeds"]))
    yield f"| what is true | claim | {' | '.join(f'{count} seeds' for count in seeds)} |\n"
    yield f"| --- | --- |{' --- |' * len(seeds)}\n"
    for (scenario, claim, false), rows in wide:
        if not false and rows["supported"].max() == 0:
            continue
        mark = "**" if false else ""
        shares = " | ".join(f"{mark}{100 * share:.1f}{mark}" for share in rows["supported"])
        yield f"| {scenario} | {claim} | {shares} |\n"


def main() -> None:
    """Run the whole study."""
    parser = argparse.ArgumentParser(description="Try the statistics on simulated grids.")
    parser.add_argument("--grids", type=int, default=1000, help="grids of each setting")
    grids = parser.parse_args().grids
    write(coverage(grids), verdicts(grids // 5))


if __name__ == "__main__":
    main()
