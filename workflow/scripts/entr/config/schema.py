"""The schema of the configuration: its keys, types, defaults and meanings."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from entr.config.base import Section, Side, Unique, scale_size
from entr.config.download_settings import DownloadSettings, redact_url
from entr.config.field_types import Sha256, UserPath
from entr.config.onnxruntime_web import OnnxRuntimeWeb
from entr.config.regimes import Regime
from entr.config.study_design import StudyDesign
from entr.config.training import Match, Training
from entr.config.training_plan import Plan

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Address = Annotated[str, Field(pattern=r"^https?://[^/]+/")]
Checksum = Annotated[str, Field(pattern=r"^(md5:[0-9a-fA-F]{32}|sha1:[0-9a-fA-F]{40}|sha256:[0-9a-fA-F]{64})$")]
TimeBasis = Literal["training", "forward", "latency"]
Source = Literal["archive", "folder", "url_list", "torchvision", "synthetic"]
PaperDataset = Literal["steel", "ucm", "bees"]
MAX_SEEDS = 10_000
"""Largest number of replicates; each is a job."""

ORIGIN: Mapping[Source, frozenset[str]] = {
    "folder": frozenset({"path"}),
    "url_list": frozenset({"path"}),
    "archive": frozenset({"path", "checksums", "subfolder", "label_regex"}),
    "torchvision": frozenset({"torchvision", "splits"}),
    "synthetic": frozenset({"seed", "images_per_class"}),
}
"""The keys that determine the images of a dataset, by source."""


class Grid(Section):
    """The grid: every combination of a dataset, model, regime and seed is a cell."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1), Unique]
    """Names of datasets, from `datasets`."""
    models: Annotated[tuple[Name, ...], Field(min_length=1), Unique]
    """Names of convolutional models from torchvision or timm."""
    regimes: Annotated[tuple[Name, ...], Field(min_length=1), Unique]
    """Names of regimes, from `regimes`."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Unique]
    """Replicates. A seed determines the fold of the split, the initial weights of the head, the order of the batches
    and the random augmentation."""


class Dataset(Section):
    """A dataset of labelled images: its source and its documentation."""

    title: str = ""
    """Name in tables and figures; the key itself if empty."""
    source: Source
    """Source of the images: `archive`, a zip or tar file; `folder`, your own images, one subfolder per class;
    `url_list`, a CSV file of URLs; `torchvision`, a torchvision dataset; `synthetic`, rendered micrographs."""
    path: UserPath | None = None
    """Local path, relative to the working directory: the folder; the CSV file of a URL list, with the columns `url`,
    `label` and optionally `sha256`; or an archive, instead of `urls`."""
    urls: Annotated[tuple[Address, ...], Unique] = ()
    """URLs of an archive, tried in order."""
    bytes: PositiveInt | None = None
    """Size of an archive in bytes."""
    checksums: tuple[Checksum, ...] = ()
    """Checksums of an archive, each `md5:…`, `sha1:…` or `sha256:…`; all must match."""
    subfolder: str = ""
    """Folder within an archive that contains the class folders."""
    label_regex: str | None = None
    """Regular expression for an archive without class folders, searched for in the path of each file. Its single
    group captures the class; files without a match are skipped."""
    torchvision: str | None = None
    """Class in `torchvision.datasets`."""
    splits: tuple[dict[str, JsonValue], ...] = ()
    """Arguments for this class, one mapping per published split; the splits are joined."""
    seed: NonNegativeInt = 0
    """Seed of `synthetic` images."""
    images_per_class: PositiveInt = 50
    """`synthetic` images per class."""
    images: PositiveInt | None = None
    """Published number of images. A different number is an error; for `folder` and `url_list`, a warning."""
    classes: PositiveInt | None = None
    """Published number of classes, checked in the same way."""
    traits: dict[str, str] = {}
    """Further columns of Table 1, by column name."""
    stand_in_for: PaperDataset | None = None
    """Dataset of the paper for which this one is a stand-in: claims about that dataset are also evaluated on this one,
    and labelled as such."""
    licence: str = ""
    """Licence of the images."""
    citation: str = ""
    """Publication to cite."""
    note: str = ""
    """Remark for readers of the results."""
    training: dict[str, JsonValue] = {}
    """Keys of `training` that differ for this dataset."""

    @model_validator(mode="after")
    def _require_the_keys_of_its_source(self) -> Self:
        if self.source == "folder" and not self.path:
            raise ValueError("source: folder needs the key path, a folder with one subfolder per class")
        if self.source == "url_list" and not self.path:
            raise ValueError("source: url_list needs the key path, a CSV file with the columns url and label")
        if self.source == "archive" and not (self.urls or self.path):
            raise ValueError("source: archive needs the key urls or path, the location of the archive")
        if self.source == "torchvision" and not self.torchvision:
            raise ValueError(
                "source: torchvision needs the key torchvision, the name of a class in torchvision.datasets"
            )
        if self.label_regex is not None and _group_count(self.label_regex) != 1:
            raise ValueError("label_regex must be a regular expression with exactly one group, the class")
        return self

    def origin(self) -> dict[str, Any]:
        """Return the keys that determine which images there are, as JSON values.

        URLs are replaced by a digest, because they may contain passwords, and omitted if checksums identify the
        archive. The path of a folder is absolute, so that it may be spelled in several ways.
        """
        origin = self.model_dump(mode="json", include={"source"} | ORIGIN[self.source])
        if self.source == "folder":
            origin["path"] = os.path.abspath(str(self.path))  # noqa: PTH100  a link stays a link
        if self.source == "archive" and not self.checksums:
            origin["urls"] = hashlib.sha256(" ".join(self.urls).encode()).hexdigest()[:16]
        return origin


def _group_count(pattern: str) -> int | None:
    """Return the number of groups of a regular expression, or None if it is invalid."""
    try:
        return re.compile(pattern).groups
    # besides its own error, re raises those of numbers and of nesting that are too large
    except (re.error, OverflowError, RecursionError):
        return None


class Images(Section):
    """Downscaling of every image, once, before anything else. A path alone is short for `folder`."""

    folder: UserPath | None = None
    """Folder of your own images, one subfolder per class; replaces `grid.datasets`."""
    max_side: Side = 250
    """Maximum image side in px; smaller images are not upscaled."""
    resize_side: Literal["longer", "shorter"] = "longer"
    """Side that is downscaled to `max_side`; the aspect ratio is preserved."""
    min_side: Side = 16
    """Minimum length of the shorter side in px; smaller images are rejected."""
    max_pixels: PositiveInt = 100_000_000
    """Maximum number of pixels. Larger images are rejected before they are decoded, because a small file can
    decompress to a huge image."""
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Maximum fraction of files that may be rejected, because they are not readable images or because their labels
    contradict each other; the run stops if more are."""
    max_hash_distance: Annotated[int, Field(ge=0, le=64)] = 32
    """Maximum Hamming distance of 256-bit perceptual hashes, in any of eight orientations, at which two images are
    near-duplicates. Near-duplicates stay on one side of the split; those with different labels are rejected."""


