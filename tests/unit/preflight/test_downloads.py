"""Missing downloads, and servers that respond or do not: a real server on this machine in place of the internet."""

import socket

import pytest
import torchvision
import yaml
from configurations import CATALOGUE, FILES, merged

from entr.config.validation import validate_config
from entr.preflight import downloads
from entr.preflight.downloads import Download

ARCHIVE = {"source": "archive", "bytes": 300_000_000}
WITHOUT_WEIGHTS = "resnetblur18"
NO_RUNTIME = {"path": "/local/onnxruntime-web"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def missing(tmp_path):
    """Function that returns findings and missing downloads of a grid with one dataset and these settings."""

    def find(dataset, **changes):
        changes = {
            "onnxruntime_web": NO_RUNTIME,
            "grid": {"datasets": ["mine"]},
            "datasets": {"mine": dataset},
        } | changes
        return downloads.check_sources(validate_config(merged(*FILES, **changes)), tmp_path)

    return find


def unused_address():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/file"


def check(*urls, **options):
    (finding,) = downloads.check_downloads([Download("a file", urls, "set path", **options)], timeout=0.5)
    return finding


def test_server_that_responds_is_enough_and_no_content_is_read(server):
    first, second = server.add("/a", statuses=[503]), server.add("/b", b"x" * 10**7, trickles="body")
    finding = check(first, second, n_bytes=10**7)
    assert (finding.status, finding.detail) == ("ok", "missing, and servers respond: a file (10.0 MB)")


def test_servers_that_fail_are_listed_with_their_problem(server):
    slow = server.add("/slow", b"x", trickles="headers")
    finding = check(f"{server.address}/absent?token=secret", unused_address(), slow)
    assert finding.status == "problem"
    assert "127.0.0.1" in finding.detail
    for problem in ("HTTP 404", "no connection", "timed out"):
        assert f": {problem}" in finding.detail
    assert "secret" not in finding.detail
    assert "`snakemake downloads`" in finding.remedy
    assert finding.remedy.endswith("or set path")


def test_files_of_one_server_that_does_not_respond_are_listed_together():
    url = unused_address()
    files = [Download(f"weights of {model}", [url], "set weights: none") for model in ("resnet18", "resnet50")]
    (finding,) = downloads.check_downloads(files)
    assert finding.detail.startswith("cannot be downloaded here: weights of resnet18, weights of resnet50 (127.0.0.1:")


def test_optional_download_is_a_warning():
    finding = check(unused_address(), is_required=False)
    assert finding.status == "warning"
    assert "`snakemake downloads`" not in finding.remedy


def test_proxy_of_the_environment_is_used(server, monkeypatch):
    # the path of a request to a proxy is the whole URL
    server.add("http://images.invalid/a.zip", b"x")
    monkeypatch.setenv("http_proxy", server.address)
    assert check("http://images.invalid/a.zip").status == "ok"
    monkeypatch.setenv("http_proxy", unused_address())
    assert "images.invalid: the proxy does not respond" in check("http://images.invalid/a.zip").detail


def test_refusal_by_a_proxy_is_reported_with_its_http_status(server, monkeypatch):
    monkeypatch.setenv("https_proxy", server.address)
    refusal = "images.invalid: the proxy refused the connection (HTTP 407)"
    assert refusal in check("https://images.invalid/a.zip").detail


def test_nothing_to_download_contacts_no_server():
    assert [finding.detail for finding in downloads.check_downloads([])] == ["none are missing"]


def test_archive_is_missing_until_it_is_extracted(missing, tmp_path):
    dataset = ARCHIVE | {"urls": ["https://images.invalid/a.zip"]}
    findings, (download,) = missing(dataset)
    assert findings == []
    assert str(download) == "images of mine (300.0 MB)"
    (tmp_path / "data" / "mine" / "originals").mkdir(parents=True)
    assert missing(dataset) == ([], [])


@pytest.mark.parametrize("dataset", [{"source": "folder"}, ARCHIVE, {"source": "url_list"}])
def test_local_path_must_exist(missing, tmp_path, dataset):
    path = tmp_path / "here"
    (finding,), found = missing(dataset | {"path": str(path)})
    assert found == []
    assert finding.status == "problem"
    assert finding.detail == f"datasets.mine.path: {path} does not exist"


def test_one_url_per_host_of_a_list_is_tried(missing, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "url,label\nhttp://a.invalid/1,x\nhttp://a.invalid/2,x\nhttp://b.invalid/1,y\nftp://c.invalid/1,y\n"
    )
    _, (download,) = missing({"source": "url_list", "path": str(path)})
    assert download.urls == ["http://a.invalid/2", "http://b.invalid/1"]
    path.write_text("address\n")
    (finding,), _ = missing({"source": "url_list", "path": str(path)})
    assert "the columns of" in finding.detail


def test_urls_of_all_torchvision_datasets_in_the_catalogue_are_found():
    catalogue = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["datasets"]
    names = [entry["torchvision"] for entry in catalogue.values() if entry["source"] == "torchvision"]
    found = {name: downloads.urls_of_torchvision(name) for name in names}
    assert all(found.values())
    assert found["CIFAR10"] == ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"]
    assert downloads.urls_of_torchvision("NoSuchDataset") == []


def test_weights_are_missing_until_they_are_stored(missing, tmp_path):
    grid = {"datasets": ["micrographs"], "models": ["resnet18", "resnet10t"]}
    changes = {"grid": grid, "weights": "imagenet"}
    findings, (of_torchvision, of_timm) = missing({"source": "synthetic"}, **changes)
    assert findings == []
    assert of_torchvision.urls == [torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert of_timm.urls[0].startswith("https://huggingface.co/timm/resnet10t")
    (tmp_path / "weights").mkdir()
    for model in grid["models"]:
        (tmp_path / "weights" / f"{model}.safetensors").touch()
    assert missing({"source": "synthetic"}, **changes) == ([], [])


def test_model_without_pretrained_weights_is_a_problem(missing):
    grid = {"datasets": ["micrographs"], "models": [WITHOUT_WEIGHTS]}
    (finding,), _ = missing({"source": "synthetic"}, grid=grid, weights="imagenet")
    assert finding.status == "problem"
    assert finding.remedy == "set weights: none"


def test_web_page_needs_its_runtime_but_the_run_does_not(missing, tmp_path):
    options = {"grid": {"datasets": ["micrographs"]}, "onnxruntime_web": {"urls": ["https://runtime.invalid/dist/"]}}
    _, (download,) = missing({"source": "synthetic"}, **options)
    assert download.urls == ["https://runtime.invalid/dist/ort.wasm.bundle.min.mjs"]
    assert not download.is_required
    (tmp_path / "onnxruntime-web").mkdir()
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (tmp_path / "onnxruntime-web" / name).touch()
    assert missing({"source": "synthetic"}, **options) == ([], [])
