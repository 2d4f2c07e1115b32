"""A user's folder: 2100 real aerial photographs, trained from random weights for a few epochs."""

import json


def test_six_lines_train_a_folder_of_aerial_images_far_above_chance(snakemake, shared_data, tmp_path):
    mine = tmp_path / "aerial.yaml"
    mine.write_text(
        "grid:\n"
        "  datasets: [aerial]\n"
        "  seeds: [0]\n"
        "datasets:\n"
        f"  aerial: {{source: folder, path: {shared_data / 'ucm'}}}\n"
        "training: {learning_rate: 0.01}\n"
    )
    target = "results/cells/aerial/resnet18/gradual/seed0/metrics.json"
    snakemake(target, "--cores", "2", "--resources", "gpu=1", "--configfile", mine)
    metrics = json.loads((tmp_path / target).read_text())
    # a tenth validates; copies of an image stay together, so the count can differ by a few
    assert metrics["training_images"] + metrics["validation_images"] == 2100
    assert abs(metrics["validation_images"] - 210) <= 5
    final = next(one for one in metrics["evaluations"] if (one["stage"], one["at"]) == ("total", "phase"))
    # chance is 1 of 21
    assert final["quality"]["accuracy"] > 0.3
