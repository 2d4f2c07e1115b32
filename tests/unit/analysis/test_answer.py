import numpy as np
import pytest
from factories import REGIMES, STUDY_SECONDS, study

from entr.analysis.answer import find_answer
from entr.analysis.answer_parts import (
    AS_ACCURATE,
    BETTER,
    FASTER,
    MORE_EFFICIENT,
    NO,
    NOT_TESTED,
    UNDECIDED,
    YES,
    Part,
    answer_table,
    combined_verdict,
)
from entr.analysis.answer_wording import describe_change, describe_evidence
from entr.analysis.estimation import NEW_IMAGES, TARGETS, THESE_IMAGES
from entr.analysis.study import Study
from entr.metrics.labels import CELL
from entr.report.answer import answer_text


def answer_of(cell_seconds=60.0, **changes):
    given = study(**changes)
    cells = given.metrics[CELL].drop_duplicates().assign(seconds_wall=cell_seconds)
    return find_answer(given, cells)


def verdict_of(answer, part, comparator="no-increase", target=NEW_IMAGES, regime="gradual"):
    (one,) = answer.select(part=part, comparator=comparator, target=target, regime=regime)
    return one.verdict


@pytest.mark.parametrize("target", TARGETS)
def test_every_part_is_yes_if_time_falls_accuracy_rises_and_rivals_lose(target):
    answer = answer_of()
    for part in (FASTER, AS_ACCURATE, MORE_EFFICIENT):
        assert verdict_of(answer, part, target=target) == YES
    for rival in ("matched", "small"):
        assert verdict_of(answer, BETTER, rival, target) == YES
    assert answer.headline == (
        "Starting on small images (gradual) saved 25.0 % of the training time and gained 1.0 points of accuracy, and "
        "neither shorter training nor smaller images did as well: worth it here."
    )


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        (
            {"accuracy": {"gradual": 0.75}},
            "saved 25.0 % of the training time but cost 5.0 points of accuracy.",
        ),
        ({"accuracy": {"matched": 0.81}}, "accuracy, but matched did as well: no need for increasing sizes here."),
        ({"time": {"gradual": 125.0}}, "took 25.0 % more training time: no relevant saving here."),
        ({"time": {"gradual": 101.0}}, "took 1.0 % more training time: no relevant saving here."),
        ({"seeds": 2}, "Undecided: whether starting on small images (gradual) saves training time (2 replicates are"),
        ({"seeds": 1}, "Undecided: whether starting on small images (gradual) saves training time (1 replicate is"),
        ({"regimes": REGIMES[:3]}, "shorter training or training on smaller images does as well was not tested."),
        ({"regimes": ("no-increase", "small")}, "Not tested: the grid contains neither gradual nor stepwise."),
        ({"regimes": ("no-increase", "stepwise")}, "Starting on small images (stepwise) saved"),
    ],
)
def test_headline_is_made_from_the_parts(changes, headline):
    assert headline in answer_of(**changes).headline


def test_accuracy_within_the_margin_is_as_high_even_if_it_is_lower():
    answer = answer_of(accuracy={"gradual": 0.795})
    (part,) = answer.select(part=AS_ACCURATE, regime="gradual", target=NEW_IMAGES)
    assert part.high < 0
    assert part.verdict == YES
    assert "but cost 0.5 points of accuracy, less than the margin of 1 point, " in answer.headline


def test_accuracy_whose_change_may_be_zero_is_kept_to_within_the_margin():
    answer = answer_of(accuracy={"gradual": 0.8005})
    (part,) = answer.select(part=AS_ACCURATE, regime="gradual", target=THESE_IMAGES)
    assert part.low < 0 < part.high
    assert "and kept the accuracy to within 1 point, " in answer.headline


def test_time_that_differs_by_less_than_five_percent_is_not_faster():
    (part,) = answer_of(time={"gradual": 100.5}).select(part=FASTER, regime="gradual", target=NEW_IMAGES)
    assert part.verdict == NO
    assert part.sentence.startswith("gradual takes as long as no-increase: +0.")


def test_treatment_that_loses_accuracy_can_still_be_more_efficient():
    answer = answer_of(accuracy={"gradual": 0.75})
    assert verdict_of(answer, AS_ACCURATE) == NO
    assert verdict_of(answer, MORE_EFFICIENT) == YES


def test_rival_that_is_as_accurate_but_dearer_is_beaten():
    dearer = answer_of(accuracy={"matched": 0.81}, time={"matched": 1.2 * STUDY_SECONDS["gradual"]})
    assert verdict_of(dearer, BETTER, "matched") == YES


def test_further_seeds_are_proposed_with_their_duration():
    (part,) = answer_of(cell_seconds=600.0, seeds=4).select(part=FASTER, regime="gradual", target=THESE_IMAGES)
    assert part.verdict == UNDECIDED
    assert part.seeds_needed == 6
    # 2 seeds of 5 regimes and 3 models, 10 minutes each
    assert part.lacking == "about 2 more seeds (5.0 h on this machine)"


def test_seeds_do_not_replace_images():
    rng = np.random.default_rng(0)
    given = study(seeds=10, models=("resnet18",))
    rows = given.metrics["metric"].eq("accuracy") & given.metrics["regime"].eq("gradual")
    given.metrics.loc[rows, "value"] += rng.normal(-0.015, 0.04, rows.sum())
    cells = given.metrics[CELL].drop_duplicates().assign(seconds_wall=1.0)
    (part,) = find_answer(given, cells).select(part=AS_ACCURATE, regime="gradual", target=NEW_IMAGES)
    assert part.verdict == UNDECIDED
    assert np.isinf(part.seeds_needed)
    assert part.lacking.startswith("more images or datasets")


