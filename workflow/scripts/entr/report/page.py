"""The report page: answer, recommendation, figures by question, claims, method, tables, configuration and citation."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from markdown_it import MarkdownIt
from markupsafe import Markup

from entr.analysis.aggregation import GROUP, select_rows
from entr.analysis.answer_parts import MORE_EFFICIENT, NO, TARGET_NAMES, UNDECIDED, YES
from entr.analysis.entr_hypothesis import RIVALS
from entr.analysis.formatting import format_number
from entr.analysis.study import NOT_SUPPORTED, SUPPORTED
from entr.config.study_design import StudyDesign
from entr.figures import html_pages, palette
from entr.figures.catalogue import ANSWER, QUESTIONS
from entr.figures.figure_data import MANY_REGIMES
from entr.jobs.files import atomic_write
from entr.jobs.tables import read_table
from entr.metrics import published_results
from entr.metrics.labels import CELL, FINAL, PHASE, STAGES, describe_networks
from entr.report.answer import answer_rows, list_needs, read_parts
from entr.report.cell_names import describe_seeds, group_by_seed
from entr.report.claims import claim_rows, claims_not_run, describe_not_run, read_claims

ENVIRONMENT = {
    "device": "device",
    "threads": "threads",
    "driver": "driver",
    "weights": "initial weights",
    "scale": "scale of the image sizes",
    "precision": "precision",
    "python": "Python",
    "torch": "torch",
    "torchvision": "torchvision",
    "fastai": "fastai",
}
"""Columns of the table of cells in the section on the environment, with their labels."""
SOFTWARE = {"Snakemake": "snakemake", "Altair": "altair"}
"""Further packages whose versions are listed, by label."""
METHOD_SECTIONS = ("Experiment", "Caveats")
"""The sections of the verdict that the page shows as its method; the others are tables and figures of the page."""
VERDICT_CLASSES = {YES: "yes", SUPPORTED: "yes", NO: "no", NOT_SUPPORTED: "no", UNDECIDED: "open"}
"""Style of a verdict; the others are neutral."""
EFFECTS = {
    "log_time_ratio": "ratio of T",
    "accuracy_difference": "difference in A, points",
    "log_efficiency_ratio": "ratio of As",
}
"""Heads of the columns of effects, in the order of the answer."""
MAX_MISSING = 6
"""Groups of missing cells that are named."""
CHARACTER_WIDTH = 0.95
"""Width of a character of an interval relative to that of a digit."""


@dataclass(frozen=True)
class Table:
    """A table of the page, with its values as text."""

    id: str
    heading: str
    note: str
    source: str
    """Name of the table in ``results/tables`` from which it is made."""
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()
    """Heads of the columns of numbers, which are aligned whether or not an interval follows."""

    @property
    def widths(self) -> dict[str, int]:
        """Width of the intervals in each column of numbers, in digits; 0 if it has no intervals."""
        longest = {
            head: max((len(row[position].partition(" [")[2]) for row in self.rows), default=0)
            for position, head in enumerate(self.heads)
        }
        return {head: round(CHARACTER_WIDTH * (length + 1)) if length else 0 for head, length in longest.items()}


def write_report(
    library: str | Path,
    verdict: str | Path,
    recommendation: str | Path,
    specs: Iterable[str | Path],
    tables: Iterable[str | Path],
    *,
    design: StudyDesign,
    catalogue: Mapping[str, Mapping[str, Any]],
    configuration: Mapping[str, Any],
    citation: str,
    page: str | Path,
) -> None:
    """Write the report as one self-contained file that works offline.

    Parameters
    ----------
    library : path
        JavaScript of `html_pages.bundle_vega`.
    verdict, recommendation : path
        Markdown of `verdict.write_verdict` and of `recommendation.write_recommendation`.
    specs : iterable of path
        Figures as Vega-Lite.
    tables : iterable of path
        The tables ``answer``, ``claims``, ``datasets``, ``summary``, ``effects`` and ``cells``.
    design : StudyDesign
        The design of the study.
    catalogue : mapping
        The figures of `CATALOGUE` as plain values, by name, in order; those without a spec are left out.
    configuration : mapping
        The configuration that the page shows.
    citation : str
        Text of ``CITATION.cff``.
    page : path
        The HTML file.

    Raises
    ------
    EntrError
        If a table is damaged.
    """
    charts = {Path(path).name.removesuffix(".vl.json"): _read_json(path) for path in specs}
    data = {Path(path).stem: read_table(path) for path in tables}
    text = Path(verdict).read_text(encoding="utf-8")
    title, headline, *_ = text.split("\n\n")
    advice = _render_markdown(Path(recommendation).read_text(encoding="utf-8"), "the recommendation", demote=1)
    gallery = {name: dict(figure) for name, figure in catalogue.items() if name in charts}
    categories = list(dict.fromkeys(figure["category"] for figure in gallery.values() if figure["category"] != ANSWER))
    ids = {category: f"question-{number}" for number, category in enumerate(categories, 1)}
    parts = read_parts(data["answer"])
    claims = read_claims(data["claims"])
    leading_first = sorted(parts, key=lambda part: not part.leading)
    treatments = list(dict.fromkeys(part.regime for part in leading_first))
    html = html_pages.render_template(
        "report.html.j2",
        title=title.lstrip("# "),
        headline=Markup(_render_inline(headline.removeprefix("**").removesuffix("**"))),  # noqa: S704  rendered
        setting=_setting(data["cells"], design),
        contents=_contents(ids),
        targets={target: name.partition(" of ")[0] for target, name in TARGET_NAMES.items()},
        answers={regime: answer_rows(parts, regime) for regime in treatments},
        apart=MORE_EFFICIENT,
        needs=list_needs([part for part in parts if part.leading], *TARGET_NAMES),
        verdict_classes=VERDICT_CLASSES,
        colours=palette.regime_colours(design.regimes),
        method=Markup(_method(text)),  # noqa: S704  rendered
        recommendation=Markup(advice),  # noqa: S704  rendered
        gallery=gallery,
        answer_category=ANSWER,
        categories=categories,
        ids=ids,
        specs=charts,
        charts=html_pages.inline_json({name: charts[name] for name in gallery}),
        claims=claim_rows(claims),
        not_run=describe_not_run(claims),
        untested=claims_not_run(claims),
        tables=[
            _means_table(data["summary"], design),
            _effects_table(data["effects"], design),
            _seconds_table(data["cells"], design),
            _datasets_table(data["datasets"]),
        ],
        environment=_environment(data["cells"]),
        configuration=yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True),
        missing=list(_missing(data["cells"], design)),
        citation=_citations(yaml.safe_load(citation)),
        library=html_pages.inline_script(Path(library).read_text(encoding="utf-8")),
    )
    with atomic_write(page) as file:
        file.write(html)


def _contents(ids: Mapping[str, str]) -> dict[str, str]:
    """Return the headings of the contents by the anchors of their sections."""
    short = {anchor: QUESTIONS[category] for category, anchor in ids.items()}
    before = {"answer": "Answer", "recommendation": "Recommendation"}
    after = {"claims": "Claims", "method": "Method", "tables": "Tables", "configuration": "Configuration"}
    return before | short | after | {"citation": "Citation"}


def _setting(cells: pd.DataFrame, design: StudyDesign) -> str:
    """Return what was trained, in one line."""
    treatments = [regime for regime in design.regimes if regime != design.control]
    named = f"{len(treatments)} regimes" if len(design.regimes) >= MANY_REGIMES else ", ".join(treatments)
    texts = [
        f"{named or 'no treatment'} against {design.control}",
        ", ".join(design.datasets.values()),
        f"{', '.join(design.models)}, {describe_networks(cells['weights'], cells['scale'])}",
        describe_seeds(cells, design.datasets),
        ", ".join(sorted(set(cells["device"]))),
    ]
    return " · ".join(texts)


def _method(verdict: str) -> str:
    """Return the sections of the verdict that describe the method, as HTML."""
    sections = {section.partition("\n")[0]: section for section in verdict.split("\n## ")[1:]}
    chosen = "\n".join(f"## {sections[name]}" for name in METHOD_SECTIONS if name in sections)
    return _render_markdown(chosen, "the method", demote=1)


def _render_inline(text: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).renderInline(html_pages.with_minus_signs(text))


def _read_json(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _render_markdown(text: str, title: str, *, demote: int = 0) -> str:
    """Return Markdown as HTML, in which HTML stays text and wide tables scroll separately.

    Parameters
    ----------
    text : str
        Markdown.
    title : str
        Its title, for the labels of its tables.
    demote : int
        Number of levels by which headings are demoted.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{int(token.tag[1:]) + demote}"
        for child in token.children or ():
            if child.type == "text":
                child.content = html_pages.with_minus_signs(child.content)
    before, *parts = markdown.renderer.render(tokens, markdown.options, {}).split("<table>")
    framed = [
        f'<div class="table" tabindex="0" role="region" aria-label="Table {number} of {title}"><table>{part}'
        for number, part in enumerate(parts, 1)
    ]
    return "".join([before, *framed]).replace("</table>", "</table></div>")


