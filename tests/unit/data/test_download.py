"""Downloads from a real server on this machine, with and without errors."""

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

from entr.config.download_settings import DownloadSettings
from entr.data import download as downloads
from entr.jobs.errors import EntrError

CONTENT = bytes(range(256)) * 4000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FAST = DownloadSettings(retries=2, backoff=0)
IMPATIENT = DownloadSettings(timeout=0.5, retries=0)
AT_MOST_1000_BYTES = FAST.model_copy(update={"max_bytes": 1000})


@pytest.fixture
def download(tmp_path):
    def run(*urls, settings=FAST, **expected):
        downloads.download(urls, tmp_path / "archive", settings, key="datasets.mine.urls", **expected)
        return (tmp_path / "archive").read_bytes()

    return run


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_complete_download_is_verified_and_leaves_no_part(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT)
    md5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    assert download(url, n_bytes=len(CONTENT), checksums=[SHA256, md5]) == CONTENT
    assert names_in(tmp_path) == ["archive"]


def test_response_without_content_length_is_downloaded(server, download):
    assert download(server.add("/a.zip", CONTENT, has_length=False)) == CONTENT


def test_content_encoding_is_decoded(server, download):
    assert download(server.add("/a.zip", CONTENT, gzipped=True), checksums=[SHA256]) == CONTENT


def test_interrupted_connection_is_resumed(server, download):
    url = server.add("/a.zip", CONTENT, interruptions=2)
    assert download(url, checksums=[SHA256]) == CONTENT
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert server.ranges("/a.zip") == [None, f"bytes={half}-", f"bytes={half + quarter}-"]


def test_download_without_an_etag_is_not_resumed(server, download):
    url = server.add("/a.zip", CONTENT, interruptions=1, has_etag=False)
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip") == [None, None]


def test_part_of_a_file_that_has_changed_is_not_resumed(server, download):
    url = server.add("/a.zip", b"old" * 5000, interruptions=9)
    with pytest.raises(EntrError, match="connection interrupted"):
        download(url)
    server.add("/a.zip", CONTENT)
    assert download(url, checksums=[SHA256]) == CONTENT


def test_part_of_one_mirror_is_not_resumed_from_another(server, download):
    bad = server.add("/bad.zip", CONTENT, interruptions=9)
    good = server.add("/good.zip", CONTENT)
    assert download(bad, good, checksums=[SHA256]) == CONTENT
    assert server.ranges("/good.zip") == [None]


def test_part_of_a_failed_download_is_resumed_by_the_next_run(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT, interruptions=3)
    with pytest.raises(EntrError, match=r"a\.zip: connection interrupted"):
        download(url)
    assert names_in(tmp_path) == ["archive.part", "archive.part.json"]
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip")[-1] == f"bytes={len(CONTENT) * 7 // 8}-"


def test_killed_download_is_resumed_by_the_next_run(server, download, tmp_path):
    pause = threading.Event()
    url = server.add("/a.zip", CONTENT, pause=pause)
    code = (
        "import sys; from pathlib import Path\n"
        "from entr.config.download_settings import DownloadSettings\n"
        "from entr.data.download import download\n"
        "download([sys.argv[1]], Path(sys.argv[2]), DownloadSettings(), key='datasets.mine.urls')"
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
        ({"checksums": ["sha256:" + "0" * 64]}, f"checksum mismatch: sha256 is {SHA256[7:]}, expected 0000"),
        ({"n_bytes": 7}, f"size mismatch: {len(CONTENT)} bytes, expected 7"),
    ],
)
def test_mismatch_is_reported_for_each_mirror(server, download, tmp_path, expected, problem):
    urls = [server.add("/one.zip", CONTENT), server.add("/two.zip", CONTENT)]
    with pytest.raises(EntrError, match=r"^datasets\.mine\.urls: nothing could be downloaded: ") as error:
        download(*urls, **expected)
    assert all(f"{url}: {problem}" in str(error.value) for url in urls)
    assert "archive" not in names_in(tmp_path)


