"""Archive of a finished run as a Workflow Run RO-Crate, version 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).

The archive contains the workflow with the configuration of the run, and its results without the images. It is
itself a checkout in which the run can be repeated.
"""

import io
import logging
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write
from entr.jobs.paths import REPOSITORY
from entr.metrics.cell_files import verify_files
from entr.metrics.cell_metrics import METRICS_FILE
from entr.report.provenance import Provenance, read_provenance

log = logging.getLogger("entr")

VERSION = "1.1"
"""Version of RO-Crate that the profiles are defined for."""
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
"""Name and version of each profile to which an archive conforms, by address."""
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
SPDX = "https://spdx.org/licenses"

MAIN = "Snakefile"
README = "README.md"
WORKFLOW_FILES = (
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "docs/tables.md",
    "envs/*",
    "profiles/default/config.yaml",
    "workflow/report/*",
    "workflow/rules/*.smk",
    "workflow/schemas/*.json",
    "workflow/scripts/**/*.py",
)
"""Patterns of the files of the workflow. The configuration is written anew, because it may contain local paths."""
CONFIGURATION = {"config/datasets.yaml": ("datasets",), "config/config.yaml": ()}
"""Files of the configuration with the sections that they contain; the last one contains the rest."""

CELLS = "results/cells"
OUTPUTS = {
    "results/report.html": "The report: answer, figures, tables and configuration.",
    "results/answer.txt": "The answer as plain text.",
    "results/verdict.md": "The answer in words, and each claim of the paper.",
    "results/recommendation.md": "The recommended model per dataset.",
    "results/provenance.json": "Configuration, code digests, commit, machine and packages of the run.",
    "results/tables": "Tables of all cells, effects and claims; docs/tables.md describes their columns.",
    "results/figures": "Figures as images and as Vega-Lite specifications.",
    CELLS: "Metrics, history and predictions of each cell; steps and learning-rate finder of the first seed.",
    "results/inference": "Inference benchmark of each model.",
    "results/models": "The recommended model per dataset, with its model card.",
}
"""Description of each output of the workflow, a file or directory."""
IMAGES = "results/data"
MEDIA_TYPES = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".py": "text/x-python",
    ".smk": "text/plain",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
"""Media type by suffix; ``application/octet-stream`` for others."""
SOFTWARE = {
    "snakemake": "https://snakemake.github.io",
    "torch": "https://pytorch.org",
    "torchvision": "https://pytorch.org/vision",
    "fastai": "https://docs.fast.ai",
    "timm": "https://github.com/huggingface/pytorch-image-models",
}
"""Address of each package whose version the archive states; ``provenance.json`` contains all others."""