class Split(Section):
    """The split into training, validation and test images."""

    test: Annotated[float, Field(ge=0, le=0.5)] = 0
    """Fraction of the images that is held out for testing: no cell trains on them or is evaluated on them, so that the
    accuracy of the exported model on them is unbiased. The images are the same for every seed."""
    folds: Annotated[int, Field(ge=2)] = 10
    """Number of folds, stratified by class. Seeds 0 to `folds` - 1 each use a different fold of one partition for
    validation; the next seeds use those of another partition. With 10 folds, 90 % of the images are used for
    training."""


class Inference(Section):
    """The inference benchmark."""

    batch_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1), Unique] = (1, 8, 32, 64)
    """Images per batch. The throughput at the largest batch size determines *T* on the `forward` time basis."""
    min_seconds: PositiveFloat = 2
    """Minimum time in seconds for measuring latency, and the same again for throughput, per model, image size and
    batch size."""


class Recommend(Section):
    """Limits on the recommended model, which is exported to `results/models`."""

    max_seconds: PositiveFloat | None = None
    """Maximum training time *T* in seconds."""
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """Minimum validation accuracy with test-time augmentation."""


class Paper(Section):
    """The paper that `snakemake paper` writes."""

    title: str = ""
    """Title; if this key is empty, the question of the study."""
    protocol: UserPath | None = None
    """Markdown file with the protocol of the study, which becomes a section of the paper; its title is omitted."""


