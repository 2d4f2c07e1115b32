"""Datasets of all sources in the workflow: archives, URL lists, image folders, and a cache."""

import io
import re
import shutil
import zipfile

import pandas as pd
import pytest
import torchvision
import yaml
from conftest import ROOT, run_snakemake
from safetensors.torch import save_file

from entr.data import image_folder


@pytest.fixture
def archive(originals, server):
    """Serve seven classes of rendered micrographs as a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for _, path in image_folder.labelled_files(originals):
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


def test_restricted_run_neither_needs_nor_shows_an_answer(archive, tmp_path):
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set", "images": 70, "classes": 7}}
    (tmp_path / "one" / "results").mkdir(parents=True)
    (tmp_path / "one" / "results" / "answer.txt").write_text("The answer of an earlier run.\n")
    done = run(tmp_path / "one", datasets, "--until", "fetch_archive")
    assert (tmp_path / "one" / "results/data/served/originals").is_dir()
    assert "The answer of an earlier run." not in done.output


def test_url_list_is_fetched_again_if_it_or_a_limit_on_its_images_changed(originals, server, tmp_path):
    lines = [
        f"{server.add(f'/{number}', path.read_bytes())},{label}"
        for number, (label, path) in enumerate(image_folder.labelled_files(originals))
    ]
    (tmp_path / "list.csv").write_text(
        "\n".join(["url,label", *lines[:-1], f"{server.address}/missing,{lines[-1].split(',')[1]}"])
    )
    datasets = {"listed": {"source": "url_list", "path": str(tmp_path / "list.csv")}}
    target = "results/data/listed/manifest.csv"
    result = run(tmp_path / "one", datasets, target)
    assert len(pd.read_csv(tmp_path / "one" / target)) == 69
    assert "/missing: failed (HTTP 404 Not Found)" in result.output
    unchanged = run(tmp_path / "one", datasets, target, download={"connections": 3})
    assert "Nothing to be done" in unchanged.output
    stale = run(tmp_path / "one", datasets, target, "-n", download={"max_failed_fraction": 0})
    assert "Nothing to be done" not in stale.output
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *lines]))
    run(tmp_path / "one", datasets, target)
    assert len(pd.read_csv(tmp_path / "one" / target)) == 70


def test_checksum_mismatch_is_a_one_line_error_and_leaves_no_files(archive, tmp_path):
    datasets = {
        "served": {"source": "archive", "urls": [archive], "subfolder": "set", "checksums": ["md5:" + "0" * 32]}
    }
    result = run(tmp_path / "one", datasets, "results/data/served/originals", check=False)
    assert result.returncode != 0
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert f"{archive}: checksum mismatch: md5 is" in lines[0]
    assert "Traceback" not in result.output
    data = tmp_path / "one" / "results" / "data" / "served"
    assert [path for path in data.rglob("*") if path.is_file()] == []


def test_archive_is_not_stale_after_a_changed_timeout_but_refused_after_changed_content(archive, server, tmp_path):
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set"}}
    target = "results/data/served/originals"
    run(tmp_path / "one", datasets, target)
    assert "Nothing to be done" in run(tmp_path / "one", datasets, target, download={"timeout": 99}).output
    shutil.rmtree(tmp_path / "one" / "results")
    server.files["/set.zip"].content += b"changed"
    result = run(tmp_path / "one", datasets, target, check=False)
    assert result.returncode != 0
    assert f"{archive}: checksum mismatch: sha256 is" in result.output
    assert "recorded in checksums/datasets/served.csv; to accept the new file, set" in result.output


def test_second_checkout_reuses_downloads_images_and_weights_of_the_cache(archive, server, tmp_path):
    weights = tmp_path / "mine.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), weights)
    cache = tmp_path / "cache"
    cache.mkdir()
    datasets = {"served": {"source": "archive", "urls": [archive], "subfolder": "set", "images": 70, "classes": 7}}
    targets = (
        "results/data/served/splits/seed0.csv",
        "results/data/served/pixels.npy",
        "results/weights/resnet18.safetensors",
    )
    first = run(tmp_path / "one", datasets, *targets, cache=cache, weights=str(weights))
    assert "served: downscaling images" in first.output
    assert [path for path, _ in server.requests] == ["/set.zip"]
    split = pd.read_csv(tmp_path / "one" / targets[0])
    assert len(split) == 70
    assert split["validation"].sum() == 7

    run(tmp_path / "two", datasets, *targets, cache=cache, weights=str(weights))
    logs = (tmp_path / "two" / "results" / "logs").rglob("*.log")
    assert not [path for path in logs if re.search("downscaled to at most|weights stored", path.read_text())]
    assert len(server.requests) == 1
    splits = [(tmp_path / directory / targets[0]).read_bytes() for directory in ("one", "two")]
    assert splits[0] == splits[1]
    unchanged = run(tmp_path / "two", datasets, *targets, cache=cache, weights=str(weights))
    assert "Nothing to be done" in unchanged.output
    # a run without the cache can replace the links into it
    run(tmp_path / "two", datasets, targets[0], "--forcerun", "downscale", weights=str(weights))


def test_local_image_folder_is_not_modified_or_cached(originals, tmp_path):
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    shutil.copytree(originals, mine)
    cache.mkdir()
    image_folder.class_folders(mine)[0].chmod(0o750)
    before = {path: path.stat().st_mode for path in mine.rglob("*")}
    run(
        tmp_path / "one",
        {"mine": {"source": "folder", "path": str(mine)}},
        "results/data/mine/manifest.csv",
        cache=cache,
    )
    assert {path: path.stat().st_mode for path in mine.rglob("*")} == before
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_near_duplicates_in_real_datasets_are_found(shared_data, tmp_path):
    """A person has looked at all pairs: each shows the same image twice."""
    names = ["ucm", "neu", "flowers"]
    datasets = {name: {"source": "folder", "path": str(shared_data / name)} for name in names}
    splits = [f"results/data/{name}/splits/seed0.csv" for name in names]
    run(tmp_path / "one", datasets, *splits, "results/tables/datasets.csv", "results/figures/fig2_sample_images.html")
    results = tmp_path / "one" / "results"
    summary = pd.read_csv(results / "tables" / "datasets.csv", index_col="dataset").loc[names]
    assert summary["images_found"].tolist() == [2100, 1800, 3668]
    assert summary["near_duplicate_pairs"].tolist() == [1, 3, 21]
    assert summary["contradicting_labels"].tolist() == [0, 0, 2]
    assert summary["unreadable_files"].tolist() == [0, 0, 0]
    assert summary["classes_found"].tolist() == summary["classes_published"].tolist()
    for name in names:
        manifest = pd.read_csv(results / "data" / name / "manifest.csv")
        split = pd.read_csv(results / "data" / name / "splits" / "seed0.csv")
        assert split.assign(group=manifest["group"]).groupby("group")["validation"].nunique().max() == 1
