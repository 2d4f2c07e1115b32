import errno
import os
import subprocess
import sys

import pytest

from entr.jobs import locks
from entr.jobs.errors import EntrError
from entr.jobs.locks import exclusive_lock, is_locked

HOLDER = """
import sys
from entr.jobs.locks import exclusive_lock
with exclusive_lock(sys.argv[1], "the cell"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_lock_of_another_process_is_respected_until_that_process_is_killed(tmp_path):
    path = tmp_path / "new" / "cell.lock"
    assert not is_locked(path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(EntrError) as raised, exclusive_lock(path, "the cell"):
        pass
    assert str(raised.value) == (
        "the cell is already running in another process (possibly left over from a killed Snakemake run); wait until "
        f"it has ended, or terminate it, and run again (lock file: {path})"
    )
    assert is_locked(path)
    holder.kill()
    holder.wait()
    assert path.exists()
    assert not is_locked(path)
    with exclusive_lock(path, "the cell"):
        assert path.exists()
    assert not path.exists()


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path / "lock", "the cell"):
        _ = 1 / 0
    assert not is_locked(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_lock_file_on_a_file_system_without_flock_counts_as_locked(tmp_path, monkeypatch):
    """No such file system can be mounted here; filelock then keeps the file only while it holds the lock."""

    def unsupported(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    assert not is_locked(tmp_path / "cell.lock")
    (tmp_path / "cell.lock").touch()
    assert is_locked(tmp_path / "cell.lock")
