"""Downloads from a real server that serves well and badly."""

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import requests

from entr import downloads
from entr.guards import EntrError
from entr.limits import Limits

CONTENT = bytes(range(256)) * 4000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FAST = Limits(retries=2, backoff=0)
IMPATIENT = Limits(timeout=0.5, retries=0)


@pytest.fixture
def download(tmp_path):
    def run(*urls, limits=FAST, **expected):
        downloads.download(urls, tmp_path / "archive", limits, **expected)
        return (tmp_path / "archive").read_bytes()

    return run


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_checked_and_leaves_no_part(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT)
    md5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    assert download(url, size=len(CONTENT), checksums=[SHA256, md5]) == CONTENT
    assert left(tmp_path) == ["archive"]


def test_a_file_of_unknown_length_arrives_too(server, download):
    assert download(server.add("/a.zip", CONTENT, says_length=False)) == CONTENT


def test_an_encoded_answer_is_decoded(server, download):
    assert download(server.add("/a.zip", CONTENT, gzipped=True), checksums=[SHA256]) == CONTENT


def test_a_broken_connection_goes_on_where_it_broke(server, download):
    url = server.add("/a.zip", CONTENT, breaks=2)
    assert download(url, checksums=[SHA256]) == CONTENT
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert server.ranges("/a.zip") == [None, f"bytes={half}-", f"bytes={half + quarter}-"]


def test_a_server_that_vouches_for_nothing_is_asked_for_the_whole_again(server, download):
    url = server.add("/a.zip", CONTENT, breaks=1, tag=False)
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip") == [None, None]


def test_a_part_of_a_file_that_has_changed_since_is_not_gone_on_with(server, download):
    url = server.add("/a.zip", b"old" * 5000, breaks=9)
    with pytest.raises(EntrError, match="the connection broke before the end"):
        download(url)
    server.add("/a.zip", CONTENT)
    assert download(url, checksums=[SHA256]) == CONTENT


def test_a_part_of_one_mirror_is_not_gone_on_with_at_another(server, download):
    bad = server.add("/bad.zip", CONTENT, breaks=9)
    good = server.add("/good.zip", CONTENT)
    assert download(bad, good, checksums=[SHA256]) == CONTENT
    assert server.ranges("/good.zip") == [None]


def test_a_connection_that_always_breaks_is_given_up_and_its_part_kept_for_the_next_run(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT, breaks=3)
    with pytest.raises(EntrError, match=r"a\.zip: the connection broke before the end"):
        download(url)
    assert left(tmp_path) == ["archive.part", "archive.part.json"]
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip")[-1] == f"bytes={len(CONTENT) * 7 // 8}-"


def test_a_killed_download_goes_on_in_the_next_run(server, download, tmp_path):
    pause = threading.Event()
    url = server.add("/a.zip", CONTENT, pause=pause)
    code = (
        "import sys; from pathlib import Path; from entr import downloads; from entr.limits import Limits;"
        "downloads.download([sys.argv[1]], Path(sys.argv[2]), Limits())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code, url, tmp_path / "archive"], env=environment)
    part = tmp_path / "archive.part"
    while not part.exists() or part.stat().st_size < len(CONTENT) // 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pause.set()
    assert not (tmp_path / "archive").exists()
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip") == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"checksums": ["sha256:" + "0" * 64]}, f"its sha256 is {SHA256[7:]}, but 0000"),
        ({"size": 7}, f"{len(CONTENT)} bytes, but 7 are expected"),
    ],
)
def test_a_file_that_is_not_the_expected_one_is_refused_at_every_mirror(server, download, tmp_path, expected, problem):
    urls = [server.add("/one.zip", CONTENT), server.add("/two.zip", CONTENT)]
    with pytest.raises(EntrError) as error:
        download(*urls, **expected)
    assert all(f"{url}: {problem}" in str(error.value) for url in urls)
    assert "archive" not in left(tmp_path)


def test_a_corrupt_mirror_is_passed_over(server, download):
    corrupt = server.add("/one.zip", CONTENT[:-1] + b"!")
    assert download(corrupt, server.add("/two.zip", CONTENT), checksums=[SHA256]) == CONTENT


def test_a_web_page_in_place_of_the_file_is_refused_by_its_checksum(server, download):
    page = server.add("/one.zip", b"<html>sorry</html>", content_type="text/html")
    with pytest.raises(EntrError, match="its sha256 is"):
        download(page, checksums=[SHA256])


def test_a_missing_file_is_not_asked_for_twice_and_the_next_mirror_is_used(server, download):
    good = server.add("/two.zip", CONTENT)
    assert download(f"{server.address}/one.zip", good) == CONTENT
    assert [path for path, _ in server.requests] == ["/one.zip", "/two.zip"]


