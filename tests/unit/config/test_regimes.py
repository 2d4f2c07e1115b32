import pytest
from pydantic import ValidationError

from entr.config.regimes import RandomSizes, Regime


def test_size_is_a_number_a_list_or_random():
    regime = Regime(sgdr=100, clrs=[100, 150], cmult={"random": [100, 250]}, tta=250)
    assert regime.sizes == {"sgdr": 100, "clrs": (100, 150), "cmult": RandomSizes(random=(100, 250)), "tta": 250}
    assert regime.all_sizes() == {"sgdr": (100,), "clrs": (100, 150), "cmult": (100, 250), "tta": (250,)}
    assert Regime.model_validate(regime.model_dump(mode="json")) == regime


@pytest.mark.parametrize(
    "size",
    [
        *(0, -1, 1.5, 100.0, True, "100", None),
        *([], [100, 0], [True]),
        *({}, {"random": []}, {"random": 100}, {"some": [100]}, {"random": [100], "some": 1}),
    ],
)
def test_invalid_size_is_rejected_in_one_sentence(size):
    with pytest.raises(ValidationError) as raised:
        Regime(sgdr=size)
    (detail,) = raised.value.errors()
    assert detail["loc"] == ("sgdr",)
    assert str(detail["ctx"]["error"]) == (
        f"should be a size in px, a list with one size per epoch, or {{random: [sizes]}}, but it is {size!r}"
    )
