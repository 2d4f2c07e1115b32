"""URL lists with valid, failed, repeated and malicious links."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from PIL import Image

from entr.config.schema import Dataset
from entr.data import download, image_folder
from entr.data.sources.url_list import fetch_url_list
from entr.jobs.errors import EntrError


def encoded(colour, file_format="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, file_format)
    return file.getvalue()


RED, BLUE = encoded("red"), encoded("blue", "PNG")


@pytest.fixture
def fetch(tmp_path):
    def run(*lines, header="url,label", settings=None, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes("\n".join([header, *lines]).encode(encoding))
        destination = tmp_path / "data" / "originals"
        entry = Dataset(source="url_list", path=str(path)).model_dump(mode="json")
        defaults = {"retries": 0, "backoff": 0, "max_failed_fraction": 0.5}
        fetch_url_list("mine", entry, destination, defaults | (settings or {}), tmp_path / "checksums.csv")
        return {
            path.relative_to(destination).as_posix(): path.read_bytes()
            for _, path in image_folder.labelled_files(destination)
        }

    return run


def statuses(folder):
    """Return the status of each link, by line."""
    table = pd.read_csv(folder / "data" / "originals" / "links.csv", keep_default_na=False)
    return table.set_index("line")["status"].to_dict()


def test_each_line_has_a_status(server, fetch, tmp_path):
    red, blue, both = (server.add(f"/{name}", content) for name, content in (("r", RED), ("b", BLUE), ("c", RED)))
    page = server.add("/page.jpg", b"<html>gone</html>", content_type="image/jpeg")
    lines = [
        f"{red},a",
        f"{blue},b",
        f"{server.address}/missing.jpg,a",
        f"{page},b",
        f"{red},a",
        "file:///etc/passwd,a",
        f"{both},a",
        f"{both},b",
        "http://h:port/x,a",
        "http://[::1/x.jpg,a",
        "http://h:99999/x,b",
    ]
    found = fetch(*lines, settings={"max_failed_fraction": 0.8})
    assert found == {"a/000002.jpeg": RED, "b/000003.png": BLUE}
    expected = ["fetched", "fetched", "failed", "not an image", "duplicate", "refused"]
    expected += ["contradiction", "contradiction", "refused", "refused", "refused"]
    assert statuses(tmp_path) == dict(enumerate(expected, 2))
    requested = [path for path, _ in server.requests]
    assert sorted(requested) == ["/b", "/missing.jpg", "/page.jpg", "/r"]


def test_too_many_failed_links_are_an_error_and_fetched_images_are_kept(server, fetch, tmp_path):
    lines = [
        f"{server.add('/r', RED)},a",
        f"{server.add('/b', BLUE)},b",
        f"{server.address}/1,a",
        f"{server.address}/2,b",
    ]
    message = r"2 of 4 links give no image; the first is line 4, .*/1: failed \(HTTP 404 .*max_failed_fraction"
    with pytest.raises(EntrError, match=message):
        fetch(*lines, settings={"max_failed_fraction": 0.4})
    assert not (tmp_path / "data" / "originals").exists()
    assert (tmp_path / "data" / "download" / "links.csv").exists()
    server.requests.clear()
    for name in "12":
        server.add(f"/{name}", RED)
    assert len(fetch(*lines, settings={"max_failed_fraction": 0.4})) == 4
    assert sorted(path for path, _ in server.requests) == ["/1", "/2"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


def test_class_without_images_is_an_error(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(8)]
    message = r"no link of the class 'c' gives an image; the first is line 10, .*/missing: failed"
    with pytest.raises(EntrError, match=message):
        fetch(*lines, f"{server.address}/missing,c")
    with pytest.raises(EntrError, match=r"no link of the class '\.\./c' .* is not a valid folder name"):
        fetch(*lines, f"{server.address}/0,../c")


def test_class_name_that_is_too_long_for_a_folder_is_an_error(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(8)]
    with pytest.raises(EntrError, match=r"no link of the class .* is not a valid folder name"):
        fetch(*lines, f"{server.address}/0,{'c' * 300}")


def test_interruption_stops_all_downloads(server, tmp_path):
    pause = threading.Event()
    lines = [f"{server.add(f'/{number}', RED, pause=pause)},{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *lines]))
    entry = Dataset(source="url_list", path=str(tmp_path / "list.csv"))
    code = (
        "import json, sys; from entr.data.sources.url_list import fetch_url_list\n"
        "fetch_url_list('mine', json.loads(sys.argv[1]), sys.argv[2], {}, sys.argv[3])"
    )
    command = [sys.executable, "-c", code, entry.model_dump_json(), tmp_path / "originals", tmp_path / "checksums.csv"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        while len(server.requests) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        pause.set()
        assert b"KeyboardInterrupt" in process.communicate()[1]
    assert len(server.requests) == 2


def test_full_disk_stops_all_downloads(server, fetch, monkeypatch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(20)]
    download_one, is_full = download.download_one, threading.Event()

    def full_disk_in_first_thread(*arguments, **options):
        is_first = threading.current_thread().name.endswith("_0")
        if not is_first:
            is_full.wait(9)
            time.sleep(0.1)
        download_one(*arguments, **options)
        if is_first:
            is_full.set()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "download_one", full_disk_in_first_thread)
    with pytest.raises(OSError, match="No space left"):
        fetch(*lines)
    # one request per thread, and none after the error
    assert len(server.requests) <= 2


def test_corrupt_image_is_reported_as_not_an_image(server, fetch, tmp_path):
    dds = encoded("red", "DDS")
    # a corrupt pixel format
    mutant = dds[:80] + b"\0" + dds[81:]
    fetch(f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{server.add('/x', mutant)},b")
    assert statuses(tmp_path)[4] == "not an image"


def test_checksum_in_the_list_is_verified(server, fetch, tmp_path):
    good, bad = hashlib.sha256(RED).hexdigest(), "0" * 64
    red, blue, other = server.add("/r", RED), server.add("/b", BLUE), server.add("/x", RED)
    fetch(f"{red},a,{good}", f"{blue},b,", f"{other},b,{bad}", header="url,label,sha256")
    assert statuses(tmp_path) == {2: "fetched", 3: "fetched", 4: "checksum mismatch"}


def test_connections_per_host_are_limited(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(40)]
    assert len(fetch(*lines, settings={"connections_per_host": 2, "connections": 16})) == 40
    assert server.max_concurrent <= 2


def test_busy_server_is_retried(server, fetch):
    lines = [f"{server.add('/r', RED, statuses=[503])},a", f"{server.add('/b', BLUE)},b"]
    assert len(fetch(*lines, settings={"retries": 1})) == 2


def test_image_above_the_size_limit_is_a_failed_link(server, fetch, tmp_path, caplog):
    large = server.add("/x", RED + bytes(9000))
    lines = [f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{large},b"]
    fetch(*lines, settings={"max_link_bytes": 5000})
    assert statuses(tmp_path)[4] == "failed"
    assert "the limit of 5000 bytes (download.max_link_bytes)" in caplog.text


def test_csv_dialects_of_spreadsheets_are_read(server, fetch):
    lines = [f' "{server.add("/r,1", RED)}", rosé\r', "\r", f'{server.add("/b", BLUE)},"b, c"\r']
    lines = [line.strip(" ") for line in lines]
    found = fetch(*lines, header="URL , Label\r", encoding="utf-8-sig")
    assert set(found) == {"rosé/000002.jpeg", "b, c/000004.png"}


@pytest.mark.parametrize(
    ("header", "lines", "encoding", "problem"),
    [
        ("address,label", ["http://x/y,a"], "utf-8", "the columns of .* are address, label; name them url, label"),
        ("url,label", ["http://x/y,1,a"], "utf-8", "line 2 of .* has too many fields; quote fields"),
        ("url,label", [], "utf-8", "lists no images"),
        ("", [], "utf-8", "the columns of .* are missing"),
        ("url,label", ["http://x/ö,a"], "latin-1", "is not a readable CSV file in UTF-8"),
    ],
)
def test_invalid_list_is_an_error(fetch, header, lines, encoding, problem):
    with pytest.raises(EntrError, match=rf"datasets.mine.path: .*{problem}"):
        fetch(*lines, header=header, encoding=encoding)


def test_passwords_in_urls_are_redacted(server, fetch, tmp_path, caplog):
    secret = f"{server.add('/missing', statuses=[404])}?key=secret".replace("//", "//me:secret@")
    fetch(f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{secret},b")
    assert "secret" not in (tmp_path / "data" / "originals" / "links.csv").read_text() + caplog.text


def test_image_that_differs_from_the_recorded_one_is_not_used(server, fetch, tmp_path):
    lines = [f"{server.add(f'/{number}', (RED, BLUE)[number % 2])},{'ab'[number % 2]}" for number in range(6)]
    assert len(fetch(*lines)) == 6
    shutil.rmtree(tmp_path / "data")
    server.add("/3", RED)
    assert len(fetch(*lines)) == 5
    links = pd.read_csv(tmp_path / "data" / "originals" / "links.csv", index_col="line")
    assert links["status"].to_dict() == dict.fromkeys(range(2, 8), "fetched") | {5: "checksum mismatch"}
    found, recorded = (hashlib.sha256(content).hexdigest() for content in (RED, BLUE))
    assert f"sha256 is {found}, expected {recorded}" in links["detail"][5]
    assert f"recorded in {tmp_path / 'checksums.csv'}; to accept the new file, set the column" in links["detail"][5]


def test_checksum_in_the_list_overrides_the_recorded_one(server, fetch, tmp_path):
    red, blue = server.add("/r", RED), server.add("/b", BLUE)
    fetch(f"{red},a", f"{blue},b")
    shutil.rmtree(tmp_path / "data")
    server.add("/r", BLUE)
    lines = [f"{red},a,{hashlib.sha256(BLUE).hexdigest()}", f"{blue},b,"]
    assert fetch(*lines, header="url,label,sha256") == {"a/000002.png": BLUE, "b/000003.png": BLUE}


def test_record_of_links_contains_no_secrets_but_tells_queries_apart(server, fetch, tmp_path):
    server.add("/x", RED)
    address = f"{server.address}/x".replace("//", "//me:secret@")
    lines = [f"{address}?id={number},{'ab'[number]}" for number in range(2)]
    assert len(fetch(*lines)) == 2
    text = (tmp_path / "checksums.csv").read_text()
    assert "secret" not in text
    assert text.count(f"{server.address}/x,") == 2


def test_class_with_the_name_of_the_report_is_refused(server, fetch):
    red, blue, other = (server.add(f"/{name}", content) for name, content in (("r", RED), ("b", BLUE), ("o", BLUE)))
    with pytest.raises(EntrError, match=r"line 4, .*: refused \(the class .links\.csv. has the name of the report\)"):
        fetch(f"{red},a", f"{blue},b", f"{other},links.csv")
