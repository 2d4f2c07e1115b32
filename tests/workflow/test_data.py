"""Data of every kind through the workflow: from a server, from lists, from a cache, from real folders."""

import io
import shutil
import zipfile
from hashlib import sha256

import pandas as pd
import pytest
import torchvision
import yaml
from conftest import ROOT, run_snakemake
from safetensors.torch import save_file

from entr import folders


@pytest.fixture
def archive(originals, server):
    """Serve seven classes of real renderings as a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for _, path in folders.files(originals):
            opened.write(path, f"set/{path.relative_to(originals)}")
    return server.add("/set.zip", buffer.getvalue())


def run(directory, datasets, *targets, check=True, cache=None, **keys):
    directory.mkdir(exist_ok=True)
    file = directory / "mine.yaml"
    file.write_text(yaml.safe_dump({"grid": {"datasets": list(datasets)}, "datasets": datasets, **keys}))
    options = ["--cores", "2", "--configfile", file]
    if cache:
        options.append("--cache")
    environment = {"SNAKEMAKE_OUTPUT_CACHE": str(cache)} if cache else {}
    return run_snakemake(ROOT / "Snakefile", directory, *targets, *options, check=check, **environment)


def test_an_archive_becomes_a_split(archive, tmp_path):
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set", "images": 70, "classes": 7}}
    run(tmp_path / "one", datasets, "results/data/served/splits/seed0.csv")
    split = pd.read_csv(tmp_path / "one" / "results/data/served/splits/seed0.csv")
    assert len(split) == 70
    assert split["validation"].sum() == 7


def test_a_list_becomes_a_split_and_a_changed_list_is_fetched_again(originals, server, tmp_path):
    lines = [
        f"{server.add(f'/{number}', path.read_bytes())},{label}"
        for number, (label, path) in enumerate(folders.files(originals))
    ]
    (tmp_path / "list.csv").write_text(
        "\n".join(["url,label", *lines[:-1], f"{server.address}/dead,{lines[-1].split(',')[1]}"])
    )
    datasets = {"listed": {"source": "list", "path": str(tmp_path / "list.csv")}}
    target = "results/data/listed/manifest.csv"
    done = run(tmp_path / "one", datasets, target)
    assert len(pd.read_csv(tmp_path / "one" / target)) == 69
    assert "/dead: dead (the server answers 404 Not Found)" in done.output
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *lines]))
    run(tmp_path / "one", datasets, target)
    assert len(pd.read_csv(tmp_path / "one" / target)) == 70


def test_more_patience_with_servers_makes_nothing_stale(archive, tmp_path):
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set"}}
    target = "results/data/served/originals"
    run(tmp_path / "one", datasets, target)
    assert "Nothing to be done" in run(tmp_path / "one", datasets, target, download={"timeout": 99}).output


def test_another_mirror_and_another_count_make_nothing_stale_where_a_checksum_vouches(archive, server, tmp_path):
    vouched = f"sha256:{sha256(server.files['/set.zip'].content).hexdigest()}"
    entry = {"source": "archive", "urls": [archive], "subfolder": "set", "checksums": [vouched]}
    target = "results/data/served/originals"
    run(tmp_path / "one", {"served": entry}, target)
    mirrored = entry | {"urls": [archive, f"{server.address}/mirror.zip"], "images": 71}
    assert "Nothing to be done" in run(tmp_path / "one", {"served": mirrored}, target).output


def test_what_a_list_may_hold_decides_whether_it_is_stale(originals, server, tmp_path):
    lines = [
        f"{server.add(f'/{number}', path.read_bytes())},{label}"
        for number, (label, path) in enumerate(folders.files(originals))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *lines]))
    datasets = {"listed": {"source": "list", "path": str(tmp_path / "list.csv")}}
    target = "results/data/listed/originals"
    run(tmp_path / "one", datasets, target)
    assert "Nothing to be done" in run(tmp_path / "one", datasets, target, download={"connections": 3}).output
    assert "Nothing to be done" not in run(tmp_path / "one", datasets, target, "-n", download={"max_dead": 0}).output


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(archive, tmp_path):
    datasets = {
        "served": {"source": "archive", "urls": [archive], "subfolder": "set", "checksums": ["md5:" + "0" * 32]}
    }
    done = run(tmp_path / "one", datasets, "results/data/served/originals", check=False)
    assert done.returncode != 0
    lines = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert f"{archive}: its md5 is" in lines[0]
    assert "Traceback" not in done.output
    data = tmp_path / "one" / "results" / "data" / "served"
    assert [path for path in data.rglob("*") if path.is_file()] == []


def test_a_second_checkout_with_the_same_cache_fetches_downscales_and_downloads_nothing(archive, server, tmp_path):
    weights = tmp_path / "mine.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), weights)
    cache = tmp_path / "cache"
    cache.mkdir()
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set"}}
    targets = (
        "results/data/served/splits/seed0.csv",
        "results/data/served/pixels.npy",
        "results/weights/resnet18.safetensors",
    )
    first = run(tmp_path / "one", datasets, *targets, cache=cache, weights=str(weights))
    assert "reduced to at most" in first.output
    assert [path for path, _ in server.requests] == ["/set.zip"]

    again = run(tmp_path / "two", datasets, *targets, cache=cache, weights=str(weights))
    assert "reduced to at most" not in again.output
    assert "weights from" not in again.output
    assert len(server.requests) == 1
    splits = [(tmp_path / directory / targets[0]).read_bytes() for directory in ("one", "two")]
    assert splits[0] == splits[1]
    unchanged = run(tmp_path / "two", datasets, *targets, cache=cache, weights=str(weights))
    assert "Nothing to be done" in unchanged.output
    # the links into the cache can be replaced by a run without it
    run(tmp_path / "two", datasets, targets[0], "--forcerun", "downscale", weights=str(weights))


def test_a_folder_of_yours_is_not_touched_by_a_cache(originals, tmp_path):
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    shutil.copytree(originals, mine)
    cache.mkdir()
    folders.class_folders(mine)[0].chmod(0o750)
    before = {path: path.stat().st_mode for path in mine.rglob("*")}
    run(
        tmp_path / "one",
        {"mine": {"source": "folder", "path": str(mine)}},
        "results/data/mine/manifest.csv",
        cache=cache,
    )
    assert {path: path.stat().st_mode for path in mine.rglob("*")} == before
    assert list(cache.iterdir()) == []


def test_real_images_run_through_and_their_copies_are_found(shared_data, tmp_path):
    """The pairs were looked at: every one shows the same picture twice."""
    names = ["ucm", "neu", "flowers"]
    datasets = {name: {"source": "folder", "path": str(shared_data / name)} for name in names}
    splits = [f"results/data/{name}/splits/seed0.csv" for name in names]
    run(tmp_path / "one", datasets, *splits, "results/tables/datasets.csv", "results/figures/fig2.html")
    results = tmp_path / "one" / "results"
    described = pd.read_csv(results / "tables" / "datasets.csv", index_col="dataset").loc[names]
    assert described["images_found"].tolist() == [2100, 1800, 3668]
    assert described["pairs_of_copies"].tolist() == [1, 3, 21]
    assert described["contradicting_labels"].tolist() == [0, 0, 2]
    assert described["no_images"].tolist() == [0, 0, 0]
    assert described["classes_found"].tolist() == described["classes_published"].tolist()
    for name in names:
        manifest = pd.read_csv(results / "data" / name / "manifest.csv")
        split = pd.read_csv(results / "data" / name / "splits" / "seed0.csv")
        assert split.assign(group=manifest["group"]).groupby("group")["validation"].nunique().max() == 1
