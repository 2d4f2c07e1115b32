import pandas as pd
from factories import write_metrics_file

from entr.analysis import histories
from entr.jobs.tables import read_table, write_table


def write_cell(folder, seed, predicted):
    """Write the files of a cell with classes that look like a number and like a missing value."""
    cell = folder / "ucm" / "resnet18" / "gradual" / f"seed{seed}"
    write_table(pd.DataFrame({"epoch": [1, 2], "phase": "sgdr", "accuracy": [0.1, 0.2]}), cell / "history.csv")
    write_table(pd.DataFrame({"step": [1], "learning_rate": [0.01]}), cell / "steps.csv")
    write_table(pd.DataFrame({"step": [0], "loss": [2.0]}), cell / "lr_find.csv")
    images = {"resolution": "phase", "image": [f"{seed}-{n}" for n in range(3)], "label": ["01", "01", "nan"]}
    predictions = images | {"predicted": predicted, "probability_of_predicted": [0.5, 0.9, 0.8]}
    early = pd.DataFrame({"stage": "total", **predictions})
    final = pd.DataFrame({"stage": "total-tta", **predictions})
    write_table(pd.concat([early, final, final.assign(resolution="full")]), cell / "predictions.csv")
    write_metrics_file(cell)
    return cell


def test_files_of_all_cells_are_concatenated_with_the_cell_of_each_row(tmp_path):
    cells = [write_cell(tmp_path, 0, ["nan", "nan", "nan"]), write_cell(tmp_path, 7, ["01", "nan", "01"])]
    inputs = {name: [cell / f"{name}.csv" for cell in cells] for name in ("history", "steps", "lr_find", "predictions")}
    outputs = {name: tmp_path / f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    histories.write_histories(**inputs, outputs=outputs)
    history = read_table(outputs["history"])
    assert list(history) == ["dataset", "model", "regime", "seed", "epoch", "phase", "accuracy"]
    assert history[["dataset", "model", "regime", "seed", "epoch"]].to_numpy().tolist() == [
        ["ucm", "resnet18", "gradual", seed, epoch] for seed in (0, 7) for epoch in (1, 2)
    ]
    confusions = pd.read_csv(outputs["confusions"], dtype=str, keep_default_na=False)
    assert confusions[["seed", "label", "predicted", "images", "example"]].to_numpy().tolist() == [
        ["0", "01", "nan", "2", "0-1"],
        ["0", "nan", "nan", "1", "0-2"],
        ["7", "01", "01", "1", "7-0"],
        ["7", "01", "nan", "1", "7-1"],
        ["7", "nan", "01", "1", "7-2"],
    ]
