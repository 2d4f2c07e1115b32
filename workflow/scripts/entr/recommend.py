"""Which network and regime to take: the most accurate, the most efficient, and the best within limits."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from entr import statistics
from entr.claims import digits, interval, number
from entr.guards import atomic_write

log = logging.getLogger("entr")

STAGE = "total-tta"
"""The accuracy and the time that choices go by: those of the finished network."""
LEAST = 3
"""Replicates from which on something is said of a difference."""
GOALS = {
    "accurate": ("the most accurate", "accuracy"),
    "efficient": ("the most efficient", "efficiency"),
    "within": ("the best within your limits", "accuracy"),
}


@dataclass(frozen=True)
class Choice:
    """A network and a regime, chosen for a goal."""

    dataset: str
    goal: str
    """A key of `GOALS`."""
    model: str
    """Empty where nothing is within the limits."""
    regime: str
    seed: int | None
    """The replicate of median accuracy, which is the one to take: the best one's would be luck."""
    replicates: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    seconds: float
    seconds_low: float
    seconds_high: float
    efficiency: float
    efficiency_low: float
    efficiency_high: float
    sentence: str
    """How it differs from the next, and whether that is more than noise."""
    taken: bool
    """Whether this is the network in ``results/best``."""


def write(
    cells: str | Path,
    summary: str | Path,
    *,
    settings: Mapping[str, Any],
    limits: Mapping[str, float | None],
    table: str | Path,
    text: str | Path,
) -> None:
    """Choose for each dataset and goal, and say it in words.

    Parameters
    ----------
    cells, summary : path
        As `tables` writes them.
    settings : mapping
        As in `verdict.write`.
    limits : mapping
        The section ``recommend`` of the configuration.
    table : path
        A CSV file of `Choice` rows.
    text : path
        Markdown.
    """
    every, means = statistics.read_cells(cells), pd.read_csv(summary, keep_default_na=False, na_values=[""])
    choices = [
        choice for dataset in settings["datasets"] for choice in choices_of(every, means, dataset, settings, limits)
    ]
    for choice in choices:
        if choice.model:
            log.info(
                "%s: %s is %s with %s: A %.1f %%, T %.3g s", choice.dataset, GOALS[choice.goal][0], choice.model,
                choice.regime, 100 * choice.accuracy, choice.seconds,
            )  # fmt: skip
    with atomic_write(table) as file:
        pd.DataFrame([asdict(choice) for choice in choices]).to_csv(file, index=False)
    with atomic_write(text) as file:
        file.write(in_words(choices, settings, limits))


def choices_of(
    cells: pd.DataFrame,
    summary: pd.DataFrame,
    dataset: str,
    settings: Mapping[str, Any],
    limits: Mapping[str, float | None],
) -> Iterator[Choice]:
    """Yield the choices of a dataset."""
    seeds = statistics.outcomes(cells)
    keys = {"dataset": dataset, "stage": STAGE, "at": "phase", "basis": settings["basis"]}
    for column, value in keys.items():
        seeds = seeds[seeds[column] == value]
    # equal means may differ in the last digit by the order of their sums
    means = seeds.groupby(["model", "regime"], sort=False)[["accuracy", "time", "efficiency"]].mean().round(9)
    if not len(means):
        return
    limited = any(value is not None for value in limits.values())
    allowed = means[
        (means["time"] <= (limits["max_seconds"] or np.inf)) & (means["accuracy"] >= (limits["min_accuracy"] or 0))
    ]
    for goal, (_, measure) in GOALS.items():
        if goal == "within" and not limited:
            continue
        pool = (allowed if goal == "within" else means).sort_values([measure, "time"], ascending=[False, True])
        taken = goal == ("within" if limited else "accurate")
        if not len(pool):
            yield _nothing(dataset, goal, means)
            continue
        yield _choice(dataset, goal, pool, seeds, summary, settings, taken=taken)


