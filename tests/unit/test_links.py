"""Lists of links to images, some of them dead."""

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from PIL import Image

from entr import downloads, folders, links
from entr.config import Dataset
from entr.guards import EntrError


def picture(colour, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, kind)
    return file.getvalue()


RED, BLUE = picture("red"), picture("blue", "PNG")


@pytest.fixture
def fetch(tmp_path):
    def run(*lines, head="url,label", limits=None, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes("\n".join([head, *lines]).encode(encoding))
        destination = tmp_path / "data" / "originals"
        entry = Dataset(source="list", path=str(path)).model_dump(mode="json")
        links.fetch("mine", entry, destination, {"retries": 0, "backoff": 0, "max_dead": 0.5, **(limits or {})})
        return {path.relative_to(destination).as_posix(): path.read_bytes() for _, path in folders.files(destination)}

    return run


def report(folder):
    table = pd.read_csv(folder / "data" / "originals" / "links.csv", keep_default_na=False)
    return table.set_index("line")["status"].to_dict()


def test_every_line_has_a_status(server, fetch, tmp_path):
    red, blue, both = (server.add(f"/{name}", content) for name, content in (("r", RED), ("b", BLUE), ("c", RED)))
    page = server.add("/page.jpg", b"<html>gone</html>", content_type="image/jpeg")
    found = fetch(
        f"{red},a", f"{blue},b", f"{server.address}/dead.jpg,a", f"{page},b", f"{red},a", "file:///etc/passwd,a",
        f"{both},a", f"{both},b", "http://h:port/x,a", "http://[::1/x.jpg,a", "http://h:99999/x,b",
        limits={"max_dead": 0.8},
    )  # fmt: skip
    assert found == {"a/000002.jpeg": RED, "b/000003.png": BLUE}
    assert report(tmp_path) == {
        2: "fetched", 3: "fetched", 4: "dead", 5: "wrong type", 6: "duplicate", 7: "refused",
        8: "contradiction", 9: "contradiction", 10: "refused", 11: "refused", 12: "refused",
    }  # fmt: skip
    asked = [path for path, _ in server.requests]
    assert sorted(asked) == ["/b", "/dead.jpg", "/page.jpg", "/r"]


def test_too_many_dead_links_stop_the_run_and_keep_what_was_fetched(server, fetch, tmp_path):
    lines = [
        f"{server.add('/r', RED)},a",
        f"{server.add('/b', BLUE)},b",
        f"{server.address}/1,a",
        f"{server.address}/2,b",
    ]
    with pytest.raises(
        EntrError, match=r"2 of 4 links give no image; the first is line 4, .*/1: dead \(.*404.*max_dead"
    ):
        fetch(*lines, limits={"max_dead": 0.4})
    assert not (tmp_path / "data" / "originals").exists()
    assert (tmp_path / "data" / "download" / "links.csv").exists()
    server.requests.clear()
    for name in "12":
        server.add(f"/{name}", RED)
    assert len(fetch(*lines, limits={"max_dead": 0.4})) == 4
    assert sorted(path for path, _ in server.requests) == ["/1", "/2"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


def test_a_class_without_any_image_stops_the_run(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(8)]
    with pytest.raises(
        EntrError, match=r"no link of the class 'c' gives an image; the first is line 10, .*/dead: dead"
    ):
        fetch(*lines, f"{server.address}/dead,c")
    with pytest.raises(EntrError, match=r"no link of the class '\.\./c' .* cannot name a class"):
        fetch(*lines, f"{server.address}/0,../c")


def test_a_class_whose_name_is_too_long_for_a_folder_is_said(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(8)]
    with pytest.raises(EntrError, match=r"no link of the class .* cannot name a class"):
        fetch(*lines, f"{server.address}/0,{'c' * 300}")


def test_an_interrupted_list_stops(server, tmp_path):
    pause = threading.Event()
    lines = [f"{server.add(f'/{number}', RED, pause=pause)},{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *lines]))
    entry = Dataset(source="list", path=str(tmp_path / "list.csv"))
    code = "import json, sys; from entr import links; links.fetch('mine', json.loads(sys.argv[1]), sys.argv[2], {})"
    command = [sys.executable, "-c", code, entry.model_dump_json(), tmp_path / "originals"]
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


def test_a_disk_that_is_full_stops_a_list_at_once(server, fetch, monkeypatch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(20)]

    write, failed = downloads._write, threading.Event()

    def full_for_one(*arguments):
        if threading.current_thread().name.endswith("_0"):
            failed.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        failed.wait(9)
        time.sleep(0.1)
        write(*arguments)

    monkeypatch.setattr(downloads, "_write", full_for_one)
    with pytest.raises(OSError, match="No space left"):
        fetch(*lines)
    # two at once, unless the first fails before the second is asked for
    assert len(server.requests) <= 2


def test_an_image_that_pillow_cannot_be_asked_about_is_of_a_wrong_type(server, fetch, tmp_path):
    dds = picture("red", "DDS")
    # the flags of its format
    mutant = dds[:80] + b"\0" + dds[81:]
    fetch(f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{server.add('/x', mutant)},b")
    assert report(tmp_path)[4] == "wrong type"


def test_a_checksum_in_the_list_is_compared(server, fetch, tmp_path):
    good, bad = hashlib.sha256(RED).hexdigest(), "0" * 64
    server.add("/b", BLUE), server.add("/r", RED), server.add("/x", RED)
    address = server.address
    fetch(f"{address}/r,a,{good}", f"{address}/b,b,", f"{address}/x,b,{bad}", head="url,label,sha256")
    assert report(tmp_path) == {2: "fetched", 3: "fetched", 4: "wrong checksum"}


def test_one_host_is_asked_for_no_more_at_once_than_is_polite(server, fetch):
    lines = [f"{server.add(f'/{number}', RED)},{'ab'[number % 2]}" for number in range(40)]
    assert len(fetch(*lines, limits={"connections_per_host": 2, "connections": 16})) == 40
    assert server.busiest <= 2


def test_a_busy_server_is_asked_again(server, fetch):
    lines = [f"{server.add('/r', RED, statuses=[503])},a", f"{server.add('/b', BLUE)},b"]
    assert len(fetch(*lines, limits={"retries": 1})) == 2


def test_an_image_of_too_many_bytes_is_dead(server, fetch, tmp_path):
    fetch(
        f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{server.add('/x', RED + bytes(9000))},b",
        limits={"max_link_bytes": 5000},
    )  # fmt: skip
    assert report(tmp_path)[4] == "dead"


def test_spreadsheets_of_any_kind_are_read(server, fetch):
    lines = [f' "{server.add("/r,1", RED)}", rosé\r', "\r", f'{server.add("/b", BLUE)},"b, c"\r']
    lines = [line.strip(" ") for line in lines]
    found = fetch(*lines, head="URL , Label\r", encoding="utf-8-sig")
    assert set(found) == {"rosé/000002.jpeg", "b, c/000004.png"}


@pytest.mark.parametrize(
    ("head", "lines", "encoding", "problem"),
    [
        ("address,label", ["http://x/y,a"], "utf-8", "names the columns address, label; it should name url and label"),
        ("url,label", ["http://x/y,1,a"], "utf-8", "line 2 of .* has too many fields; put quotes"),
        ("url,label", [], "utf-8", "lists no image"),
        ("", [], "utf-8", "names the columns of nothing"),
        ("url,label", ["http://x/ö,a"], "latin-1", "cannot be read as a CSV file in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(fetch, head, lines, encoding, problem):
    with pytest.raises(EntrError, match=rf"datasets.mine.path: .*{problem}"):
        fetch(*lines, head=head, encoding=encoding)


def test_passwords_in_a_link_are_not_written(server, fetch, tmp_path, caplog):
    secret = f"{server.add('/dead', statuses=[404])}?key=secret".replace("//", "//me:secret@")
    fetch(f"{server.add('/r', RED)},a", f"{server.add('/b', BLUE)},b", f"{secret},b")
    assert "secret" not in (tmp_path / "data" / "originals" / "links.csv").read_text() + caplog.text