def _datasets_table(datasets: pd.DataFrame) -> Table:
    """Return Table 1, with one column per dataset, as in the paper."""
    by_title = datasets.set_index("title").drop(columns="dataset").T
    rows = [
        [str(name).replace("_", " "), *map(_as_text, values)]
        for name, values in zip(by_title.index, by_title.to_numpy(), strict=True)
    ]
    heads = ["", *map(str, by_title.columns)]
    note = "As found and as published."
    return Table("table-datasets", "Table 1. The datasets", note, "datasets", heads, rows)


def _means_table(summary: pd.DataFrame, design: StudyDesign) -> Table:
    """Return mean accuracy, time and efficiency of each model, regime and stage."""
    of_phase = select_rows(summary, resolution=PHASE)
    of_phase = of_phase[of_phase["time_basis"].isin(["", design.time_basis])]
    columns = {"accuracy": "A, %", "time": "T, s", "efficiency": "As, 1/√s"}
    rows = []
    for (dataset, model, regime, stage), group in of_phase.groupby([*GROUP, "stage"], sort=False):
        by_metric = group.set_index("metric")
        means = [_mean_text(by_metric, metric) for metric in columns]
        title = design.datasets.get(dataset, dataset)
        rows.append([title, model, regime, STAGES[stage], *means, _as_text(by_metric["n"].max())])
    heads = ["dataset", "model", "regime", "stage", *columns.values(), "seeds"]
    note = "Means over seeds with 95 % intervals, at the image size of each phase."
    return Table("table-means", "Accuracy, time and efficiency", note, "summary", heads, rows, frozenset(heads[4:]))


