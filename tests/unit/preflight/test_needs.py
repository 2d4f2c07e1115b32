from pathlib import Path

import pandas as pd
import pytest
from configurations import FILES, PAPER, merged
from factories import write_metrics_file

from entr.config.validation import validate_config
from entr.jobs.tables import write_table
from entr.preflight.needs import count_images, measure_needs

MICROGRAPHS = 7 * 30
SQUARE = 3 * 250**2


def configured(*files, **changes):
    return validate_config(merged(*FILES, *files, **changes))


def cells(folder, seeds=6):
    names = [f"{regime}/seed{seed}" for regime in ("no-increase", "gradual", "stepwise") for seed in range(seeds)]
    return [str(folder / "cells" / "micrographs" / "resnet18" / name / "metrics.json") for name in names]


def test_images_and_models_of_the_default_grid_determine_disk_and_memory(tmp_path):
    needs = measure_needs(configured(), cells(tmp_path), tmp_path)
    assert (needs.cells, needs.finished, needs.unknown) == (18, 0, ())
    assert needs.images == MICROGRAPHS * SQUARE
    # ResNet-18 has 11.7 million parameters of 4 bytes; a cell stores one model, and a checkpoint while it is trained
    models = 19 * 4 * 11.7e6
    assert needs.disk - 2 * MICROGRAPHS * SQUARE == pytest.approx(models, rel=0.05)
    assert needs.memory > needs.images + needs.training


def test_finished_cells_and_packed_images_need_no_more_space(tmp_path):
    metrics = cells(tmp_path)
    before = measure_needs(configured(), metrics, tmp_path)
    for path in map(Path, metrics):
        path.parent.mkdir(parents=True)
        plan = configured().plan("micrographs", path.parts[-3])
        write_metrics_file(path.parent, {"plan": plan.plain()})
    own = tmp_path / "data" / "micrographs"
    (own / "images").mkdir(parents=True)
    after = measure_needs(configured(), metrics, tmp_path)
    assert after.finished == 18
    assert after.disk == MICROGRAPHS * SQUARE < before.disk
    (own / "pixels.npy").touch()
    assert measure_needs(configured(), metrics, tmp_path).disk == 0
    # trained with other settings
    assert measure_needs(configured(training={"dropout": 0.25}), metrics, tmp_path).finished == 0


def test_batches_and_image_size_of_the_paper_take_more_memory(tmp_path):
    small = measure_needs(configured(), [], tmp_path)
    grid = {"datasets": ["ucm"], "models": ["resnet18"]}
    large = measure_needs(configured(PAPER, grid=grid), [], tmp_path)
    halved = measure_needs(configured(PAPER, grid=grid, training={"gradient_accumulation": 2}), [], tmp_path)
    assert large.training > 10 * small.training
    assert large.training / 2 < halved.training < large.training
    # the archive, its content, and the images downscaled and packed
    assert large.disk == 2 * 332468434 + 2 * 2100 * SQUARE


def test_images_are_counted_in_the_manifest_or_the_source(tmp_path, originals):
    folder = {"source": "folder", "path": str(originals)}
    grid = {"datasets": ["mine"]}
    assert count_images(configured(grid=grid, datasets={"mine": folder}), "mine", tmp_path) == 70
    archive = {"source": "archive", "urls": ["https://images.invalid/a.zip"]}
    unknown = configured(grid=grid, datasets={"mine": archive})
    assert count_images(unknown, "mine", tmp_path) is None
    assert measure_needs(unknown, [], tmp_path).unknown == ("mine",)
    write_table(pd.DataFrame({"image": ["a", "b"]}), tmp_path / "data" / "mine" / "manifest.csv")
    assert count_images(unknown, "mine", tmp_path) == 2
