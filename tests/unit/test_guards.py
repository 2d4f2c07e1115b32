import os
import subprocess
import sys

import pytest
from conftest import ROOT

from entr.guards import EntrError, atomic_directory, atomic_write, exclusive, held, sha256


def test_a_written_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("ä\n")
        assert not path.exists()
    assert path.read_bytes() == "ä\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    with atomic_write(tmp_path / "ours") as file:
        file.write("")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), atomic_directory(path) as part:
        (part / "half").write_text("")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with atomic_directory(path) as part:
        (part / "whole").write_text("")
    assert [file.name for file in path.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_folder_goes_with_the_next_attempt(tmp_path):
    code = (
        "import os, sys; from entr.guards import atomic_directory\n"
        "with atomic_directory(sys.argv[1]) as part: (part / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "folder"], env=environment, check=False)
    assert list(tmp_path.rglob("half"))
    with atomic_directory(tmp_path / "folder") as part:
        assert list(part.iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_folder_is_made_by_one_process_at_a_time(tmp_path):
    code = (
        "import sys; from entr.guards import atomic_directory\n"
        "with atomic_directory(sys.argv[1]): print('at it', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, tmp_path / "folder"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with (
            pytest.raises(EntrError, match=r"folder is at work in another process"),
            atomic_directory(tmp_path / "folder"),
        ):
            pass
        other.stdin.close()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_replaces_the_old_one(tmp_path):
    for name in ("old", "new"):
        with atomic_directory(tmp_path / "folder") as part:
            (part / name).write_text("")
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["new"]


def test_sha256_of_the_empty_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def run_script(tmp_path, code):
    script = tmp_path / "script.py"
    script.write_text(f"from entr.guards import *\nreport_to({str(tmp_path / 'log.txt')!r})\n{code}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env={"PYTHONPATH": sys.path[0]})
    return done, (tmp_path / "log.txt").read_text()


@pytest.fixture(autouse=True)
def library_first(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "workflow" / "scripts")


def test_a_mistake_of_the_users_is_one_sentence_on_the_terminal_and_a_traceback_in_the_log(tmp_path):
    done, log = run_script(tmp_path, "raise EntrError('the key x is wrong; correct it')")
    assert done.returncode == 1
    assert done.stderr == "Error: the key x is wrong; correct it\n"
    assert "Traceback" in log
    assert "the key x is wrong" in log


def test_any_other_error_names_the_log(tmp_path):
    done, log = run_script(tmp_path, "{}['missing']")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "KeyError" in done.stderr
    assert "log.txt" in done.stderr
    assert "Traceback" in log


def test_records_reach_terminal_and_log_and_warnings_the_log(tmp_path):
    done, log = run_script(tmp_path, "import warnings\nlog.info('half way')\nwarnings.warn('odd')")
    assert done.stderr == "half way\n"
    assert "half way" in log
    assert "odd" in log


HOLDER = """
import sys
from entr.guards import exclusive
with exclusive(sys.argv[1], "the work"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_work_that_another_process_is_at_is_refused_until_that_is_killed(tmp_path):
    path = tmp_path / "new" / "cell.lock"
    assert not held(path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EntrError, match=r"^the work is at work in another process"), exclusive(path, "the work"):
        pass
    assert held(path)
    holder.kill()
    holder.wait()
    assert path.exists()
    assert not held(path)
    with exclusive(path, "the work"):
        assert path.exists()
    assert not path.exists()
