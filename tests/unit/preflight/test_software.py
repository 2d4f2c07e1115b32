import platform

import numpy as np
import pytest

from entr.preflight import software


@pytest.fixture
def lock(tmp_path):
    """Function that writes a lock file."""

    def write(*lines):
        path = tmp_path / "requirements.lock"
        path.write_text(
            "# made by uv\n" + "".join(f"{line} \\\n    --hash=sha256:00\n    # via entr\n" for line in lines)
        )
        return path

    return write


def test_running_python_is_supported():
    assert software.check_python().detail == platform.python_version()
    assert software.check_python().status == "ok"


def test_unsupported_python_is_a_problem(tmp_path):
    """The project file is another one, because this process has a supported version."""
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nrequires-python = ">=4"\n')
    finding = software.check_python(project)
    assert finding.status == "problem"
    assert "ENTR needs >=4" in finding.detail
    assert "make install" in finding.remedy


def test_locked_versions_and_packages_of_other_systems_are_not_reported(lock):
    finding = software.check_packages(lock(f"numpy=={np.__version__}", "pywin32==1 ; sys_platform == 'win32'"))
    assert (finding.status, finding.detail) == ("ok", "1, as in requirements.lock")


def test_build_for_another_device_is_not_another_version(lock, monkeypatch):
    monkeypatch.setattr(software, "version", lambda _: "2.13.0+cpu")
    assert software.check_packages(lock("torch==2.13.0")).status == "ok"


def test_other_versions_and_missing_packages_are_listed_the_important_ones_first(lock):
    names = [f"absent-{number}" for number in range(9)]
    finding = software.check_packages(lock(*(f"{name}==1" for name in names), "numpy==0.1"))
    assert finding.status == "warning"
    assert finding.detail.startswith(
        f"10 of 10 differ from requirements.lock: numpy {np.__version__} (==0.1), absent-0 is"
    )
    assert finding.detail.endswith(" …")
    assert "make install" in finding.remedy


def test_deployment_without_project_and_lock_file_is_not_compared(tmp_path):
    assert software.check_python(tmp_path / "pyproject.toml").status == "ok"
    finding = software.check_packages(tmp_path / "requirements.lock")
    assert (finding.status, finding.detail.partition(",")[0]) == ("ok", "not compared")
