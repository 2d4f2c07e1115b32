"""The page that a reader opens first: verdict, figures, tables, environment, configuration, what is missing."""

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

from entr import pages
from entr.figures.results import FINAL, STAGES, read_table
from entr.guards import atomic_write
from entr.tables import CELL

PAPERS = {
    "datasets": ("steel", "ucm", "bees"),
    "models": ("resnet18", "resnet34", "resnet50"),
    "regimes": ("no-increase", "gradual", "stepwise"),
}
RIVALS = ("matched", "small", "medium")
"""Regimes that could do as well without growing images; the verdict needs some of them."""
ENVIRONMENT = {
    "device": "device", "threads": "threads", "driver": "driver", "weights": "first weights", "precision": "precision",
    "python": "Python", "torch": "torch", "torchvision": "torchvision", "fastai": "fastai",
}  # fmt: skip
EFFECTS = {
    "log_efficiency_ratio": "ratio of As",
    "log_time_ratio": "ratio of T",
    "accuracy_difference": "difference of A, points",
}


@dataclass(frozen=True)
class Table:
    """A table of the page, its cells in words."""

    id: str
    heading: str
    note: str
    source: str
    """The table in ``results/tables`` that it is made of."""
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()
    """Heads of the columns that stand flush right."""


def write(
    verdict: str | Path,
    specs: Iterable[str | Path],
    tables: Iterable[str | Path],
    *,
    recommendation: str | Path,
    gallery: Mapping[str, Mapping[str, Any]],
    study: Mapping[str, Any],
    configuration: Mapping[str, Any],
    citation: str,
    library: str | Path,
    page: str | Path,
) -> None:
    """Write the report as one file that needs no other and no network.

    Parameters
    ----------
    verdict : path
        Markdown of `verdict.write`.
    specs, tables : iterable of path
        Charts as Vega-Lite, and the tables ``datasets``, ``summary``, ``effects`` and ``runs``.
    recommendation : path
        Markdown of `recommend.write`.
    gallery : mapping
        Entries of `gallery.GALLERY` as plain values, by name, in order; those without a chart are left out.
    study : mapping
        As in `verdict.write`.
    configuration : mapping
        What the page shows of it.
    citation : str
        Text of ``CITATION.cff``.
    library : path
        What `pages.bundle` wrote.
    page : path
        The HTML file.
    """
    charts = {Path(path).name.removesuffix(".vl.json"): _json(path) for path in specs}
    found = {Path(path).stem: read_table(path) for path in tables}
    text = Path(verdict).read_text(encoding="utf-8")
    answer, more, rest = _rendered(text, "the verdict").partition("<h2>")
    advice = _rendered(Path(recommendation).read_text(encoding="utf-8"), "the recommendation", demote=1)
    shown = {name: dict(figure) for name, figure in gallery.items() if name in charts}
    made = [_datasets(found["datasets"]), _means(found["summary"], study), _effects(found["effects"], study)]
    html = pages.render(
        "report.html.j2",
        title=text.partition("\n")[0].lstrip("# "),
        answer=Markup(answer),  # noqa: S704  rendered
        verdict=Markup(more + rest),  # noqa: S704  rendered
        recommendation=Markup(advice),  # noqa: S704  rendered
        gallery=shown,
        specs=charts,
        charts=pages.embedded({name: charts[name] for name in shown}),
        tables=[*made, _times(found["runs"], study)],
        environment=_environment(found["runs"]),
        configuration=yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True),
        missing=list(_missing(found["runs"], study)),
        citation=_cited(yaml.safe_load(citation)),
        library=pages.script(Path(library).read_text(encoding="utf-8")),
    )
    with atomic_write(page) as file:
        file.write(html)


