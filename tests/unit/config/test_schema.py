from pathlib import Path

import pytest
from configurations import CATALOGUE, FILES, PAPER, merged

from entr.config.download_settings import redact_url
from entr.config.schema import Config
from entr.config.study_design import StudyDesign
from entr.config.training_plan import Plan
from entr.config.validation import validate_config

URL = "https://me:secret@x.org/a.zip?token=secret"


@pytest.fixture
def paper():
    return validate_config(merged(CATALOGUE, PAPER))


def test_paper_configuration_states_every_training_setting(paper):
    """No value of the scaled-down default may leak into the grid of the paper."""
    assert validate_config(merged(*FILES, PAPER)) == paper
    assert set(paper.training.model_fields_set) == set(type(paper.training).model_fields)


def test_training_keys_of_a_dataset_override_the_common_ones(paper):
    divisors = {name: paper.training_of(name).phases["rpl"].lr_divisors for name in paper.grid.datasets}
    assert divisors == {"steel": (9, 3, 1), "ucm": (9, 3, 1), "bees": (100, 10, 1)}
    assert paper.training_of("bees").phases["rpl"].cycles == 3


def test_training_keys_of_a_regime_override_those_of_the_dataset():
    changes = {
        "datasets": {"micrographs": {"training": {"batch_size": 8, "dropout": 0.2}}},
        "regimes": {"gradual": {"training": {"batch_size": 4}}},
    }
    config = validate_config(merged(*FILES, **changes))
    trained = [config.training_of("micrographs", regime) for regime in (None, "stepwise", "gradual")]
    assert [(training.batch_size, training.dropout) for training in trained] == [(8, 0.2), (8, 0.2), (4, 0.2)]


def test_benchmarked_sizes_are_those_of_the_grid(paper):
    assert paper.sizes() == [100, 150, 200, 250]


def test_scale_multiplies_the_sizes_of_the_grid_of_the_paper():
    scaled = validate_config(merged(CATALOGUE, PAPER, scale=0.4))
    assert scaled.sizes() == [40, 60, 80, 100]
    assert scaled.downscaling()["max_side"] == 100
    assert scaled.plan("ucm", "gradual").training.evaluation_sizes == (30, 40, 60, 80, 100, 120, 140)
    assert scaled.model_card_data("ucm")["images"]["max_side"] == 100


def test_final_size_of_an_upsampling_regime_is_that_of_the_model_input():
    values = merged(*FILES, PAPER)
    values["grid"]["regimes"] = ["no-increase", "small", "reverse", "upsampled"]
    config = validate_config(values)
    assert config.final_sizes("ucm") == {"no-increase": 250, "small": 100, "reverse": 100, "upsampled": 250}


def test_plans_by_regime_are_plain_values(paper):
    plans = paper.plans("bees")
    assert list(plans) == ["no-increase", "gradual", "stepwise"]
    assert Plan.model_validate(plans["gradual"]) == paper.plan("bees", "gradual")


def test_study_design_of_the_paper(paper):
    design = paper.study()
    assert design == StudyDesign(
        datasets={"steel": "Steel", "ucm": "UCM", "bees": "Bees"},
        stand_in_for={"steel": None, "ucm": None, "bees": None},
        models=("resnet18", "resnet34", "resnet50"),
        regimes=("no-increase", "gradual", "stepwise"),
        seeds=tuple(range(10)),
        control="no-increase",
        time_basis="training",
        folds=10,
    )
    assert StudyDesign(**design.model_dump()) == design


def test_study_design_names_stand_ins_and_titles_default_to_names():
    config = validate_config(merged(*FILES, grid={"datasets": ["neu", "mine"]}, datasets={"mine": own_archive()}))
    assert config.study().datasets == {"neu": "NEU", "mine": "mine"}
    assert config.study().stand_in_for == {"neu": "steel", "mine": None}


def own_archive(**entry):
    return {"source": "archive", "urls": [URL]} | entry


def test_benchmark_runs_on_the_device_and_precision_of_the_training():
    config = validate_config(merged(*FILES, training={"precision": "bf16", "tf32": False, "device": "cuda"}))
    assert config.timing() == {"min_seconds": 0.2, "device": "cuda", "precision": "bf16", "tf32": False}


def test_model_card_states_licence_citation_and_preprocessing():
    card = validate_config(merged(*FILES)).model_card_data("neu")
    assert (card["title"], card["licence"]) == ("NEU", "CC BY 4.0")
    assert "10.1016/j.apsusc.2013.09.002" in card["citation"]
    assert card["images"]["max_side"] == 250
    assert "folder" not in card["images"]


def test_published_configuration_contains_no_local_paths_and_no_credentials(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "resnet18.pth").write_bytes(b"")
    values = merged(*FILES, weights=str(tmp_path / "{model}.pth"), images={"folder": str(tmp_path / "photos")})
    plain = validate_config(values).without_local_paths()
    assert str(tmp_path) not in str(plain)
    assert (plain["weights"], plain["images"]["folder"]) == ("{model}.pth", "photos")
    assert plain["datasets"]["photos"]["path"] == "photos"

    plain = validate_config(
        merged(*FILES, grid={"datasets": ["mine"]}, datasets={"mine": own_archive()})
    ).without_local_paths()
    assert plain["datasets"]["mine"]["urls"] == ["https://x.org/a.zip"]


