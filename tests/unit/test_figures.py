import itertools
import re

import numpy as np
import pandas as pd
import pytest

from entr import figures, tables

REGIMES = ("no-increase", "gradual", "stepwise", "mine")


def results(seeds):
    rng = np.random.default_rng(0)
    rows = []
    for model, regime, seed, stage in itertools.product(
        ("resnet18", "resnet50"), REGIMES, range(seeds), figures.STAGES
    ):
        key = {
            "dataset": "ucm",
            "model": model,
            "regime": regime,
            "seed": seed,
            "stage": stage,
            "at": "phase",
            "size": 250,
        }
        rows.append(key | {"measure": "accuracy", "basis": "", "value": rng.uniform(0.8, 0.9), "unit": "share"})
        rows += [
            key | {"measure": measure, "basis": "training", "value": rng.uniform(1, 2), "unit": "1"}
            for measure in ("efficiency", "efficiency_ratio")
            if measure == "efficiency" or regime != "no-increase"
        ]
    cells = pd.DataFrame(rows)
    of_cells = cells[["dataset", "model", "regime", "seed"]].drop_duplicates()
    epochs = of_cells.merge(pd.DataFrame({"phase": ["sgdr", "rpl"], "epoch": [1, 2], "size": [100, 250]}), how="cross")
    return figures.Results(
        cells=cells,
        summary=tables.summary_of(cells),
        history=epochs.assign(accuracy=0.8, training_seconds=10.0, training_loss=1.0, validation_loss=1.0),
        steps=epochs.assign(step=epochs["epoch"], rate_early=0.001, rate_late=0.003, learning_rate=0.01, momentum=0.9),
        lr_find=epochs.assign(step=epochs["epoch"], learning_rate=0.01 * epochs["epoch"], loss=2.0),
        runs=pd.DataFrame({"dataset": ["ucm"], "classes": [21], "weights": ["none"], "device": ["a processor"]}),
        datasets={"ucm": "UCM"},
        models=("resnet18", "resnet50"),
        regimes=REGIMES,
        control="no-increase",
        basis="training",
    )


@pytest.mark.parametrize("name", figures.FIGURES)
@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_a_figure_is_drawn_in_three_formats_that_need_no_network(name, seeds, tmp_path):
    figures.draw(name, results(seeds), tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".html", ".png", ".svg"]
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link)[^>]+(src|href)\s*=", html)
    svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert "UCM" in svg
    assert "aria-label" in svg
    if name.startswith("fig"):
        assert "random first weights" in svg


def test_the_title_states_the_ratios_found():
    shown = results(2)
    ratios = shown.cells.query("measure == 'efficiency_ratio' and stage == 'total-tta' and regime == 'gradual'")[
        "value"
    ]
    title = figures.efficiency(shown).to_dict()["title"]["text"]
    assert f"gradual {np.exp(np.log(ratios).mean()):.2f}" in title


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, "one replicate"), (2, "2 seeds, large: mean"), (4, "line: 95 % interval")]
)
def test_the_subtitle_says_what_the_number_of_seeds_can_bear(seeds, said):
    subtitle = " ".join(figures.accuracy(results(seeds)).to_dict()["title"]["subtitle"])
    assert said in subtitle
    assert ("interval" in subtitle) == (seeds == 4)


def test_accuracy_is_shown_beside_chance():
    assert "by chance: UCM 4.8 %" in figures.accuracy(results(1)).to_dict()["title"]["subtitle"][0]


def test_a_regime_has_one_colour_and_shape_whichever_others_are_shown():
    alone = figures._regime_scales(["gradual"])
    among = figures._regime_scales(["no-increase", "gradual", "stepwise"])

    def marks(scales, channel):
        scale = scales[channel].to_dict()["scale"]
        return dict(zip(scale["domain"], scale["range"], strict=True))

    for channel in ("color", "shape"):
        one, other = marks(alone, channel), marks(among, channel)
        assert one["gradual"] == other["gradual"]
        assert len(set(other.values())) == 3
