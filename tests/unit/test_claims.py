import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from entr import claims, statistics, verdict
from entr.claims import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Study

CONTROL = "no-increase"
MODELS = ("resnet18", "resnet34", "resnet50")
REGIMES = (CONTROL, "gradual", "stepwise", "matched", "small")
ACCURACY = {CONTROL: 0.80, "gradual": 0.81, "stepwise": 0.81, "matched": 0.75, "small": 0.70}
TIME = {CONTROL: 100.0, "gradual": 75.0, "stepwise": 85.0, "matched": 75.0, "small": 50.0}
GAPS = {"loss_gap": 0.3, "training_negative_log_likelihood": 0.2}


def study(
    *, accuracy=None, time=None, gaps=None, datasets=("ucm",), stands_for=None,
    models=MODELS, regimes=REGIMES, seeds=7, basis="training",
):  # fmt: skip
    """Cells with the given means, and a little noise that is the same in each run."""
    accuracy, time, gaps = accuracy or {}, time or {}, gaps or {}
    rng = np.random.default_rng(1)
    rows = []
    for dataset, model, regime, seed in itertools.product(datasets, models, regimes, range(seeds)):
        of = [(dataset, model, regime), (model, regime), regime]
        share = next((accuracy[key] for key in of if key in accuracy), ACCURACY.get(regime, 0.8))
        seconds = next((time[key] for key in of if key in time), TIME.get(regime, 100.0))
        share += rng.normal(0, 0.002)
        seconds *= (1 + MODELS.index(model)) * np.exp(rng.normal(0, 0.005))
        for stage in (claims.EARLY, claims.LATE, claims.FINAL):
            key = {"dataset": dataset, "model": model, "regime": regime, "seed": seed, "stage": stage}
            values = [("accuracy", "", share), ("time", "training", seconds)]
            values += [("efficiency", "training", np.sqrt(share / seconds))]
            if basis == "latency":
                values += [("time", "latency", 0.01), ("efficiency", "latency", np.sqrt(share / 0.01))]
            rows += [key | {"at": "phase", "measure": name, "basis": on, "value": value} for name, on, value in values]
            # the finished network at other sizes, of which no claim speaks
            key = key | {"measure": "accuracy", "basis": ""}
            rows += [key | {"at": "test", "size": size, "value": share} for size in (100, 350)]
            for name in gaps:
                value = gaps[name].get(regime, GAPS[name]) + rng.normal(0, 0.001)
                rows.append(key | {"at": "full", "measure": name, "basis": "", "value": value})
    return Study(
        cells=pd.DataFrame(rows), datasets={name: name.upper() for name in datasets}, stands_for=stands_for or {},
        models=models, regimes=regimes, seeds=range(seeds), control=CONTROL, basis=basis, overlap=1 / 9,
    )  # fmt: skip


def judged(given, name, on=None):
    found = [claim for claim in claims.judge(given) if claim.claim == name and on in (None, claim.on)]
    assert found
    return found[0]


def entr(given):
    return claims.overall(claims.hypothesis(given))


# the hypothesis


def test_entr_is_supported_when_time_falls_accuracy_holds_and_no_rival_keeps_up():
    assert entr(study()) == SUPPORTED


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"time": {"gradual": 101.0, "stepwise": 102.0}}, "not shown that T falls"),
        ({"accuracy": {"gradual": 0.785, "stepwise": 0.785}}, "A fell: -1.5 points ["),
        ({"accuracy": {"matched": 0.81}}, "not shown that A is above that of matched"),
        ({"accuracy": {"small": 0.82}}, "not shown that A is above that of small"),
    ],
)
def test_entr_is_not_supported_when_one_of_its_parts_fails(changed, why):
    claim = claims.hypothesis(study(**changed))[0]
    assert claim.verdict == NOT_SUPPORTED
    assert why in claim.why


def test_a_rival_as_accurate_that_costs_more_does_not_refute_entr():
    assert entr(study(accuracy={"matched": 0.81}, time={"matched": 95.0})) == SUPPORTED


def test_a_rival_that_costs_three_percent_more_costs_the_same():
    slower = {"matched": 1.03 * TIME["stepwise"], "gradual": TIME["stepwise"]}
    assert entr(study(accuracy={"matched": 0.81}, time=slower)) == NOT_SUPPORTED


def test_entr_is_not_tested_without_rivals_and_says_which():
    claim = claims.hypothesis(study(regimes=REGIMES[:3]))[0]
    assert claim.verdict == NOT_TESTED
    assert "lacks the rivals matched, small or medium" in claim.why


