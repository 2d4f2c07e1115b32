"""The paper of a finished run: question, protocol, methods, results and limits, with every result from the tables."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from entr.analysis.aggregation import select_rows
from entr.analysis.answer import find_answer
from entr.analysis.claims import evaluate_claims
from entr.analysis.estimation import estimate
from entr.analysis.formatting import format_number
from entr.analysis.study import Study
from entr.config.study_design import StudyDesign
from entr.config.training import Augmentation, Training
from entr.config.training_plan import Plan
from entr.figures.catalogue import CATALOGUE, PAPER_FIGURES
from entr.jobs.directories import atomic_directory
from entr.jobs.durations import format_duration
from entr.jobs.errors import EntrError
from entr.jobs.markdown import render_markdown
from entr.jobs.tables import read_table
from entr.metrics.cell_files import read_metrics
from entr.metrics.epoch_times import TARGET_SHARE
from entr.metrics.interpolation import interpolate_cost
from entr.metrics.labels import ALL, FINAL, PHASE
from entr.metrics.published_results import TREATMENTS
from entr.report.answer import answer_rows
from entr.report.verdict import verdict_values

COST_OF_ALL_LAYERS = 3
"""Cost of a training step that updates all layers, in units of its forward pass: the backward pass costs about two.
With a frozen backbone, only the forward pass counts."""
README = "README.md"
SPEED = ("gradient_accumulation", "compile_mode", "precision", "freeze_batchnorm")
"""Settings of training, apart from those of phases, on which the time of a training step depends."""


Plans = Mapping[tuple[str, str], Mapping[str, Plan]]
"""Training plans by dataset and model, and by regime."""


@dataclass(frozen=True)
class RegimeRow:
    """A row of the table of regimes in the methods."""

    regime: str
    sizes: str
    """Image size of each phase, in px."""
    epochs: str
    """Epochs of each phase."""
    settings: str
    """Keys of ``training`` that differ from those of the control."""


@dataclass(frozen=True)
class PhaseRow:
    """A row of the table of phases in the methods."""

    phase: str
    layers: str
    """The layers that are trained."""
    epochs: int
    cycles: str
    """Epochs of each cycle of the learning rate."""
    rates: str
    """Learning rate of a phase: of the early layers, the late layers and the head, if they differ."""


@dataclass(frozen=True)
class Method:
    """How the cells of one or more datasets and models were trained."""

    settings: Training
    """Settings of the control."""
    augmentation: str
    """The random transformations of the training images."""
    phases: tuple[PhaseRow, ...]
    """The phases of the control."""
    has_cosine_cycles: bool
    """Whether the learning rate falls to zero along a cosine in each cycle."""
    regimes: tuple[RegimeRow, ...]


def write_paper(
    tables: Iterable[str | Path],
    metrics: Iterable[str | Path],
    inference: Iterable[str | Path],
    figures: Iterable[str | Path],
    *,
    design: StudyDesign,
    title: str,
    protocol: str | Path | None,
    citation: str,
    folder: str | Path,
) -> None:
    """Write the paper as Markdown, with its figures beside it.

    Parameters
    ----------
    tables : iterable of path
        The tables ``metrics``, ``pairs``, ``effects``, ``cells``, ``datasets``, ``history`` and
        ``time_to_accuracy_effects``.
    metrics : iterable of path
        Files ``metrics.json`` of the cells of one seed, which record how they were trained.
    inference : iterable of path
        Tables of `inference.benchmark_model`, with the multiply-adds of each model.
    figures : iterable of path
        Images, named after the figures of `PAPER_FIGURES`.
    design : StudyDesign
        The design of the study.
    title : str
        The title; by default, the question.
    protocol : path or None
        Markdown file that becomes the section on the protocol; its title is omitted.
    citation : str
        Text of ``CITATION.cff``, which states the title and version of the workflow.
    folder : path
        The output directory.

    Raises
    ------
    EntrError
        If a table or a file of a cell is damaged, or the protocol is not UTF-8 text.
    """
    data = {Path(path).stem: read_table(path) for path in tables}
    study = Study(design, data["metrics"])
    plans: dict[tuple[str, str], dict[str, Plan]] = {}
    for cell in map(read_metrics, metrics):
        plans.setdefault((cell.dataset, cell.model), {})[cell.regime] = cell.plan
    text = render_paper(
        study,
        data,
        plans,
        costs=_costs(map(read_table, inference)),
        title=title,
        protocol=_read_protocol(protocol),
        citation=yaml.safe_load(citation),
    )
    with atomic_directory(folder) as part:
        (part / README).write_text(text, encoding="utf-8")
        for path in figures:
            shutil.copyfile(path, part / Path(path).name)


def _read_protocol(path: str | Path | None) -> str:
    if path is None:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EntrError(f"paper.protocol: {path} is not UTF-8 text; give a Markdown file") from error
    lines = text.strip().splitlines()
    if lines and lines[0].startswith("# "):
        del lines[0]
    # headings are demoted below that of the section
    return "\n".join(f"#{line}" if line.startswith("##") else line for line in lines).strip()


def render_paper(
    study: Study,
    tables: Mapping[str, pd.DataFrame],
    plans: Plans,
    *,
    costs: Mapping[str, Mapping[int, float]],
    title: str,
    protocol: str,
    citation: Mapping[str, Any],
) -> str:
    """Return the paper as Markdown.

    Parameters
    ----------
    study : Study
        The study.
    tables : mapping
        The tables by name, see `write_paper`.
    plans : mapping
        Training plans of the cells, by dataset and model, and by regime.
    costs : mapping
        Multiply-adds per image, by model and image size in px.
    title : str
        The title, or an empty string.
    protocol : str
        Markdown of the protocol, or an empty string.
    citation : mapping
        Content of ``CITATION.cff``.
    """
    design, cells = study.design, tables["cells"]
    answer, claims = find_answer(study, cells), evaluate_claims(study)
    return render_markdown(
        "paper.md.j2",
        **verdict_values(study, answer, claims, tables["pairs"], tables["effects"], cells),
        title=title,
        protocol=protocol,
        by_dataset=list(_answers_by_dataset(study, cells)) if len(design.datasets) > 1 else [],
        sources=tables["datasets"].fillna("").to_dict("records"),
        methods=_methods(design, plans),
        folds=design.folds,
        views=sorted({plan.training.tta_views for of_cells in plans.values() for plan in of_cells.values()}),
        timing=list(_timing_rows(study, plans, tables["history"])),
        efficiencies=list(_efficiency_rows(design, tables["effects"], plans, costs)),
        times=list(_time_rows(design, tables["time_to_accuracy_effects"])),
        target=f"{100 * TARGET_SHARE:.0f} %",
        figures=[CATALOGUE[name] for name in PAPER_FIGURES],
        environment={
            column: sorted({str(value) for value in cells[column]} - {"", "nan"})
            for column in ("device", "threads", "driver", "precision", "python", "torch", "torchvision", "fastai")
        },
        duration=format_duration(cells["seconds_wall"].sum()),
        version=citation["version"],
        workflow=citation["title"],
    )


def _answers_by_dataset(study: Study, cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the title of each dataset, and the answer for this dataset alone."""
    for name, title in study.design.datasets.items():
        own = study.design.model_copy(update={"datasets": {name: title}})
        part = Study(own, select_rows(study.metrics, dataset=name), margin=study.margin, flips=study.flips)
        answer = find_answer(part, select_rows(cells, dataset=name))
        answers = {regime: answer_rows(answer.parts, regime) for regime in TREATMENTS if answer.select(regime=regime)}
        yield {"title": title, "headline": answer.headline, "answers": answers}


