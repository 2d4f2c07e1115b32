"""Datasets of torchvision, downloaded from a server on this machine."""

import hashlib
import io
import pickle
import shutil
import tarfile
import threading

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from entr.config.schema import Dataset
from entr.data import image_folder
from entr.data.sources.torchvision_datasets import fetch_torchvision
from entr.jobs.errors import EntrError

SPLITS = [{"split": split, "size": "160px"} for split in ("train", "val")]


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def fetch(tmp_path):
    def run(name, settings=None, **entry):
        entry = Dataset(source="torchvision", torchvision=name, **entry)
        destination = tmp_path / "data" / "originals"
        record = tmp_path / "checksums.csv"
        fetch_torchvision("mine", entry.model_dump(mode="json"), destination, settings or {}, record)
        return {
            path.relative_to(destination).as_posix(): path.read_bytes()
            for _, path in image_folder.labelled_files(destination)
        }

    return run


@pytest.fixture
def imagenette(server, monkeypatch):
    """The real class with a small archive of the same layout, because tests run offline."""
    dataset = torchvision.datasets.Imagenette
    wnids = {wnid: names[0] for wnid, names in dataset._WNID_TO_CLASS.items()}
    files = {
        # in lower case, as its loader expects
        f"imagenette2-160/{split}/{wnid}/{wnid}_{split}.jpeg": f"{split} of {name}".encode()
        for wnid, name in wnids.items()
        for split in ("train", "val")
    }
    content = tarred(files)
    url = server.add("/imagenette2-160.tgz", content)
    monkeypatch.setattr(dataset, "_ARCHIVES", {"160px": (url, md5(content))})
    return sorted(wnids.values())


def test_splits_are_joined_and_files_copied_unchanged(fetch, imagenette, server, tmp_path):
    found = fetch("Imagenette", splits=SPLITS, images=20)
    assert sorted({name.split("/")[0] for name in found}) == imagenette
    assert sorted(found.values()) == sorted(
        f"{split} of {name}".encode() for name in imagenette for split in ("train", "val")
    )
    # torchvision sends a HEAD request first, to follow redirects
    assert [headers.get("Method", "GET") for _, headers in server.requests] == ["HEAD", "GET"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


@pytest.mark.usefixtures("imagenette")
def test_incompletely_extracted_dataset_is_downloaded_again(fetch, tmp_path):
    incomplete = tmp_path / "data" / "download" / "imagenette2-160"
    for split in ("train", "val"):
        for wnid in list(torchvision.datasets.Imagenette._WNID_TO_CLASS)[:2]:
            (incomplete / split / wnid).mkdir(parents=True)
            (incomplete / split / wnid / "1.jpeg").write_bytes(b"")
    assert len(fetch("Imagenette", splits=SPLITS, images=20)) == 20


@pytest.mark.usefixtures("imagenette")
def test_complete_download_is_reused_by_the_next_run(fetch, server):
    with pytest.raises(EntrError, match="20 images found, 21 expected"):
        fetch("Imagenette", splits=SPLITS, images=21)
    n_requests = len(server.requests)
    assert len(fetch("Imagenette", splits=SPLITS, images=20)) == 20
    assert len(server.requests) == n_requests


def test_silent_server_times_out(fetch, server, monkeypatch):
    url = server.add("/cifar-10-python.tar.gz", bytes(9999), pause=threading.Event())
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
    with pytest.raises(EntrError, match=r"torchvision cannot download CIFAR10 \(.*timed out"):
        fetch("CIFAR10", settings={"timeout": 0.3})


def test_dataset_that_torchvision_cannot_download_is_an_error(fetch):
    with pytest.raises(EntrError, match=r"torchvision cannot download ImageFolder \(Couldn't find any class folder"):
        fetch("ImageFolder")


@pytest.fixture
def cifar(server, monkeypatch):
    """The real class with a small archive of the same layout, because tests run offline."""
    dataset = torchvision.datasets.CIFAR10
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    batches = {
        "data_batch_1": {"data": pixels[:3].reshape(3, -1), "labels": [0, 1, 1]},
        "test_batch": {"data": pixels[3:].reshape(1, -1), "labels": [0]},
        "batches.meta": {"label_names": ["airplane", "automobile"]},
    }
    files = {f"cifar-10-batches-py/{name}": pickle.dumps(batch) for name, batch in batches.items()}
    sums = {name.split("/")[1]: md5(content) for name, content in files.items()}
    content = tarred(files)
    monkeypatch.setattr(dataset, "url", server.add("/cifar-10-python.tar.gz", content))
    monkeypatch.setattr(dataset, "tgz_md5", md5(content))
    monkeypatch.setattr(dataset, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(dataset, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        dataset, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    )
    return pixels.transpose(0, 2, 3, 1)


def test_dataset_without_image_files_is_stored_losslessly(fetch, cifar):
    found = fetch("CIFAR10", splits=[{"train": True}, {"train": False}])
    names = ["airplane/0-000000.png", "automobile/0-000001.png", "automobile/0-000002.png", "airplane/1-000000.png"]
    assert set(found) == set(names)
    for name, pixels in zip(names, cifar, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(found[name]))), pixels)