def test_entr_is_not_supported_without_rivals_when_time_does_not_fall():
    given = study(regimes=REGIMES[:3], time={"gradual": 101.0, "stepwise": 101.0})
    assert entr(given) == NOT_SUPPORTED


def test_one_of_two_treatments_suffices():
    given = study(time={"stepwise": 101.0})
    verdicts = [claim.verdict for claim in claims.hypothesis(given)]
    assert verdicts == [SUPPORTED, NOT_SUPPORTED]
    assert claims.overall(claims.hypothesis(given)) == SUPPORTED


def test_a_network_s_latency_cannot_support_entr():
    assert entr(study(basis="latency")) == NOT_SUPPORTED


@pytest.mark.parametrize(("seeds", "said"), [(1, "one replicate"), (5, "5 replicates cannot reach p < 0.05")])
def test_few_replicates_test_nothing(seeds, said):
    given = study(seeds=seeds)
    found = claims.judge(given)
    assert {claim.verdict for claim in found} == {NOT_TESTED}
    assert said in found[0].why


# the paper's claims


def test_two_seeds_of_three_datasets_bear_a_test():
    claim = judged(study(datasets=("steel", "ucm", "bees"), seeds=2, models=MODELS[:1]), "ENTR")
    assert claim.replicates == 6
    assert claim.verdict != NOT_TESTED


def test_c1_needs_every_dataset_and_model():
    everywhere = {"datasets": ("steel", "ucm", "bees"), "regimes": REGIMES[:3], "seeds": 3}
    claim = judged(study(**everywhere), "C1")
    assert (claim.verdict, claim.ours) == (SUPPORTED, "36 of 36")
    nowhere = {("ucm", "resnet34", "gradual"): 104.0}
    claim = judged(study(**everywhere, time=nowhere), "C1")
    assert (claim.verdict, claim.ours) == (NOT_SUPPORTED, "34 of 36")
    assert "ucm resnet34 gradual" in claim.why


def test_c1_on_part_of_the_paper_s_grid_is_judged_as_that_part():
    found = [claim for claim in claims.judge(study(regimes=REGIMES[:3])) if claim.claim == "C1"]
    assert [(claim.on, claim.verdict) for claim in found] == [("steel, ucm, bees", NOT_TESTED), ("ucm", SUPPORTED)]
    assert found[0].ours == "12 of 12"
    assert "lacks steel, bees" in found[0].why


def test_the_most_efficient_cell_is_shown_only_beyond_noise():
    assert judged(study(), "C3").verdict == SUPPORTED
    level = judged(study(time={"stepwise": 75.0}, accuracy={"stepwise": 0.81}), "C3")
    assert level.verdict == NOT_SUPPORTED
    assert "stepwise resnet18" in level.measure or "resnet18 stepwise" in level.measure
    assert level.low < 1 < level.high
    other = judged(study(time={"stepwise": 40.0}), "C3")
    assert other.verdict == NOT_SUPPORTED
    assert "the other way" in other.why
    assert other.ours.startswith("stepwise with resnet18: As ")
    assert "A 81" in other.ours
    assert "T 40" in other.ours


def test_an_incomplete_grid_names_what_the_claim_lacks():
    claim = judged(study(models=("resnet18", "resnet34")), "C3")
    assert claim.verdict == NOT_TESTED
    assert claim.why == "the grid lacks resnet50"
    assert claim.ours.startswith("of what was run: gradual with resnet18")


def test_c5_and_c6_differ_in_how_many_models_they_need():
    ahead = {CONTROL: 0.83, ("resnet50", CONTROL): 0.79}
    given = study(datasets=("ucm", "steel"), accuracy=ahead)
    assert judged(given, "C5").verdict == NOT_SUPPORTED
    assert judged(given, "C6").verdict == SUPPORTED
    assert judged(study(accuracy={CONTROL: 0.83}), "C5").verdict == SUPPORTED


def test_c7_on_bees():
    given = study(datasets=("bees",), accuracy={("resnet50", "stepwise"): 0.86})
    claim = judged(given, "C7")
    assert (claim.verdict, claim.on) == (SUPPORTED, "bees")
    assert claim.paper.startswith("73.8 %")


def test_a_stand_in_s_result_is_the_stand_in_s():
    given = study(datasets=("neu",), stands_for={"neu": "steel"}, time={"stepwise": 60.0})
    found = [claim for claim in claims.judge(given) if claim.claim == "C2"]
    assert [(claim.on, claim.stands_for, claim.verdict) for claim in found] == [
        ("steel", "", NOT_TESTED),
        ("neu", "steel", SUPPORTED),
    ]