def test_published_configuration_is_that_of_the_grid():
    config = validate_config(merged(*FILES, grid={"regimes": ["no-increase", "gradual"]}, seeds=2))
    plain = config.without_local_paths()
    # the number of seeds would replace them
    assert (plain["grid"]["seeds"], "seeds" in plain) == ([0, 1], False)
    assert list(plain["datasets"]) == ["micrographs"]
    assert list(plain["regimes"]) == ["no-increase", "gradual"]
    assert Config.model_validate(plain).plan("micrographs", "gradual") == config.plan("micrographs", "gradual")


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://me:secret@x.org:8080/a/b.zip?token=secret#secret", "https://x.org:8080/a/b.zip"),
        ("http://x.org/", "http://x.org/"),
        ("https://x.org:port/a", "(invalid URL)"),
    ],
)
def test_credentials_are_removed_from_urls(url, redacted):
    assert redact_url(url) == redacted


def test_folder_that_overrides_a_catalogue_entry_keeps_nothing_of_its_archive():
    """Snakemake merges the two, so that the URLs remain in the entry."""
    config = validate_config(merged(*FILES, datasets={"ucm": {"source": "folder", "path": "here"}}))
    assert config.datasets["ucm"].origin() == {"source": "folder", "path": str(Path("here").absolute())}


def test_folder_has_one_origin_however_its_path_is_spelled():
    spelled = ("here", "./here", "there/../here", Path("here").absolute())
    configs = [validate_config(merged(*FILES, datasets={"ucm": {"source": "folder", "path": str(p)}})) for p in spelled]
    assert len({str(config.datasets["ucm"].origin()) for config in configs}) == 1


def test_limit_on_rejected_files_does_not_concern_downscaled_images():
    one, other = (validate_config(merged(*FILES, images={"max_rejected_fraction": limit})) for limit in (0.1, 0.2))
    assert one.downscaling() == other.downscaling()


def origin(**entry):
    config = validate_config(merged(*FILES, datasets={"mine": own_archive(**entry)}))
    return config.datasets["mine"].origin()


def test_urls_make_results_stale_only_without_checksums():
    known = {"checksums": ["md5:" + "0" * 32]}
    mirror = {"urls": ["https://y.org/a.zip"]}
    assert origin(**known) == origin(**known, **mirror, images=7, bytes=7)
    assert origin() == origin(images=7)
    assert origin() != origin(**mirror)
    assert "secret" not in str(origin())


def test_paths_may_start_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "resnet18.pth").write_bytes(b"")
    datasets = {"mine": {"source": "archive", "path": "~/mine.zip"}}
    config = validate_config(merged(*FILES, datasets=datasets, weights="~/{model}.pth"))
    assert config.datasets["mine"].path == str(tmp_path / "mine.zip")
    assert config.weights_file("resnet18") == str(tmp_path / "resnet18.pth")


def test_every_catalogue_entry_states_licence_citation_and_counts():
    for name, dataset in validate_config(merged(*FILES)).datasets.items():
        assert dataset.licence, name
        assert dataset.citation or name == "micrographs", name
        if dataset.source in {"archive", "torchvision"}:
            assert dataset.images, name
            assert dataset.classes, name


def test_torchvision_entries_of_the_catalogue_exist_in_torchvision():
    import torchvision.datasets

    entries = [entry for entry in validate_config(merged(*FILES)).datasets.values() if entry.source == "torchvision"]
    assert len(entries) == 5
    assert all(
        issubclass(getattr(torchvision.datasets, entry.torchvision), torchvision.datasets.VisionDataset)
        for entry in entries
    )


def test_file_of_weights_is_named_by_its_model(tmp_path):
    (tmp_path / "resnet18.pth").write_bytes(b"")
    config = validate_config(merged(*FILES, weights=str(tmp_path / "{model}.pth")))
    assert config.weights_file("resnet18") == str(tmp_path / "resnet18.pth")
    assert config.weights_label("resnet18") == "resnet18.pth"
    assert config.plan("micrographs", "gradual").phases[0].layers == "head"


@pytest.mark.parametrize(("weights", "layers"), [("imagenet", "head"), ("none", "all")])
def test_weights_without_a_file(weights, layers):
    config = validate_config(merged(*FILES, weights=weights))
    assert (config.weights_file("resnet18"), config.weights_label("resnet18")) == (None, weights)
    assert config.plan("micrographs", "gradual").phases[0].layers == layers


def test_control_regimes_of_the_specification():
    values = merged(*FILES, PAPER)
    names = ["small", "medium", "matched", "upsampled", "reverse", "random", "unfrozen", "stepwise-late"]
    values["grid"]["regimes"] = ["no-increase", "gradual", *names]
    config = validate_config(values)
    epochs = {name: config.plan("ucm", name).epochs for name in values["grid"]["regimes"]}
    assert epochs == dict.fromkeys(epochs, 19) | {"matched": 13}
    assert {size for phase in config.plan("ucm", "upsampled").phases for size in phase.input_sizes()} == {250}
    assert {phase.layers for phase in config.plan("ucm", "unfrozen").phases} == {"all"}


def test_matched_regime_costs_as_much_as_gradual():
    """In forward passes before fine-tuning, whose cost grows with the area of the images."""
    values = merged(*FILES, PAPER)
    values["grid"]["regimes"] = ["no-increase", "gradual", "matched"]
    config = validate_config(values)
    cost = {
        name: sum(size**2 for phase in config.plan("ucm", name).phases[:3] for size in phase.sizes)
        for name in ("gradual", "matched")
    }
    assert cost["matched"] == pytest.approx(cost["gradual"], rel=0.05)
