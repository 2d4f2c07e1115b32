"""Regimes against the control, paired by seed: differences, intervals and tests.

A seed is one fold of a dataset, with one set of first weights and one order of batches, which all
models and regimes of that dataset share. So a *replicate* is one seed of one dataset: the difference
between two regimes, averaged over the models. Models of one seed are not independent and never counted
as if they were; datasets are, and each has equal weight, as have the models within one. Datasets and
models are those chosen, not a sample: an interval speaks of further seeds, not of further datasets.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import TTestPower

from entr.guards import atomic_write

ALPHA = 0.05
MARGIN = 0.01
"""Accuracies that differ by less are equivalent: one percentage point, stated beforehand."""
TARGET_RATIO = 1.05
POWER = 0.8
FLIPS = 2**15
"""Sign flips at most: all of them where there are no more, else so many at random."""
RESAMPLES = 9_999
LEAST_FOR_BOOTSTRAP = 8
"""With fewer replicates a bootstrap interval is far too short; see docs/statistics.md."""
LEAST_FOR_TEST = 6
"""Replicates from which a two-sided exact sign-flip test can reach p < 0.05."""
SEED = 0
"""Of resamples, so that a table comes out the same twice."""
EVERY = "all"
"""In place of a model or dataset: the mean over them."""

PAIR = ["dataset", "model", "seed", "regime", "stage", "at", "basis"]
MEASURES = {"accuracy_difference": "share", "log_time_ratio": "ln", "log_efficiency_ratio": "ln"}


def write(cells: str | Path, control: str, folds: int, *, efficiency: str | Path, effects: str | Path) -> None:
    """Compare every regime with the control.

    Parameters
    ----------
    cells : path
        The table of `tables.cells_of`.
    control : str
        The regime that the others are compared with.
    folds : int
        Folds of a partition, which say how much the training images of two seeds overlap.
    efficiency, effects : path
        CSV files: a row a pair of cells, see `paired`; a row an effect, see `effects_of`.
    """
    pairs = paired(read_cells(cells), control)
    for path, table in ((efficiency, pairs), (effects, effects_of(pairs, overlap_of(folds)))):
        with atomic_write(path) as file:
            table.to_csv(file, index=False)


def read_cells(path: str | Path) -> pd.DataFrame:
    """Read the table of `tables.cells_of`, in which an empty basis is no missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values={"value": [""]})


def overlap_of(folds: int) -> float:
    """Return the ratio of validation to training images of a partition into folds."""
    return 1 / (folds - 1)


def paired(cells: pd.DataFrame, control: str) -> pd.DataFrame:
    """Set each cell beside the control's of the same dataset, model and seed.

    Returns
    -------
    DataFrame
        A row a pair, stage, ``at`` and basis of *T*, only where both cells exist. Accuracies are
        shares, times seconds, efficiencies s^-1/2; ``accuracy_difference`` is a share,
        ``log_time_ratio`` and ``log_efficiency_ratio`` are natural logarithms of treatment over control.
    """
    table = outcomes(cells)
    keys = [key for key in PAIR if key != "regime"]
    of_control = table[table["regime"] == control].drop(columns="regime")
    pairs = table[table["regime"] != control].merge(of_control, on=keys, suffixes=("", "_of_control"))
    pairs["accuracy_difference"] = pairs["accuracy"] - pairs["accuracy_of_control"]
    for measure in ("time", "efficiency"):
        ratio = pairs[measure] / pairs[f"{measure}_of_control"]
        pairs[f"{measure}_ratio"] = ratio
        # an accuracy of zero has no logarithm
        pairs[f"log_{measure}_ratio"] = np.log(ratio.where((ratio > 0) & np.isfinite(ratio)))
    values = ["accuracy", "accuracy_of_control", "accuracy_difference"]
    for measure in ("time", "efficiency"):
        values += [measure, f"{measure}_of_control", f"{measure}_ratio", f"log_{measure}_ratio"]
    return pairs[[*PAIR, *values]]