def _choice(
    dataset: str,
    goal: str,
    pool: pd.DataFrame,
    seeds: pd.DataFrame,
    summary: pd.DataFrame,
    settings: Mapping[str, Any],
    *,
    taken: bool,
) -> Choice:
    model, regime = pool.index[0]
    own = seeds[(seeds["model"] == model) & (seeds["regime"] == regime)].sort_values(["accuracy", "seed"])
    found = {}
    for name, measure in (("accuracy", "accuracy"), ("seconds", "time"), ("efficiency", "efficiency")):
        found |= dict(
            zip(
                (name, f"{name}_low", f"{name}_high"),
                _interval(summary, dataset, model, regime, measure, settings["basis"]),
                strict=True,
            )
        )
    return Choice(
        dataset=dataset,
        goal=goal,
        model=model,
        regime=regime,
        seed=int(own["seed"].iloc[(len(own) - 1) // 2]),
        replicates=len(own),
        **found,
        sentence=_difference(pool, seeds, GOALS[goal][1], settings["folds"]),
        taken=taken,
    )


def _interval(
    summary: pd.DataFrame, dataset: str, model: str, regime: str, measure: str, basis: str
) -> tuple[float, float, float]:
    rows = summary
    keys = {"dataset": dataset, "model": model, "regime": regime, "stage": STAGE, "at": "phase", "measure": measure}
    for column, value in keys.items():
        rows = rows[rows[column] == value]
    if measure != "accuracy":
        rows = rows[rows["basis"] == basis]
    mean, low, high = rows[["mean", "low", "high"]].iloc[0].astype(float)
    return mean, low, high


def _nothing(dataset: str, goal: str, means: pd.DataFrame) -> Choice:
    nearest = means.sort_values("accuracy", ascending=False).iloc[0]
    quickest = means["time"].min()
    nan = float("nan")
    return Choice(
        dataset, goal, "", "", None, 0, nan, nan, nan, nan, nan, nan, nan, nan, nan,
        f"nothing that was run is within your limits: the highest accuracy is {100 * nearest['accuracy']:.1f} % in "
        f"{nearest['time']:.3g} s, the shortest time {quickest:.3g} s",
        taken=False,
    )  # fmt: skip


def _difference(pool: pd.DataFrame, seeds: pd.DataFrame, measure: str, folds: int) -> str:
    """Say how the first differs from the second, seed by seed."""
    if len(pool) < 2:
        return "nothing else was run to compare it with" if len(pool.index) else ""
    first, second = pool.index[:2]
    table = seeds.pivot(index="seed", columns=["model", "regime"], values=measure)  # noqa: PD010  no mean
    table = np.log(table.where(table > 0)) if measure == "efficiency" else table
    pairs = (table[first] - table[second]).dropna().to_numpy()
    rival = " with ".join(second)
    if len(pairs) < LEAST:
        return f"fewer than {LEAST} replicates cannot tell it from {rival}; add seeds"
    found = statistics.estimate([pairs], statistics.overlap_of(folds))
    said = f"{number(measure, found.mean)}{interval(measure, found.low_overlap, found.high_overlap)}"
    if not found.low_overlap > 0:
        return f"its lead over the next, {rival}, may be noise: {said}; {_either(pool.iloc[:2], measure)}"
    return f"above the next, {rival}, by more than noise: {said}"


def _either(two: pd.DataFrame, measure: str) -> str:
    """Say what speaks for one of two that cannot be told apart."""
    if measure == "efficiency":
        return "take either"
    times = two["time"].sort_values()
    less, more = map(digits, times)
    return f"{' with '.join(times.index[0])} is the cheaper, {less} s against {more} s"


def in_words(choices: list[Choice], settings: Mapping[str, Any], limits: Mapping[str, float | None]) -> str:
    """Return the recommendation as Markdown."""
    lines = ["# Which network to take", ""]
    for dataset, title in settings["datasets"].items():
        own = [choice for choice in choices if choice.dataset == dataset]
        lines += [f"## {title}", ""]
        if not own:
            lines += ["No cell of it is finished.", ""]
            continue
        lines += [
            "| goal | network | regime | *A* | *T*, s | *As*, 1/√s | replicates |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_row(choice) for choice in own if choice.model),
            "",
            *(f"- **{GOALS[choice.goal][0].capitalize()}**: {choice.sentence}." for choice in own),
            "",
        ]
        if taken := [choice for choice in own if choice.taken and choice.model]:
            lines += [
                f"`results/best/{dataset}` has {taken[0].model} with {taken[0].regime}, seed {taken[0].seed}: the "
                "replicate of median accuracy, for the best one's would be luck.",
                "",
            ]
    stated = [
        f"*T* of at most {limits['max_seconds']:g} s" if limits["max_seconds"] is not None else "",
        f"*A* of at least {100 * limits['min_accuracy']:g} %" if limits["min_accuracy"] is not None else "",
    ]
    lines += [
        f"Your limits (`recommend`): {' and '.join(filter(None, stated)) or 'none'}. *A* is measured on validation "
        "images, with test-time augmentation; brackets hold 95 % intervals over seeds. What is chosen among several "
        "for its accuracy is likely to be a little less accurate on new images than this says.",
        "",
    ]
    return "\n".join(lines)


def _row(choice: Choice) -> str:
    def said(value: float, low: float, high: float, form: Callable[[float], str] = digits) -> str:
        return form(value) if np.isnan(low) else f"{form(value)} [{form(low)}, {form(high)}]"

    accuracy = said(choice.accuracy, choice.accuracy_low, choice.accuracy_high, lambda share: f"{100 * share:.1f} %")
    seconds = said(choice.seconds, choice.seconds_low, choice.seconds_high)
    efficiency = said(choice.efficiency, choice.efficiency_low, choice.efficiency_high)
    goal = GOALS[choice.goal][0]
    return (
        f"| {goal} | {choice.model} | {choice.regime} | {accuracy} | {seconds} | {efficiency} | {choice.replicates} |"
    )
