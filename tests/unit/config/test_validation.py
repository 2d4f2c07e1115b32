import math

import pytest
import yaml
from configurations import CATALOGUE, FILES, PAPER, merged

from entr.config.validation import validate_config
from entr.jobs.errors import EntrError


def error_of(**changes):
    with pytest.raises(EntrError) as raised:
        validate_config(merged(*FILES, **changes), FILES)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("files", [FILES, [*FILES, PAPER], [CATALOGUE, PAPER]])
def test_shipped_configuration_is_valid(files):
    assert validate_config(merged(*files), files)


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
        ({"grid": {"seeds": [1, 2, 1]}}, "grid.seeds", "1 is listed more than once; list each value once"),
        ({"grid": {"seeds": []}}, "grid.seeds", "at least 1 item"),
        ({"grid": {"seeds": [-1]}}, "grid.seeds.0", "greater than or equal to 0, but it is -1"),
        ({"regimes": {"gradual": {"rpl": 251}}}, "regimes.gradual.rpl", "more than images.max_side, 250 px"),
        ({"regimes": {"gradual": {"rpl": 0}}}, "regimes.gradual.rpl", "should be a size in px"),
        ({"regimes": {"gradual": {"rpl": [60, 251]}}}, "regimes.gradual.rpl", "more than images.max_side, 250 px"),
        ({"regimes": {"gradual": {"rpl": [60, 60, 60]}}}, "regimes.gradual", "phase rpl has 1 epoch, but 3 sizes"),
        ({"regimes": {"gradual": {"tta": [60, 60]}}}, "regimes.gradual.tta", "has only one size"),
        ({"regimes": {"gradual": {"upsample_to": 30}}}, "regimes.gradual.upsample_to", "less than the size of a phase"),
        ({"regimes": {"gradual": {"layer": "all"}}}, "regimes.gradual.layer", "should be a size in px"),
        ({"regimes": {"gradual": {"upsample": 60}}}, "regimes.gradual.upsample", "did you mean 'upsample_to'?"),
        (
            {"regimes": {"gradual": {"training": {"batchsize": 1}}}},
            "regimes.gradual.training.batchsize",
            "did you mean 'batch_size'?",
        ),
        (
            {"regimes": {"gradual": {"training": {"schedule": ["sgdr", "clr"]}}}},
            "regimes.gradual.training.schedule",
            "unknown phase 'clr'; did you mean 'clrs'?",
        ),
        (
            {"training": {"phases": {"rlp": {"cycles": 2}}}},
            "training.phases.rlp",
            "unknown phase 'rlp'; did you mean 'rpl'?",
        ),
        (
            {"regimes": {"matched": {"training": {"phases": {"sgrd": {"cycle_length": 1}}}}}},
            "regimes.matched.training.phases.sgrd",
            "unknown phase 'sgrd'; did you mean 'sgdr'?",
        ),
        ({"regimes": {"gradual": {"rlp": 80}}}, "regimes.gradual.rlp", "unknown phase 'rlp'; did you mean 'rpl'?"),
        ({"scale": 0}, "scale", "greater than 0"),
        ({"scale": 0.1}, "scale", "images would be as small as 2 px; raise scale so that all have 8 px"),
        ({"control": "none"}, "control", "not in grid.regimes"),
        (
            {"weights": "imagenett"},
            "weights",
            "file 'imagenett' with the weights of resnet18 does not exist; correct it, or use",
        ),
        (
            {"weights": "/w/{model}.pth"},
            "weights",
            "the file '/w/resnet18.pth' with the weights of resnet18 does not exist",
        ),
        ({"weights_sha256": {"resnet18": "abc"}}, "weights_sha256.resnet18", "should match pattern"),
        ({"weights_sha256": {"resnet81": "a" * 64}}, "weights_sha256.resnet81", "did you mean 'resnet18'?"),
        ({"training": {"full_size": 300}}, "training.full_size", "more than images.max_side"),
        ({"training": {"subtotal_after": "cmlut"}}, "training.subtotal_after", "did you mean 'cmult'?"),
        ({"training": {"schedule": ["sgdr", "clr"]}}, "training.schedule", "did you mean 'clrs'?"),
        (
            {"training": {"schedule": ["sgdr", "rpl"], "subtotal_after": "cmult"}},
            "training.subtotal_after",
            "unknown phase 'cmult'",
        ),
        ({"training": {"batch_size": "many"}}, "training.batch_size", "valid integer"),
        ({"training": {"lr_finder": {"rule": "valley"}}}, "training.lr_finder", "needs a curve of at least 20 steps"),
        (
            {"datasets": {"micrographs": {"training": {"learning_rte": 1}}}},
            "datasets.micrographs.training.learning_rte",
            "did you mean 'learning_rate'?",
        ),
        (
            {"datasets": {"micrographs": {"training": {"full_size": 300}}}},
            "datasets.micrographs.training.full_size",
            "more than images.max_side",
        ),
        ({"datasets": {"ucm": {"pth": "x"}}}, "datasets.ucm.pth", "did you mean 'path'?"),
        ({"datasets": {"mine": {"source": "folder"}}}, "datasets.mine", "needs the key path"),
        ({"datasets": {"mine": {"source": "url_list"}}}, "datasets.mine", "needs the key path"),
        ({"datasets": {"mine": {"source": "archive"}}}, "datasets.mine", "needs the key urls or path"),
        ({"datasets": {"mine": {"source": "torchvision"}}}, "datasets.mine", "needs the key torchvision"),
        ({"datasets": {"mine": {"source": "web"}}}, "datasets.mine.source", "'archive', 'folder', 'url_list'"),
        ({"datasets": {"ucm": {"urls": ["ftp://x/y"]}}}, "datasets.ucm.urls.0", "should match pattern"),
        ({"datasets": {"ucm": {"checksums": ["md5:123"]}}}, "datasets.ucm.checksums.0", "should match pattern"),
        ({"datasets": {"ucm": {"label_regex": "(a)(b)"}}}, "datasets.ucm", "regular expression with exactly one group"),
        ({"datasets": {"ucm": {"label_regex": "(a"}}}, "datasets.ucm", "regular expression with exactly one group"),
        ({"download": {"max_failed_fraction": 2}}, "download.max_failed_fraction", "less than or equal to 1"),
    ],
)
def test_error_is_one_line_with_key_problem_and_remedy(changes, key, problem):
    message = error_of(**changes)
    assert message.startswith(f"--config: {key}: ")
    assert problem in message