def outcomes(cells: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy, time and efficiency side by side, a row a cell, stage, ``at`` and basis of *T*."""
    keys = [key for key in PAIR if key != "basis"]
    of = {name: cells[cells["measure"] == name] for name in ("accuracy", "time", "efficiency")}
    of = {name: rows.rename(columns={"value": name}) for name, rows in of.items()}
    table = of["time"][[*PAIR, "time"]].merge(of["efficiency"][[*PAIR, "efficiency"]], on=PAIR)
    return table.merge(of["accuracy"][[*keys, "accuracy"]], on=keys)


@dataclass(frozen=True)
class Estimate:
    """The mean of paired differences, and what the replicates can say of it; NaN where they cannot."""

    replicates: int
    """Seeds of all datasets together."""
    mean: float
    sd: float
    """Standard deviation between the seeds of a dataset."""
    low: float
    high: float
    """95 % interval for further seeds on the same images: Student's."""
    low_overlap: float
    high_overlap: float
    """95 % interval for further images of the same kind: widened for folds that share training images."""
    p: float
    """Two-sided, of the sign-flip test."""
    p_overlap: float
    """Two-sided, of the widened interval."""
    bootstrap_low: float
    bootstrap_high: float
    """95 % BCa bootstrap interval."""
    error: float
    """Standard error that the widened interval is made of."""
    freedom: float
    """Its degrees of freedom."""

    @property
    def p_shown(self) -> float:
        """The p that verdicts go by: the larger of the exact test's and the widened interval's."""
        return float(np.nan_to_num(self.p if self.constant else max(self.p, self.p_overlap), nan=1))

    @property
    def constant(self) -> bool:
        """Whether the replicates do not differ, as where *T* is computed and not measured."""
        return self.replicates > 1 and self.sd == 0

    @property
    def testable(self) -> bool:
        """Whether there are replicates enough for p < 0.05."""
        return self.replicates >= LEAST_FOR_TEST

    def p_above(self, bound: float) -> float:
        """Return the one-sided p of the hypothesis that the mean is no larger than a bound (Student's)."""
        return self._tail((self.mean - bound) / self.error) if self.error > 0 else np.nan

    def p_within(self, margin: float) -> float:
        """Return p of two one-sided tests (TOST, Schuirmann 1987) that the mean is within ±margin."""
        return max(self.p_above(-margin), self._tail((margin - self.mean) / self.error)) if self.error > 0 else np.nan

    def _tail(self, t: float) -> float:
        return float(stats.t.sf(t, self.freedom))


def estimate(
    samples: Sequence[NDArray[np.floating]], overlap: float, *, flips: int = FLIPS, bootstrap: bool = False
) -> Estimate:
    """Estimate the mean over datasets of the mean over seeds.

    Parameters
    ----------
    samples : sequence of array, each of shape (seeds,)
        Paired differences of each dataset.
    overlap : float
        Validation over training images; see `overlap_of`.
    flips : int
        Sign flips at most.
    bootstrap : bool
        Whether to compute the BCa interval too, from `LEAST_FOR_BOOTSTRAP` replicates on.

    Returns
    -------
    Estimate
        With fewer than two seeds in a dataset there is no interval and no p.

    Raises
    ------
    ValueError
        When there is no sample, or one is empty.
    """
    counts = np.array([len(sample) for sample in samples])
    if not counts.size or not counts.all():
        raise ValueError("each dataset needs at least one pair")
    mean = float(np.mean([np.mean(sample) for sample in samples]))
    nothing = dict.fromkeys(Estimate.__dataclass_fields__, np.nan)
    known = nothing | {"replicates": int(counts.sum()), "mean": mean}
    if counts.min() < 2:
        return Estimate(**known)
    known["p"] = _sign_flip(samples, flips)
    # differences that are equal but for rounding have no spread
    variances = np.array([np.var(one, ddof=1) if np.ptp(one) > 1e-12 else 0.0 for one in samples])
    known["sd"] = float(np.sqrt(variances.mean()))
    if known["sd"] == 0:
        return Estimate(**known)
    low, high, _, _, _ = _student(mean, variances, counts, 0)
    known |= {"low": low, "high": high}
    names = ("low_overlap", "high_overlap", "p_overlap", "error", "freedom")
    known |= dict(zip(names, _student(mean, variances, counts, overlap), strict=True))
    if bootstrap and counts.sum() >= LEAST_FOR_BOOTSTRAP:
        known["bootstrap_low"], known["bootstrap_high"] = bca(samples)
    return Estimate(**known)


def _student(
    mean: float, variances: NDArray, counts: NDArray, overlap: float
) -> tuple[float, float, float, float, float]:
    """Return Student's interval, its p, its standard error and its degrees of freedom.

    With several datasets the degrees are Welch's & Satterthwaite's. `overlap` widens the variance of a
    mean of n folds from s²/n to s² (1/n + overlap), Nadeau & Bengio 2003, doi 10.1023/A:1024068626366.
    """
    parts = variances * (1 / counts + overlap)
    error = float(np.sqrt(parts.sum())) / len(counts)
    freedom = float(parts.sum() ** 2 / (parts**2 / (counts - 1)).sum())
    half = stats.t.ppf(1 - ALPHA / 2, freedom) * error
    return mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom)), error, freedom