def test_next_mirror_is_used_after_a_checksum_mismatch(server, download):
    corrupt = server.add("/one.zip", CONTENT[:-1] + b"!")
    assert download(corrupt, server.add("/two.zip", CONTENT), checksums=[SHA256]) == CONTENT


def test_web_page_instead_of_the_file_is_a_checksum_mismatch(server, download):
    page = server.add("/one.zip", b"<html>sorry</html>", content_type="text/html")
    with pytest.raises(EntrError, match="checksum mismatch: sha256 is"):
        download(page, checksums=[SHA256])


def test_missing_file_is_not_retried_and_the_next_mirror_is_used(server, download):
    good = server.add("/two.zip", CONTENT)
    assert download(f"{server.address}/one.zip", good) == CONTENT
    assert [path for path, _ in server.requests] == ["/one.zip", "/two.zip"]


def test_busy_server_is_retried(server, download):
    url = server.add("/a.zip", CONTENT, statuses=[503, 429], retry_after="0")
    assert download(url) == CONTENT
    assert len(server.requests) == 3


def test_refusal_of_a_proxy_is_not_retried(server, download, monkeypatch):
    monkeypatch.setenv("https_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(EntrError, match=r"the proxy refused the connection \(HTTP 407\)"):
        download("https://images.invalid/a.zip", settings=DownloadSettings(retries=2, backoff=60))


def test_retry_after_header_is_respected(server, download, monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    assert download(server.add("/a.zip", CONTENT, statuses=[503], retry_after="7")) == CONTENT
    assert waited == [7]


def test_redirects_are_followed_up_to_a_limit(server, download):
    server.add("/there.zip", CONTENT)
    assert download(server.add("/here.zip", redirect="/there.zip")) == CONTENT
    with pytest.raises(EntrError, match="too many redirects"):
        download(server.add("/loop.zip", redirect="/loop.zip"), n_bytes=3)


def test_redirect_to_a_local_file_is_refused(server, download):
    with pytest.raises(EntrError, match="invalid URL or response"):
        download(server.add("/a.zip", redirect="file:///etc/passwd"))


def test_trickling_server_fails_by_its_speed(server, download):
    with pytest.raises(EntrError, match=r"slower than 1000 bytes per second \(download\.min_speed\)"):
        download(server.add("/a.zip", trickles="body", has_length=False), settings=IMPATIENT)


def test_silent_server_times_out(server, download):
    url = server.add("/a.zip", CONTENT, pause=threading.Event())
    with pytest.raises(EntrError, match="timed out"):
        download(url, settings=IMPATIENT)


@pytest.mark.parametrize("part", ["headers", "chunk size"])
def test_server_that_never_completes_its_headers_times_out(server, download, part):
    with pytest.raises(EntrError, match="timed out"):
        download(server.add("/a.zip", trickles=part, has_length=False), settings=IMPATIENT)


def test_connection_that_stays_open_after_the_last_byte_times_out(server, download, tmp_path):
    with pytest.raises(EntrError, match="timed out"):
        download(server.add("/a.zip", CONTENT, stays_open=True, has_length=False), settings=IMPATIENT)
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("has_length", [True, False])
def test_file_above_the_size_limit_is_refused(server, download, tmp_path, has_length):
    url = server.add("/a.zip", CONTENT, has_length=has_length)
    with pytest.raises(EntrError, match=r"exceeds the limit of 1000 bytes \(download\.max_bytes\)"):
        download(url, settings=AT_MOST_1000_BYTES)
    assert "archive" not in names_in(tmp_path)


def test_expected_size_does_not_override_the_size_limit(server, download):
    with pytest.raises(EntrError, match="exceeds the limit of 1000 bytes"):
        download(server.add("/a.zip", CONTENT), n_bytes=len(CONTENT), settings=AT_MOST_1000_BYTES)


def test_more_bytes_than_expected_stop_the_download(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT, has_length=False)
    with pytest.raises(EntrError, match="size mismatch: more than the expected 1000 bytes"):
        download(url, n_bytes=1000)
    assert "archive" not in names_in(tmp_path)


def test_unreachable_server_is_reported_with_a_remedy(download):
    with pytest.raises(EntrError, match=r"connection failed.* Run this step with internet access"):
        download("http://127.0.0.1:9/a.zip")


def test_passwords_in_a_url_are_redacted(server, download, caplog):
    caplog.set_level(logging.INFO, "entr")
    logging.getLogger("entr").propagate = True
    url = server.add("/a.zip", CONTENT, statuses=[503]).replace("//", "//user:secret@") + "?token=secret"
    assert download(url) == CONTENT
    with pytest.raises(EntrError) as error:
        download(url.replace("a.zip", "b.zip"), n_bytes=1)
    assert "secret" not in caplog.text + str(error.value)
    assert "/a.zip" in caplog.text


def test_existing_file_with_the_expected_checksum_is_kept(server, download, tmp_path):
    (tmp_path / "archive").write_bytes(CONTENT)
    assert download(server.add("/a.zip", b"other"), checksums=[SHA256]) == CONTENT
    assert server.requests == []


def test_existing_file_with_a_checksum_mismatch_is_downloaded_again(server, download, tmp_path):
    (tmp_path / "archive").write_bytes(b"wrong")
    assert download(server.add("/a.zip", CONTENT), checksums=[SHA256]) == CONTENT


def test_interrupted_encoded_response_is_not_resumed(server, download):
    noise = random.Random(0).randbytes(100_000)
    url = server.add("/a.zip", noise, gzipped=True, interruptions=2)
    assert download(url) == noise
    assert server.ranges("/a.zip") == [None, None, None]


def test_corrupt_content_encoding_does_not_block_the_next_run(server, download):
    url = server.add("/a.zip", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(EntrError, match="corrupt content encoding"):
        download(url)
    server.add("/a.zip", CONTENT)
    assert download(url) == CONTENT


def test_complete_part_is_used_without_another_download(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT, interruptions=3)
    with pytest.raises(EntrError, match="connection interrupted"):
        download(url)
    (tmp_path / "archive.part").write_bytes(CONTENT)
    server.add("/a.zip", statuses=[416], headers={"Content-Range": f"bytes */{len(CONTENT)}"})
    assert download(url, checksums=[SHA256]) == CONTENT
    assert len(server.requests) == 4


def test_part_of_an_earlier_version_without_a_validator_is_not_resumed(server, download, tmp_path):
    url = server.add("/a.zip", CONTENT)
    (tmp_path / "archive.part").write_bytes(CONTENT[:10])
    (tmp_path / "archive.part.json").write_text('{"url": "0", "same": "0"}')
    assert download(url, checksums=[SHA256]) == CONTENT
    assert server.ranges("/a.zip") == [None]


def test_unrequested_partial_response_is_refused(server, download):
    url = server.add("/a.zip", CONTENT, statuses=[206])
    with pytest.raises(EntrError, match=r"unrequested partial response \(HTTP 206\)"):
        download(url)


def test_tls_error_is_not_retried(server, download):
    with pytest.raises(EntrError, match="TLS error"):
        download(server.add("/a.zip", CONTENT).replace("http:", "https:"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/a", "http://[::1/a"])
def test_invalid_url_is_reported(download, url):
    with pytest.raises(EntrError, match=r"\(invalid URL\): invalid URL or response"):
        download(url)


def test_one_session_downloads_several_files(server, tmp_path):
    with requests.Session() as session:
        for name in ("a", "b"):
            url = server.add(f"/{name}", name.encode())
            downloads.download_one(session, url, tmp_path / name, AT_MOST_1000_BYTES)
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"a", b"b"]