def write_crate(
    provenance: str | Path,
    results: Iterable[str | Path],
    *,
    citation: str,
    statements: Mapping[str, str | None],
    destination: str | Path,
    repository: Path = REPOSITORY,
) -> None:
    """Write the archive of a finished run as a zip file.

    Parameters
    ----------
    provenance : path
        The file of `provenance.write_provenance`, in the folder ``results``.
    results : iterable of path
        Files and directories below ``results``, relative to the working directory.
    citation : str
        Text of ``CITATION.cff``.
    statements : mapping
        ``author``, ``orcid`` and ``licence`` of the results, the section ``crate`` of the configuration.
    destination : path
        The zip file.
    repository : path
        Directory of the workflow.

    Raises
    ------
    EntrError
        If the provenance is missing or damaged, or a file of a cell is damaged.
    """
    record = read_provenance(Path(provenance).parent)
    if record is None:
        raise EntrError(f"{provenance} does not exist; run the workflow first")
    files = [Path(provenance), *(file for path in map(Path, results) for file in _files(path))]
    verify_files(path for path in files if path.is_relative_to(CELLS))
    crate = build_crate(record, files, citation=yaml.safe_load(citation), statements=statements, repository=repository)
    with atomic_write(destination, "wb") as file:
        for chunk in crate.stream_zip():
            file.write(chunk)
        file.flush()
        # the package writes the files in a directory but not the directory itself, which the metadata describe
        with zipfile.ZipFile(file.name, "a") as archive:
            for directory in crate.get_by_type("Dataset"):
                if directory is not crate.root_dataset:
                    archive.mkdir(directory.id)
    if not statements["author"]:
        log.info("the archive does not name who ran the workflow; to name them, set crate.author and crate.orcid")
    size = Path(destination).stat().st_size / 1e6
    log.info(
        "wrote %s with %d files, %.1f MB, under the licence %s", destination, len(files), size, statements["licence"]
    )


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def build_crate(
    provenance: Provenance,
    files: Sequence[Path],
    *,
    citation: Mapping[str, Any],
    statements: Mapping[str, str | None],
    repository: Path,
) -> ROCrate:
    """Return the archive, whose files are read when it is written.

    Parameters
    ----------
    provenance : Provenance
        The provenance of the run.
    files : sequence of path
        Results, relative to the working directory.
    citation : mapping
        Content of ``CITATION.cff``.
    statements : mapping
        As in `write_crate`.
    repository : path
        Directory of the workflow.
    """
    crate = ROCrate(gen_preview=True, version=VERSION)
    author = _add_author(crate, statements)
    root = crate.root_dataset
    root["name"] = _title(provenance)
    run = "A finished run of" if provenance.started else "Archived cells, analysed by"
    root["description"] = (
        f"{run} the ENTR workflow, version {provenance.version}: {_describe_grid(provenance, files)}. "
        "The archive contains the workflow, the configuration and the results; it does not contain the images."
    )
    root["license"] = _add_licence(crate, str(statements["licence"]))
    root["keywords"] = list(citation["keywords"])
    crate.datePublished = provenance.finished
    if author is not None:
        root["author"] = author
    root["conformsTo"] = [
        crate.add(ContextEntity(crate, address, properties={"@type": "CreativeWork", "name": name, "version": version}))
        for address, (name, version) in PROFILES.items()
    ]
    workflow = _add_workflow(crate, citation, provenance, repository)
    configuration = list(_add_configuration(crate, provenance.configuration))
    outputs = _add_results(crate, files)
    inputs = {"configuration": configuration, "images": _add_images(crate, provenance.configuration, files)}
    for entities, slot, described in (
        (inputs, "input", {"configuration": "The configuration, without local paths.", "images": "Labelled images."}),
        (outputs, "output", {PurePosixPath(path).stem: text for path, text in OUTPUTS.items()}),
    ):
        for name, examples in entities.items():
            _add_parameter(crate, workflow, slot, name, described[name], examples)
    action = crate.add_action(
        workflow,
        identifier="#run",
        object=[entity for entities in inputs.values() for entity in entities],
        result=[entity for entities in outputs.values() for entity in entities],
        properties={
            "name": "Run of the ENTR workflow" if provenance.started else "Analysis of archived cells",
            "description": f"{_describe_grid(provenance, files)}, on {_describe_machines(provenance)}",
            **({"startTime": provenance.started.isoformat()} if provenance.started else {}),
            "endTime": provenance.finished.isoformat(),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    if author is not None:
        action["agent"] = author
    root["mentions"] = action
    return crate


def _title(provenance: Provenance) -> str:
    datasets = provenance.configuration["datasets"]
    return f"ENTR on {', '.join(entry.get('title') or name for name, entry in datasets.items())}"


def _describe_grid(provenance: Provenance, files: Iterable[Path]) -> str:
    """Return the factors of the grid, and how many of its cells are archived."""
    grid = provenance.configuration["grid"]
    cells = math.prod(len(levels) for levels in grid.values())
    archived = sum(path.name == METRICS_FILE for path in files)
    factors = [f"{name} {', '.join(map(str, grid[name]))}" for name in ("datasets", "models", "regimes", "seeds")]
    return f"{'; '.join(factors)}; {archived} of {cells} cells"


def _describe_machines(provenance: Provenance) -> str:
    return " and ".join(f"{machine['device']} with {machine['threads']} CPU threads" for machine in provenance.machines)


def _add_author(crate: ROCrate, statements: Mapping[str, str | None]) -> ContextEntity | None:
    """Add the person who ran the workflow, if they are named."""
    if not statements["author"]:
        return None
    identifier = statements["orcid"] or "#author"
    return crate.add(ContextEntity(crate, identifier, properties={"@type": "Person", "name": statements["author"]}))


def _add_licence(crate: ROCrate, spdx: str) -> ContextEntity:
    address = f"{SPDX}/{spdx}"
    properties = {"@type": "CreativeWork", "name": spdx, "url": address, "description": f"SPDX licence {spdx}"}
    return crate.add(ContextEntity(crate, address, properties=properties))


def _add_workflow(crate: ROCrate, citation: Mapping[str, Any], provenance: Provenance, repository: Path) -> DataEntity:
    """Add the files of the workflow, and its description as the main entity."""
    developers = [
        crate.add(ContextEntity(crate, f"#developer{n}", properties={"@type": "Organization", "name": author["name"]}))
        for n, author in enumerate(citation["authors"], 1)
    ]
    commit = provenance.commit
    version = provenance.version
    if commit is not None:
        version += f" (commit {commit.id}{', modified' if commit.modified else ''})"
    workflow = crate.add_workflow(
        repository / MAIN,
        dest_path=MAIN,
        main=True,
        lang="snakemake",
        lang_version=provenance.packages.get("snakemake"),
        properties={
            "name": citation["title"],
            "description": " ".join(citation["abstract"].split()),
            "version": version,
            "encodingFormat": "text/plain",
        },
    )
    profile = {"@type": "CreativeWork", "name": "Bioschemas ComputationalWorkflow", "version": "1.0-RELEASE"}
    workflow["conformsTo"] = crate.add(ContextEntity(crate, WORKFLOW_PROFILE, properties=profile))
    workflow["license"] = _add_licence(crate, citation["license"])
    workflow["creator"] = _one_or_all(developers)
    workflow["softwareRequirements"] = [
        _add_software(crate, name, provenance.packages[name]) for name in SOFTWARE if name in provenance.packages
    ]
    parts = [path for pattern in WORKFLOW_FILES for path in sorted(repository.glob(pattern)) if path.is_file()]
    workflow["hasPart"] = [_add_file(crate, path, path.relative_to(repository).as_posix()) for path in parts]
    if (repository / README).exists():
        readme = _add_file(crate, repository / README, README)
        readme["about"] = crate.root_dataset
    return workflow


def _add_software(crate: ROCrate, name: str, version: str) -> ContextEntity:
    properties = {"@type": "SoftwareApplication", "name": name, "version": version, "url": SOFTWARE[name]}
    return crate.add(ContextEntity(crate, f"{SOFTWARE[name]}#{version}", properties=properties))


def _add_configuration(crate: ROCrate, configuration: Mapping[str, Any]) -> Iterator[DataEntity]:
    """Add the configuration as the files that the workflow reads by default."""
    rest = {name: dict(section) if isinstance(section, Mapping) else section for name, section in configuration.items()}
    # the dataset that this key makes is in the catalogue
    rest.get("images", {}).pop("folder", None)
    for path, sections in CONFIGURATION.items():
        values = {name: rest.pop(name) for name in sections} if sections else rest
        text = "# The configuration of the archived run, without local paths.\n"
        text += yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        properties = {"name": path, "encodingFormat": "application/yaml"}
        yield crate.add_file(io.StringIO(text), dest_path=path, properties=properties)


def _add_results(crate: ROCrate, files: Iterable[Path]) -> dict[str, list[DataEntity]]:
    """Add the results, and return the outputs of the workflow by name."""
    entities = {path.as_posix(): _add_file(crate, path, path.as_posix()) for path in files}
    outputs: dict[str, list[DataEntity]] = {}
    for output, description in OUTPUTS.items():
        parts = [entity for path, entity in entities.items() if path == output or path.startswith(f"{output}/")]
        if parts and output not in entities:
            parts = [_add_directory(crate, output, description, parts)]
        if parts:
            outputs[PurePosixPath(output).stem] = parts
            parts[0]["description"] = description
    return outputs


def _add_images(crate: ROCrate, configuration: Mapping[str, Any], files: Iterable[Path]) -> list[DataEntity]:
    """Add what identifies the images of each dataset: checksums, labels and splits."""
    directories = []
    paths = [path.as_posix() for path in files]
    for name, entry in configuration["datasets"].items():
        directory = f"{IMAGES}/{name}"
        parts = [crate.dereference(path) for path in paths if path.startswith(f"{directory}/")]
        stated = [
            f"{word}: {entry[key]}"
            for word, key in (("licence", "licence"), ("citation", "citation"))
            if entry.get(key)
        ]
        contents = (
            "Checksums, labels and splits" if any("/splits/" in path for path in paths) else "Checksums and labels"
        )
        description = "; ".join([f"{contents} of the images, which are not included", *stated]) + "."
        if parts:
            directories.append(_add_directory(crate, directory, description, parts))
            directories[-1]["name"] = entry.get("title") or name
    return directories


def _add_directory(crate: ROCrate, path: str, description: str, parts: Sequence[DataEntity]) -> DataEntity:
    directory = crate.add_dataset(dest_path=path, properties={"name": path, "description": description})
    directory["hasPart"] = _one_or_all(parts)
    return directory


def _add_file(crate: ROCrate, source: Path, path: str) -> DataEntity:
    media_type = MEDIA_TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")
    properties = {"name": path, "encodingFormat": media_type}
    return crate.add_file(source, dest_path=path, properties=properties, record_size=True)


def _add_parameter(
    crate: ROCrate, workflow: DataEntity, slot: str, name: str, description: str, examples: Sequence[DataEntity]
) -> None:
    """Add an input or output of the workflow, and its values in this run."""
    if not examples:
        return
    kind = "Dataset" if "Dataset" in examples[0].type else "File"
    parameter = crate.add_formal_parameter(name, kind, identifier=f"#{slot}-{name}", description=description)
    parameter["workExample"] = _one_or_all(examples)
    for example in examples:
        example["exampleOfWork"] = parameter
    workflow.append_to(slot, parameter)


def _one_or_all(entities: Sequence[DataEntity]) -> DataEntity | list[DataEntity]:
    """Return a single entity by itself, as RO-Crate recommends, and several as a list."""
    return entities[0] if len(entities) == 1 else list(entities)
