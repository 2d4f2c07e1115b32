import errno
import os
import subprocess
import sys

import pytest

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_directory, atomic_write, sha256

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_file_appears_only_after_it_is_complete(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("ä\n")
        assert not path.exists()
    assert path.read_bytes() == "ä\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_bytes_are_written_unchanged(tmp_path):
    with atomic_write(tmp_path / "file", "wb") as file:
        file.write(b"\r\n\x00")
    assert (tmp_path / "file").read_bytes() == b"\r\n\x00"


def test_previous_file_survives_an_error_while_writing(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_has_default_permissions(tmp_path):
    with atomic_write(tmp_path / "ours") as file:
        file.write("")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_error_of_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(OSError, match=r"No space left on device: '.*file\.txt'"), atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_directory_appears_only_after_it_is_complete(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), atomic_directory(path) as part:
        (part / "half").write_text("")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with atomic_directory(path) as part:
        (part / "whole").write_text("")
    assert [file.name for file in path.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [path]


def test_remains_of_a_killed_process_are_removed(tmp_path):
    code = (
        "import os, sys; from entr.jobs.files import atomic_directory\n"
        "with atomic_directory(sys.argv[1]) as part: (part / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "folder"], env=ENVIRONMENT, check=False)
    assert list(tmp_path.rglob("half"))
    with atomic_directory(tmp_path / "folder") as part:
        assert list(part.iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_only_one_process_at_a_time_makes_a_directory(tmp_path):
    code = (
        "import sys; from entr.jobs.files import atomic_directory\n"
        "with atomic_directory(sys.argv[1]): print('running', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, tmp_path / "folder"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"running\n"
        with (
            pytest.raises(EntrError, match=r"^the job that makes .*folder is already running in another process"),
            atomic_directory(tmp_path / "folder"),
        ):
            pass
        other.stdin.close()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_directory_replaces_the_previous_one(tmp_path):
    for name in ("old", "new"):
        with atomic_directory(tmp_path / "folder") as part:
            (part / name).write_text("")
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["new"]


def test_sha256_of_an_empty_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
