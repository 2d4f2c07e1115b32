"""The table of licences of the locked packages, from their metadata as pip-licenses reads them; see `make licences`."""

import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from entr.config_reference import with_section

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "licences.csv"
PAGE = ROOT / "docs" / "licences.md"
LINUX = [
    default_environment()
    | {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine}
    | {"python_version": version.rpartition(".")[0], "python_full_version": version}
    for machine in ("x86_64", "aarch64")
    for version in ("3.11.0", "3.11.14", "3.12.12")
]
"""Where ENTR runs; packages that are locked for other systems are not installed."""
PERMISSIVE, WEAK_COPYLEFT = "permissive", "weak copyleft"
PARTLY_COPYLEFT, PROPRIETARY = "partly copyleft", "proprietary"
KINDS = {
    PERMISSIVE: {
        *(
            "0BSD",
            "Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "BSD",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSL-1.0",
            "CC0-1.0",
        ),
        *("ISC", "MIT", "MIT-CMU", "PSF-2.0", "Public Domain", "Zlib"),
    },
    WEAK_COPYLEFT: {"MPL-2.0"},
    PARTLY_COPYLEFT: {"GPL-3.0-or-later"},
    PROPRIETARY: {"LicenseRef-NVIDIA-Proprietary"},
}
"""SPDX identifiers, and BSD of either kind, by what they demand of whoever distributes a package, least first."""
SPDX = {
    "2-clause BSD": "BSD-2-Clause",
    "2-clause BSD License": "BSD-2-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "GNU General Public License (GPL)": "GPL-3.0-or-later",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Other/Proprietary License": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
    "The MIT License (MIT)": "MIT",
}
"""SPDX identifiers of other names of licences."""
WITHOUT_METADATA = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary"}
"""Licences of packages that state none and contain none; cuda-toolkit only depends on the packages of CUDA."""
HOME_PAGES = {
    "beartype": "https://github.com/beartype/beartype",
    "conda-inject": "https://github.com/koesterlab/conda-inject",
    "immutables": "https://github.com/MagicStack/immutables",
    "snakemake-interface-common": "https://github.com/snakemake/snakemake-interface-common",
    "snakemake-interface-executor-plugins": "https://github.com/snakemake/snakemake-interface-executor-plugins",
    "snakemake-interface-logger-plugins": "https://github.com/snakemake/snakemake-interface-logger-plugins",
    "snakemake-interface-report-plugins": "https://github.com/snakemake/snakemake-interface-report-plugins",
    "snakemake-interface-scheduler-plugins": "https://github.com/snakemake/snakemake-interface-scheduler-plugins",
    "uvloop": "https://github.com/MagicStack/uvloop",
    "vl-convert-python": "https://github.com/vega/vl-convert",
}
"""Home pages of packages whose metadata name none."""


def locked_packages():
    """Return the name and version of each package in requirements.lock that some Linux machine installs."""
    lines = re.findall(r"^([a-z0-9._-]+==.*?) *\\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return [
        (one.name, str(one.specifier).removeprefix("=="))
        for one in requirements
        if one.marker is None or any(one.marker.evaluate(environment) for environment in LINUX)
    ]


def spdx(licence, text):
    """Return the SPDX expression of a licence as the metadata state it, or else as its text begins."""
    # some state the whole text as the name
    lines = (text if licence == "UNKNOWN" else licence).strip().splitlines()
    # several classifiers are separated by semicolons
    return " AND ".join(SPDX.get(part, part) for part in re.split("; | AND ", lines[0] if lines else ""))


def kind_of(licence):
    """Return the most demanding kind of the licences in an SPDX expression, or None if one is unknown."""
    found = [next((kind for kind in KINDS if part in KINDS[kind]), None) for part in licence.split(" AND ")]
    return None if None in found else max(found, key=list(KINDS).index)


def licence_table(installed):
    """Return the licences of the locked packages.

    Parameters
    ----------
    installed : list of dict
        Output of pip-licenses.

    Returns
    -------
    DataFrame
        One row per package and locked version. For a version that is locked for another Python, the licence is that of
        the installed version.
    """
    by_name = {canonicalize_name(one["Name"]): one for one in installed}
    rows = []
    for name, version in locked_packages():
        metadata = by_name[name]
        licence = WITHOUT_METADATA.get(name) or spdx(metadata["License"], metadata["LicenseText"])
        rows.append(
            {
                "package": name,
                "version": version,
                "licence": licence,
                "kind": kind_of(licence) or "unknown",
                "home_page": HOME_PAGES.get(name, metadata["URL"]),
            }
        )
    return pd.DataFrame(rows)


def markdown(table):
    """Return the generated part of the page."""
    counts = table["kind"].value_counts()
    lines = ["| kind | packages |", "| --- | --- |"]
    for kind in KINDS:
        names = ", ".join(table["package"][table["kind"] == kind].unique())
        lines.append(f"| {kind} | {counts.get(kind, 0) if kind == PERMISSIVE else names} |")
    lines += ["", "| package | version | licence |", "| --- | --- | --- |"]
    lines += [f"| [{row.package}]({row.home_page}) | {row.version} | {row.licence} |" for row in table.itertuples()]
    return "\n".join(lines) + "\n"


def is_at_a_registry(address):
    """Tell whether an address leads to a package registry rather than to the project."""
    return bool(re.search(r"\bpypi\b", urlsplit(address).hostname or ""))


def write(installed):
    """Write the table and the page."""
    table = licence_table(installed)
    table.to_csv(TABLE, index=False)
    PAGE.write_text(with_section(PAGE.read_text(), "licences", markdown(table), "licences"))


if __name__ == "__main__":
    write(json.load(sys.stdin))