def unbalanced(seeds, configured=10, **changes):
    """Return the answer of a study in which each dataset has its own number of seeds."""
    given = study(datasets=tuple(seeds), seeds=configured, **changes)
    metrics = given.metrics[given.metrics["seed"] < given.metrics["dataset"].map(seeds)]
    cells = metrics[CELL].drop_duplicates().assign(seconds_wall=600.0)
    return find_answer(Study(given.design, metrics), cells)


def test_dataset_with_one_seed_leaves_everything_undecided():
    answer = unbalanced({"ucm": 10, "neu": 1})
    assert answer.headline.endswith("saves training time (one dataset has only one replicate).")
    for part in answer.select(leading=True, part=FASTER):
        assert (part.verdict, part.lacking) == (UNDECIDED, "the unfinished cells of the grid")
    assert "    snakemake" not in answer_text(answer)


def test_dataset_without_pairs_is_named():
    answer = unbalanced({"ucm": 10, "neu": 0})
    assert answer.headline == "Not tested: pairs with no-increase on neu are missing."


@pytest.mark.parametrize("seeds", [{"ucm": 1}, {"ucm": 3}, {"ucm": 2, "neu": 1}])
def test_unfinished_cells_are_named_before_further_seeds(seeds):
    for part in unbalanced(seeds).select(leading=True, part=FASTER):
        assert part.lacking == "the unfinished cells of the grid"
        assert max(seeds.values()) < part.seeds_needed <= 10


def test_seeds_of_an_unfinished_grid_include_the_unfinished_cells():
    (part,) = unbalanced({"ucm": 2}, configured=3).select(leading=True, part=FASTER, target=THESE_IMAGES)
    # 6 seeds less the 2 finished ones, of 5 regimes and 3 models, 10 minutes each
    assert part.lacking == "about 3 more seeds (10.0 h on this machine)"


def test_time_can_decide_whether_a_rival_is_beaten():
    rng = np.random.default_rng(0)
    given = study(seeds=10, models=("resnet18",), accuracy={"matched": 0.81})
    rows = given.metrics["metric"].eq("time") & given.metrics["regime"].eq("matched")
    given.metrics.loc[rows, "value"] *= np.exp(rng.normal(0.04, 0.1, rows.sum()))
    cells = given.metrics[CELL].drop_duplicates().assign(seconds_wall=1.0)
    parts = find_answer(given, cells).select(part=BETTER, comparator="matched", regime="gradual", target=THESE_IMAGES)
    assert [part.verdict for part in parts] == [UNDECIDED]
    # the difference in accuracy alone is known to a tenth of a point
    assert parts[0].seeds_needed > 15


def test_missing_rivals_are_not_tested_and_named():
    parts = answer_of(regimes=(*REGIMES[:3], "small")).select(part=BETTER, regime="gradual", target=NEW_IMAGES)
    assert [(part.comparator, part.verdict) for part in parts] == [("small", YES), ("matched", NOT_TESTED)]
    assert parts[1].lacking == "matched in grid.regimes"


def test_only_the_first_treatment_leads():
    table = answer_table(answer_of())
    assert set(table.loc[table["leading"], "regime"]) == {"gradual"}
    assert set(table["regime"]) == {"gradual", "stepwise"}


def test_interval_for_new_images_is_wider():
    answer = answer_of()
    here, elsewhere = (answer.select(part=FASTER, regime="gradual", target=target)[0] for target in TARGETS)
    assert here.value == elsewhere.value
    assert elsewhere.low < here.low < here.high < elsewhere.high


@pytest.mark.parametrize(
    ("verdicts", "combined"),
    [((YES, YES), YES), ((YES, UNDECIDED, NOT_TESTED), UNDECIDED), ((YES, NOT_TESTED), NOT_TESTED), ((NO, YES), NO)],
)
def test_a_part_is_yes_if_all_its_comparisons_are(verdicts, combined):
    part = answer_of().parts[0]
    assert combined_verdict([type(part)(**vars(part) | {"verdict": verdict}) for verdict in verdicts]) == combined


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("time", 0.66, 0.64, 0.69), "-34.0 % time [-36.0 to -31.0]"),
        (("accuracy", -0.045, -0.069, -0.022), "-4.5 points [-6.9 to -2.2]"),
        (("accuracy", 0.0, -3.0, 3.0), "+0.0 points [-100.0 to +100.0]"),
        (("efficiency", 1.2, np.nan, np.nan), "+20.0 % As"),
        (("time", 1.58, 0.000162, 1.54e4), "+58.0 % time [-100.0 to over +1000]"),
    ],
)
def test_change_is_a_percentage_or_points_with_its_interval(change, text):
    assert describe_change(*change) == text


@pytest.mark.parametrize(
    ("verdict", "high", "explained"),
    [(UNDECIDED, -0.02, True), (UNDECIDED, 0.02, False), (NO, -0.02, False)],
)
def test_undecided_change_whose_interval_excludes_zero_is_explained(verdict, high, explained):
    part = Part(
        AS_ACCURATE,
        "gradual",
        "no-increase",
        THESE_IMAGES,
        verdict,
        metric="accuracy",
        value=-0.07,
        low=-0.12,
        high=high,
    )
    assert describe_evidence(part).endswith("not significant in the permutation test") == explained
