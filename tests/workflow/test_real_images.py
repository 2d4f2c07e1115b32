"""A user's directory of 2100 real aerial images, trained on for a few epochs with real ImageNet weights."""

import json

import pytest

LITE = "2d3c8842439142fd39d077f8ac8b5fe76fc6579afee06a208b3dc0c31a6ba90d"


@pytest.mark.slow
def test_accuracy_on_a_directory_of_aerial_images_is_far_above_chance(snakemake, shared_data, tmp_path):
    mine = tmp_path / "aerial.yaml"
    mine.write_text(
        "grid:\n"
        "  datasets: [aerial]\n"
        "  models: [tf_efficientnet_lite0]\n"
        "  seeds: [0]\n"
        "datasets:\n"
        f"  aerial: {{source: folder, path: {shared_data / 'ucm'}}}\n"
        f"weights: {shared_data / 'weights'}/{{model}}.safetensors\n"
        f"weights_sha256: {{tf_efficientnet_lite0: {LITE}}}\n"
        "images: {max_side: 96}\n"
        "training: {learning_rate: 0.01, batch_size: 32, schedule: [sgdr, rpl], subtotal_after: sgdr}\n"
    )
    target = "results/cells/aerial/tf_efficientnet_lite0/gradual/seed0/metrics.json"
    snakemake(target, "--cores", "2", "--resources", "gpu=1", "--configfile", mine)
    metrics = json.loads((tmp_path / target).read_text())
    # near-duplicates stay on one side of the split, so the fold can be a few images larger or smaller
    assert metrics["training_images"] + metrics["validation_images"] == 2100
    assert abs(metrics["validation_images"] - 210) <= 5
    assert metrics["weights"] == "tf_efficientnet_lite0.safetensors"
    final = next(one for one in metrics["evaluations"] if (one["stage"], one["resolution"]) == ("total", "phase"))
    # 21 classes
    assert final["quality"]["accuracy"] > 0.5
