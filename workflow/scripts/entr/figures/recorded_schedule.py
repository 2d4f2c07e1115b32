"""Image size, learning rate and momentum of each training step, as recorded."""

from typing import Any

import altair as alt
import pandas as pd

from entr.figures import charts, palette, panels
from entr.figures.charts import field_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import FigureData, round_numbers

MAX_STEPS = 90
"""Evenly spaced steps that are drawn per cell, in addition to those on both sides of a jump."""
MAX_JUMPS = 240
"""Steps at jumps that are drawn per cell; with a random size in each step there are more."""
SIZE = "size"
QUANTITIES = {SIZE: "image size, px", "rate": "learning rate", "momentum": "momentum"}
PANEL_HEIGHT = 130
ROW_HEIGHT = 44
"""Height in px of the panels of one regime, if there are many."""
SCALES: dict[str, dict[str, Any]] = {
    "size": {"zero": False, "nice": True, "padding": 6},
    "rate": {"zero": True, "nice": True},
    "momentum": {"domain": [0, 1]},
}


def plot(data: FigureData) -> charts.Spec:
    """Plot image size, learning rates and momentum by training step."""
    steps = data.rows("steps")
    if not len(steps):
        return charts.empty_chart("No recorded schedule to plot yet: no cell is finished")
    of_first_model = steps[steps["model"] == steps.groupby("dataset")["model"].transform("first")]
    rows = pd.concat([_thin_out(cell) for _, cell in of_first_model.groupby(["dataset", "regime"], sort=False)])
    long = _quantities(rows)
    if data.has_many_regimes:
        return _plot_by_regime(data, long, _title(steps))
    return with_title(
        _panels_by_dataset(data, long),
        _title(steps),
        ["first seed; lines coincide where regimes agree"],
        "Lines of image size, learning rate and momentum by training step of each regime, one column per dataset.",
    )


def _panels_by_dataset(data: FigureData, long: pd.DataFrame) -> alt.VConcatChart:
    datasets = data.names_in(long, "dataset")
    ticks = 8 if len(datasets) == 1 else 4
    is_size = long["quantity"] == SIZE
    sizes = panels.with_curve_labels(
        long[is_size], "step", "value", column="dataset", columns=datasets, keys=["quantity"], height=PANEL_HEIGHT
    )
    long = pd.concat([sizes, long[~is_size].assign(curve_label="")], ignore_index=True)
    regimes = data.design.regimes
    colour = charts.regime_scales(regimes, legend=not panels.are_labelled(sizes))["color"]
    lines: list[alt.FacetChart] = []
    for quantity, title in QUANTITIES.items():
        is_last = quantity == list(QUANTITIES)[-1]
        panel = (
            alt.Chart()
            .mark_line(strokeWidth=1.8, strokeJoin="round", opacity=0.85)
            .encode(
                x=alt.X("step:Q", title="training step" if is_last else None, axis=alt.Axis(tickCount=ticks)),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(**SCALES[quantity]), axis=alt.Axis(tickCount=4)),
                color=colour,
                strokeDash=charts.layer_dashes(),
                tooltip=_tooltip(),
            )
        )
        layers = [panel, *panels.curve_labels(alt.Chart(), sizes, regimes, title)] if quantity == SIZE else [panel]
        layered = alt.layer(*layers).properties(
            data=long[long["quantity"] == quantity], width=charts.panel_width(len(datasets)), height=PANEL_HEIGHT
        )
        column = alt.Column("dataset:N", sort=datasets, title=None, header=alt.Header(labels=not lines))
        lines.append(layered.facet(column=column, spacing=12).resolve_scale(x="independent"))
    return alt.vconcat(*lines, spacing=8)


