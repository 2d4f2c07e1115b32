import pytest
from statsmodels.stats.proportion import proportion_confint

from entr.metrics import published_results


@pytest.mark.parametrize("entry", published_results.PUBLISHED, ids=lambda entry: f"{entry.dataset} {entry.stage}")
def test_published_accuracy_fits_its_counts_and_wilson_interval(entry):
    assert round(entry.correct / entry.images, 3) == entry.accuracy
    interval = proportion_confint(entry.correct, entry.images, method="wilson")
    assert (entry.low, entry.high) == pytest.approx(interval, abs=5e-4)


def test_published_accuracy_is_found_by_dataset_and_stage():
    assert published_results.published("steel", "total-tta").accuracy == 0.842
    with pytest.raises(KeyError):
        published_results.published("steel", "total")
