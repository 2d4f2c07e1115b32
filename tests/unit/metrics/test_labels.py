import pytest

from entr.metrics.labels import describe_share


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1e-4, "<1 %"), (0.0051, "1 %"), (0.5, "50 %"), (0.994, "99 %"), (0.9999, ">99 %"), (1, "100 %")],
)
def test_share_that_is_not_certain_is_not_shown_as_certain(share, text):
    assert describe_share(share) == text
