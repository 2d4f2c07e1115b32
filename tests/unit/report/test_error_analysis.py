import re

import pytest
import simulated
from factories import flip_bit

from entr.jobs.errors import EntrError
from entr.jobs.tables import read_table, write_table
from entr.report import error_analysis
from entr.report.error_analysis import MAX_SHOWN, describe_errors, write_error_analysis


@pytest.fixture
def analyse(tmp_path):
    """Function that writes the page of a simulated dataset, and returns its HTML and its table."""

    def write(tested=False, **simulation):
        inputs = simulated.errors(tmp_path, **simulation) | {"tested": tested}
        write_error_analysis(**inputs)
        return inputs["outputs"]["page"].read_text("utf-8"), read_table(inputs["outputs"]["table"])

    return write


def sections(html):
    """Return the number of images in each section."""
    parts = re.split(r"<h2 id=", html)[1:]
    return {re.match(r'"([a-z-]+)"', part)[1]: part.count("<img ") for part in parts}


def test_mislabelled_images_and_other_mistakes_of_all_seeds_are_shown_apart(analyse):
    html, table = analyse(mislabelled=2, mistakes=3, seeds=3)
    assert "<h1>Of 63 checked images, 15 are misclassified; 6 may be mislabelled</h1>" in html
    assert sections(html) == {"label-issues": 6, "mistakes": 9}
    assert table["label_issue"].sum() == 6
    assert (table["label"] != table["predicted"]).sum() == 15
    assert table["label_issue"].head(6).all()
    assert "resnet18 · gradual · seeds 0, 1, 2" in html


def test_page_states_how_many_images_cannot_be_checked_and_what_to_run(analyse):
    html, _ = analyse(seeds=2, tested=True)
    assert "42 of 210 images were checked" in html
    assert "The other 168 cannot be checked, among them the images that are held out for testing." in html
    assert "<code>snakemake --config seeds=10</code>" in html


def test_page_of_a_complete_partition_asks_for_no_more_seeds(analyse):
    html, _ = analyse(seeds=10)
    assert "210 of 210 images were checked" in html
    assert "cannot be checked" not in html
    assert "--config seeds=" not in html


def test_names_of_classes_and_files_are_escaped(analyse):
    html, _ = analyse(mislabelled=7, mistakes=0)
    assert "</script>" not in html.partition("<body>")[2]
    assert "&lt;i&gt;photo&lt;/i&gt; &amp; 0.jpg" in html
    assert 'alt="Image labelled quo&#34;te, predicted as É"' in html


@pytest.mark.parametrize("classes", [("a", "b"), tuple(f"class {number}" for number in range(20))])
def test_number_of_classes_does_not_matter(analyse, classes):
    html, table = analyse(classes=classes, mislabelled=1, mistakes=0, seeds=10, images=200)
    assert sections(html) == {"label-issues": 10, "mistakes": 0}
    assert "All misclassified images are shown above." in html
    assert set(table["label"]) == set(classes)


def test_page_without_mistakes_says_so(analyse):
    html, table = analyse(mislabelled=0, mistakes=0)
    assert "<h1>Of 42 checked images, none is misclassified; none appears to be mislabelled</h1>" in html
    assert sections(html) == {"label-issues": 0, "mistakes": 0}
    assert len(table) == 42


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((20, 1, 1), "Of 20 checked images, 1 is misclassified; 1 may be mislabelled"),
        ((20, 3, 0), "Of 20 checked images, 3 are misclassified; none appears to be mislabelled"),
        ((20, 11, 9), "Of 20 checked images, 11 are misclassified; too many to tell which are mislabelled"),
    ],
)
def test_errors_are_counted_in_a_sentence(numbers, sentence):
    assert describe_errors(*numbers) == sentence


def test_long_list_is_cut_and_refers_to_the_table(analyse, monkeypatch):
    monkeypatch.setattr(error_analysis, "MAX_SHOWN", 5)
    html, table = analyse(mislabelled=0, mistakes=6)
    assert MAX_SHOWN > 5
    assert sections(html) == {"label-issues": 0, "mistakes": 5}
    assert 'The first 5 of 12 images; the others are in <a href="ucm.csv">ucm.csv</a>.' in html
    assert (table["label"] != table["predicted"]).sum() == 12


def test_dataset_without_a_recommended_model_is_an_error_with_the_reason(tmp_path):
    inputs = simulated.errors(tmp_path)
    row = {"goal": "within_limits", "recommended": False, "comparison": "no model of this grid is within your limits"}
    write_table(read_table(inputs["recommendation"]).assign(**row), inputs["recommendation"])
    with pytest.raises(EntrError, match="no model of ucm is recommended: no model of this grid is within your limits;"):
        write_error_analysis(**inputs)
    assert not inputs["outputs"]["page"].parent.exists()


def test_damaged_predictions_are_named(tmp_path):
    inputs = simulated.errors(tmp_path)
    path = next(path for path in inputs["predictions"] if "gradual" in path.parts)
    restore = flip_bit(path)
    with pytest.raises(EntrError, match=rf"{path} is damaged \(its content does not match the checksum"):
        write_error_analysis(**inputs)
    assert not inputs["outputs"]["page"].exists()
    restore()
    write_error_analysis(**inputs)
