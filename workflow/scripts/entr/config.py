"""The configuration: its keys, their defaults, and clear errors where a value is wrong."""

import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from entr import zoo
from entr.guards import EntrError
from entr.limits import Limits
from entr.regimes import TTA, Plan, Regime, Training
from entr.section import Distinct, Section

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Address = Annotated[str, Field(pattern=r"^https?://[^/]+/")]
Checksum = Annotated[str, Field(pattern=r"^(md5:[0-9a-fA-F]{32}|sha1:[0-9a-fA-F]{40}|sha256:[0-9a-fA-F]{64})$")]
UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
TimeBasis = Literal["training", "forward", "latency"]


MOST_NAMES = 40
"""Names that a message lists."""


class Grid(Section):
    """What is run: every dataset with every model, regime and seed."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1), Distinct]
    """Names from `datasets`."""
    models: Annotated[tuple[Name, ...], Field(min_length=1), Distinct]
    """Networks, by their names in torchvision or timm, whose features are maps."""
    regimes: Annotated[tuple[Name, ...], Field(min_length=1), Distinct]
    """Names from `regimes`."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]
    """Replicates. A seed is a fold of the split, the first weights of the head, the order of the
    batches and the draws of augmentation."""


class Dataset(Section):
    """Labelled images, where they come from, and what the paper says of them."""

    title: str = ""
    """Name in tables and figures; the key itself when empty."""
    source: Literal["archive", "folder", "list", "torchvision", "generated"]
    """Where the images come from: `archive`, a zip or tar file; `folder`, yours, one sub-folder a
    class; `list`, a CSV file of links; `torchvision`, a dataset of torchvision; `generated`,
    rendered micrographs."""
    path: UserPath | None = None
    """On this machine, relative to where snakemake runs: the folder; the CSV file of a list, with the
    columns `url`, `label` and, if wanted, `sha256`; or an archive, in place of `urls`."""
    urls: Annotated[tuple[Address, ...], Distinct] = ()
    """Addresses of an archive, tried in turn."""
    size: PositiveInt | None = None
    """Bytes that an archive has."""
    checksums: tuple[Checksum, ...] = ()
    """What an archive must have, each `md5:…`, `sha1:…` or `sha256:…`; all must fit."""
    subfolder: str = ""
    """The folder in an archive that holds the folders of the classes."""
    label: str | None = None
    """For an archive whose classes are no folders: a regular expression that is searched in each
    path; its first group is the class, files that it does not fit are skipped."""
    torchvision: str | None = None
    """Class in `torchvision.datasets`."""
    parts: tuple[dict[str, Any], ...] = ()
    """Arguments of that class, once for each part; the parts are joined."""
    seed: NonNegativeInt = 0
    """Seed of the images, for `generated`."""
    images_per_class: PositiveInt = 50
    """Images of each class, for `generated`."""
    images: PositiveInt | None = None
    """Number of images as published; another number is an error, or a warning for a folder or list."""
    classes: PositiveInt | None = None
    """Number of classes as published, likewise."""
    traits: dict[str, str] = {}
    """What else Table 1 says of it, by the name of the column."""
    stands_for: Literal["steel", "ucm", "bees"] | None = None
    """Name of the dataset of the paper that this one is near: claims about that are judged on this one
    too, as the stand-in's."""
    licence: str = ""
    """Licence of the images."""
    citation: str = ""
    """What to cite."""
    note: str = ""
    """Anything a reader of the results has to know."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ for this dataset."""

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> Self:
        needs = {
            "folder": (self.path, "path, a folder with one sub-folder a class"),
            "list": (self.path, "path, a CSV file with the columns url and label"),
            "archive": (self.urls or self.path, "urls or path, the archive"),
            "torchvision": (self.torchvision, "torchvision, the name of a class in torchvision.datasets"),
            "generated": (True, ""),
        }
        given, what = needs[self.source]
        if not given:
            raise ValueError(f"source: {self.source} needs the key {what}")
        if self.label is not None and _groups(self.label) != 1:
            raise ValueError("label must be a regular expression with one group, the class")
        return self

    def origin(self) -> dict[str, Any]:
        """Return what decides which images there are, of this kind of source alone, as JSON values.

        Of addresses there is only a digest, for they may hold passwords, and none where checksums say
        what is behind them.
        """
        of_source = {
            "folder": {"path"},
            "list": {"path"},
            "archive": {"path", "checksums", "subfolder", "label"},
            "torchvision": {"torchvision", "parts"},
            "generated": {"seed", "images_per_class"},
        }
        found = self.model_dump(mode="json", include={"source"} | of_source[self.source])
        if self.source == "archive" and not self.checksums:
            found["urls"] = hashlib.sha256(" ".join(self.urls).encode()).hexdigest()[:16]
        return found


