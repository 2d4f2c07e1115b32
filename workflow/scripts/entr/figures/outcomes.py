"""Fig. 4 and Fig. 5: efficiency and accuracy by dataset, model and regime, before and after re-training."""

from collections.abc import Callable, Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from entr import charts
from entr.charts import chosen, switch, titled, words
from entr.figures import panels
from entr.figures.results import FINAL, STAGES, Results, replicates

SIZES = {"phase": "the size of each phase, as in the paper", "full": "the full size"}
PAPERS_BEST = pd.DataFrame(
    [
        ("ucm", "sub-total", 0.914, "no-increase, network not legible in the text", "192 of 210", 0.869, 0.945),
        ("ucm", "total-tta", 0.971, "no-increase, network not legible in the text", "204 of 210", 0.939, 0.987),
        ("steel", "sub-total", 0.796, "no-increase, resnet50", "121 of 152", 0.725, 0.852),
        ("steel", "total-tta", 0.842, "no-increase, resnet50", "128 of 152", 0.776, 0.892),
        ("bees", "sub-total", 0.738, "stepwise, resnet50", "231 of 313", 0.687, 0.784),
        ("bees", "total-tta", 0.856, "stepwise, resnet50", "268 of 313", 0.813, 0.891),
    ],
    columns=["name", "stage", "value", "cell", "count", "low", "high"],
)
"""Best accuracies that the paper states [Results], with the counts that they fit and Wilson's 95 % interval."""


def efficiency(results: Results) -> alt.TopLevelMixin:
    """Fig. 4: standardized accuracy *As* by dataset, model and regime, at each stage."""
    cells = results.rows("cells", measure="efficiency", at="phase")
    if not len(cells):
        return charts.nothing("No efficiency to draw yet: no cell is finished")
    bases = results.bases(cells)
    rows = panels.joined(cells, results.rows("summary", measure="efficiency", at="phase"), ["stage", "basis"], ".3f")
    basis = switch("basis", "T", bases)
    found = {one: _said(results, "log_efficiency_ratio", one, lambda mean: f"{np.exp(mean):.2f}") for one in bases}
    title = {
        one: f"Efficiency relative to {results.control}: {said}" if said else f"Efficiency of {_named(results, cells)}"
        for one, said in found.items()
    }
    subtitle = [words([basis], {one: f"T: {said}" for one, said in bases.items()}), *_notes(results, rows)]
    chart = _by_dataset(results, rows, "As = √(A/T), 1/√s", ".3f", chosen("basis"))
    return titled(
        chart, words([basis], title), subtitle, _about(results, next(iter(title.values())), rows, "As"), [basis]
    )


def accuracy(results: Results) -> alt.TopLevelMixin:
    """Fig. 5: accuracy *A* by dataset, model and regime, at each stage."""
    cells = results.rows("cells", measure="accuracy", at=list(SIZES))
    if not len(cells):
        return charts.nothing("No accuracy to draw yet: no cell is finished")
    rows = panels.joined(cells, results.rows("summary", measure="accuracy", at=list(SIZES)), ["stage", "at"], ".1%")
    rows = pd.concat([rows, _papers(results)], ignore_index=True)
    at = switch("at", "measured at", {key: said for key, said in SIZES.items() if key in set(cells["at"])})
    title = {one: _accuracy_title(results, cells, one) for one in SIZES}
    chart = _by_dataset(results, rows, "accuracy A", ".1%", chosen("at"))
    subtitle = [f"by chance: {_chance(results)}", *_notes(results, rows)]
    return titled(chart, words([at], title), subtitle, _about(results, title["phase"], rows, "Accuracy A"), [at])


def _accuracy_title(results: Results, cells: pd.DataFrame, at: str) -> str:
    own = cells[(cells["regime"] == results.control) & (cells["stage"] == FINAL) & (cells["at"] == at)]
    level = own.groupby(["dataset", "model"])["value"].mean().mean()
    said = _said(results, "accuracy_difference", results.basis, _points, at=at)
    if np.isnan(level):
        return f"Accuracy of {_named(results, cells)}"
    return f"Final accuracy: {results.control} {100 * level:.1f} %" + (f", {said}" if said else "")