def _json(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _rendered(text: str, title: str, *, demote: int = 0) -> str:
    """Return Markdown as HTML; HTML within it stays text, and wide tables scroll by themselves."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{int(token.tag[1:]) + demote}"
    html = markdown.renderer.render(tokens, markdown.options, {})
    frame = '<div class="table" tabindex="0" role="region" aria-label="{}"><table>'
    parts = html.split("<table>")
    named = [frame.format(f"Table {number} of {title}") + part for number, part in enumerate(parts[1:], 1)]
    return "".join([parts[0], *named]).replace("</table>", "</table></div>")


def _datasets(table: pd.DataFrame) -> Table:
    """Table 1: a column a dataset, as in the paper."""
    named = table.set_index("title").drop(columns="dataset").T
    rows = [
        [str(what).replace("_", " "), *map(_plain, values)]
        for what, values in zip(named.index, named.to_numpy(), strict=True)
    ]
    note = "As found, beside what was published."
    return Table("table-datasets", "Table 1. The datasets", note, "datasets", ["", *map(str, named.columns)], rows)


def _means(summary: pd.DataFrame, study: Mapping[str, Any]) -> Table:
    """Mean accuracy, time and efficiency of each network and regime."""
    keys = ["dataset", "model", "regime", "stage"]
    rows = summary[(summary["at"] == "phase") & summary["basis"].isin(["", study["basis"]])]
    rows = {key: group.set_index("measure") for key, group in rows.groupby(keys, sort=False)}
    numbers = {"accuracy": "A", "time": "T, s", "efficiency": "As, 1/√s"}
    lines = [
        [
            study["datasets"].get(key[0], key[0]),
            key[1],
            key[2],
            STAGES[key[3]],
            *(_mean(own, one) for one in numbers),
            _plain(own["n"].max()),
        ]
        for key, own in rows.items()
    ]
    heads = ["dataset", "network", "regime", "stage", *numbers.values(), "seeds"]
    note = "Means over seeds with 95 % intervals, at the size of each phase."
    return Table("table-means", "Accuracy, time and efficiency", note, "summary", heads, lines, frozenset(heads[4:]))


def _mean(own: pd.DataFrame, measure: str) -> str:
    if measure not in own.index:
        return ""
    row = own.loc[measure]
    values = [row["mean"]] if np.isnan(row["low"]) else [row["mean"], row["low"], row["high"]]
    said = [f"{100 * value:.1f} %" if measure == "accuracy" else f"{value:.4g}" for value in values]
    return said[0] if len(said) == 1 else f"{said[0]} [{said[1]}, {said[2]}]"


def _effects(effects: pd.DataFrame, study: Mapping[str, Any]) -> Table:
    """Effects of each regime on the final results."""
    heads = ["dataset", "network", "regime", *EFFECTS.values(), "replicates"]
    lines = []
    if len(effects):
        own = effects[(effects["at"] == "phase") & (effects["stage"] == FINAL) & (effects["basis"] == study["basis"])]
        if len(study["datasets"]) == 1:
            own = own[own["scope"] != "all"]
        for key, group in own.groupby(["dataset", "model", "regime"], sort=False):
            by = group.set_index("measure")
            dataset = study["datasets"].get(key[0], key[0])
            lines.append(
                [dataset, key[1], key[2], *(_effect(by, one) for one in EFFECTS), _plain(by["replicates"].max())]
            )
    note = f"Final results against {study['control']}, paired by seed, with 95 % intervals for further images."
    return Table("table-effects", "Regimes against the control", note, "effects", heads, lines, frozenset(heads[3:]))


def _effect(by: pd.DataFrame, measure: str) -> str:
    if measure not in by.index:
        return ""
    row = by.loc[measure]
    values = [row["mean"]] if np.isnan(row["low_overlap"]) else [row["mean"], row["low_overlap"], row["high_overlap"]]
    points = measure == "accuracy_difference"
    said = [f"{100 * value:+.2f}" if points else f"{np.exp(value):.3f}" for value in values]
    return said[0] if len(said) == 1 else f"{said[0]} [{said[1]}, {said[2]}]"


def _times(runs: pd.DataFrame, study: Mapping[str, Any]) -> Table:
    """Mean seconds of a cell by what they were spent on."""
    parts = [column for column in runs if column.startswith("seconds_") and column != "seconds_to_first_step"]
    runs = runs.assign(dataset=runs["dataset"].replace(study["datasets"]))
    means = runs.groupby(CELL[:3], sort=False)[parts].mean()
    lines = [
        [*key, *(f"{value:.1f}" for value in values)] for key, values in zip(means.index, means.to_numpy(), strict=True)
    ]
    names = [part.removeprefix("seconds_").replace("_", " ") for part in parts]
    heads = ["dataset", "network", "regime", *names]
    note = "Mean seconds of a cell; training and resize are T, the others never count."
    return Table("table-times", "Where the time went", note, "runs", heads, lines, frozenset(names))


def _plain(value: Any) -> str:  # noqa: ANN401  a cell of a table
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def _environment(runs: pd.DataFrame) -> dict[str, str]:
    """Say on what the cells ran; several values where they differ."""
    found = {
        title: ", ".join(sorted({_plain(one) for one in runs[column]} - {""}))
        for column, title in ENVIRONMENT.items()
        if column in runs
    }
    drawn = {name: version(package) for name, package in {"Snakemake": "snakemake", "Altair": "altair"}.items()}
    return {title: value for title, value in (found | drawn).items() if value}


def _missing(runs: pd.DataFrame, study: Mapping[str, Any]) -> Iterator[str]:
    """Say what of the grid has no results, and what of the paper's and of its rivals the grid leaves out."""
    asked = list(product(study["datasets"], study["models"], study["regimes"], study["seeds"]))
    done = set(runs[CELL].itertuples(index=False, name=None))
    lacking = [f"{' '.join(cell[:3])} seed {cell[3]}" for cell in asked if cell not in done]
    yield (
        f"Of {len(asked)} cells of the grid none is missing."
        if not lacking
        else (f"{len(lacking)} of {len(asked)} cells of the grid: {'; '.join(lacking)}.")
    )
    stands_for = set(study["stands_for"].values())
    for kind, names in PAPERS.items():
        left_out = [name for name in names if name not in study[kind]]
        if left_out:
            stood = [name for name in left_out if name in stands_for]
            said = f" ({', '.join(stood)} by a stand-in only)" if stood and kind == "datasets" else ""
            yield f"Of the paper's {kind}: {', '.join(left_out)}{said}."
    rivals = [name for name in RIVALS if name not in study["regimes"]]
    if rivals:
        yield f"Regimes that could do as well without growing images: {', '.join(rivals)}."


def _cited(citation: Mapping[str, Any]) -> list[str]:
    """Return what to cite: this workflow, then the works that it refers to."""
    return [_work(one) for one in (citation, *citation.get("references", ()))]


def _work(work: Mapping[str, Any]) -> str:
    authors = ", ".join(one.get("name") or f"{one['given-names']} {one['family-names']}" for one in work["authors"])
    when = work.get("year") or str(work.get("date-released", ""))[:4]
    more = [f"version {work['version']}"] if "version" in work else []
    more += [one["value"] for one in work.get("identifiers", ())] + [work[key] for key in ("doi", "url") if key in work]
    return ". ".join([authors, f"{work['title']} ({when})", *more]) + "."
