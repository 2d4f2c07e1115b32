"""The page of errors: images that may be mislabelled, and the other mistakes of the recommended model."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from entr.analysis.formatting import format_percentage
from entr.analysis.histories import final_predictions
from entr.analysis.label_quality import check_labels
from entr.analysis.recommended_model import read_recommended_model
from entr.config.study_design import StudyDesign
from entr.figures import html_pages
from entr.figures.image_thumbnails import whole_image_url
from entr.jobs.files import atomic_write
from entr.jobs.paths import cell_of
from entr.jobs.tables import read_columns, read_table, write_table
from entr.metrics.cell_files import verify_files
from entr.report.label_issues import describe_label_issues

log = logging.getLogger("entr")

MAX_SHOWN = 48
"""Images of a section that are shown; the table has them all."""
THUMBNAIL_SIDE = 256
"""Longer side of a thumbnail in px."""


def write_error_analysis(
    recommendation: str | Path,
    predictions: Iterable[str | Path],
    manifest: str | Path,
    images: str | Path,
    *,
    dataset: str,
    design: StudyDesign,
    tested: bool,
    outputs: Mapping[str, str | Path],
) -> None:
    """Write the mistakes of the recommended model, and the images that may be mislabelled.

    Parameters
    ----------
    recommendation : path
        The table of `recommendation.write_recommendation`.
    predictions : iterable of path
        Predictions of all cells of the dataset, each in the directory of its cell, beside its ``metrics.json``.
    manifest, images : path
        The manifest and the directory of downscaled images of the dataset.
    dataset : str
        Which dataset.
    design : StudyDesign
        The design of the study.
    tested : bool
        Whether images are held out for testing.
    outputs : mapping of str to path
        ``table``, a CSV file with one row per checked image, see `check_labels`; and ``page``, a self-contained HTML
        file next to it.

    Raises
    ------
    EntrError
        If no model is recommended, or a file is damaged.
    """
    choice = read_recommended_model(recommendation, dataset)
    chosen = {"dataset": dataset, "model": choice["model"], "regime": choice["regime"]}
    files = {cell_of(path)["seed"]: path for path in predictions if chosen.items() <= cell_of(path).items()}
    verify_files(files.values())
    of_seeds = pd.concat([final_predictions(read_table(path)) for path in files.values()])
    sources = read_columns(manifest, image=str, source=str, label=str)[["image", "source", "label"]]
    checked = check_labels(of_seeds, sorted(set(sources["label"]))).merge(sources[["image", "source"]], on="image")
    write_table(checked, outputs["table"])
    mistakes = checked[checked["label"] != checked["predicted"]]
    is_issue = mistakes["label_issue"]
    confident = mistakes[~is_issue].sort_values(["probability_of_predicted", "image"], ascending=[False, True])
    unchecked = len(sources) - len(checked)
    html = html_pages.render_template(
        "errors.html.j2",
        title=design.datasets[dataset],
        headline=describe_errors(len(checked), len(mistakes), int(is_issue.sum())),
        choice=choice,
        seeds=sorted(files),
        checked=len(checked),
        total=len(sources),
        unchecked=unchecked,
        tested=tested,
        folds=design.folds,
        table=Path(outputs["table"]).name,
        n_issues=int(is_issue.sum()),
        n_others=len(confident),
        issues=_cards(mistakes[is_issue], Path(images)),
        others=_cards(confident, Path(images)),
    )
    with atomic_write(outputs["page"]) as file:
        file.write(html)
    log.info("%s: %d of %d images checked: %s", dataset, len(checked), len(sources), outputs["page"])


def describe_errors(checked: int, mistakes: int, issues: int) -> str:
    """Return the result in a sentence.

    Parameters
    ----------
    checked, mistakes, issues : int
        Number of images that were checked, that are misclassified, and that may be mislabelled.
    """
    verb = "is" if mistakes < 2 else "are"
    labels = describe_label_issues(checked, mistakes, issues)
    return f"Of {checked} checked images, {mistakes or 'none'} {verb} misclassified; {labels}"


def _cards(rows: pd.DataFrame, images: Path) -> list[dict[str, Any]]:
    """Return what the page shows of each image."""
    return [
        {
            "url": whole_image_url(images / row.image, THUMBNAIL_SIDE),
            "source": row.source,
            "classes": {
                "labelled": (row.label, format_percentage(row.probability_of_label)),
                "predicted": (row.predicted, format_percentage(row.probability_of_predicted)),
            },
        }
        for row in rows.head(MAX_SHOWN).itertuples()
    ]