def _points(difference: float) -> str:
    # without the sign of a zero that was rounded
    return f"{round(100 * difference, 1) + 0:+.1f} points".replace("-", "−")


def _papers(results: Results) -> pd.DataFrame:
    shown = PAPERS_BEST[PAPERS_BEST["name"].isin(results.datasets)]
    lines = shown.assign(dataset=shown["name"].map(results.titles), kind="paper").merge(
        pd.DataFrame({"at": list(SIZES)}), how="cross"
    )
    return lines.assign(said=[f"paper's best {100 * value:.1f} %" for value in lines["value"]])


def _said(results: Results, measure: str, basis: str, number: Callable[[float], str], **keys: str) -> str:
    found = results.effects(measure, FINAL, basis, **keys)
    return ", ".join(f"{regime} {number(mean)}" for regime, mean in found.items())


def _named(results: Results, cells: pd.DataFrame) -> str:
    return ", ".join(results.shown(cells, "regime"))


def _by_dataset(results: Results, rows: pd.DataFrame, axis: str, number: str, keep: str) -> alt.VConcatChart:
    """Draw datasets below each other, each with its own axis; stages in columns."""
    rows = rows.assign(stage=rows["stage"].map(STAGES))
    stages = [stage for stage in STAGES.values() if stage in set(rows["stage"])]
    layers = panels.layers(results, axis, number)
    # beneath the points, and only where there is some, for of marks without any Vega complains
    paper = _paper_layers(axis)
    across = panels.width(results, rows[rows["kind"] != "paper"], 640 // len(stages))
    lines = []
    for dataset in results.shown(rows[rows["kind"] != "paper"], "dataset"):
        header = alt.Header(labels=not lines)
        column = alt.Column("stage:N", sort=stages, title=None, header=header)
        own = rows[rows["dataset"] == dataset]
        panel = alt.layer(*(paper if "paper" in set(own["kind"]) else []), *layers)
        own = panel.properties(data=own, width=across, height=170).transform_filter(keep)
        lines.append(own.facet(column=column, spacing=10, title=alt.TitleParams(dataset, fontSize=13, anchor="start")))
    return alt.vconcat(*lines, spacing=16)


def _paper_layers(axis: str) -> list[alt.Chart]:
    tooltip = [
        charts.tip("said", "the paper"), charts.tip("cell"), charts.tip("count", "images"),
        charts.tip("low", "95 % interval from", ".1%"), charts.tip("high", "to", ".1%"),
    ]  # fmt: skip
    base = (
        alt.Chart()
        .transform_filter("datum.kind === 'paper'")
        .encode(y=alt.Y("value:Q", title=axis), tooltip=tooltip, color=alt.value(charts.MUTED))
    )
    return [
        base.mark_rule(strokeDash=[5, 4], strokeWidth=1.5),
        base.mark_text(align="left", dx=3, dy=-6, fontSize=10.5).encode(text="said:N", x=alt.value(0)),
    ]


def _notes(results: Results, rows: pd.DataFrame) -> list[str]:
    """Say of how many seeds a point is, and what a reader has to know of the runs."""
    means = rows[rows["kind"] == "mean"]
    count = replicates(means)
    points = count if count == "one replicate" else f"small points: {count}, large: mean"
    interval = ", line: 95 % interval" if (means["interval"] != "none").any() else ""
    return [f"{points}{interval}", results.conditions()]


def _about(results: Results, title: str, rows: pd.DataFrame, what: str) -> str:
    names: Mapping[str, Sequence[str]] = {one: results.shown(rows, one) for one in ("dataset", "regime", "model")}
    return (
        f"{title}. {what} of {', '.join(names['regime'])} for {', '.join(names['model'])} on "
        f"{', '.join(names['dataset'])}, a panel for each dataset and stage."
    )


def _chance(results: Results) -> str:
    """Say how often a guess among equally likely classes is right."""
    classes = results.rows("runs").groupby("dataset")["classes"].first()
    return ", ".join(f"{title} {100 / classes[title]:.1f} %" for title in results.titles.values() if title in classes)