def test_c8_needs_small_to_reach_less():
    assert judged(study(), "C8").verdict == SUPPORTED
    assert judged(study(accuracy={"small": 0.81}), "C8").verdict == NOT_SUPPORTED
    assert "lacks small" in judged(study(regimes=REGIMES[:3]), "C8").why


@pytest.mark.parametrize(
    ("loss", "gap", "said"),
    [(0.2, 0.2, SUPPORTED), (0.2, 0.3, NOT_SUPPORTED), (0.3, 0.2, NOT_SUPPORTED)],
    ids=["smaller gap", "same gap", "less learned"],
)
def test_a_smaller_gap_counts_only_when_as_much_was_learned(loss, gap, said):
    treatments = ("gradual", "stepwise")
    gaps = {
        "training_negative_log_likelihood": dict.fromkeys(treatments, loss),
        "loss_gap": dict.fromkeys(treatments, gap),
    }
    assert judged(study(gaps=gaps), "C9").verdict == said


def test_without_the_loss_on_training_images_c9_is_not_tested():
    assert judged(study(), "C9").verdict == NOT_TESTED


# the verdict in words


@pytest.fixture
def written(tmp_path):
    def write(given):
        runs = given.cells[["dataset", "model", "regime", "seed"]].drop_duplicates()
        given.cells.to_csv(tmp_path / "cells.csv", index=False)
        runs.assign(weights="none", device="a processor").to_csv(tmp_path / "runs.csv", index=False)
        statistics.write(
            tmp_path / "cells.csv",
            CONTROL,
            10,
            efficiency=tmp_path / "efficiency.csv",
            effects=tmp_path / "effects.csv",
        )
        settings = {
            name: getattr(given, name)
            for name in ("datasets", "stands_for", "models", "regimes", "seeds", "control", "basis")
        }
        verdict.write(
            **{name: tmp_path / f"{name}.csv" for name in ("cells", "efficiency", "effects", "runs")},
            settings=settings | {"folds": 10}, claims_table=tmp_path / "claims.csv", verdict=tmp_path / "verdict.md",
        )  # fmt: skip
        return (tmp_path / "verdict.md").read_text(encoding="utf-8"), pd.read_csv(tmp_path / "claims.csv")

    return write


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "**Yes, where this study looked:** the ENTR hypothesis is supported for gradual and for stepwise"),
        ({"accuracy": {"matched": 0.82}}, "**Not shown:** this study does not support the ENTR hypothesis"),
        ({"seeds": 1}, "**This study cannot tell:** the ENTR hypothesis is not tested here (there is one replicate"),
    ],
)
def test_the_answer_comes_first_and_from_the_numbers(written, changed, said):
    text, table = written(study(**changed))
    assert text.split("\n\n")[1].startswith(said)
    assert "gradual took 0.75 times as long as no-increase" in text
    assert set(table["claim"]) == {"ENTR", *(f"C{number}" for number in range(1, 10))}


def test_the_verdict_says_what_was_run_and_what_to_bear_in_mind(written):
    text, _ = written(study(datasets=("neu",), stands_for={"neu": "steel"}, seeds=3, regimes=REGIMES[:3]))
    for said in (
        "random first weights, all layers trained", "a processor", "(`neu`, a stand-in for steel)", "**3 seeds.**",
        "no dataset of the paper", "27 of 27 cells",
    ):  # fmt: skip
        assert said in text


def test_missing_cells_are_named(written):
    given = study(seeds=3, regimes=REGIMES[:2])
    gone = (given.cells["regime"] == "gradual") & (given.cells["model"] == "resnet34") & (given.cells["seed"] > 0)
    text, _ = written(replace(given, cells=given.cells[~gone]))
    assert "**2 cells are missing** and left out of what is said: ucm resnet34 gradual seed 1, 2." in text


def test_a_dataset_where_accuracy_falls_is_named(written):
    lost = {("bees", model, "gradual"): 0.75 for model in MODELS}
    text, _ = written(study(datasets=("ucm", "bees"), accuracy=lost, regimes=REGIMES[:3], seeds=4))
    assert "**On BEES gradual lost accuracy**" in text
    assert "On UCM gradual lost" not in text


def test_a_grid_of_the_control_alone_says_that_nothing_is_compared(written):
    text, _ = written(study(regimes=(CONTROL,)))
    assert "There are no pairs yet." in text
    assert "not tested here (neither gradual nor stepwise is in the grid)" in text


def test_every_row_of_efficiency_shows_accuracy_and_time(written):
    text, _ = written(study(seeds=2, regimes=REGIMES[:2]))
    head = next(line for line in text.splitlines() if "| As |" in line)
    assert "| A |" in head
    assert "| T |" in head
