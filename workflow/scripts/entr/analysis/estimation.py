"""Estimates of paired differences: intervals, exact tests, equivalence and power."""

import gc
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

Sample = NDArray[np.floating]

ALPHA = 0.05
MARGIN = 0.01
"""Equivalence margin of accuracies: one percentage point, stated beforehand."""
TARGET_RATIO = 1.05
"""Ratio that has to be detected; ratios closer to 1 are negligible."""
POWER = 0.8
LARGEST_EFFECT_SIZE = 1.5
"""Effect size from which on the exact test determines the number of seeds, and the solver may fail."""
FLIPS = 2**15
"""Largest number of sign flips: all of them if there are no more, otherwise a random sample."""
RESAMPLES = 9_999
REPLICATES_FOR_BOOTSTRAP = 8
"""With fewer replicates a bootstrap interval is much too short; see docs/statistics.md."""
REPLICATES_FOR_TEST = 6
"""Smallest number of replicates with which a two-sided exact sign-flip test can reach p < 0.05."""
ROUNDING_ERROR = 1e-12
SEED = 0
"""Seed of resampling, so that a table is reproducible."""


def validation_training_ratio(folds: int) -> float:
    """Return the ratio of validation to training images of a partition into folds."""
    return 1 / (folds - 1)


THESE_IMAGES, NEW_IMAGES = "these_images", "new_images"
"""What an interval applies to: further seeds on the images of the study, or further images of the same kind."""
TARGETS = (THESE_IMAGES, NEW_IMAGES)


class StudentTest(NamedTuple):
    """Student's 95 % interval and two-sided p-value of a mean; NaN where there are too few replicates."""

    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    standard_error: float = np.nan
    degrees_of_freedom: float = np.nan


_UNKNOWN = StudentTest()


@dataclass(frozen=True)
class Estimate:
    """The mean of paired differences with its intervals and tests; NaN where there are too few replicates."""

    replicates: int
    """Seeds of all datasets together."""
    mean: float
    seeds: int = 0
    """Seeds of the dataset that has the fewest."""
    sd: float = np.nan
    """Standard deviation between the seeds of a dataset."""
    p: float = np.nan
    """Two-sided p-value of the sign-flip test."""
    student: StudentTest = _UNKNOWN
    """For further seeds on the same images."""
    corrected: StudentTest = _UNKNOWN
    """For further images of the same kind: corrected for folds that share training images."""
    bootstrap_low: float = np.nan
    bootstrap_high: float = np.nan
    """95 % BCa bootstrap interval."""

    def test(self, target: str = NEW_IMAGES) -> StudentTest:
        """Return Student's interval and test for one of `TARGETS`."""
        return self.student if target == THESE_IMAGES else self.corrected

    def p_decisive(self, target: str = NEW_IMAGES) -> float:
        """Return the p-value that decides a verdict: the larger of the exact test's and Student's."""
        return float(np.nan_to_num(self.p if self.constant else max(self.p, self.test(target).p), nan=1))

    @property
    def constant(self) -> bool:
        """Whether all replicates are equal, as where *T* is computed and not measured."""
        return self.replicates > 1 and self.sd == 0

    @property
    def testable(self) -> bool:
        """Whether there are enough replicates for p < 0.05, and at least two seeds of each dataset."""
        return self.replicates >= REPLICATES_FOR_TEST and not np.isnan(self.p)

    @property
    def smallest_p(self) -> float:
        """The smallest two-sided p-value of a sign-flip test with this number of replicates."""
        return 2.0 ** (1 - self.replicates)

    def p_above(self, bound: float, target: str = NEW_IMAGES) -> float:
        """Return the one-sided p-value of the null hypothesis that the mean does not exceed a bound."""
        test = self.test(target)
        if not test.standard_error > 0:
            return np.nan
        return float(stats.t.sf((self.mean - bound) / test.standard_error, test.degrees_of_freedom))

    def p_below(self, bound: float, target: str = NEW_IMAGES) -> float:
        """Return the one-sided p-value of the null hypothesis that the mean is not below a bound."""
        test = self.test(target)
        if not test.standard_error > 0:
            return np.nan
        return float(stats.t.cdf((self.mean - bound) / test.standard_error, test.degrees_of_freedom))

    def p_within(self, margin: float, target: str = NEW_IMAGES) -> float:
        """Return the p-value of two one-sided tests (TOST, Schuirmann 1987) that the mean is within ±margin."""
        return max(self.p_above(-margin, target), self.p_below(margin, target))