class Crate(Section):
    """What `snakemake ro_crate` states about the person who ran the workflow, and about the use of the results."""

    author: str = ""
    """Name of the person who ran the workflow; if this key is empty, the archive names nobody."""
    orcid: Annotated[str, Field(pattern=r"^https://orcid\.org/\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None
    """ORCID of this person, as a URL."""
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")] = "MIT"
    """Licence of the results, as an SPDX identifier such as `CC-BY-4.0`."""


class Config(Section):
    """The configuration of the workflow."""

    grid: Grid
    """The grid."""
    datasets: dict[Name, Dataset]
    """Catalogue of datasets, by name."""
    regimes: dict[Name, Regime]
    """Image size in px for each phase, by regime name; `tta` is the size of test-time augmentation. A size is
    a number, a list with one number per epoch of the phase, or `{random: [sizes]}`, one of which is drawn for each
    batch."""
    scale: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Factor by which every image size is multiplied: those of `regimes`, `training.full_size`,
    `training.evaluation_sizes` and `images.max_side`, each rounded to an even number. With 0.4 the sizes of the paper,
    100 to 250 px, become 40 to 100 px."""
    seeds: Annotated[int, Field(gt=0, le=MAX_SEEDS)] | None = None
    """Number of replicates: a shorthand for `grid.seeds` from 0 to `seeds` - 1, for the command line."""
    hours: PositiveFloat | None = None
    """Budget: hours that the whole run may take on this machine, on one GPU or on the CPU. The run measures training
    steps first and chooses the models, the regimes, the number of seeds and the scale that fit. Without a budget, the
    grid is run as configured."""
    control: Name = "no-increase"
    """Regime with which the others are compared."""
    match: Match = "epochs"
    """What the regimes have in common: `epochs`, the configured numbers of epochs; or `time`, the training time *T* of
    the control: training steps are measured first, and the other regimes get as many epochs as fit into that time."""
    weights: UserPath = "imagenet"
    """Initial weights: `imagenet`, torchvision's `IMAGENET1K_V1` or timm's pretrained weights; `none`, random
    initialisation, with which every phase trains all layers; or the path of your own file (safetensors or PyTorch),
    in which `{model}` is replaced by the name of the model."""
    weights_sha256: dict[Name, Sha256] = {}
    """Expected SHA-256 of the weights file, by model name."""
    time_basis: TimeBasis = "training"
    """Definition of *T* in the figures: `training`, the measured seconds of training steps and resizing; `forward`, the
    computed seconds of the scheduled forward passes; `latency`, the seconds to classify one image."""
    download: DownloadSettings = DownloadSettings()
    """Downloads."""
    images: Images = Images()
    """Downscaling."""
    split: Split = Split()
    """Training and validation images."""
    training: Training = Training()
    """Training of each cell."""
    inference: Inference = Inference()
    """The inference benchmark."""
    recommend: Recommend = Recommend()
    """Limits on the recommended model, the most accurate one that meets them."""
    logger: Literal["none", "tensorboard"] = "none"
    """Additional logger: `tensorboard` writes event files to `results/tensorboard`."""

    archive: UserPath | None = None
    """Archived run from whose cells the tables, the figures and the report are made, without images or training: its
    folder `results`, or the folder that contains it, such as an extracted archive of `snakemake ro_crate`."""
    before: UserPath | None = None
    """Earlier run that `snakemake compare_runs` compares: its folder `results`, or the folder that contains it."""
    after: UserPath = "results"
    """Later run, likewise."""
    paper: Paper = Paper()
    """The paper that `snakemake paper` writes."""
    crate: Crate = Crate()
    """The archive that `snakemake ro_crate` writes."""
    onnxruntime_web: OnnxRuntimeWeb = OnnxRuntimeWeb()
    """The runtime that `snakemake web_page` puts into a web page."""

    def training_of(self, dataset: str, regime: str | None = None) -> Training:
        """Return the common training settings with those of a dataset, and of a regime, merged over them.

        Raises
        ------
        pydantic.ValidationError
            If a training key of the dataset or regime is invalid.
        """
        settings = _merged(self.training.model_dump(), self.datasets[dataset].training)
        if regime is not None:
            settings = _merged(settings, self.regimes[regime].training)
        return Training.model_validate(settings)

    def plan(self, dataset: str, regime: str) -> Plan:
        """Return the training plan of the cells of a dataset and regime."""
        training = self.training_of(dataset, regime)
        return Plan.of(training, self.regimes[regime], pretrained=self.weights != "none", scale=self.scale)

    def plans(self, dataset: str) -> dict[str, dict[str, Any]]:
        """Return the training plans of a dataset as JSON values, by regime."""
        return {regime: self.plan(dataset, regime).plain() for regime in self.grid.regimes}

    def downscaling(self) -> dict[str, Any]:
        """Return how images are downscaled, as JSON values, with `images.max_side` multiplied by `scale`.

        How many files may be rejected is left out, because it does not change the images.
        """
        max_side = scale_size(self.images.max_side, self.scale)
        return self.images.model_dump(exclude={"folder", "max_rejected_fraction"}) | {"max_side": max_side}

    def sizes(self) -> list[int]:
        """Return every image size in px at which a cell of the grid is trained or evaluated, in ascending order."""
        plans = [self.plan(dataset, regime) for dataset in self.grid.datasets for regime in self.grid.regimes]
        trained = {size for plan in plans for phase in plan.phases for size in phase.input_sizes()}
        evaluated = {size for plan in plans for size in (plan.tta_size, plan.training.full_size)}
        return sorted(trained | evaluated)

    def final_sizes(self, dataset: str) -> dict[str, int]:
        """Return the image size in px at the end of training, by regime."""
        return {regime: self.plan(dataset, regime).phases[-1].size for regime in self.grid.regimes}

    def weights_file(self, model: str) -> str | None:
        """Return the user's file of initial weights of a model, or None if `weights` is not a path."""
        return None if self.weights in {"imagenet", "none"} else self.weights.replace("{model}", model)

    def weights_label(self, model: str) -> str:
        """Return the name of a model's initial weights in results, without the directory of a file."""
        file = self.weights_file(model)
        return Path(file).name if file else self.weights

    def timing(self) -> dict[str, Any]:
        """Return the settings of the inference benchmark, which uses the device and precision of the training."""
        device = self.training.model_dump(include={"device", "precision", "tf32"})
        return {"min_seconds": self.inference.min_seconds} | device

    def study(self) -> StudyDesign:
        """Return the design of the study, for the analysis and the report."""
        entries = {name: self.datasets[name] for name in self.grid.datasets}
        return StudyDesign(
            datasets={name: entry.title or name for name, entry in entries.items()},
            stand_in_for={name: entry.stand_in_for for name, entry in entries.items()},
            models=self.grid.models,
            regimes=self.grid.regimes,
            seeds=self.grid.seeds,
            control=self.control,
            time_basis=self.time_basis,
            folds=self.split.folds,
        )

    def model_card_data(self, dataset: str) -> dict[str, Any]:
        """Return the statements of a model card about a dataset and its preprocessing."""
        entry = self.datasets[dataset]
        return {
            "title": entry.title or dataset,
            "licence": entry.licence,
            "citation": entry.citation,
            "images": self.downscaling(),
        }

    def without_local_paths(self) -> dict[str, Any]:
        """Return the configuration of this grid as JSON values, without local directories and without credentials.

        Settings of `compare_runs`, `paper`, `ro_crate` and `web_page` are left out, because they do not affect results.
        So are `hours` and `seeds`, because the grid is the one that was run, and `archive`, whose cells state how they
        were trained.
        """
        unused = {"archive", "before", "after", "crate", "hours", "onnxruntime_web", "paper", "seeds"}
        plain = self.model_dump(mode="json", exclude_none=True, exclude=unused)
        for section in ("datasets", "regimes"):
            plain[section] = {name: plain[section][name] for name in self.grid.model_dump()[section]}
        for entry in plain["datasets"].values():
            if "path" in entry:
                entry["path"] = Path(entry["path"]).name
            entry["urls"] = [redact_url(url) for url in entry["urls"]]
        if "folder" in plain["images"]:
            plain["images"]["folder"] = Path(plain["images"]["folder"]).name
        plain["weights"] = Path(plain["weights"]).name
        return plain


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge one nested mapping over another."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
