import re
from dataclasses import replace

import pytest
from factories import CONTROL, MODELS, REGIMES, study

from entr.analysis.paired_effects import write_effects
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import CELL
from entr.report.verdict import write_verdict


@pytest.fixture
def verdict_of(tmp_path):
    """Function that writes the verdict on a study, and returns its text and the table of claims."""

    def write(given, weights="none", scale=1.0, **columns):
        design = given.design
        tables = {name: tmp_path / f"{name}.csv" for name in ("metrics", "pairs", "effects", "cells")}
        write_table(given.metrics, tables["metrics"])
        cells = given.metrics[CELL].drop_duplicates()
        columns = {"device": "a CPU", "seconds_wall": 60.0, "sizes_in_host_memory": ""} | columns
        write_table(cells.assign(weights=weights, scale=scale, **columns), tables["cells"])
        effects = {name: tables[name] for name in ("pairs", "effects")}
        write_effects(tables["metrics"], design.control, design.folds, **effects)
        outputs = {name: tmp_path / f"{name}.csv" for name in ("answer", "claims")}
        outputs |= {"verdict": tmp_path / "verdict.md", "text": tmp_path / "answer.txt"}
        write_verdict(**tables, design=design, outputs=outputs)
        return outputs["verdict"].read_text(encoding="utf-8"), read_table(outputs["claims"])

    return write


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        (
            {},
            ("smaller images did as well: worth it here.**", "is supported for gradual and stepwise: shown"),
        ),
        (
            {"accuracy": {"matched": 0.82}},
            ("but matched did as well: no need for increasing sizes here.**", "is not supported: not shown that A"),
        ),
        ({"seeds": 1}, ("(1 replicate is too few).**", "is not tested here: one replicate")),
    ],
)
def test_answer_comes_first_and_is_computed_from_the_tables(verdict_of, changes, answer):
    headline, hypothesis = answer
    text, claims = verdict_of(study(**changes))
    assert text.split("\n\n")[1].endswith(headline)
    assert f"The ENTR hypothesis {hypothesis}" in text
    assert f"| Is it faster? | no-increase | {changes.get('seeds', 7)} | -25." in text
    assert set(claims["claim"]) == {"ENTR", *(f"C{number}" for number in range(1, 10))}


def test_verdict_states_the_experiment_and_its_caveats(verdict_of):
    text, _ = verdict_of(study(datasets=("neu",), stand_in_for={"neu": "steel"}, seeds=3, regimes=REGIMES[:3]))
    for statement in (
        "randomly initialised weights, all layers trained",
        "a CPU",
        "(`neu`, a stand-in for steel)",
        "**3 seeds.** In a single dataset, 3 replicates cannot reach a p-value below 0.25.",
        "**Random initial weights.**",
        "**NEU is not a dataset of Wanger & Frohn**; it is a stand-in for steel.",
        "27 of 27 cells",
    ):
        assert statement in text


def test_pretrained_models_of_the_papers_dataset_have_no_caveat_about_them(verdict_of):
    text, _ = verdict_of(study(), weights="imagenet")
    assert "ImageNet weights" in text
    assert "Random initial weights" not in text
    assert "scaled" not in text


def test_images_in_host_memory_and_several_devices_are_stated(verdict_of):
    given = study(regimes=REGIMES[:3])
    text, _ = verdict_of(given)
    assert "host memory" not in text
    assert "different devices" not in text
    count = len(given.metrics[CELL].drop_duplicates())
    columns = {"device": ["A"] * 9 + ["B"] * (count - 9), "sizes_in_host_memory": ["250"] * 9 + [""] * (count - 9)}
    text, _ = verdict_of(given, **columns)
    assert "**Not all images fitted on the device** in 9 cells" in text
    assert "**Cells were trained on different devices**: A and B." in text


def test_verdict_states_the_scale_of_the_image_sizes(verdict_of):
    text, _ = verdict_of(study(), scale=0.4)
    assert "all layers trained, image sizes scaled by 0.4." in text
    assert "not a dataset of Wanger & Frohn" not in text


def test_missing_cells_are_named(verdict_of):
    given = study(seeds=3, regimes=REGIMES[:2])
    metrics = given.metrics
    missing = (metrics["regime"] == "gradual") & (metrics["model"] == "resnet34") & (metrics["seed"] > 0)
    text, _ = verdict_of(replace(given, metrics=metrics[~missing]))
    assert "**2 cells are missing** and excluded from the results: ucm resnet34 gradual seeds 1, 2." in text


def test_dataset_in_which_accuracy_falls_is_named(verdict_of):
    lower = {("bees", model, "gradual"): 0.75 for model in MODELS}
    text, _ = verdict_of(study(datasets=("ucm", "bees"), accuracy=lower, regimes=REGIMES[:3], seeds=6))
    assert "**On BEES, gradual lost accuracy**: -" in text
    assert "On UCM, gradual lost" not in text
    assert re.search(r"\| Is it as accurate\? \| no-increase \| 12 \| [-−](1\.9|2\.\d)", text)


def test_lower_accuracy_in_too_few_seeds_is_not_called_lost(verdict_of):
    text, _ = verdict_of(study(accuracy={"gradual": 0.75}, regimes=REGIMES[:3], seeds=5))
    assert "lost accuracy" not in text


def test_datasets_with_few_seeds_are_named(verdict_of):
    given = study(datasets=("ucm", "bees"))
    metrics = given.metrics
    text, _ = verdict_of(replace(given, metrics=metrics[(metrics["dataset"] == "ucm") | (metrics["seed"] < 5)]))
    assert "**5 seeds of BEES.** In a single dataset, 5 replicates cannot reach a p-value below 0.062." in text
    assert "- Replicates: 7 seeds of UCM, 5 seeds of BEES." in text


def test_grid_of_the_control_alone_is_not_compared(verdict_of):
    text, _ = verdict_of(study(regimes=(CONTROL,)))
    assert "No regime can be compared with no-increase yet." in text
    assert "not tested here: neither gradual nor stepwise is in the grid." in text
    assert text.split("\n\n")[1] == "**Not tested: the grid contains neither gradual nor stepwise.**"


def test_comparison_shows_accuracy_and_time_as_well_as_efficiency(verdict_of):
    text, _ = verdict_of(study(seeds=2, regimes=REGIMES[:2]))
    heads = [line for line in text.splitlines() if line.startswith("| dataset | stage | regime |")]
    assert len(heads) == 3
    assert all(any(symbol in head for head in heads) for symbol in (" A, ", " T, ", " As, ")), heads


def test_title_with_markup_is_shown_as_text(verdict_of):
    given = study(seeds=2, regimes=REGIMES[:2])
    design = given.design.model_copy(update={"datasets": {"ucm": "a|b `c`"}})
    text, _ = verdict_of(replace(given, design=design))
    assert "- Datasets: a\\|b \\`c\\` (`ucm`)." in text
    rows = [line for line in text.splitlines() if line.startswith("| a\\|b \\`c\\` |")]
    # two stages of one regime, in a table of A, of T and of As
    assert len(rows) == 2 * 3
