import os
import subprocess
import sys

import pytest
from conftest import ROOT

from entr.jobs.logs import VERBOSE

SCRIPT = """
import sys
from entr.jobs.errors import EntrError
from entr.jobs.logs import configure_logging, log
configure_logging(sys.argv[1])
"""


def run_script(tmp_path, code, **environment):
    """Run a script that configures its logging; return the finished process and its log."""
    log_file = tmp_path / "logs" / "job.log"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")} | environment
    command = [sys.executable, "-c", SCRIPT + code, log_file]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done, log_file.read_text()


def test_entr_error_is_one_sentence_on_the_terminal_and_a_traceback_in_the_log(tmp_path):
    done, log = run_script(tmp_path, "raise EntrError('the key x is wrong; correct it')")
    assert done.returncode == 1
    assert done.stderr == "Error: the key x is wrong; correct it\n"
    assert "Traceback" in log
    assert "ERROR the key x is wrong; correct it" in log


def test_unexpected_error_names_the_log(tmp_path):
    done, log = run_script(tmp_path, "{}['missing']")
    assert done.returncode == 1
    assert done.stderr == f"Error: KeyError: 'missing' (the traceback is in {tmp_path / 'logs' / 'job.log'})\n"
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("code", "verbose", "on_terminal"),
    [
        ("", "", ""),
        ("", "1", "half way\n"),
        ("configure_logging(sys.argv[1], terminal=True)\n", "", "half way\n"),
    ],
)
def test_messages_reach_the_terminal_on_request_and_warnings_only_the_log(tmp_path, code, verbose, on_terminal):
    code += "import warnings\nlog.info('half way')\nwarnings.warn('odd')"
    done, log = run_script(tmp_path, code, **{VERBOSE: verbose})
    assert done.stderr == on_terminal
    assert "INFO half way" in log
    assert "odd" in log


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ENOSPC", "free some space on this disk"),
        ("EDQUOT", "disk quota exceeded: free some space"),
        ("EROFS", "this file system is read-only: choose another results directory"),
        ("EACCES", "permission denied: change the permissions"),
    ],
)
def test_file_system_error_states_the_remedy(tmp_path, name, remedy):
    done, _ = run_script(tmp_path, f"import errno; raise OSError(errno.{name}, 'refused', 'results/file')")
    assert f"refused: 'results/file'; {remedy} and run again; finished results are kept (the traceback" in done.stderr


def test_terminated_job_leaves_no_half_written_file(tmp_path):
    program = """
import sys, time
from entr.jobs.files import atomic_write
from entr.jobs.logs import configure_logging

configure_logging(sys.argv[1])
with atomic_write(sys.argv[2]) as file:
    print("writing", flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, tmp_path / "log.txt", tmp_path / "table.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as job:
        assert job.stdout.readline() == b"writing\n"
        job.terminate()
    assert job.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
