"""Archives of images, well made and ill meant."""

import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import pytest

from entr import archives, folders
from entr.config import Dataset
from entr.guards import EntrError

FILES = {"set/a/1.png": b"one", "set/a/deeper/2.png": b"two", "set/b/1.png": b"three", "set/readme.txt": b""}


def zipped(files=FILES, **attributes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return buffer.getvalue()


def tarred(files=FILES, compression="", **attributes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def fetch(server, tmp_path):
    def run(content, subfolder="set", limits=None, **entry):
        entry = Dataset(source="archive", urls=[server.add("/a")], subfolder=subfolder, **entry)
        server.add("/a", content)
        destination = tmp_path / "data" / "originals"
        archives.fetch("mine", entry.model_dump(mode="json"), destination, {"retries": 0, **(limits or {})})
        return {path.relative_to(destination).as_posix(): path.read_bytes() for _, path in folders.files(destination)}

    return run


UNPACKED = {"a/1.png": b"one", "a/deeper/2.png": b"two", "b/1.png": b"three"}


@pytest.mark.parametrize(
    "content",
    [zipped(), tarred(), tarred(compression="gz"), tarred(compression="xz"), tarred(compression="bz2")],
    ids=["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"],
)
def test_the_classes_of_an_archive_are_unpacked_and_the_download_is_gone(fetch, tmp_path, content):
    assert fetch(content) == UNPACKED
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


def test_an_archive_on_this_machine_is_used_and_stays(fetch, tmp_path, server):
    (tmp_path / "mine.zip").write_bytes(zipped())
    assert fetch(b"", path=str(tmp_path / "mine.zip")) == UNPACKED
    assert (tmp_path / "mine.zip").exists()
    assert server.requests == []


def test_paths_written_on_windows_are_understood(fetch):
    assert fetch(zipped({"set\\a\\1.png": b"1", "set\\b\\2.png": b"2"})) == {"a/1.png": b"1", "b/2.png": b"2"}


def test_classes_can_be_read_from_names(fetch):
    files = {
        "x/train/rust_1.jpg": b"1",
        "x/valid/rust_2.jpg": b"2",
        "x/train/dent_1.jpg": b"3",
        "x/train/dent_1.txt": b"",
    }
    found = fetch(zipped(files), label=r"([a-z]+)_\d+\.jpg$")
    assert found == {"rust/x/train/rust_1.jpg": b"1", "rust/x/valid/rust_2.jpg": b"2", "dent/x/train/dent_1.jpg": b"3"}


def test_what_operating_systems_leave_is_skipped(fetch):
    extra = {"__MACOSX/set/a/._1.png": b"", "set/a/.DS_Store": b"", "set/b/Thumbs.db": b""}
    assert fetch(zipped(FILES | extra)) == UNPACKED


ILL_MEANT = {
    "zip: leads out": (zipped({"set/../../../x": b""}), "leads out of the archive"),
    "zip: absolute": (zipped({"/tmp/x": b""}), "leads out of the archive"),
    "zip: drive": (zipped({"C:\\x\\y": b""}), "leads out of the archive"),
    "zip: link": (zipped({"set/a/1": b"/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16), "link or a device"),
    "zip: twice, but for a slash": (zipped({"set/a/1": b"1", "set//a/1": b"2"}), "two members have the name"),
    "tar: leads out": (tarred({"set/../../x": b""}), "leads out of the archive"),
    "tar: absolute": (tarred({"/tmp/x": b""}), "leads out of the archive"),
    "tar: symbolic link": (tarred({"set/a/1": b""}, type=tarfile.SYMTYPE, linkname="/etc"), "link or a device"),
    "tar: hard link": (tarred({"set/a/1": b""}, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "link or a device"),
    "tar: device": (tarred({"set/a/1": b""}, type=tarfile.CHRTYPE), "link or a device"),
    "tar: NUL": (
        tarred({"set/a/1": b""}, pax_headers={"path": "set/a/\0"}),
        "cannot be a file's",
    ),
    "tar: a name too long": (tarred({f"set/a/{'x' * 256}": b""}), "is too long"),
    "tar: much about one member": (
        tarred({"set/a/1": b""}, "xz", pax_headers={"comment": "x" * 2**21}),
        "bytes about one member",
    ),
    "zip: a name in no UTF-8": (zipped({"set/a/ä": b""}).replace("ä".encode(), b"\xff\xff"), "is not in UTF-8"),
    "zip: Deflate64": (
        zipped().replace(b"\x08\x00\x00\x00\x21\x00", b"\x09\x00\x00\x00\x21\x00"),
        "compression method is not supported; unpack it yourself",
    ),
    "tar: a file that is a folder too": (tarred({"set/a/1": b"1", "set/a/1/2": b"2"}), "two members have the name"),
}


@pytest.mark.parametrize(("content", "problem"), ILL_MEANT.values(), ids=ILL_MEANT)
def test_an_archive_that_is_not_safe_is_refused_whole(fetch, tmp_path, content, problem):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(EntrError, match=f"datasets.mine: the download is refused and nothing.*{problem}"):
        fetch(content)
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"data", "download"}


def test_an_encrypted_archive_is_refused(fetch):
    content = bytearray(zipped())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = content.index(signature) + offset
        struct.pack_into("<H", content, position, 1)
    with pytest.raises(EntrError, match="is encrypted; unpack it yourself"):
        fetch(bytes(content))


@pytest.mark.parametrize("limits", [{"max_bytes": 20_000_000}, {"max_files": 3}])
@pytest.mark.parametrize("pack", [zipped, lambda files: tarred(files, "gz")])
def test_a_bomb_is_refused_by_what_it_would_become(fetch, tmp_path, pack, limits):
    bomb = pack({f"set/{label}/{number}.png": bytes(10_000_000) for label in "ab" for number in range(2)})
    assert len(bomb) < 100_000
    with pytest.raises(EntrError, match=r"raise download.max_files or download.max_bytes"):
        fetch(bomb, limits=limits)
    assert not (tmp_path / "data" / "originals").exists()


@pytest.mark.parametrize(
    "content",
    [zipped()[:-40], tarred(compression="gz")[:-20], tarred()[:700], b"", b"<html>not found</html>"],
    ids=["zip cut short", "tar.gz cut short", "tar cut short", "empty", "web page"],
)
def test_a_damaged_archive_is_said_and_not_kept(fetch, tmp_path, content):
    with pytest.raises(EntrError, match=r"datasets.mine: the download is a damaged archive"):
        fetch(content)
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["download"]


LARGER = {f"set/{label}/{number}.png": bytes(range(256)) * 3 for label in "ab" for number in range(9)}


def with_byte(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        tarred(LARGER)[: 10 * (512 + 1024)],
        tarred(LARGER)[: 10 * (512 + 1024) + 100],
        with_byte(tarred(LARGER), 10 * (512 + 1024) + 3),
        with_byte(tarred(LARGER, "gz"), -6),
        with_byte(tarred(LARGER, "bz2"), -40),
    ],
    ids=[
        "cut between members",
        "cut in a header",
        "a header changed",
        "a sum of gzip changed",
        "a byte of bz2 changed",
    ],
)
def test_a_damaged_tar_is_not_taken_for_a_shorter_one(fetch, tmp_path, content):
    with pytest.raises(EntrError, match="is a damaged archive"):
        fetch(content)
    assert not (tmp_path / "data" / "originals").exists()


def test_a_zip_whose_bytes_were_changed_is_damaged(fetch):
    content = zipped({"set/a/1.png": bytes(range(256)) * 50, "set/b/1.png": b"2"})
    position = content.index(b"1.png") + 40
    with pytest.raises(EntrError, match="damaged archive"):
        fetch(content[:position] + b"!!!!" + content[position + 4 :])


def test_an_archive_of_another_layout_names_the_key(fetch):
    with pytest.raises(EntrError, match=r"has no sub-folder with images.*subfolder"):
        fetch(zipped(), subfolder="elsewhere")


def test_a_number_of_images_that_is_not_the_published_one_is_an_error(fetch):
    assert fetch(zipped(), images=3, classes=2) == UNPACKED
    with pytest.raises(EntrError, match=r"datasets.mine: 3 images found, 4 expected; .* correct datasets.mine.images"):
        fetch(zipped(), images=4)


def test_an_archive_that_nothing_vouches_for_is_said_with_what_would(fetch, caplog):
    fetch(zipped())
    assert "set datasets.mine.checksums: [sha256:" in caplog.text


def test_folders_count_too(fetch):
    empty = zipped({f"set/{number}/": b"" for number in range(9)})
    with pytest.raises(EntrError, match=r"more than 3 files .* raise download\.max_files"):
        fetch(empty, limits={"max_files": 3})


def test_a_download_that_a_checksum_vouches_for_outlives_a_limit(fetch, server):
    vouched = {"checksums": [f"sha256:{hashlib.sha256(zipped()).hexdigest()}"]}
    with pytest.raises(EntrError, match=r"raise download\.max_files"):
        fetch(zipped(), limits={"max_files": 1}, **vouched)
    assert fetch(zipped(), **vouched) == UNPACKED
    assert len(server.requests) == 1


def test_what_was_downloaded_from_another_address_is_not_used(fetch, server, tmp_path):
    with pytest.raises(EntrError, match="4 expected"):
        fetch(zipped(), images=4)
    other = server.add("/other", zipped(FILES | {"set/b/2.png": b"four"}))
    entry = Dataset(source="archive", urls=[other], subfolder="set", images=4).model_dump(mode="json")
    archives.fetch("mine", entry, tmp_path / "data" / "originals", {})
    assert (tmp_path / "data" / "originals" / "b" / "2.png").read_bytes() == b"four"


def test_an_archive_is_fetched_by_one_process_at_a_time(server, fetch, tmp_path):
    pause = threading.Event()
    entry = Dataset(source="archive", urls=[server.add("/slow", zipped(), pause=pause)], subfolder="set")
    code = (
        "import json, sys; from entr import archives\narchives.fetch('mine', json.loads(sys.argv[1]), sys.argv[2], {})"
    )
    command = [sys.executable, "-c", code, entry.model_dump_json(), tmp_path / "data" / "originals"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment) as other:
        while not server.requests:
            assert other.poll() is None
            time.sleep(0.01)
        with pytest.raises(EntrError, match="originals is at work in another process"):
            fetch(b"another")
        pause.set()
    assert other.returncode == 0
    assert (tmp_path / "data" / "originals" / "a" / "1.png").read_bytes() == b"one"


def test_a_folder_in_place_of_an_archive_is_said(fetch, tmp_path):
    with pytest.raises(EntrError, match=r"datasets\.mine\.path: there is no file"):
        fetch(b"", path=str(tmp_path))


def test_files_of_one_class_with_names_alike_are_told_apart(fetch):
    found = fetch(zipped({"x/y_r_1.jpg": b"1", "x_y/r_1.jpg": b"2", "z_1.jpg": b"3"}), label=r"([rz])_\d\.jpg$")
    assert sorted(found.values()) == [b"1", b"2", b"3"]


def test_an_archive_on_this_machine_that_is_another_is_refused(fetch, tmp_path):
    (tmp_path / "mine.zip").write_bytes(zipped())
    with pytest.raises(EntrError, match=r"datasets.mine.path: .*mine.zip: its md5 is .* give the right archive"):
        fetch(b"", path=str(tmp_path / "mine.zip"), checksums=["md5:" + "0" * 32])
