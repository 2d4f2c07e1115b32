"""The locked packages: hashes, licences, the audit of vulnerabilities, and the software bill of materials."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import licences
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from packaging.utils import canonicalize_name

from entr.config_reference import with_section

LOCK = (ROOT / "requirements.lock").read_text()
TABLE = pd.read_csv(licences.TABLE, dtype=str)
OUTDATED = "run `make licences`"


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def commands(name):
    return [step["run"] for job in workflow(name)["jobs"].values() for step in job["steps"] if "run" in step]


def test_every_locked_package_has_hashes_and_no_address():
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) > 200
    assert [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in LOCK


def test_licences_list_every_locked_package_in_its_locked_version():
    listed = list(TABLE[["package", "version"]].itertuples(index=False, name=None))
    assert listed == licences.locked_packages(), OUTDATED


def test_every_locked_package_has_a_known_licence_and_a_home_page():
    assert TABLE.notna().all(axis=None), TABLE[TABLE.isna().any(axis=1)]
    assert TABLE["kind"].tolist() == [licences.kind_of(licence) for licence in TABLE["licence"]]
    assert TABLE["home_page"].str.startswith(("http://", "https://")).all()
    assert not TABLE["home_page"].map(licences.is_at_a_registry).any()


def test_only_packages_of_cuda_are_proprietary_and_only_parts_of_docutils_are_copyleft():
    names = TABLE.groupby("kind")["package"].agg(list)
    assert set(names.index) <= set(licences.KINDS)
    assert [name for name in names[licences.PROPRIETARY] if not name.startswith(("nvidia-", "cuda-toolkit"))] == []
    assert names[licences.PARTLY_COPYLEFT] == ["docutils"]


def test_page_of_licences_is_up_to_date():
    page = licences.PAGE.read_text()
    assert page == with_section(page, "licences", licences.markdown(TABLE), "licences"), OUTDATED


@pytest.mark.parametrize(
    ("licence", "text", "expected", "kind"),
    [
        ("UNKNOWN", "\nMIT License\n\nCopyright", "MIT", "permissive"),
        ("Apache Software License; BSD License", "", "Apache-2.0 AND BSD", "permissive"),
        ("MPL-2.0 AND MIT", "", "MPL-2.0 AND MIT", "weak copyleft"),
        ("AGPL-3.0-only", "", "AGPL-3.0-only", None),
        ("Apache License\n Version 2.0; see below", "", "Apache-2.0", "permissive"),
        ("UNKNOWN", "", "", None),
    ],
)
def test_licence_is_classified_by_its_most_demanding_part(licence, text, expected, kind):
    assert licences.spdx(licence, text) == expected
    assert licences.kind_of(expected) == kind


def test_lock_is_audited_when_it_changes_and_every_week():
    audit = workflow("audit")
    # YAML 1.1 reads the key `on` as true
    events = audit[True]
    assert "requirements.lock" in events["pull_request"]["paths"]
    assert events["schedule"]
    assert commands("audit") == ["make audit"]
    assert audit["permissions"] == {"contents": "read"}


def test_release_has_the_lock_its_bill_of_materials_and_the_study():
    *steps, publication = commands("release")
    assert {"make sbom", "make study-crate"} <= {*steps}
    assert publication.split()[-3:] == ["requirements.lock", "sbom.json", "study.crate.zip"]


def make(*arguments, tmp_path):
    """Run a target with the virtual environment of this Python, and a cache of its own for the tools of uv."""
    # `make` itself runs in the environment of the tests, whose uv fetches the tool
    done = subprocess.run(
        ["make", "--silent", "--directory", ROOT, f"BIN={os.path.dirname(sys.executable)}", *arguments],  # noqa: PTH120
        env=os.environ | {"UV_TOOL_DIR": str(tmp_path / "tools")},
        capture_output=True,
        text=True,
    )
    if "Failed to fetch" in done.stderr or "No solution found" in done.stderr:
        pytest.skip("the tool cannot be installed here")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_bill_of_materials_is_valid_and_lists_every_locked_package_with_its_hashes(tmp_path):
    make("sbom", f"SBOM={tmp_path / 'sbom.json'}", tmp_path=tmp_path)
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    components = bill["components"]
    locked = re.findall(r"^([a-z0-9._-]+)==([^ ]+)", LOCK, re.MULTILINE)
    found = Counter((canonicalize_name(one["name"]), one["version"]) for one in components)
    assert found == Counter(locked)
    assert bill["metadata"]["component"]["name"] == "entr"


@pytest.mark.slow
def test_lock_can_be_audited(tmp_path):
    """Everything but the request for vulnerabilities, which needs internet access."""
    output = make("audit", "AUDIT_OPTIONS=--dry-run", tmp_path=tmp_path)
    assert re.search(r"would have audited (\d+) packages", output)
