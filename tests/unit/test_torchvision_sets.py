"""Datasets of torchvision, whose own downloads are served here by a server on this machine."""

import hashlib
import io
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from entr import folders, torchvision_sets
from entr.config import Dataset
from entr.guards import EntrError


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def fetch(tmp_path):
    def run(name, limits=None, **entry):
        entry = Dataset(source="torchvision", torchvision=name, **entry)
        destination = tmp_path / "data" / "originals"
        torchvision_sets.fetch("mine", entry.model_dump(mode="json"), destination, limits or {})
        return {path.relative_to(destination).as_posix(): path.read_bytes() for _, path in folders.files(destination)}

    return run


@pytest.fixture
def imagenette(server, monkeypatch):
    """The real class, whose archive is a small one of the same layout; the real one is out of reach."""
    kind = torchvision.datasets.Imagenette
    wnids = {wnid: names[0] for wnid, names in kind._WNID_TO_CLASS.items()}
    files = {
        f"imagenette2-160/{part}/{wnid}/{wnid}_{part}.JPEG": f"{part} of {name}".encode()
        for wnid, name in wnids.items()
        for part in ("train", "val")
    }
    # its loader looks for names in lower case
    content = tarred({name.replace(".JPEG", ".jpeg"): text for name, text in files.items()})
    url = server.add("/imagenette2-160.tgz", content)
    monkeypatch.setattr(kind, "_ARCHIVES", {"160px": (url, md5(content))})
    return sorted(wnids.values())


def test_parts_are_joined_and_files_taken_as_they_are(fetch, imagenette, server, tmp_path):
    found = fetch("Imagenette", parts=[{"split": part, "size": "160px"} for part in ("train", "val")], images=20)
    assert sorted({name.split("/")[0] for name in found}) == imagenette
    assert sorted(found.values()) == sorted(
        f"{part} of {name}".encode() for name in imagenette for part in ("train", "val")
    )
    # torchvision looks for redirects first
    assert [headers.get("Method", "GET") for _, headers in server.requests] == ["HEAD", "GET"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


@pytest.mark.usefixtures("imagenette")
def test_a_set_that_was_killed_while_it_unpacked_is_not_taken_for_whole(fetch, tmp_path):
    left = tmp_path / "data" / "download" / "imagenette2-160"
    for part in ("train", "val"):
        for wnid in list(torchvision.datasets.Imagenette._WNID_TO_CLASS)[:2]:
            (left / part / wnid).mkdir(parents=True)
            (left / part / wnid / "1.jpeg").write_bytes(b"")
    parts = [{"split": part, "size": "160px"} for part in ("train", "val")]
    assert len(fetch("Imagenette", parts=parts, images=20)) == 20


@pytest.mark.usefixtures("imagenette")
def test_a_set_that_was_whole_is_not_downloaded_again(fetch, server):
    parts = [{"split": part, "size": "160px"} for part in ("train", "val")]
    with pytest.raises(EntrError, match="20 images found, 21 expected"):
        fetch("Imagenette", parts=parts, images=21)
    asked = len(server.requests)
    assert len(fetch("Imagenette", parts=parts, images=20)) == 20
    assert len(server.requests) == asked


def test_a_server_that_falls_silent_is_given_up(fetch, server, monkeypatch):
    url = server.add("/cifar-10-python.tar.gz", bytes(9999), pause=threading.Event())
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
    with pytest.raises(EntrError, match=r"torchvision cannot download CIFAR10: .*timed out"):
        fetch("CIFAR10", limits={"timeout": 0.3})


def test_a_set_that_torchvision_does_not_download_is_said(fetch):
    with pytest.raises(EntrError, match=r"torchvision cannot download ImageFolder: Couldn't find any class folder"):
        fetch("ImageFolder")


@pytest.fixture
def cifar(server, monkeypatch):
    """The real class, whose archive is a small one of the same layout; the real one is out of reach."""
    kind = torchvision.datasets.CIFAR10
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    batches = {
        "data_batch_1": {"data": pixels[:3].reshape(3, -1), "labels": [0, 1, 1]},
        "test_batch": {"data": pixels[3:].reshape(1, -1), "labels": [0]},
        "batches.meta": {"label_names": ["airplane", "automobile"]},
    }
    files = {f"cifar-10-batches-py/{name}": pickle.dumps(batch) for name, batch in batches.items()}
    sums = {name.split("/")[1]: md5(content) for name, content in files.items()}
    content = tarred(files)
    monkeypatch.setattr(kind, "url", server.add("/cifar-10-python.tar.gz", content))
    monkeypatch.setattr(kind, "tgz_md5", md5(content))
    monkeypatch.setattr(kind, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]})
    return pixels.transpose(0, 2, 3, 1)


def test_images_without_files_are_stored_without_loss(fetch, cifar):
    found = fetch("CIFAR10", parts=[{"train": True}, {"train": False}])
    names = ["airplane/0-000000.png", "automobile/0-000001.png", "automobile/0-000002.png", "airplane/1-000000.png"]
    assert set(found) == set(names)
    for name, pixels in zip(names, cifar, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(found[name]))), pixels)


@pytest.mark.usefixtures("cifar")
def test_a_download_that_is_not_the_expected_one_is_said(fetch, monkeypatch, tmp_path):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(EntrError, match=r"datasets.mine: torchvision cannot download CIFAR10: .*corrupted"):
        fetch("CIFAR10")
    assert not (tmp_path / "data" / "originals").exists()


def test_a_server_that_is_out_of_reach_is_said(fetch, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(EntrError, match=r"torchvision cannot download CIFAR10.* where there is internet"):
        fetch("CIFAR10")


@pytest.mark.parametrize(
    ("name", "parts", "problem"),
    [
        ("CIFAR11", [], r"datasets\.mine\.torchvision: torchvision.datasets has no 'CIFAR11'"),
        ("wrap_dataset_for_transforms_v2", [], "has no 'wrap"),
        (
            "CIFAR10",
            [{"split": "train"}],
            r"datasets\.mine\.parts: CIFAR10 refuses .*unexpected keyword argument 'split'",
        ),
        ("DTD", [{"split": "trian"}], r"datasets\.mine\.parts: DTD refuses .*trian"),
    ],
)
def test_a_mistake_in_the_entry_is_named(fetch, name, parts, problem):
    with pytest.raises(EntrError, match=problem):
        fetch(name, parts=parts)