def _costs(inference: Iterable[pd.DataFrame]) -> dict[str, dict[int, float]]:
    costs: dict[str, dict[int, float]] = {}
    for table in inference:
        for _, row in table.iterrows():
            costs.setdefault(row["model"], {})[int(row["size"])] = float(row["multiply_adds"])
    return costs


def training_cost(plan: Plan, multiply_adds: Mapping[int, float]) -> float:
    """Return the multiply-adds of a training plan, per training image.

    Parameters
    ----------
    plan : Plan
        The training plan. If the size is drawn at random for each batch, the mean cost of the possible sizes is used.
        If it increases within an epoch, the last size of the epoch is used.
    multiply_adds : mapping of int to float
        Multiply-adds of the forward pass of an image, by image side in px.
    """
    total = 0.0
    for phase in plan.phases:
        sides = [[phase.upsample_to] if phase.upsample_to else phase.drawn or [size] for size in phase.sizes]
        of_epochs = sum(
            float(np.mean([interpolate_cost(side, multiply_adds) for side in choices])) for choices in sides
        )
        total += of_epochs * (COST_OF_ALL_LAYERS if phase.layers == "all" else 1)
    return total


def _cost_ratio(
    plans: Plans, dataset: str, regime: str, design: StudyDesign, costs: Mapping[str, Mapping[int, float]]
) -> float:
    """Return the multiply-adds of a regime relative to the control, as the geometric mean over models."""
    ratios = []
    for model in design.models:
        of_cells = plans.get((dataset, model), {})
        if model in costs and {regime, design.control} <= of_cells.keys():
            cost, of_control = (training_cost(of_cells[name], costs[model]) for name in (regime, design.control))
            ratios.append(cost / of_control)
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else np.nan