def _groups(pattern: str) -> int | None:
    """Return the number of groups of a regular expression, or None if it is none."""
    try:
        return re.compile(pattern).groups
    except re.error:
        return None


class Images(Section):
    """How every image is reduced, once, before anything else. A path alone is short for `folder`."""

    folder: UserPath | None = None
    """A folder of your own images, one sub-folder a class, in place of `grid.datasets`."""
    max_size: PositiveInt = 250
    """Largest side in px that is kept; smaller images are never enlarged."""
    reduce_by: Literal["longer", "shorter"] = "longer"
    """Which side is brought to `max_size`; the ratio of the sides is kept."""
    min_size: PositiveInt = 16
    """Images whose shorter side has fewer px are left out."""
    max_pixels: PositiveInt = 100_000_000
    """Images with more px are left out, unread: a small file can claim to be huge."""
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of files that may be left out, as no readable images or because their labels
    contradict each other; above it the run stops."""
    max_distance: Annotated[int, Field(ge=0, le=64)] = 32
    """Images whose perceptual hashes, of 256 bits, differ in at most so many in one of eight
    orientations count as the same: they stay on one side of the split, and those with different
    labels are left out."""


class Split(Section):
    """How images are divided into training and validation."""

    folds: Annotated[int, Field(ge=2)] = 10
    """Number of folds, stratified by class. Seeds 0 to `folds` - 1 validate on each fold of one
    partition in turn, the next seeds on those of another; 10 folds are 90 % to 10 %."""


class Inference(Section):
    """The inference benchmark."""

    batch_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1), Distinct] = (1, 8, 32, 64)
    """Images at once. The throughput of the largest gives *T* on the basis `forward`."""
    min_seconds: PositiveFloat = 2
    """Seconds spent on latency, and again on throughput, of each model, size and batch size."""


class Recommend(Section):
    """Which network is put into `results/best`."""

    max_seconds: PositiveFloat | None = None
    """Most seconds of *T* that its training may take."""
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least share of validation images that it has to name rightly, with test-time augmentation."""


class Config(Section):
    """The whole configuration."""

    grid: Grid
    """What is run."""
    datasets: dict[Name, Dataset]
    """The catalogue of datasets, by name."""
    regimes: dict[Name, Regime]
    """Image size in px of each phase, by the name of the regime; `tta` is evaluated only. A size is a
    number, a list with one for each epoch of the phase, or `{any: [sizes]}`, drawn for each batch."""
    control: Name = "no-increase"
    """The regime with which the others are compared."""
    weights: UserPath = "imagenet"
    """First weights: `imagenet`, torchvision's `IMAGENET1K_V1` or those that timm names; `none`,
    random numbers, with which every phase trains all layers; or a file of yours, safetensors or
    PyTorch, in whose name `{model}` stands for that of the network."""
    weights_sha256: dict[Name, Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]] = {}
    """What the SHA-256 of the file of weights must be, by the name of the network."""
    time_basis: TimeBasis = "training"
    """Which *T* the figures show: seconds in training steps, the forward passes that the schedule
    asks for, or the latency of one image."""
    download: Limits = Limits()
    """Downloads."""
    images: Images = Images()
    """Downscaling."""
    split: Split = Split()
    """Training and validation."""
    training: Training = Training()
    """Training of each cell."""
    inference: Inference = Inference()
    """The inference benchmark."""
    recommend: Recommend = Recommend()
    """The network to take home: within these limits the most accurate, and without limits the most accurate of all."""
    logging: Literal["none", "tensorboard"] = "none"
    """Whether cells write their course for TensorBoard too, into `results/tensorboard`."""

    def training_of(self, dataset: str, regime: str | None = None) -> Training:
        """Return the training settings of a dataset, and of a regime, with their own keys over the common ones.

        Raises
        ------
        pydantic.ValidationError
            When one of these keys is wrong.
        """
        settings = _merged(self.training.model_dump(), self.datasets[dataset].training)
        return Training.model_validate(_merged(settings, self.regimes[regime].training) if regime else settings)

    def plan(self, dataset: str, regime: str) -> Plan:
        """Return how the cells of a dataset and a regime are trained."""
        return Plan.of(self.training_of(dataset, regime), self.regimes[regime], pretrained=self.weights != "none")

    def weights_file(self, model: str) -> str | None:
        """Return the user's file of a network's first weights, if they come from one."""
        return None if self.weights in {"imagenet", "none"} else self.weights.replace("{model}", model)

    def timing(self) -> dict[str, Any]:
        """Return how long and on what the inference benchmark runs: on what the cells train on."""
        shared = self.training.model_dump(include={"device", "precision", "tf32"})
        return {"min_seconds": self.inference.min_seconds} | shared

    def sizes(self) -> list[int]:
        """Return every image size, in px, that a cell of the grid trains or is measured at."""
        plans = [self.plan(dataset, regime) for dataset in self.grid.datasets for regime in self.grid.regimes]
        trained = {size for plan in plans for step in plan.steps for size in step.shown()}
        return sorted(trained | {size for plan in plans for size in (plan.tta_size, plan.training.full_size)})


