"""Accuracy of the trained models at other image sizes."""

import altair as alt
import pandas as pd

from entr.figures import charts, panels, small_multiples
from entr.figures.charts import field_tooltip, group_tooltip, switch_filter, with_title
from entr.figures.figure_data import FigureData, complete_blocks, seed_count
from entr.metrics.labels import OTHER, STAGES, TOTAL

IS_SEED, IS_MEAN = "datum.kind === 'seed'", "datum.kind === 'mean'"
SIZE = field_tooltip("size", "evaluation size, px", ".0f")


def plot(data: FigureData) -> charts.Spec:
    """Plot accuracy against the image size in evaluation."""
    metrics = data.rows("metrics", metric="accuracy", resolution=OTHER)
    if not len(metrics):
        return charts.empty_chart("No evaluation sizes to plot yet: no cell is finished")
    summary = data.rows("summary", metric="accuracy", resolution=OTHER)
    rows = panels.seeds_and_means(metrics, summary, ["stage"], ".1%")
    means = rows[rows["kind"] == "mean"]
    subtitle = f"{STAGES[TOTAL]}, without test-time augmentation; {seed_count(means)}"
    if data.has_many_regimes:
        model_switch, models, model_text = small_multiples.model_switch(data, rows)
        return with_title(
            _panels_by_regime(data, rows),
            dict.fromkeys(models, _title(data, metrics)),
            [model_text, f"{subtitle}; {small_multiples.legend(data)}"],
            "Accuracy against evaluation size of each regime, one panel per dataset and regime.",
            [model_switch],
            conditions=data.conditions(),
        )
    return with_title(
        _panels_by_model(data, rows),
        _title(data, metrics),
        [subtitle],
        "Accuracy against evaluation size of each regime, one panel per dataset and model.",
        conditions=data.conditions(),
    )


def _panels_by_model(data: FigureData, rows: pd.DataFrame) -> alt.FacetChart | alt.VConcatChart:
    is_mean = rows["kind"] == "mean"
    labelled = panels.with_curve_labels(rows[is_mean], "size", "value", columns=data.names_in(rows, "model"))
    rows = pd.concat([rows[~is_mean].assign(curve_label=""), labelled], ignore_index=True)
    scales = charts.regime_scales(data.design.regimes, legend=not panels.are_labelled(labelled))
    base = alt.Chart().encode(
        x=alt.X(
            "size:Q",
            title="evaluation size, px",
            scale=alt.Scale(zero=False, padding=8),
            axis=alt.Axis(tickCount=7),
        ),
        color=scales["color"],
    )
    y = alt.Y("value:Q", title="accuracy A", scale=alt.Scale(zero=False), axis=alt.Axis(format=".3~p", tickCount=5))
    seeds, means = base.transform_filter(IS_SEED), base.transform_filter(IS_MEAN)
    panel = alt.layer(
        seeds.mark_point(filled=True, size=12, opacity=0.3).encode(y=y, tooltip=_seed_tooltip()),
        means.mark_line(strokeWidth=1.8).encode(y=y),
        means.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, size=60, opacity=1).encode(y=y, shape=scales["shape"], tooltip=_mean_tooltip()),
        *panels.curve_labels(alt.Chart(), labelled, data.design.regimes, "accuracy A"),
    )
    return panels.by_dataset_and_model(data, rows, panel)


def _panels_by_regime(data: FigureData, rows: pd.DataFrame) -> alt.VConcatChart:
    base = (
        alt.Chart()
        .transform_filter(switch_filter("model"))
        .encode(
            x=alt.X(
                "size:Q",
                title="size, px",
                scale=alt.Scale(zero=False, padding=8),
                axis=alt.Axis(tickCount=4),
            ),
            y=alt.Y(
                "value:Q", title="accuracy A", scale=alt.Scale(zero=False), axis=alt.Axis(format=".3~p", tickCount=4)
            ),
        )
    )
    curve = base.transform_filter(IS_MEAN)
    means = curve.encode(color=small_multiples.colour(data))
    seeds = base.transform_filter(IS_SEED).encode(color=small_multiples.colour(data))
    layers = [
        seeds.mark_point(filled=True, size=10, opacity=0.3).encode(tooltip=_seed_tooltip()),
        means.mark_line(strokeWidth=2),
        means.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, size=40, opacity=1).encode(tooltip=_mean_tooltip()),
    ]
    return small_multiples.by_regime(data, rows, layers, curve)


def _seed_tooltip() -> list[alt.Tooltip]:
    return [*group_tooltip(), SIZE, field_tooltip("seed"), field_tooltip("value", "accuracy", ".1%")]


def _mean_tooltip() -> list[alt.Tooltip]:
    return [
        *group_tooltip(),
        SIZE,
        field_tooltip("value", "mean accuracy", ".1%"),
        field_tooltip("interval", "95 % interval"),
        field_tooltip("n", "seeds", ".0f"),
    ]


def _title(data: FigureData, metrics: pd.DataFrame) -> str:
    """State the evaluation size with the highest accuracy of each regime; of many, how often each size is it."""
    means = complete_blocks(metrics).groupby(["regime", "size"])["value"].mean()
    best = {regime: int(means[regime].idxmax()) for regime in data.design.regimes if regime in means}
    if data.has_many_regimes:
        counts = pd.Series(best).value_counts(sort=False).sort_index()
        texts = [f"{size} px for {count} regime{'s' if count > 1 else ''}" for size, count in counts.items()]
    else:
        texts = [f"{regime} {size} px" for regime, size in best.items()]
    return f"Evaluation size with the highest accuracy: {', '.join(texts)}"