def _sign_flip(samples: Sequence[NDArray], flips: int) -> float:
    """Return the two-sided p of the hypothesis that each replicate's difference could have either sign.

    Exact where there are no more than `flips` sets of signs, that is with up to 15 replicates; with more
    the signs are drawn, and p is that of Phipson & Smyth 2010, doi 10.2202/1544-6115.1585, never too small.
    """
    shares = np.concatenate([sample / len(sample) for sample in samples])
    if 2 ** len(shares) > flips:
        return _drawn_sign_flip(shares, flips)
    return float(stats.permutation_test((shares,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue)


def _drawn_sign_flip(shares: NDArray[np.floating], flips: int) -> float:
    """Draw the signs; SciPy draws orders of pairs, which takes 30 times as long with 300 replicates."""
    signs = 2.0 * np.random.default_rng(SEED).integers(0, 2, (flips, len(shares)), dtype=np.int8) - 1
    # sums that differ by rounding alone are equal
    least = abs(shares.sum()) * (1 - 1e-12)
    return float((np.sum(np.abs(signs @ shares) >= least) + 1) / (flips + 1))


def bca(samples: Sequence[NDArray], resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % BCa bootstrap interval of the mean of means; seeds are drawn within each dataset."""

    def mean_of_means(*drawn: NDArray, axis: int = -1) -> NDArray:
        return sum(one.mean(axis=axis) for one in drawn) / len(drawn)

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(samples, mean_of_means, method="BCa", n_resamples=resamples, rng=SEED)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def replicates(differences: pd.DataFrame) -> dict[str, NDArray]:
    """Return the replicates of each dataset: means over models, of the seeds that have every model.

    A seed that lacks a model would compare another mean, so it is left out.

    Parameters
    ----------
    differences : DataFrame
        Indexed by dataset and seed, a column a model, NaN where there is no pair.
    """
    values, names = differences.to_numpy(dtype=float), differences.index.get_level_values("dataset")
    found = {}
    for name in names.unique():
        rows = values[names == name]
        rows = rows[:, ~np.isnan(rows).all(0)]
        whole = rows[~np.isnan(rows).any(1)]
        if whole.size:
            found[name] = whole.mean(1)
    return found


def needed(sd: float, datasets: int) -> float:
    """Return the seeds for each dataset with which a ratio of 1.05 would be seen with power 0.8.

    Parameters
    ----------
    sd : float
        Standard deviation of the logarithms of the ratio between seeds.
    datasets : int
        Datasets that are pooled.

    Returns
    -------
    float
        Of a two-sided paired t-test at 0.05; no fewer than the exact test needs.
    """
    if not sd > 0:
        return np.nan
    # an effect this large asks for fewer than the exact test needs, and the solver does not like it
    effect = min(np.log(TARGET_RATIO) / sd, 1.5)
    pairs = TTestPower().solve_power(effect_size=effect, alpha=ALPHA, power=POWER)
    return float(np.ceil(max(pairs, LEAST_FOR_TEST) / datasets))


def effects_of(pairs: pd.DataFrame, overlap: float, margin: float = MARGIN) -> pd.DataFrame:
    """Return the effect of each regime, in each dataset and model, and pooled.

    Parameters
    ----------
    pairs : DataFrame
        That of `paired`.
    overlap : float
        Validation over training images; see `overlap_of`.
    margin : float
        Of the equivalence of accuracies, a share.

    Returns
    -------
    DataFrame
        A row an effect: ``scope`` is ``block`` (one dataset and model), ``dataset`` (mean over its
        models) or ``all`` (mean over datasets); ``accuracy_difference``, ``time_ratio`` and
        ``efficiency_ratio`` are the three means, beside each other in every row; ``measure`` is the one
        that the rest of the row speaks of. ``p_holm`` is `p` adjusted over its ``family``: all regimes,
        stages, datasets and models of one scope, measure, ``at`` and basis (Holm 1979).
    """
    cases = ["regime", "stage", "at", "basis"]
    rows = [
        case | row
        for key, group in pairs.groupby(cases, sort=False)
        for case in [dict(zip(cases, key, strict=True))]
        for row in _effects_of_case(group, overlap, margin)
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    leading = ["scope", "dataset", "model", *cases, "accuracy_difference", "time_ratio", "efficiency_ratio", "measure"]
    table = table[[*leading, *(name for name in table if name not in leading)]]
    order = {"all": 0, "dataset": 1, "block": 2}
    return _with_holm(table.sort_values("scope", key=lambda scope: scope.map(order), kind="stable"))


def _effects_of_case(group: pd.DataFrame, overlap: float, margin: float) -> Iterator[dict[str, Any]]:
    wide = group.pivot(index=["dataset", "seed"], columns="model", values=list(MEASURES))  # noqa: PD010  no mean
    for scope, dataset, model, part in _scopes(wide):
        means: dict[str, float] = {}
        found = []
        for measure, unit in MEASURES.items():
            differences = part[measure]
            samples = replicates(differences)
            if samples:
                one = estimate(list(samples.values()), overlap, bootstrap=True)
                means[measure] = one.mean
                found.append((measure, unit, one, _note(one, differences, samples)))
        beside = {
            "accuracy_difference": means.get("accuracy_difference", np.nan),
            "time_ratio": np.exp(means.get("log_time_ratio", np.nan)),
            "efficiency_ratio": np.exp(means.get("log_efficiency_ratio", np.nan)),
        }
        for measure, unit, one, note in found:
            datasets = part.index.get_level_values("dataset").nunique()
            row = {"scope": scope, "dataset": dataset, "model": model} | beside | {"measure": measure, "unit": unit}
            yield row | _columns(one, measure, margin, datasets) | {"note": note}


def _scopes(wide: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Yield everything, then each dataset, then each model of it."""
    yield "all", EVERY, EVERY, wide
    for dataset, rows in wide.groupby(level="dataset", sort=False):
        # by accuracy, which is never missing from a pair: an efficiency ratio is where an accuracy is zero
        models = rows["accuracy_difference"].dropna(axis=1, how="all").columns
        yield "dataset", dataset, EVERY, rows.loc[:, rows.columns.get_level_values("model").isin(models)]
        for model in models:
            yield "block", dataset, model, rows.xs(model, level="model", axis=1, drop_level=False)


def _columns(one: Estimate, measure: str, margin: float, datasets: int) -> dict[str, Any]:
    of_accuracy = measure == "accuracy_difference"
    return {
        "replicates": one.replicates,
        "mean": one.mean,
        "sd": one.sd,
        "low": one.low,
        "high": one.high,
        "low_overlap": one.low_overlap,
        "high_overlap": one.high_overlap,
        "bootstrap_low": one.bootstrap_low,
        "bootstrap_high": one.bootstrap_high,
        "p": one.p,
        "p_overlap": one.p_overlap,
        "effect_size": one.mean / one.sd if one.sd > 0 else np.nan,
        "margin": margin if of_accuracy else np.nan,
        "p_equivalent": one.p_within(margin) if of_accuracy else np.nan,
        "p_not_worse": one.p_above(-margin) if of_accuracy else np.nan,
        "seeds_needed": np.nan if of_accuracy else needed(one.sd, datasets),
    }


def _note(one: Estimate, differences: pd.DataFrame, samples: dict[str, NDArray]) -> str:
    notes = []
    fewest = min(map(len, samples.values()))
    if fewest < 2:
        single = "one replicate" if one.replicates == 1 else "a dataset has one replicate"
        notes.append(f"{single}: no interval, no p")
    elif not one.testable:
        notes.append(f"{one.replicates} replicates cannot reach p < 0.05; the least possible is {least_p(one):.2g}")
    if one.constant:
        notes.append("the same in every replicate: no interval")
    left_out = len(differences.dropna(how="all")) - one.replicates
    if left_out:
        notes.append(f"left out: {left_out} seeds that lack a model")
    return "; ".join(notes)


def least_p(one: Estimate) -> float:
    """Return the smallest two-sided p that a sign-flip test of so many replicates can give."""
    return 2.0 ** (1 - one.replicates)


def _with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust p over each family; effects without p are no members."""
    family = table["scope"] + ": " + table["measure"] + ", " + table["at"] + ", " + table["basis"]
    adjusted = pd.Series(np.nan, table.index)
    sizes = table["p"].groupby(family).transform("count")
    for _, p in table["p"].dropna().groupby(family):
        adjusted[p.index] = holm(p)
    place = table.columns.get_loc("p") + 1
    table.insert(place, "p_holm", adjusted)
    table.insert(place + 1, "family", family + " (" + sizes.astype(str) + ")")
    return table.reset_index(drop=True)


def holm(p: Sequence[float]) -> NDArray[np.floating]:
    """Return p values adjusted by Holm 1979 (Scand. J. Statist. 6, 65)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