def checked(values: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Config:
    """Check a configuration as a whole.

    Parameters
    ----------
    values : mapping
        The merged configuration.
    files : iterable of path
        Where it was read from, each file laid over those before it.

    Raises
    ------
    EntrError
        One line: the file and key, what is wrong with it, and what to do.
    """
    values = _with_own_images(values)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        raise EntrError(f"{_place(detail['loc'], values, files)}: {_problem(detail, Config)}") from error
    for key, problem in _contradictions(config):
        raise EntrError(f"{_place(key, values, files)}: {problem}")
    return config


def _with_own_images(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a folder of images that was given alone the one dataset of the grid."""
    images = values.get("images")
    images = {"folder": images} if isinstance(images, str) else images
    if not isinstance(images, Mapping) or not isinstance(images.get("folder"), str):
        return values
    folder = Path(images["folder"]).expanduser()
    title = folder.resolve().name
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "images"
    datasets = values.get("datasets") or {}
    name = f"own-{name}" if name in datasets else name
    return {
        **values,
        "images": images,
        "datasets": {**datasets, name: {"source": "folder", "path": str(folder), "title": title}},
        "grid": {**(values.get("grid") or {}), "datasets": [name]},
    }


def _contradictions(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what no single field can see: key and problem."""
    if config.images.folder and not Path(config.images.folder).is_dir():
        yield ("images",), f"there is no folder {config.images.folder!r}; give one that has a sub-folder for each class"
        return
    for name in config.grid.datasets:
        if name not in config.datasets:
            yield ("grid", "datasets"), _unknown("dataset", name, config.datasets)
            return
    for name in config.grid.regimes:
        if name not in config.regimes:
            yield ("grid", "regimes"), _unknown("regime", name, config.regimes)
            return
    yield from _contradictions_in_models(config)
    if config.control not in config.grid.regimes:
        yield ("control",), f"{config.control!r} is not in grid.regimes; add it there or choose another control"
    for dataset in config.grid.datasets:
        found = False
        for regime in (None, *config.grid.regimes):
            for contradiction in _contradictions_of(config, dataset, regime):
                found = True
                yield contradiction
            if found:
                return


def _contradictions_of(config: Config, dataset: str, regime: str | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with the training settings of a dataset, or of a regime for it."""
    of_regime = bool(regime and config.regimes[regime].training)
    of_dataset = bool(config.datasets[dataset].training)
    key = ("regimes", regime, "training") if of_regime else ("datasets", dataset, "training")
    try:
        training = config.training_of(dataset, regime)
    except ValidationError as error:
        detail = error.errors()[0]
        yield (*key, *map(str, detail["loc"])), _problem(detail, Training)
        return
    if regime is None or of_regime:
        yield from _contradictions_in_training(config, training, key if of_regime or of_dataset else ("training",))
    if regime is not None:
        yield from _contradictions_in_sizes(config, training, regime)


def _contradictions_in_models(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = zoo.names()
    for position, model in enumerate(config.grid.models):
        if known and model.partition(".")[0] not in known:
            yield ("grid", "models", position), _unknown("model of torchvision or timm", model, known)
        file = config.weights_file(model)
        if file is not None and not Path(file).is_file():
            yield (
                ("weights",),
                f"there is no file {file!r} with the weights of {model}; correct the path, or use imagenet or none",
            )
    for model in config.weights_sha256:
        if model not in config.grid.models:
            yield ("weights_sha256", model), _unknown("model", model, config.grid.models)


def _contradictions_in_training(
    config: Config, training: Training, key: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    largest = config.images.max_size
    for name in training.schedule:
        if name not in training.phases:
            yield (*key, "schedule"), _unknown("phase", name, training.phases)
    if training.sub_total_after not in training.schedule:
        yield (*key, "sub_total_after"), _unknown("phase", training.sub_total_after, training.schedule)
    if training.full_size > largest:
        yield (*key, "full_size"), _too_large(training.full_size, largest)


def _contradictions_in_sizes(config: Config, training: Training, regime: str) -> Iterator[tuple[tuple[str, ...], str]]:
    largest = config.images.max_size
    phases, sizes = [*training.schedule, TTA], config.regimes[regime].all_sizes()
    for phase in phases:
        if phase not in sizes:
            yield ("regimes", regime), f"has no size for the phase {phase!r}; give each of {', '.join(phases)} one"
            return
        if max(sizes[phase]) > largest:
            yield ("regimes", regime, phase), _too_large(max(sizes[phase]), largest)
    for phase in sizes:
        if phase not in {*training.phases, TTA}:
            own = ["enlarge_to", "layers", "training"]
            yield ("regimes", regime, phase), _unknown("phase", phase, [*training.phases, TTA, *own])
            return
    if len(sizes[TTA]) > 1:
        yield ("regimes", regime, TTA), "test-time augmentation has one size; give one number"
    try:
        steps = Plan.of(training, config.regimes[regime], pretrained=True).steps
    except ValueError as error:
        yield ("regimes", regime), str(error)
        return
    enlarged = config.regimes[regime].enlarge_to
    if enlarged and enlarged < max(size for step in steps for size in step.sizes):
        yield (
            ("regimes", regime, "enlarge_to"),
            f"{enlarged} px is less than a phase's size; enlarge to more, or leave it out",
        )


def _too_large(size: int, largest: int) -> str:
    return f"{size} px is more than images.max_size, {largest} px; lower it or raise images.max_size"


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    few = ", ".join(known[:MOST_NAMES]) + (" …" if len(known) > MOST_NAMES else "")
    hint = f"did you mean {close[0]!r}?" if close else f"known are {few}"
    return f"unknown {kind} {name!r}; {hint}"


def _problem(detail: ErrorDetails, model: type[Section]) -> str:
    """Say what pydantic found in one sentence."""
    if detail["type"] == "extra_forbidden":
        *parents, name = detail["loc"]
        return _unknown("key", str(name), _keys(model, parents))
    if detail["type"] == "missing":
        return "is missing; add this key"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    return f"{detail['msg'].replace('Input', 'the value', 1)}, but it is {detail['input']!r}"


def _keys(model: type[Section], parents: Iterable[str | int]) -> list[str]:
    """Return the keys that the section at a path may have."""
    schema = model.model_json_schema()
    node = schema
    for parent in parents:
        node = node.get("properties", {}).get(parent) or members(node)
        reference = node.get("$ref") or next((one["$ref"] for one in node.get("allOf", [])), None)
        node = schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return list(node.get("properties", {}))


def members(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that all members of a mapping have, in the JSON schema of a mapping."""
    patterns = node.get("patternProperties", {}).values()
    additional = node.get("additionalProperties", {})
    return next(iter(patterns), additional if isinstance(additional, Mapping) else {})


def _place(key: Sequence[str | int], values: Mapping[str, Any], files: Iterable[str | Path]) -> str:
    """Name a key and the file that gave it its value, or the command line."""
    name = ".".join(map(str, key))
    asked = _at(values, key)
    for file in reversed(list(files)):
        own = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        if _at(own, key) == asked and (asked is not None or _at(own, key[:-1]) is not None):
            return f"{os.path.relpath(file)}: {name}"
    return f"--config: {name}"


def _at(node: Any, key: Sequence[str | int]) -> Any:  # noqa: ANN401  whatever YAML holds
    """Return the value at a path of keys, or None where there is none."""
    for part in key:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
