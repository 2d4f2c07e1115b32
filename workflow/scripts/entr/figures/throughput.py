"""Training throughput by image size."""

import altair as alt
import pandas as pd

from entr.figures import charts, palette, panels
from entr.figures.charts import field_tooltip, switch, switch_filter, switched_text, with_title
from entr.figures.figure_data import CELL_GROUP, FigureData, round_numbers

TRAINED_LAYERS = {"all": "all layers trained", "head": "only the head trained"}


def plot(data: FigureData) -> charts.Spec:
    """Plot images per second against image size, compared with ideal scaling with the number of pixels."""
    history = data.rows("history")
    if not len(history):
        return charts.empty_chart("No throughput to plot yet: no cell is finished")
    rows = _throughput_by_size(_of_one_size(history, data.rows("steps")))
    if not len(rows):
        return charts.empty_chart("No throughput to plot: in each epoch, the steps have several image sizes")
    # the phases with most sizes first, because only these can be compared
    sizes = rows.groupby("layers")["size"].nunique().sort_values(ascending=False, kind="stable")
    layers = {name: TRAINED_LAYERS[name] for name in sizes.index}
    layer_switch = switch("layers", "phases with", layers)
    base = (
        alt.Chart()
        .transform_filter(switch_filter("layers"))
        .encode(
            x=alt.X(
                "size:Q",
                title="image size, px",
                scale=alt.Scale(zero=False, padding=10),
                axis=alt.Axis(tickCount=5),
            )
        )
    )
    y = alt.Y("value:Q", title="images per second", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, format="~s"))
    tooltip = [
        field_tooltip("dataset"),
        field_tooltip("model"),
        field_tooltip("size", "image size, px", ".0f"),
        field_tooltip("value", "images per second", ".1f"),
        field_tooltip("low", "slowest epoch", ".1f"),
        field_tooltip("high", "fastest epoch", ".1f"),
        field_tooltip("ideal", "ideal scaling", ".1f"),
        field_tooltip("epochs", "epochs", ".0f"),
    ]
    panel = alt.layer(
        base.mark_line(strokeDash=[5, 4], color=palette.AXIS).encode(y=alt.Y("ideal:Q")),
        base.mark_rule(color=palette.INK).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(color=palette.INK).encode(y=y),
        base.mark_point(color=palette.INK, filled=True, size=60, opacity=1).encode(y=y, tooltip=tooltip),
    )
    return with_title(
        panels.by_dataset_and_model(data, rows, panel, height=200, independent=["y"]),
        {name: _title(rows[rows["layers"] == name]) for name in layers},
        [
            switched_text(layer_switch, layers),
            "points: means, vertical lines: range over epochs; dashed: ideal scaling with the number of pixels",
        ],
        "Images per second against image size, one panel per dataset and model.",
        [layer_switch],
        conditions=data.conditions(),
    )


def _of_one_size(history: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """Leave out epochs whose steps differ in image size, because their throughput belongs to none of the sizes."""
    if not len(steps):
        return history
    keys = [*CELL_GROUP, "epoch"]
    sizes = steps.groupby(keys)["size"].nunique().rename("sizes")
    return history[~(history.join(sizes, on=keys)["sizes"] > 1)]


def _throughput_by_size(history: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over epochs, and ideal scaling from the largest size."""
    groups = ["dataset", "model", "layers"]
    rows = (
        history.groupby([*groups, "size"], sort=False)["images_per_second"]
        .agg(value="mean", low="min", high="max", epochs="size")
        .reset_index()
    )
    is_largest = rows.groupby(groups)["size"].transform("max") == rows["size"]
    largest = rows.loc[is_largest, [*groups, "size", "value"]]
    rows = rows.merge(largest, on=groups, suffixes=("", "_largest"))
    return round_numbers(rows.assign(ideal=rows["value_largest"] * (rows["size_largest"] / rows["size"]) ** 2))


def _title(rows: pd.DataFrame) -> str:
    """State the time of a small image relative to a large one."""
    speeds = rows.pivot_table(index=["dataset", "model"], columns="size", values="value")
    # sizes that all datasets and models have
    shared = speeds.columns[speeds.notna().all()]
    if len(shared) < 2:
        return "Training throughput at one image size" if len(speeds.columns) == 1 else "Training throughput"
    small, large = int(shared.min()), int(shared.max())
    ratio, ideal = (speeds[large] / speeds[small]).median(), (small / large) ** 2
    return f"An image of {small} px takes {ratio:.2f} times as long as one of {large} px; ideal scaling: {ideal:.2f}"