def _mean_text(by_metric: pd.DataFrame, metric: str) -> str:
    if metric not in by_metric.index:
        return ""
    numbers = by_metric.loc[metric, ["mean", "low", "high"]]
    scale = 100 if metric == "accuracy" else 1
    return _with_interval(format_number(scale * value) for value in numbers if not np.isnan(value))


def _effects_table(effects: pd.DataFrame, design: StudyDesign) -> Table:
    """Return the effects of each regime on the final results."""
    of_final = select_rows(effects, resolution=PHASE, stage=FINAL, time_basis=design.time_basis)
    if len(of_final) and len(design.datasets) == 1:
        of_final = of_final[of_final["scope"] != "all"]
    if len(of_final) and len(design.models) == 1:
        of_final = of_final[of_final["scope"] != "block"]
    rows = []
    for (dataset, model, regime), group in of_final.groupby(GROUP, sort=False) if len(of_final) else ():
        by_metric = group.set_index("metric")
        title = design.datasets.get(dataset, dataset)
        replicates = _as_text(by_metric["replicates"].max())
        rows.append([title, model, regime, *(_effect_text(by_metric, effect) for effect in EFFECTS), replicates])
    heads = ["dataset", "model", "regime", *EFFECTS.values(), "replicates"]
    note = f"Final results relative to {design.control}, paired by seed, with 95 % intervals for new images."
    heading = "Effects relative to the control"
    return Table("table-effects", heading, note, "effects", heads, rows, frozenset(heads[3:]))


