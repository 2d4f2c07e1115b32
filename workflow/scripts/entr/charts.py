"""What all figures share: their look, and the files that each is written as."""

from pathlib import Path

import altair as alt

from entr.guards import atomic_write

PIXELS_PER_INCH = 160
STYLE = alt.Config(
    font="Helvetica, Arial, sans-serif",
    background="white",
    title=alt.TitleConfig(fontSize=15, subtitleFontSize=12, subtitleColor="#444444", subtitlePadding=6),
    header=alt.HeaderConfig(labelFontSize=12, labelFontWeight="bold"),
    axis=alt.AxisConfig(labelFontSize=11, titleFontSize=12, gridColor="#e6e6e6", domainColor="#888888"),
    legend=alt.LegendConfig(labelFontSize=12, titleFontSize=12, symbolSize=110, symbolOpacity=1, orient="bottom"),
    view=alt.ViewConfig(stroke="#cccccc"),
)


def save(chart: alt.TopLevelMixin, folder: str | Path, name: str) -> None:
    """Write a chart as HTML that needs no network, as SVG and as PNG."""
    for ending, options in {"html": {"inline": True}, "svg": {}, "png": {"ppi": PIXELS_PER_INCH}}.items():
        with atomic_write(Path(folder, f"{name}.{ending}"), "wb" if ending == "png" else "w") as file:
            chart.save(file, format=ending, **options)
