import pandas as pd

from entr import records


def cell(folder, seed, predicted):
    place = folder / "ucm" / "resnet18" / "gradual" / f"seed{seed}"
    place.mkdir(parents=True)
    count = len(predicted)
    pd.DataFrame({"epoch": [1, 2], "phase": "sgdr", "accuracy": [0.1, 0.2]}).to_csv(place / "history.csv", index=False)
    pd.DataFrame({"step": [1], "learning_rate": [0.01]}).to_csv(place / "steps.csv", index=False)
    pd.DataFrame({"step": [0], "loss": [2.0]}).to_csv(place / "lr_find.csv", index=False)
    rows = {"at": "phase", "image": [f"{seed}-{n}" for n in range(count)], "label": ["01", "01", "nan"]}
    sure = {"predicted": predicted, "probability_of_predicted": [0.5, 0.9, 0.8]}
    early = pd.DataFrame({"stage": "total", **rows, **sure})
    final = pd.DataFrame({"stage": "total-tta", **rows, **sure})
    pd.concat([early, final, final.assign(at="full")]).to_csv(place / "predictions.csv", index=False)
    return place


def test_the_records_of_all_cells_are_joined_under_their_names(tmp_path):
    places = [cell(tmp_path, 0, ["nan", "nan", "nan"]), cell(tmp_path, 7, ["01", "nan", "01"])]
    kinds = ("history", "steps", "lr_find", "predictions")
    outputs = {name: tmp_path / f"{name}.csv" for name in ("history", "steps", "lr_find", "confusions")}
    records.write(**{kind: [place / f"{kind}.csv" for place in places] for kind in kinds}, tables=outputs)
    history = pd.read_csv(outputs["history"])
    assert history[["dataset", "model", "regime", "seed", "epoch"]].to_numpy().tolist() == [
        ["ucm", "resnet18", "gradual", seed, epoch] for seed in (0, 7) for epoch in (1, 2)
    ]
    found = pd.read_csv(outputs["confusions"], dtype=str, keep_default_na=False)
    assert found[["seed", "label", "predicted", "images", "example"]].to_numpy().tolist() == [
        ["0", "01", "nan", "2", "0-1"],
        ["0", "nan", "nan", "1", "0-2"],
        ["7", "01", "01", "1", "7-0"],
        ["7", "01", "nan", "1", "7-1"],
        ["7", "nan", "01", "1", "7-2"],
    ]
