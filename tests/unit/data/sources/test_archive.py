"""Archives of images: valid, damaged and malicious ones."""

import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile

import pytest

from entr.config.schema import Dataset
from entr.data import image_folder
from entr.data.sources.archive import fetch_archive
from entr.jobs.errors import EntrError

FILES = {"set/a/1.png": b"one", "set/a/deeper/2.png": b"two", "set/b/1.png": b"three", "set/readme.txt": b""}


def zipped(files=FILES, **attributes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            opened.writestr(info, content)
    return buffer.getvalue()


def tarred(files=FILES, compression="", **attributes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in attributes.items():
                setattr(info, key, value)
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_member(name, content=b"", **attributes):
    """Return a member of a tar archive, in which the size may be wrong."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def tar_of(*members):
    return b"".join(members) + bytes(1024)


def with_changed_field(content, signature, offset, value):
    """Return a zip archive with another value in a field of 4 bytes of its first record with a signature."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, changed.index(signature) + offset, value)
    return bytes(changed)


@pytest.fixture
def fetch(server, tmp_path):
    def run(content, subfolder="set", settings=None, **entry):
        entry = Dataset(source="archive", urls=[server.add("/a")], subfolder=subfolder, **entry)
        server.add("/a", content)
        destination = tmp_path / "data" / "originals"
        settings = {"retries": 0} | (settings or {})
        fetch_archive("mine", entry.model_dump(mode="json"), destination, settings, tmp_path / "checksums.csv")
        return {
            path.relative_to(destination).as_posix(): path.read_bytes()
            for _, path in image_folder.labelled_files(destination)
        }

    return run


UNPACKED = {"a/1.png": b"one", "a/deeper/2.png": b"two", "b/1.png": b"three"}


@pytest.mark.parametrize(
    "content",
    [zipped(), tarred(), tarred(compression="gz"), tarred(compression="xz"), tarred(compression="bz2")],
    ids=["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"],
)
def test_classes_are_extracted_and_the_download_is_removed(fetch, tmp_path, content):
    assert fetch(content) == UNPACKED
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["originals"]


def test_local_archive_is_used_and_kept(fetch, tmp_path, server):
    (tmp_path / "mine.zip").write_bytes(zipped())
    assert fetch(b"", path=str(tmp_path / "mine.zip")) == UNPACKED
    assert (tmp_path / "mine.zip").exists()
    assert server.requests == []


def test_windows_path_separators(fetch):
    assert fetch(zipped({"set\\a\\1.png": b"1", "set\\b\\2.png": b"2"})) == {"a/1.png": b"1", "b/2.png": b"2"}


def test_classes_from_file_names_by_label_regex(fetch):
    files = {
        "x/train/rust_1.jpg": b"1",
        "x/valid/rust_2.jpg": b"2",
        "x/train/dent_1.jpg": b"3",
        "x/train/dent_1.txt": b"",
    }
    found = fetch(zipped(files), label_regex=r"([a-z]+)_\d+\.jpg$")
    assert found == {"rust/x/train/rust_1.jpg": b"1", "rust/x/valid/rust_2.jpg": b"2", "dent/x/train/dent_1.jpg": b"3"}


def test_files_of_operating_systems_are_skipped(fetch):
    extra = {"__MACOSX/set/a/._1.png": b"", "set/a/.DS_Store": b"", "set/b/Thumbs.db": b""}
    assert fetch(zipped(FILES | extra)) == UNPACKED


TRAVERSAL = r"escapes the target directory \(path traversal\)"
MALICIOUS = {
    "zip: parent directory": (zipped({"set/../../../x": b""}), TRAVERSAL),
    "zip: absolute path": (zipped({"/tmp/x": b""}), TRAVERSAL),
    "zip: drive letter": (zipped({"C:\\x\\y": b""}), TRAVERSAL),
    "zip: link": (zipped({"set/a/1": b"/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16), "link or a device"),
    "zip: repeated name": (zipped({"set/a/1": b"1", "set//a/1": b"2"}), "two members have the name"),
    "tar: parent directory": (tarred({"set/../../x": b""}), TRAVERSAL),
    "tar: absolute path": (tarred({"/tmp/x": b""}), TRAVERSAL),
    "tar: symbolic link": (tarred({"set/a/1": b""}, type=tarfile.SYMTYPE, linkname="/etc"), "link or a device"),
    "tar: hard link": (tarred({"set/a/1": b""}, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "link or a device"),
    "tar: device": (tarred({"set/a/1": b""}, type=tarfile.CHRTYPE), "link or a device"),
    "tar: null character": (tarred({"set/a/1": b""}, pax_headers={"path": "set/a/\0"}), "contains a null character"),
    "tar: name too long": (tarred({f"set/a/{'x' * 256}": b""}), "is too long"),
    "tar: metadata too long": (
        tarred({"set/a/1": b""}, "xz", pax_headers={"comment": "x" * 2**21}),
        "bytes of metadata on one member",
    ),
    "zip: invalid UTF-8": (zipped({"set/a/ä": b""}).replace("ä".encode(), b"\xff\xff"), "is not valid UTF-8"),
    "zip: Deflate64": (
        zipped().replace(b"\x08\x00\x00\x00\x21\x00", b"\x09\x00\x00\x00\x21\x00"),
        "compression method is not supported; unpack it yourself",
    ),
    "tar: file that is also a folder": (tarred({"set/a/1": b"1", "set/a/1/2": b"2"}), "two members have the name"),
    "tar: deep path": (tarred({f"set/a/{'x/' * 200}1": b""}), "has more than 100 folders"),
    "zip: deep path": (zipped({f"set/a/{'x/' * 200}1": b""}), "has more than 100 folders"),
    "tar: sparse file": (tarred({"set/a/1": b""}, type=tarfile.GNUTYPE_SPARSE), "is a sparse file; unpack it yourself"),
    "tar: sparse file of the pax format": (
        tarred({"set/a/1": b"0\n"}, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        "is a sparse file; unpack it yourself",
    ),
    "tar: map of a sparse file too long": (
        tarred(
            {"set/a/1": b"99999\n" + b"0\n" * 99999}, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        ),
        "bytes of metadata on one member",
    ),
    "tar: negative size of metadata": (
        tar_of(tar_member("set/a/1", type=tarfile.GNUTYPE_LONGNAME, size=-512), bytes(10_000_000)),
        "bytes of metadata on one member",
    ),
    "tar: many headers of one member": (
        tar_of(tar_member("x", b"name", type=tarfile.GNUTYPE_LONGNAME) * 1000, tar_member("set/a/1")),
        "bytes of metadata on one member",
    ),
    "zip: bzip2": (zipped(compress_type=zipfile.ZIP_BZIP2), "compression method is not supported; unpack it yourself"),
    "zip: LZMA": (zipped(compress_type=zipfile.ZIP_LZMA), "compression method is not supported; unpack it yourself"),
    "zip: later version of the format": (
        with_changed_field(zipped(), b"PK\1\2", 5, 0x6303),
        "zip file version 9.9 is not supported; unpack it yourself",
    ),
}


@pytest.mark.parametrize(("content", "problem"), MALICIOUS.values(), ids=MALICIOUS)
def test_unsafe_archive_is_rejected_as_a_whole(fetch, tmp_path, content, problem):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(
        EntrError, match=f"datasets.mine: the download was rejected; nothing was extracted: .*{problem}"
    ):
        fetch(content)
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"data", "download"}


def test_encrypted_archive_is_rejected(fetch):
    content = bytearray(zipped())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = content.index(signature) + offset
        struct.pack_into("<H", content, position, 1)
    with pytest.raises(EntrError, match="is encrypted; unpack it yourself"):
        fetch(bytes(content))


@pytest.mark.parametrize("settings", [{"max_bytes": 20_000_000}, {"max_files": 3}])
@pytest.mark.parametrize("pack", [zipped, lambda files: tarred(files, "gz")])
def test_decompression_bomb_is_rejected_by_its_extracted_size(fetch, tmp_path, pack, settings):
    bomb = pack({f"set/{label}/{number}.png": bytes(10_000_000) for label in "ab" for number in range(2)})
    assert len(bomb) < 100_000
    with pytest.raises(EntrError, match=r"raise download.max_files or download.max_bytes"):
        fetch(bomb, settings=settings)
    assert not (tmp_path / "data" / "originals").exists()


@pytest.mark.parametrize(
    "content",
    [
        *(zipped()[:-40], tarred(compression="gz")[:-20], tarred()[:700], b"", b"<html>not found</html>"),
        # every member follows the other one, without end
        tar_of(tar_member("set/.x"), tar_member("set/.y", size=-1024)),
        tar_of(tar_member("x", b"18 hdrcharset=\xff\xff\n", type=tarfile.XHDTYPE), tar_member("set/a/1")),
        tar_of(tar_member("x", b"23 GNU.sparse.size=many\n", type=tarfile.XHDTYPE), tar_member("set/a/1")),
        zipped({"set/a/ä": b""}).replace("ä".encode(), b"\xff\xff", 1),
        with_changed_field(zipped(), b"PK\1\2", 42, 2**31),
        with_changed_field(zipped(), b"PK\5\6", 16, 2**31),
    ],
    ids=[
        *("truncated zip", "truncated tar.gz", "truncated tar", "empty", "web page", "tar: negative size"),
        *("tar: invalid character set", "tar: number in letters", "zip: invalid UTF-8 in a member"),
        *("zip: member after the end", "zip: member before the start"),
    ],
)
def test_damaged_archive_is_an_error_and_not_kept(fetch, tmp_path, content):
    with pytest.raises(EntrError, match=r"datasets.mine: the download is (a damaged|not a zip or tar) archive"):
        fetch(content)
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["download"]


def test_error_for_a_file_that_is_not_an_archive_states_its_first_bytes_and_the_remedy(fetch, tmp_path):
    with pytest.raises(
        EntrError, match=r"is not a zip or tar archive; it starts with b'<!DOCTYPE html>.*; correct the URL"
    ):
        fetch(b"<!DOCTYPE html><title>Log in</title>")
    (tmp_path / "photos.7z").write_bytes(b"7z\xbc\xaf'\x1c" + bytes(600))
    with pytest.raises(
        EntrError, match=r"photos\.7z is not a zip or tar archive; .*; unpack it yourself and use source"
    ):
        fetch(b"", path=str(tmp_path / "photos.7z"))


LARGER = {f"set/{label}/{number}.png": bytes(range(256)) * 3 for label in "ab" for number in range(9)}


def with_flipped_bit(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        tarred(LARGER)[: 10 * (512 + 1024)],
        tarred(LARGER)[: 10 * (512 + 1024) + 100],
        with_flipped_bit(tarred(LARGER), 10 * (512 + 1024) + 3),
        with_flipped_bit(tarred(LARGER, "gz"), -6),
        with_flipped_bit(tarred(LARGER, "bz2"), -40),
    ],
    ids=[
        "truncated between members",
        "truncated in a header",
        "modified header",
        "modified checksum of gzip",
        "modified byte of bz2",
    ],
)
def test_damaged_tar_is_not_mistaken_for_a_shorter_one(fetch, tmp_path, content):
    with pytest.raises(EntrError, match="is a damaged archive"):
        fetch(content)
    assert not (tmp_path / "data" / "originals").exists()


def test_zip_with_modified_bytes_is_damaged(fetch):
    content = zipped({"set/a/1.png": bytes(range(256)) * 50, "set/b/1.png": b"2"})
    position = content.index(b"1.png") + 40
    with pytest.raises(EntrError, match="damaged archive"):
        fetch(content[:position] + b"!!!!" + content[position + 4 :])


def test_wrong_subfolder_is_reported_with_the_key(fetch):
    with pytest.raises(EntrError, match=r"has no subfolder with images.*the key subfolder"):
        fetch(zipped(), subfolder="elsewhere")


def test_unexpected_number_of_images_is_an_error(fetch):
    assert fetch(zipped(), images=3, classes=2) == UNPACKED
    with pytest.raises(EntrError, match=r"datasets.mine: 3 images found, 4 expected; .* correct datasets.mine.images"):
        fetch(zipped(), images=4)


def test_missing_checksum_is_a_warning_that_contains_it(fetch, caplog):
    fetch(zipped())
    digest = hashlib.sha256(zipped()).hexdigest()
    assert "no checksum configured for the archive of mine; to pin this file, " in caplog.text
    assert f"set datasets.mine.checksums: [sha256:{digest}]" in caplog.text


def test_memory_does_not_grow_with_the_number_of_members(fetch):
    shared = {f"key{number}": "x" for number in range(900)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers=shared) as opened:
        for number in range(1500):
            opened.addfile(tarfile.TarInfo(f"set/{'ab'[number % 2]}/{number}"))
    tracemalloc.start()
    fetch(buffer.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_folders_count_towards_max_files(fetch):
    empty = zipped({f"set/{number}/": b"" for number in range(9)})
    with pytest.raises(EntrError, match=r"more than 3 files .* raise download\.max_files"):
        fetch(empty, settings={"max_files": 3})


def test_download_with_a_checksum_is_kept_after_an_exceeded_limit(fetch, server):
    pinned = {"checksums": [f"sha256:{hashlib.sha256(zipped()).hexdigest()}"]}
    with pytest.raises(EntrError, match=r"raise download\.max_files"):
        fetch(zipped(), settings={"max_files": 1}, **pinned)
    assert fetch(zipped(), **pinned) == UNPACKED
    assert len(server.requests) == 1


def test_download_from_another_url_is_not_reused(fetch, server, tmp_path):
    with pytest.raises(EntrError, match="4 expected"):
        fetch(zipped(), images=4)
    other = server.add("/other", zipped(FILES | {"set/b/2.png": b"four"}))
    entry = Dataset(source="archive", urls=[other], subfolder="set", images=4).model_dump(mode="json")
    fetch_archive("mine", entry, tmp_path / "data" / "originals", {}, tmp_path / "checksums.csv")
    assert (tmp_path / "data" / "originals" / "b" / "2.png").read_bytes() == b"four"


def test_archive_is_fetched_by_one_process_at_a_time(server, fetch, tmp_path):
    pause = threading.Event()
    entry = Dataset(source="archive", urls=[server.add("/slow", zipped(), pause=pause)], subfolder="set")
    code = (
        "import json, sys; from entr.data.sources.archive import fetch_archive\n"
        "fetch_archive('mine', json.loads(sys.argv[1]), sys.argv[2], {}, sys.argv[3])"
    )
    paths = tmp_path / "data" / "originals", tmp_path / "checksums.csv"
    command = [sys.executable, "-c", code, entry.model_dump_json(), *paths]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment) as other:
        while not server.requests:
            assert other.poll() is None
            time.sleep(0.01)
        with pytest.raises(EntrError, match=r"originals .*another process"):
            fetch(b"another")
        pause.set()
    assert other.returncode == 0
    assert (tmp_path / "data" / "originals" / "a" / "1.png").read_bytes() == b"one"


def test_folder_instead_of_an_archive_is_an_error(fetch, tmp_path):
    with pytest.raises(EntrError, match=r"datasets\.mine\.path: the file .* does not exist; correct the path"):
        fetch(b"", path=str(tmp_path))


def test_files_with_similar_names_do_not_collide(fetch):
    found = fetch(zipped({"x/y_r_1.jpg": b"1", "x_y/r_1.jpg": b"2", "z_1.jpg": b"3"}), label_regex=r"([rz])_\d\.jpg$")
    assert sorted(found.values()) == [b"1", b"2", b"3"]


def test_local_archive_with_a_checksum_mismatch_is_an_error(fetch, tmp_path):
    (tmp_path / "mine.zip").write_bytes(zipped())
    with pytest.raises(
        EntrError, match=r"datasets.mine.path: .*mine.zip: checksum mismatch: md5 is .* provide the correct archive"
    ):
        fetch(b"", path=str(tmp_path / "mine.zip"), checksums=["md5:" + "0" * 32])


OTHER = zipped(FILES | {"set/b/1.png": b"replaced"})


@pytest.fixture
def fetch_again(fetch, tmp_path):
    """Fetch an archive after the result of an earlier fetch, if any, was deleted."""

    def run(content, **entry):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        return fetch(content, **entry)

    return run


def test_first_download_without_a_checksum_is_recorded_and_accepted_again(fetch_again, server, tmp_path):
    assert fetch_again(zipped()) == UNPACKED
    header, row = (tmp_path / "checksums.csv").read_text().splitlines()
    assert header == "source,key,sha256"
    assert row.startswith(f"{server.address}/a,")
    assert row.endswith(f",{hashlib.sha256(zipped()).hexdigest()}")
    assert fetch_again(zipped()) == UNPACKED
    assert len((tmp_path / "checksums.csv").read_text().splitlines()) == 2


def test_download_that_differs_from_the_recorded_one_is_refused_before_it_is_opened(fetch_again, server, tmp_path):
    fetch_again(zipped())
    with pytest.raises(EntrError) as error:
        fetch_again(OTHER)
    found, recorded = (hashlib.sha256(content).hexdigest() for content in (OTHER, zipped()))
    assert f"{server.address}/a: checksum mismatch: sha256 is {found}, expected {recorded}" in str(error.value)
    assert f"first download, recorded in {tmp_path / 'checksums.csv'}; to accept the new file, set " in str(error.value)
    assert "set datasets.mine.checksums, or delete its row there" in str(error.value)
    assert not (tmp_path / "data" / "originals").exists()
    assert fetch_again(zipped()) == UNPACKED


def test_mirror_must_provide_the_recorded_archive(fetch_again, server, tmp_path):
    fetch_again(zipped())
    mirror = server.add("/mirror", OTHER)
    entry = Dataset(source="archive", urls=[f"{server.address}/gone", mirror, f"{server.address}/a"], subfolder="set")
    shutil.rmtree(tmp_path / "data")
    destination = tmp_path / "data" / "originals"
    fetch_archive("mine", entry.model_dump(mode="json"), destination, {"retries": 0}, tmp_path / "checksums.csv")
    assert (destination / "b" / "1.png").read_bytes() == b"three"


def test_configured_checksum_overrides_the_recorded_one(fetch_again):
    fetch_again(zipped())
    configured = f"sha256:{hashlib.sha256(OTHER).hexdigest()}"
    assert fetch_again(OTHER, checksums=[configured])["b/1.png"] == b"replaced"


def test_deleted_record_accepts_another_download(fetch_again, tmp_path):
    fetch_again(zipped())
    (tmp_path / "checksums.csv").unlink()
    assert fetch_again(OTHER)["b/1.png"] == b"replaced"
    with pytest.raises(EntrError, match="checksum mismatch"):
        fetch_again(zipped())


def test_archive_from_another_url_is_not_compared_with_the_recorded_one(fetch_again, server, tmp_path):
    fetch_again(zipped())
    shutil.rmtree(tmp_path / "data")
    entry = Dataset(source="archive", urls=[server.add("/version2", OTHER)], subfolder="set").model_dump(mode="json")
    fetch_archive("mine", entry, tmp_path / "data" / "originals", {}, tmp_path / "checksums.csv")
    assert (tmp_path / "data" / "originals" / "b" / "1.png").read_bytes() == b"replaced"


@pytest.mark.parametrize("content", [b"<html>busy</html>", zipped({"set/a/1.png": b""})], ids=["web page", "one class"])
def test_download_without_usable_images_is_not_recorded(fetch_again, tmp_path, content):
    with pytest.raises(EntrError):
        fetch_again(content)
    assert not (tmp_path / "checksums.csv").exists()
    assert fetch_again(zipped()) == UNPACKED


def test_local_archive_and_configured_checksum_are_not_recorded(fetch_again, tmp_path):
    (tmp_path / "mine.zip").write_bytes(zipped())
    fetch_again(b"", path=str(tmp_path / "mine.zip"))
    fetch_again(zipped(), checksums=[f"sha256:{hashlib.sha256(zipped()).hexdigest()}"])
    assert not (tmp_path / "checksums.csv").exists()
