import os
import subprocess
import sys

import pytest

from entr.jobs.directories import atomic_directory
from entr.jobs.errors import EntrError

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


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
        "import os, sys; from entr.jobs.directories import atomic_directory\n"
        "with atomic_directory(sys.argv[1]) as part: (part / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "folder"], env=ENVIRONMENT, check=False)
    assert list(tmp_path.rglob("half"))
    with atomic_directory(tmp_path / "folder") as part:
        assert list(part.iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_only_one_process_at_a_time_makes_a_directory(tmp_path):
    code = (
        "import sys; from entr.jobs.directories import atomic_directory\n"
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
