import pytest
import yaml
from conftest import ROOT

from entr.config import checked
from entr.guards import EntrError

FILES = [ROOT / "config" / "datasets.yaml", ROOT / "config" / "config.yaml"]


def merged(*files, **changes):
    values = {}
    for layer in [*(yaml.safe_load(file.read_text()) for file in files), changes]:
        lay(values, layer)
    return values


def lay(below, above):
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            lay(below[key], value)
        else:
            below[key] = value


def error_of(**changes):
    with pytest.raises(EntrError) as caught:
        checked(merged(*FILES, **changes), FILES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_configuration_is_valid():
    assert checked(merged(*FILES)).grid.datasets == ("micrographs",)


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"wieghts": "none"}, "wieghts", "did you mean 'weights'?"),
        ({"training": {"batchsize": 3}}, "training.batchsize", "did you mean 'batch_size'?"),
        ({"training": {"phases": {"rpl": {"cycels": 3}}}}, "training.phases.rpl.cycels", "did you mean 'cycles'?"),
        ({"grid": {"datasets": ["microgaphs"]}}, "grid.datasets", "did you mean 'micrographs'?"),
        ({"grid": {"regimes": ["no-increase", "gradul"]}}, "grid.regimes", "did you mean 'gradual'?"),
        (
            {"grid": {"models": ["resnet19"]}},
            "grid.models.0",
            "unknown model of torchvision or timm 'resnet19'; did you mean",
        ),
        ({"grid": {"models": ["tf_efficientnet_lite9.in1k"]}}, "grid.models.0", "did you mean 'tf_efficientnet_lite"),
        ({"grid": {"seeds": [1, 2, 1]}}, "grid.seeds", "1 is listed more than once"),
        ({"grid": {"seeds": []}}, "grid.seeds", "at least 1 item"),
        ({"grid": {"seeds": [-1]}}, "grid.seeds.0", "greater than or equal to 0, but it is -1"),
        ({"regimes": {"gradual": {"rpl": 251}}}, "regimes.gradual.rpl", "more than images.max_size, 250 px"),
        ({"regimes": {"gradual": {"rpl": 0}}}, "regimes.gradual.rpl", "should be a size in px"),
        ({"regimes": {"gradual": {"rpl": [60, 251]}}}, "regimes.gradual.rpl", "more than images.max_size, 250 px"),
        ({"regimes": {"gradual": {"rpl": [60, 60, 60]}}}, "regimes.gradual", "phase rpl has 2 epochs, but 3 sizes"),
        ({"regimes": {"gradual": {"tta": [60, 60]}}}, "regimes.gradual.tta", "has one size"),
        ({"regimes": {"gradual": {"enlarge_to": 30}}}, "regimes.gradual.enlarge_to", "less than a phase's size"),
        ({"regimes": {"gradual": {"layer": "all"}}}, "regimes.gradual.layer", "should be a size in px"),
        ({"regimes": {"gradual": {"enlarge": 60}}}, "regimes.gradual.enlarge", "did you mean 'enlarge_to'?"),
        (
            {"regimes": {"gradual": {"training": {"batchsize": 1}}}},
            "regimes.gradual.training.batchsize",
            "did you mean 'batch_size'?",
        ),
        ({"regimes": {"gradual": {"rlp": 80}}}, "regimes.gradual.rlp", "unknown phase 'rlp'; did you mean 'rpl'?"),
        ({"control": "none"}, "control", "not in grid.regimes"),
        (
            {"weights": "imagenett"},
            "weights",
            "no file 'imagenett' with the weights of resnet18; correct the path, or use",
        ),
        ({"weights": "/w/{model}.pth"}, "weights", "there is no file '/w/resnet18.pth'"),
        ({"weights_sha256": {"resnet18": "abc"}}, "weights_sha256.resnet18", "should match pattern"),
        ({"weights_sha256": {"resnet81": "a" * 64}}, "weights_sha256.resnet81", "did you mean 'resnet18'?"),
        ({"training": {"full_size": 300}}, "training.full_size", "more than images.max_size"),
        ({"training": {"sub_total_after": "cmlut"}}, "training.sub_total_after", "did you mean 'cmult'?"),
        ({"training": {"schedule": ["sgdr", "clr"]}}, "training.schedule", "did you mean 'clrs'?"),
        (
            {"training": {"schedule": ["sgdr", "rpl"], "sub_total_after": "cmult"}},
            "training.sub_total_after",
            "unknown phase 'cmult'",
        ),
        ({"training": {"batch_size": "many"}}, "training.batch_size", "valid integer"),
        (
            {"datasets": {"micrographs": {"training": {"learning_rte": 1}}}},
            "datasets.micrographs.training.learning_rte",
            "did you mean 'learning_rate'?",
        ),
        ({"datasets": {"ucm": {"pth": "x"}}}, "datasets.ucm.pth", "did you mean 'path'?"),
        ({"datasets": {"mine": {"source": "folder"}}}, "datasets.mine", "needs the key path"),
        ({"datasets": {"mine": {"source": "archive"}}}, "datasets.mine", "needs the key urls or path"),
        ({"datasets": {"mine": {"source": "torchvision"}}}, "datasets.mine", "needs the key torchvision"),
        ({"datasets": {"mine": {"source": "web"}}}, "datasets.mine.source", "'archive', 'folder', 'list'"),
        ({"datasets": {"ucm": {"urls": ["ftp://x/y"]}}}, "datasets.ucm.urls.0", "should match pattern"),
        ({"datasets": {"ucm": {"checksums": ["md5:123"]}}}, "datasets.ucm.checksums.0", "should match pattern"),
        ({"datasets": {"ucm": {"label": "(a)(b)"}}}, "datasets.ucm", "a regular expression with one group"),
        ({"datasets": {"ucm": {"label": "(a"}}}, "datasets.ucm", "a regular expression with one group"),
        ({"download": {"max_dead": 2}}, "download.max_dead", "less than or equal to 1"),
    ],
)
def test_a_mistake_is_one_line_with_key_problem_and_what_to_do(changes, key, problem):
    message = error_of(**changes)
    assert message.startswith(f"--config: {key}: ")
    assert problem in message