def estimate(samples: Sequence[Sample], overlap: float, *, flips: int = FLIPS, bootstrap: bool = False) -> Estimate:
    """Estimate the mean over datasets of the mean over seeds.

    Parameters
    ----------
    samples : sequence of array, each of shape (seeds,)
        Paired differences of each dataset.
    overlap : float
        Ratio of validation to training images, see `validation_training_ratio`.
    flips : int
        Largest number of sign flips.
    bootstrap : bool
        Whether to compute the BCa interval as well, if there are `REPLICATES_FOR_BOOTSTRAP` replicates. Seeds that
        not every dataset has do not count.

    Returns
    -------
    Estimate
        Without interval and p-value if a dataset has fewer than two seeds.

    Raises
    ------
    ValueError
        If there is no sample, or a sample is empty.
    """
    counts = np.array([len(sample) for sample in samples])
    if not counts.size or not counts.all():
        raise ValueError("each dataset needs at least one pair")
    replicates = int(counts.sum())
    seeds = int(counts.min())
    mean = float(np.mean([np.mean(sample) for sample in samples]))
    if seeds < 2:
        return Estimate(replicates, mean, seeds)
    p = _sign_flip_p(samples, flips)
    # differences that are equal except for rounding have no variance
    variances = np.array([np.var(one, ddof=1) if np.ptp(one) > ROUNDING_ERROR else 0.0 for one in samples])
    sd = float(np.sqrt(variances.mean()))
    if sd == 0:
        return Estimate(replicates, mean, seeds, sd, p=p)
    enough = bootstrap and seeds * len(counts) >= REPLICATES_FOR_BOOTSTRAP
    bootstrap_low, bootstrap_high = bca_interval(samples) if enough else (np.nan, np.nan)
    return Estimate(
        replicates=replicates,
        mean=mean,
        seeds=seeds,
        sd=sd,
        p=p,
        student=_student(mean, variances, counts, 0),
        corrected=_student(mean, variances, counts, overlap),
        bootstrap_low=bootstrap_low,
        bootstrap_high=bootstrap_high,
    )


def _student(mean: float, variances: NDArray, counts: NDArray, overlap: float) -> StudentTest:
    """Return Student's interval and test of a mean of means.

    With several datasets the degrees of freedom are those of Welch and Satterthwaite. `overlap` widens
    the variance of a mean of n folds from s²/n to s² (1/n + overlap), Nadeau & Bengio 2003,
    doi 10.1023/A:1024068626366.
    """
    parts = variances * (1 / counts + overlap)
    error = float(np.sqrt(parts.sum())) / len(counts)
    freedom = float(parts.sum() ** 2 / (parts**2 / (counts - 1)).sum())
    half = stats.t.ppf(1 - ALPHA / 2, freedom) * error
    p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return StudentTest(mean - half, mean + half, p, error, freedom)


def _sign_flip_p(samples: Sequence[Sample], flips: int) -> float:
    """Return the two-sided p-value of the null hypothesis that each difference takes either sign.

    The test is exact if there are no more than `flips` sets of signs, that is with up to 15 replicates.
    Otherwise the signs are drawn, and the p-value is that of Phipson & Smyth 2010,
    doi 10.2202/1544-6115.1585, which is never too small.
    """
    shares = np.concatenate([sample / len(sample) for sample in samples])
    if 2 ** len(shares) > flips:
        return _sampled_sign_flip_p(shares, flips)
    return float(stats.permutation_test((shares,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue)


def _sampled_sign_flip_p(shares: Sample, flips: int) -> float:
    """Draw the signs; SciPy draws orders of pairs, which takes 30 times as long with 300 replicates."""
    signs = 2.0 * np.random.default_rng(SEED).integers(0, 2, (flips, len(shares)), dtype=np.int8) - 1
    # sums that differ only by rounding are equal
    observed = abs(shares.sum()) * (1 - ROUNDING_ERROR)
    return float((np.sum(np.abs(signs @ shares) >= observed) + 1) / (flips + 1))


def bca_interval(samples: Sequence[Sample], resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % BCa bootstrap interval of the mean of means; seeds are resampled within each dataset."""

    def mean_of_means(*resampled: NDArray, axis: int = -1) -> NDArray:
        return np.asarray(sum(one.mean(axis=axis) for one in resampled) / len(resampled))

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(samples, mean_of_means, method="BCa", n_resamples=resamples, rng=SEED)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def replicate_means(differences: pd.DataFrame) -> dict[str, Sample]:
    """Return the replicates of each dataset: means over the models, of the seeds that have every model.

    A seed that lacks a model is excluded, because it would average over different models.

    Parameters
    ----------
    differences : DataFrame
        Indexed by dataset and seed, one column per model, NaN where there is no pair.
    """
    values, names = differences.to_numpy(dtype=float), differences.index.get_level_values("dataset")
    replicates = {}
    for name in names.unique():
        rows = values[names == name]
        rows = rows[:, ~np.isnan(rows).all(0)]
        complete = rows[~np.isnan(rows).any(1)]
        if complete.size:
            replicates[name] = complete.mean(1)
    return replicates


def seeds_needed(sd: float, datasets: int) -> float:
    """Return the number of seeds per dataset that detect a ratio of 1.05 with power 0.8.

    Parameters
    ----------
    sd : float
        Standard deviation between seeds of the logarithm of the ratio.
    datasets : int
        Number of datasets that are pooled.

    Returns
    -------
    float
        For a two-sided paired t-test at 0.05; at least as many as the exact test needs.
    """
    if not sd > 0:
        return np.nan
    effect_size = min(np.log(TARGET_RATIO) / sd, LARGEST_EFFECT_SIZE)
    pairs = TTestPower().solve_power(effect_size=effect_size, alpha=ALPHA, power=POWER)
    return float(np.ceil(max(pairs, REPLICATES_FOR_TEST) / datasets))


def holm(p: Sequence[float] | NDArray[np.floating]) -> NDArray[np.floating]:
    """Return p-values adjusted by the method of Holm 1979 (Scand. J. Statist. 6, 65)."""
    # statsmodels collects garbage in each call, which takes 50 ms if it has to traverse all objects
    gc.freeze()
    try:
        return multipletests(p, method="holm")[1]
    finally:
        gc.unfreeze()