def _effect_text(by_metric: pd.DataFrame, metric: str) -> str:
    if metric not in by_metric.index:
        return ""
    numbers = by_metric.loc[metric, ["mean", "low_corrected", "high_corrected"]]
    return _with_interval(
        f"{100 * value:+.1f}" if metric == "accuracy_difference" else format_number(np.exp(value))
        for value in numbers
        if not np.isnan(value)
    )


def _with_interval(texts: Iterable[str]) -> str:
    """Return a mean, and the limits of its interval in brackets if there are any."""
    mean, *limits = texts
    return f"{mean} [{', '.join(limits)}]" if limits else mean


def _seconds_table(cells: pd.DataFrame, design: StudyDesign) -> Table:
    """Return the mean seconds of a cell by activity."""
    columns = [name for name in cells if name.startswith("seconds_") and name != "seconds_to_first_step"]
    titled = cells.assign(dataset=cells["dataset"].replace(design.datasets))
    means = titled.groupby(GROUP, sort=False)[columns].mean()
    rows = [
        [*group, *(format_number(value) for value in values)]
        for group, values in zip(means.index, means.to_numpy(), strict=True)
    ]
    activities = [f"{column.removeprefix('seconds_').replace('_', ' ')}, s" for column in columns]
    heads = [*GROUP, *activities]
    note = "Means per cell. T is the sum of training and resize; the other activities are excluded from it."
    return Table("table-times", "Wall time by activity", note, "cells", heads, rows, frozenset(activities))


def _as_text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def _environment(cells: pd.DataFrame) -> dict[str, str]:
    """Return the machine and the software of the cells; several values where cells differ."""
    of_cells = {
        label: ", ".join(sorted({_as_text(value) for value in cells[column]} - {""}))
        for column, label in ENVIRONMENT.items()
        if column in cells
    }
    packages = {label: version(package) for label, package in SOFTWARE.items()}
    return {label: value for label, value in (of_cells | packages).items() if value}


def _missing(cells: pd.DataFrame, design: StudyDesign) -> Iterator[str]:
    """Yield the missing cells of the grid, and what the grid lacks of the paper's grid and of its rivals."""
    grid = list(product(design.datasets, design.models, design.regimes, design.seeds))
    finished = set(cells[CELL].itertuples(index=False, name=None))
    missing = [cell for cell in grid if cell not in finished]
    if missing:
        groups = group_by_seed(missing)
        others = f"; and {len(groups) - MAX_MISSING} more" if len(groups) > MAX_MISSING else ""
        named = "; ".join(groups[:MAX_MISSING])
        yield f"{len(missing)} of {len(grid)} cells of the grid are missing: {named}{others}."
    else:
        yield f"No cell is missing: all {len(grid)} cells of the grid are finished."
    stand_ins = set(design.stand_in_for.values())
    of_paper = (
        ("datasets", published_results.DATASETS, design.datasets),
        ("models", published_results.MODELS, design.models),
        ("regimes", published_results.REGIMES, design.regimes),
    )
    for factor, names, in_grid in of_paper:
        absent = [
            f"{name} (only a stand-in)" if factor == "datasets" and name in stand_ins else name
            for name in names
            if name not in in_grid
        ]
        if absent:
            yield f"The grid lacks {factor} of the paper: {', '.join(absent)}."
    rivals = [name for name in RIVALS if name not in design.regimes]
    if rivals:
        yield f"The grid lacks rivals, which could match a treatment without increasing sizes: {', '.join(rivals)}."


def _citations(citation: Mapping[str, Any]) -> list[str]:
    """Return the references: this workflow, then the works that it refers to."""
    return [_reference(work) for work in (citation, *citation.get("references", ()))]


def _reference(work: Mapping[str, Any]) -> str:
    authors = ", ".join(
        author.get("name") or f"{author['given-names']} {author['family-names']}" for author in work["authors"]
    )
    year = work.get("year") or str(work.get("date-released", ""))[:4]
    details = [f"version {work['version']}"] if "version" in work else []
    details += [identifier["value"] for identifier in work.get("identifiers", ())]
    details += [work[key] for key in ("doi", "url") if key in work]
    return ". ".join([authors, f"{work['title']} ({year})", *details]) + "."