def _methods(design: StudyDesign, plans: Plans) -> dict[str, Method]:
    """Return how cells were trained, by the names of the datasets and models to which it applies."""
    groups: list[tuple[Method, list[str]]] = []
    for (dataset, model), of_cells in plans.items():
        if design.control not in of_cells:
            continue
        method = _method(design, of_cells)
        names = next((names for other, names in groups if other == method), None)
        if names is None:
            groups.append((method, names := []))
        names.append(f"{design.datasets[dataset]} with {model}")
    return {", ".join(names): method for method, names in groups}


def _method(design: StudyDesign, plans: Mapping[str, Plan]) -> Method:
    control = plans[design.control]
    rows = []
    for regime in design.regimes:
        if plan := plans.get(regime):
            differing = [
                name
                for name in Training.model_fields
                if getattr(plan.training, name) != getattr(control.training, name)
            ]
            sizes = [_describe_sizes(phase.drawn or phase.sizes, drawn=bool(phase.drawn)) for phase in plan.phases]
            epochs = ", ".join(str(phase.epochs) for phase in plan.phases)
            rows.append(RegimeRow(regime, ", ".join(sizes), epochs, ", ".join(differing)))
    phases = tuple(
        PhaseRow(
            phase.phase,
            phase.layers,
            phase.epochs,
            ", ".join(map(str, phase.lengths)),
            ", ".join(dict.fromkeys(f"{rate:.3g}" for rate in phase.learning_rates())),
        )
        for phase in control.phases
    )
    augmentation = _describe_augmentation(control.training.augmentation)
    cosine = all((phase.anneal, phase.lr_factors) == ("cosine", (1, 0)) for phase in control.phases)
    return Method(control.training, augmentation, phases, cosine, tuple(rows))