@pytest.mark.usefixtures("cifar")
def test_checksum_mismatch_is_an_error(fetch, monkeypatch, tmp_path):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(EntrError, match=r"datasets.mine: torchvision cannot download CIFAR10 \(.*corrupted"):
        fetch("CIFAR10")
    assert not (tmp_path / "data" / "originals").exists()


def test_unreachable_server_is_an_error(fetch, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(EntrError, match=r"torchvision cannot download CIFAR10.* with internet access"):
        fetch("CIFAR10")


@pytest.mark.parametrize(
    ("name", "splits", "problem"),
    [
        ("CIFAR11", [], r"datasets\.mine\.torchvision: torchvision.datasets has no 'CIFAR11'"),
        ("wrap_dataset_for_transforms_v2", [], "has no 'wrap"),
        ("CIFAR10", [{"split": "train"}], r"datasets\.mine\.splits: CIFAR10 rejects .*unexpected keyword .*'split'"),
        ("DTD", [{"split": "trian"}], r"datasets\.mine\.splits: DTD rejects .*trian"),
    ],
)
def test_invalid_entry_is_reported_with_its_key(fetch, name, splits, problem):
    with pytest.raises(EntrError, match=problem):
        fetch(name, splits=splits)


@pytest.fixture
def aircraft(server, monkeypatch):
    """Serve an archive of FGVCAircraft, of which torchvision knows no checksum."""

    def serve(pixel):
        files = {f"fgvc-aircraft-2013b/data/images/{number}.jpg": bytes([pixel, number]) for number in range(2)}
        files["fgvc-aircraft-2013b/data/variants.txt"] = b"707\n727\n"
        files["fgvc-aircraft-2013b/data/images_variant_trainval.txt"] = b"0 707\n1 727\n"
        address = server.add("/fgvc-aircraft-2013b.tar.gz", tarred(files))
        monkeypatch.setattr(torchvision.datasets.FGVCAircraft, "_URL", address)

    return serve


def test_archive_without_a_known_md5_must_be_that_of_the_first_download(fetch, aircraft, tmp_path):
    aircraft(1)
    assert fetch("FGVCAircraft") == {"707/0-000000.jpg": b"\1\0", "727/0-000001.jpg": b"\1\1"}
    shutil.rmtree(tmp_path / "data")
    aircraft(2)
    problem = r"checksum mismatch of FGVCAircraft: .*2013b\.tar\.gz: sha256 is \w{64}, expected \w{64}; .*s\.csv"
    for _ in range(2):
        with pytest.raises(EntrError, match=problem):
            fetch("FGVCAircraft")
    assert not (tmp_path / "data" / "originals").exists()
    (tmp_path / "checksums.csv").unlink()
    assert fetch("FGVCAircraft")["707/0-000000.jpg"] == b"\2\0"
