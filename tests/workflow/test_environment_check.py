"""The check of the machine, run as a user does."""

import pytest
from conftest import ROOT

SMALLEST = ROOT / "tests" / "workflow" / "smallest.yaml"
OFFLINE = "onnxruntime_web={'urls': ['http://127.0.0.1:1/']}"


@pytest.fixture
def check(snakemake):
    """Function that runs the check with values of the configuration; no server is contacted."""

    def run(*settings, **options):
        arguments = ["--configfile", SMALLEST, "--config", OFFLINE, *settings]
        return snakemake("check_environment", "--cores", 1, *arguments, **options)

    return run


def test_check_reports_every_part_of_the_machine_and_starts_no_job(check, tmp_path):
    done = check("training={'device': 'cpu'}")
    lines = [line for line in done.output.splitlines() if line.startswith(("ok ", "warning ", "problem ", "   "))]
    for subject in ("grid", "Python", "packages", "torch", "GPU", "cores", "memory", "disk", "folders", "time"):
        assert any(line.split()[1:2] == [subject] for line in lines), subject
    assert "0 of 2 cells finished" in done.output
    assert "cannot be downloaded here: ONNX Runtime Web for `snakemake web_page` (127.0.0.1:1: no" in done.output
    assert max(map(len, lines)) <= 110
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["logs"]
    assert "ok       Python" in (tmp_path / "results" / "logs" / "check_environment.log").read_text()


def test_problem_is_an_error_of_one_line(check):
    done = check("grid={'datasets': ['steel']}", "training={'device': 'cpu'}", check=False)
    assert done.returncode == 1
    assert "datasets.steel.path: data/steel does not exist" in done.output
    assert done.output.count("Error: this machine cannot run the grid: see the remedies above for images") == 1
    assert "Traceback" not in done.output
    assert "rerun:" not in done.output