def test_many_known_names_are_truncated():
    assert error_of(grid={"models": ["?"]}).endswith("it is '?'")
    assert error_of(grid={"models": ["xyz123"]}).endswith(" …")


def test_regime_without_a_size_for_a_phase_is_rejected():
    values = merged(*FILES)
    del values["regimes"]["gradual"]["clrs"]
    with pytest.raises(EntrError, match=r"regimes\.gradual: has no size for the phase 'clrs'; give each of"):
        validate_config(values, FILES)


def test_error_names_the_file_that_sets_the_key(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("grid: {seeds: [1, 1]}\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: grid\.seeds: 1 is listed"):
        validate_config(merged(*FILES, mine), [*FILES, mine])


def test_missing_key_is_located_in_the_file_with_its_section(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("grid: {datasets: [micrographs], regimes: [no-increase], seeds: [0]}\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: grid\.models: is missing; add this key"):
        validate_config(merged(CATALOGUE, mine), [CATALOGUE, mine])


@pytest.mark.parametrize("images", [str, lambda folder: {"folder": str(folder), "max_side": 100}])
def test_folder_of_own_images_is_the_only_dataset_of_the_grid(tmp_path, images):
    folder = tmp_path / "Vögel im Garten"
    folder.mkdir()
    config = validate_config(merged(*FILES) | {"images": images(folder)})
    assert config.grid.datasets == ("vogel-im-garten",)
    entry = config.datasets["vogel-im-garten"]
    assert (entry.source, entry.path, entry.title) == ("folder", str(folder), "Vögel im Garten")
    assert config.images.max_side == (250 if images is str else 100)


def test_folder_with_the_name_of_a_catalogue_dataset_is_another_dataset(tmp_path):
    (tmp_path / "flowers").mkdir()
    config = validate_config(merged(*FILES) | {"images": str(tmp_path / "flowers")})
    assert config.grid.datasets == ("own-flowers",)
    assert config.datasets["flowers"].images


def test_missing_folder_is_reported_before_anything_runs(tmp_path):
    with pytest.raises(EntrError, match=r"images: the folder '.*absent' does not exist; give one"):
        validate_config(merged(*FILES) | {"images": str(tmp_path / "absent")})


def test_number_of_seeds_replaces_the_seeds_of_the_grid():
    assert validate_config(merged(*FILES, seeds=3)).grid.seeds == (0, 1, 2)


@pytest.mark.parametrize("seeds", [0, -1, "many", 2.5])
def test_number_of_seeds_has_to_be_a_positive_integer(seeds):
    with pytest.raises(EntrError, match=r"seeds: "):
        validate_config(merged(*FILES, seeds=seeds))


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"scale": math.inf}, "scale", "finite number"),
        ({"scale": 101}, "scale", "less than or equal to 100"),
        ({"scale": 0.001}, "scale", "images would be as small as 2 px"),
        ({"inference": {"min_seconds": math.inf}}, "inference.min_seconds", "finite number"),
        ({"images": {"max_side": 2**20}}, "images.max_side", "less than or equal to 65536"),
        ({"training": {"evaluation_sizes": [2**20]}}, "training.evaluation_sizes.0", "less than or equal to 65536"),
        ({"regimes": {"gradual": {"upsample_to": 2**20}}}, "regimes.gradual.upsample_to", "less than or equal"),
        ({"training": {"phases": {"sgdr": {"cycles": 10**9}}}}, "training.phases.sgdr", "more than 10000 epochs"),
        (
            {"training": {"phases": {"sgdr": {"cycles": 10**9, "cycle_mult": 9}}}},
            "training.phases.sgdr",
            "more than 10000 epochs; lower cycles, cycle_length or cycle_mult",
        ),
        ({"training": {"schedule": ["sgdr", "cmult", "sgdr"]}}, "training.schedule", "sgdr is listed more than once"),
        ({"seeds": 10**9}, "seeds", "less than or equal to 10000"),
        ({"seeds": 3, "grid": 5}, "grid", "valid dictionary"),
        ({"images": "x", "grid": 5}, "grid", "valid dictionary"),
        ({"images": "x", "datasets": [1]}, "datasets", "valid dictionary"),
        ({"control": "blur", "regimes": 3}, "control", "blur was renamed in 0.2.0; use upsampled"),
        ({"grid": {"seeds": [16**5000]}}, "grid.seeds.0", "has more than 64 bits; give a smaller number"),
        ({"training": {"batch_size": -(16**5000)}}, "training.batch_size", "has more than 64 bits"),
        ({"training": {"x" * 5000: 1}}, "training", " …"),
        ({"training": {"a\nb": 1}}, "training.a b", "unknown key 'a\\nb'"),
        ({"regimes": {"gradual": {"ramp": {"siezs": [1, 2]}}}}, "regimes.gradual.ramp", ""),
        ({"images": {"folder": "~nobody-of-this-name/x"}}, "images", "does not exist"),
        ({"images": {"folder": "a\0b"}}, "images", "does not exist"),
        ({"images": {"folder": "x" * 5000}}, "images", "does not exist"),
        ({"weights": "x" * 5000}, "weights", "does not exist"),
        ({"datasets": {"ucm": {"label_regex": "(a{99999999999999})"}}}, "datasets.ucm", "a regular expression with"),
        ({"datasets": {"ucm": {"label_regex": "(" * 5000}}}, "datasets.ucm", "a regular expression with"),
        ({"datasets": {"mine": {"source": "folder", "splits": [{"x": b"\xff"}]}}}, "datasets.mine.splits.0.x", "JSON"),
        ({"datasets": {"ucm": {"training": {"dropout": b"\xff"}}}}, "datasets.ucm.training.dropout", "JSON"),
    ],
)
def test_value_beyond_reason_is_an_error_of_one_line(changes, key, problem):
    message = error_of(**changes)
    assert message.startswith(f"--config: {key}")
    assert problem in message
    assert len(message) < 2000


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_configuration_that_aliases_make_endless_or_huge_is_an_error(tmp_path):
    mine = tmp_path / "mine.yaml"
    lines = ["  - &a0 [1, 1]\n", *(f"  - &a{level} [*a{level - 1}, *a{level - 1}]\n" for level in range(1, 40))]
    mine.write_text(f"training:\n{''.join(lines)}")
    with pytest.raises(EntrError, match=r"mine\.yaml: training: has more than 100000 values or 50 levels; remove"):
        validate_config(merged(FILES[0]) | yaml.safe_load(mine.read_text()), [*FILES, mine])
    mine.write_text("training: &a [*a]\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: training: has more than 100000 values or 50 levels; remove"):
        validate_config(merged(FILES[0]) | yaml.safe_load(mine.read_text()), [*FILES, mine])
    with pytest.raises(EntrError, match=r"--config: training: has more than 100000 values or 50 levels; remove"):
        validate_config(merged(*FILES) | {"training": nested(51)}, FILES)


def test_error_in_a_file_that_only_snakemake_reads_is_reported(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text('{"scale":\t0}')
    with pytest.raises(EntrError, match=r"scale: .*greater than 0"):
        validate_config(merged(*FILES, scale=0), [*FILES, mine])


def test_number_that_is_not_one_is_located_in_its_file(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("scale: .nan\n")
    with pytest.raises(EntrError, match=r"mine\.yaml: scale: "):
        validate_config(merged(*FILES, mine), [*FILES, mine])


def test_duplicates_among_many_seeds_are_found():
    seeds = list(range(50_000))
    with pytest.raises(EntrError, match=r"grid\.seeds: 5 is listed more than once"):
        validate_config(merged(*FILES, grid={"seeds": [*seeds, 5]}), FILES)