def _timing_rows(study: Study, plans: Plans, history: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Yield the ratios of times of phases that regimes have in common with the control, per dataset."""
    design = study.design
    if design.time_basis != "training":
        return
    for dataset, title in design.datasets.items():
        ratios = []
        for regime in design.regimes:
            shared = {
                model: _common_phases(of_cells, regime, design.control)
                for (name, model), of_cells in plans.items()
                if name == dataset and {regime, design.control} <= of_cells.keys()
            }
            if regime == design.control or not any(shared.values()):
                continue
            samples = _log_time_ratios(select_rows(history, dataset=dataset), shared, regime, design.control)
            if len(samples):
                test = estimate([samples.to_numpy()], study.overlap, flips=1)
                limits = test.student.low, test.student.high
                extremes = (format_number(np.exp(extreme)) for extreme in (samples.min(), samples.max()))
                ratios.append(f"{_ratio(test.mean, *limits)} with {regime} (seeds: {' to '.join(extremes)})")
        if ratios:
            yield {"title": title, "ratios": ", ".join(ratios)}


def _common_phases(of_cells: Mapping[str, Plan], regime: str, control: str) -> list[str]:
    """Return the names of the phases that a regime trains exactly as the control does."""
    own, other = of_cells[regime], of_cells[control]
    if any(getattr(own.training, name) != getattr(other.training, name) for name in SPEED):
        return []
    of_control = {phase.phase: phase for phase in other.phases}
    return [
        phase.phase
        for phase in own.phases
        # where in the training a phase stands matters to ramps only
        if (twin := of_control.get(phase.phase)) and phase.model_copy(update={"span": twin.span}) == twin
    ]


def _log_time_ratios(history: pd.DataFrame, shared: Mapping[str, list[str]], regime: str, control: str) -> pd.Series:
    """Return the logarithm of the ratio of times of the shared phases of each model, as the mean per seed."""
    of_models = []
    for model, phases in shared.items():
        rows = history[(history["model"] == model) & history["phase"].isin(phases)]
        times = rows.pivot_table(index="seed", columns="regime", values="training_seconds", aggfunc="sum")
        if {regime, control} <= {*times}:
            of_models.append(np.log(times[regime] / times[control]))
    return pd.concat(of_models, axis=1).dropna().mean(axis=1) if of_models else pd.Series(dtype=float)


def _describe_augmentation(settings: Augmentation) -> str:
    flips = {"none": "no flips", "horizontal": "horizontal flips", "dihedral": "flips and quarter turns"}
    return (
        f"{flips[settings.flip]}, rotations by up to {settings.max_rotate:g}°, zoom by a factor of up to "
        f"{settings.max_zoom:g}, perspective distortion of up to {100 * settings.max_warp:g} %, and changes in "
        f"brightness and contrast of up to {100 * settings.max_lighting:g} %"
    )


def _describe_sizes(sizes: Sequence[int], *, drawn: bool) -> str:
    distinct = list(dict.fromkeys(sizes))
    if drawn:
        return " or ".join(map(str, distinct))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def _efficiency_rows(
    design: StudyDesign,
    effects: pd.DataFrame,
    plans: Plans,
    costs: Mapping[str, Mapping[int, float]],
) -> Iterator[list[str]]:
    """Yield the ratio of *As* of each regime from training times, and from multiply-adds in their place.

    Both use the same ratio of *A*, so the ratio of *As* from multiply-adds is the measured one times
    √(ratio of times / ratio of multiply-adds).
    """
    if design.time_basis == "latency":
        return
    rows = select_rows(effects, scope="dataset", stage=FINAL, resolution=PHASE, time_basis=design.time_basis)
    for (dataset, regime), group in rows.groupby(["dataset", "regime"], sort=False) if len(rows) else ():
        by_metric = group.set_index("metric")
        if not {"log_time_ratio", "log_efficiency_ratio"} <= set(by_metric.index):
            continue
        time, efficiency = by_metric.loc["log_time_ratio"], by_metric.loc["log_efficiency_ratio"]
        cost = _cost_ratio(plans, dataset, regime, design, costs)
        shift = (time["mean"] - np.log(cost)) / 2
        yield [
            design.datasets[dataset],
            regime,
            _ratio(time["mean"], time["low_corrected"], time["high_corrected"]),
            "" if np.isnan(cost) else format_number(cost),
            _ratio(efficiency["mean"], efficiency["low_corrected"], efficiency["high_corrected"]),
            "" if np.isnan(cost) else format_number(np.exp(efficiency["mean"] + shift)),
        ]


def _ratio(mean: float, low: float, high: float) -> str:
    """Return a ratio with its interval from logarithms."""
    return _with_interval(*np.exp([mean, low, high]))


def _with_interval(mean: float, low: float, high: float) -> str:
    interval = "" if np.isnan(low) else f" [{format_number(low)}, {format_number(high)}]"
    return f"{format_number(mean)}{interval}"


def _time_rows(design: StudyDesign, effects: pd.DataFrame) -> Iterator[list[str]]:
    """Yield the time to accuracy of each regime relative to the control, per dataset and pooled."""
    titles = design.datasets | ({ALL: "all"} if len(design.datasets) > 1 else {})
    for dataset, title in titles.items():
        rows = select_rows(effects, scope="all" if dataset == ALL else "dataset", dataset=dataset)
        for _, row in rows.iterrows():
            limits = row["time_ratio"], row["low_corrected"], row["high_corrected"]
            ratio = "" if np.isnan(row["time_ratio"]) else _with_interval(*limits)
            yield [title, row["regime"], f"{row['reached_cells']} of {row['cells']}", ratio]