def _plot_by_regime(data: FigureData, long: pd.DataFrame, title: str) -> charts.Spec:
    """Plot one row of panels per regime, because lines of many regimes hide each other."""
    long = _without_constant_sections(long)
    datasets = {name: name for name in data.names_in(long, "dataset")}
    dataset_switch = switch("dataset", "dataset", datasets)
    regimes = data.names_in(long, "regime")
    colour = charts.regime_scales(data.design.regimes, legend=False)["color"]
    columns: list[alt.FacetChart] = []
    for quantity, words in QUANTITIES.items():
        # a learning rate that is eight times as high as that of the others would flatten theirs
        scale = SCALES[quantity] | ({"type": "sqrt"} if quantity == "rate" else {})
        panel = (
            alt.Chart()
            .transform_filter(switch_filter("dataset"))
            .mark_line(strokeWidth=1.5, strokeJoin="round")
            .encode(
                x=alt.X("step:Q", title="training step", axis=alt.Axis(tickCount=4)),
                y=alt.Y(
                    "value:Q",
                    title=None,
                    scale=alt.Scale(**scale),
                    axis=alt.Axis(tickCount=3 if quantity == "rate" else 2),
                ),
                color=colour,
                strokeDash=charts.layer_dashes(),
                tooltip=_tooltip(),
            )
        )
        # the colour, because narrow pages show the labels that have one
        header = alt.Header(
            labels=not columns, labelColor=palette.INK, labelAngle=0, labelAlign="left", labelFontSize=charts.LABEL_SIZE
        )
        panel = panel.properties(
            data=long[long["quantity"] == quantity], width=charts.panel_width(len(QUANTITIES)), height=ROW_HEIGHT
        )
        row = alt.Row("regime:N", sort=regimes, title=None, header=header)
        # aligned by their frames, because labels of axes stand out differently
        columns.append(panel.facet(row=row, spacing=14, bounds="flush", title=charts.panel_title(words)))
    return with_title(
        alt.hconcat(*columns, spacing=14),
        dict.fromkeys(datasets, title),
        [switched_text(dataset_switch, datasets), "first seed; the learning rate has a square-root axis"],
        "Lines of image size, learning rate and momentum by training step, one row of panels per regime.",
        [dataset_switch],
    )


def _tooltip() -> list[alt.Tooltip]:
    return [
        field_tooltip("regime"),
        field_tooltip("layers"),
        field_tooltip("phase"),
        field_tooltip("epoch", "epoch", ".0f"),
        field_tooltip("step", "step", ".0f"),
        field_tooltip("value", "value", ".3~g"),
    ]


def _title(steps: pd.DataFrame) -> str:
    low, high = int(steps["size"].min()), int(steps["size"].max())
    sizes = f"image size {low} px" if low == high else f"image sizes {low} to {high} px"
    rate, momentum = steps["learning_rate"].max(), steps["momentum"].median()
    return f"Recorded: learning rates up to {rate:.2g}, momentum {momentum:.2g}, {sizes}"


def _thin_out(cell: pd.DataFrame) -> pd.DataFrame:
    """Return evenly spaced steps of a cell, and those on both sides of a jump of size or learning rate."""
    cell = cell.sort_values("step")
    change = cell["learning_rate"].diff()
    # the start of an increase, because the learning rate may also increase from step to step
    restarts = (change > 0) & ~(change.shift() > 0)
    jumps = restarts | (cell["size"] != cell["size"].shift()) | (cell["phase"] != cell["phase"].shift())
    around_jumps = jumps | jumps.shift(-1, fill_value=True)
    share = -(-int(around_jumps.sum()) // MAX_JUMPS)
    drawn_jumps = around_jumps & (around_jumps.cumsum() % share == 0)
    interval = max(1, len(cell) // MAX_STEPS)
    return cell[drawn_jumps | (cell["step"] % interval == 0)]


def _quantities(rows: pd.DataFrame) -> pd.DataFrame:
    """Return size, learning rates of the layer groups and momentum in long format."""
    keys = ["dataset", "regime", "phase", "epoch", "step"]
    columns = {
        "size": ("size", "head"),
        "learning_rate": ("rate", "head"),
        "rate_late": ("rate", "late"),
        "rate_early": ("rate", "early"),
        "momentum": ("momentum", "head"),
    }
    parts = [
        rows[[*keys, column]].rename(columns={column: "value"}).assign(quantity=quantity, layers=layers)
        for column, (quantity, layers) in columns.items()
    ]
    return round_numbers(pd.concat(parts, ignore_index=True))


def _without_constant_sections(long: pd.DataFrame) -> pd.DataFrame:
    """Return the points of each line that differ from one of their neighbours, which draw the same line."""
    lines = long.groupby(["dataset", "regime", "quantity", "layers"], sort=False)["value"]
    return long[(long["value"] != lines.shift()) | (long["value"] != lines.shift(-1))]