def test_a_regime_that_lacks_a_phase_is_refused():
    values = merged(*FILES)
    del values["regimes"]["gradual"]["clrs"]
    with pytest.raises(EntrError, match=r"regimes\.gradual: has no size for the phase 'clrs'"):
        checked(values, FILES)


def test_the_error_names_the_file_that_set_the_key(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("grid: {seeds: [1, 1]}\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: grid\.seeds: 1 is listed"):
        checked(merged(*FILES, mine), [*FILES, mine])


def test_a_missing_key_is_placed_in_the_file_with_its_section(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("grid: {datasets: [micrographs], regimes: [no-increase], seeds: [0]}\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: grid\.models: is missing; add this key"):
        checked(merged(FILES[0], mine), [FILES[0], mine])


def test_the_paper_s_file_states_every_number_of_its_training():
    """Nothing of the small default may leak into the paper's grid."""
    alone = checked(merged(FILES[0], ROOT / "config" / "paper.yaml"))
    over_default = checked(merged(*FILES, ROOT / "config" / "paper.yaml"))
    assert over_default == alone
    assert set(alone.training.model_fields_set) == set(type(alone.training).model_fields)


def test_a_dataset_s_own_training_keys_are_laid_over_the_common_ones():
    config = checked(merged(FILES[0], ROOT / "config" / "paper.yaml"))
    divisors = {name: config.training_of(name).phases["rpl"].rate_divisors for name in config.grid.datasets}
    assert divisors == {"steel": (9, 3, 1), "ucm": (9, 3, 1), "bees": (100, 10, 1)}
    assert config.training_of("bees").phases["rpl"].cycles == 3


def test_the_sizes_that_are_benchmarked_are_those_of_the_grid():
    config = checked(merged(FILES[0], ROOT / "config" / "paper.yaml"))
    assert config.sizes() == [100, 150, 200, 250]


def test_a_folder_laid_over_an_entry_leaves_nothing_of_its_archive():
    """Snakemake merges the two, so the address stays in the entry and must not matter."""
    config = checked(merged(*FILES, datasets={"ucm": {"source": "folder", "path": "here"}}))
    assert config.datasets["ucm"].origin() == {"source": "folder", "path": "here"}


def origin(**entry):
    address = "https://me:secret@x.org/a.zip"
    config = checked(merged(*FILES, datasets={"mine": {"source": "archive", "urls": [address], **entry}}))
    return config.datasets["mine"].origin()


def test_an_address_makes_a_result_stale_only_where_no_checksum_says_what_is_behind_it():
    known = {"checksums": ["md5:" + "0" * 32]}
    mirror = {"urls": ["https://y.org/a.zip"]}
    assert origin(**known) == origin(**known, **mirror, images=7, size=7)
    assert origin() == origin(images=7)
    assert origin() != origin(**mirror)
    assert "secret" not in str(origin())


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "resnet18.pth").write_bytes(b"")
    datasets = {"mine": {"source": "archive", "path": "~/mine.zip"}}
    config = checked(merged(*FILES, datasets=datasets, weights="~/{model}.pth"))
    assert config.datasets["mine"].path == str(tmp_path / "mine.zip")
    assert config.weights_file("resnet18") == str(tmp_path / "resnet18.pth")


def test_every_entry_of_the_catalogue_says_what_its_licence_is_and_what_to_cite():
    for name, dataset in checked(merged(*FILES)).datasets.items():
        assert dataset.licence, name
        assert dataset.citation or name == "micrographs", name
        if dataset.source in {"archive", "torchvision"}:
            assert dataset.images, name
            assert dataset.classes, name


def test_the_catalogue_s_collections_are_torchvision_s():
    import torchvision.datasets

    entries = [one for one in checked(merged(*FILES)).datasets.values() if one.source == "torchvision"]
    assert len(entries) == 5
    assert all(
        issubclass(getattr(torchvision.datasets, one.torchvision), torchvision.datasets.VisionDataset)
        for one in entries
    )


def test_a_file_of_weights_may_have_a_place_for_the_name_of_the_network(tmp_path):
    (tmp_path / "resnet18.pth").write_bytes(b"")
    config = checked(merged(*FILES, weights=str(tmp_path / "{model}.pth")))
    assert config.weights_file("resnet18") == str(tmp_path / "resnet18.pth")
    assert config.plan("micrographs", "gradual").steps[0].layers == "head"
    assert checked(merged(*FILES, weights="imagenet")).weights_file("resnet18") is None


def test_the_paper_s_file_has_every_control_regime_of_the_specification():
    values = merged(*FILES, ROOT / "config" / "paper.yaml")
    names = ["small", "medium", "matched", "blur", "reverse", "random", "body", "stepwise-late"]
    values["grid"]["regimes"] = ["no-increase", "gradual", *names]
    config = checked(values)
    epochs = {name: config.plan("ucm", name).epochs for name in values["grid"]["regimes"]}
    assert epochs == dict.fromkeys(epochs, 19) | {"matched": 13}
    assert {size for step in config.plan("ucm", "blur").steps for size in step.shown()} == {250}


def test_a_matched_regime_costs_as_much_as_the_treatment_that_it_is_matched_to():
    """In forward passes before re-training, whose cost grows with the area of the images."""
    values = merged(*FILES, ROOT / "config" / "paper.yaml")
    values["grid"]["regimes"] = ["no-increase", "gradual", "matched"]
    config = checked(values)
    cost = {
        name: sum(size**2 for step in config.plan("ucm", name).steps[:3] for size in step.sizes)
        for name in ("gradual", "matched")
    }
    assert cost["matched"] == pytest.approx(cost["gradual"], rel=0.05)


@pytest.mark.parametrize("given", [str, lambda folder: {"folder": str(folder), "max_size": 100}])
def test_a_folder_of_your_own_is_the_one_dataset_of_the_grid(tmp_path, given):
    folder = tmp_path / "Vögel im Garten"
    folder.mkdir()
    config = checked(merged(*FILES) | {"images": given(folder)})
    assert config.grid.datasets == ("vogel-im-garten",)
    entry = config.datasets["vogel-im-garten"]
    assert (entry.source, entry.path, entry.title) == ("folder", str(folder), "Vögel im Garten")
    assert config.images.max_size == (250 if given is str else 100)


def test_a_folder_that_is_called_like_a_dataset_of_the_catalogue_is_not_taken_for_it(tmp_path):
    (tmp_path / "flowers").mkdir()
    config = checked(merged(*FILES) | {"images": str(tmp_path / "flowers")})
    assert config.grid.datasets == ("own-flowers",)
    assert config.datasets["flowers"].images


def test_a_folder_that_is_not_there_is_said_before_anything_runs(tmp_path):
    with pytest.raises(EntrError, match=r"images: there is no folder '.*absent'; give one"):
        checked(merged(*FILES) | {"images": str(tmp_path / "absent")})