def test_a_busy_server_is_asked_again(server, download):
    url = server.add("/a.zip", CONTENT, statuses=[503, 429], retry_after="0")
    assert download(url) == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_names_a_wait_is_given_it(server, download, monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    assert download(server.add("/a.zip", CONTENT, statuses=[503], retry_after="7")) == CONTENT
    assert waited == [7]


def test_redirects_are_followed_unless_they_never_end(server, download):
    server.add("/there.zip", CONTENT)
    assert download(server.add("/here.zip", redirect="/there.zip")) == CONTENT
    with pytest.raises(EntrError, match="redirects without end"):
        download(server.add("/loop.zip", redirect="/loop.zip"), size=3)


def test_a_redirect_to_a_file_of_this_machine_is_refused(server, download):
    with pytest.raises(EntrError, match="no usable address"):
        download(server.add("/a.zip", redirect="file:///etc/passwd"))


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, download):
    with pytest.raises(EntrError, match="slower than 1000 bytes a second"):
        download(server.add("/a.zip", drips=True, says_length=False), limits=IMPATIENT)


def test_a_server_that_falls_silent_is_given_up(server, download):
    url = server.add("/a.zip", CONTENT, pause=threading.Event())
    with pytest.raises(EntrError, match="no answer in time"):
        download(url, limits=IMPATIENT)


@pytest.mark.parametrize("says_length", [True, False])
def test_more_bytes_than_the_limit_are_refused(server, download, tmp_path, says_length):
    url = server.add("/a.zip", CONTENT, says_length=says_length)
    with pytest.raises(EntrError, match="limit of 1000"):
        download(url, limits=FAST.model_copy(update={"max_bytes": 1000}))
    assert "archive" not in left(tmp_path)


def test_no_server_at_all_is_said_with_what_to_do(download):
    with pytest.raises(EntrError, match=r"the connection failed.* Run this step where there is internet"):
        download("http://127.0.0.1:9/a.zip")


def test_passwords_in_an_address_are_not_said(server, download, caplog):
    caplog.set_level(logging.INFO, "entr")
    logging.getLogger("entr").propagate = True
    url = server.add("/a.zip", CONTENT, statuses=[503]).replace("//", "//user:secret@") + "?token=secret"
    assert download(url) == CONTENT
    with pytest.raises(EntrError) as error:
        download(url.replace("a.zip", "b.zip"), size=1)
    assert "secret" not in caplog.text + str(error.value)
    assert "/a.zip" in caplog.text


def test_what_lies_there_and_is_right_is_not_downloaded_again(server, download, tmp_path):
    (tmp_path / "archive").write_bytes(CONTENT)
    assert download(server.add("/a.zip", b"other"), checksums=[SHA256]) == CONTENT
    assert server.requests == []


def test_what_lies_there_and_is_wrong_is_downloaded_again(server, download, tmp_path):
    (tmp_path / "archive").write_bytes(b"wrong")
    assert download(server.add("/a.zip", CONTENT), checksums=[SHA256]) == CONTENT


def test_a_broken_encoded_answer_is_asked_for_whole_again(server, download):
    noise = random.Random(0).randbytes(100_000)
    url = server.add("/a.zip", noise, gzipped=True, breaks=2)
    assert download(url) == noise
    assert server.ranges("/a.zip") == [None, None, None]


def test_an_answer_whose_encoding_is_damaged_is_not_wedged(server, download):
    url = server.add("/a.zip", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(EntrError, match="its encoding is damaged"):
        download(url)
    server.add("/a.zip", CONTENT)
    assert download(url) == CONTENT


def test_a_part_to_which_nothing_is_missing_is_whole(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT, breaks=3)
    with pytest.raises(EntrError, match="the connection broke"):
        download(url)
    (tmp_path / "archive.part").write_bytes(CONTENT)
    server.add("/a.zip", statuses=[416], headers={"Content-Range": f"bytes */{len(CONTENT)}"})
    assert download(url, checksums=[SHA256]) == CONTENT
    assert len(server.requests) == 4


def test_a_part_that_was_not_asked_for_is_refused(server, download):
    url = server.add("/a.zip", CONTENT, statuses=[206])
    with pytest.raises(EntrError, match="a part that was not asked for"):
        download(url)


def test_a_server_that_speaks_no_tls_is_asked_once_and_said(server, download):
    with pytest.raises(EntrError, match="no secure connection"):
        download(server.add("/a.zip", CONTENT).replace("http:", "https:"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/a", "http://[::1/a"])
def test_an_address_that_is_none_is_said(download, url):
    with pytest.raises(EntrError, match=r"\(no address\): no usable address"):
        download(url)


def test_a_size_is_no_reason_to_pass_the_limit(server, download):
    with pytest.raises(EntrError, match="limit of 1000"):
        download(server.add("/a.zip", CONTENT), size=len(CONTENT), limits=FAST.model_copy(update={"max_bytes": 1000}))


def test_one_session_serves_several_files(server, tmp_path):
    with requests.Session() as session:
        for name in ("a", "b"):
            downloads.receive(session, server.add(f"/{name}", name.encode()), tmp_path / name, FAST, max_bytes=10)
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"a", b"b"]
