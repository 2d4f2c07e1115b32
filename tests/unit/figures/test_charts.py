import altair as alt
import pytest

from entr.figures import charts


def titled(title, **options):
    spec = charts.with_title(alt.Chart(alt.InlineData([])).mark_point(), title, ["a line", ""], "A chart.", **options)
    return spec["title"]["text"], spec


def test_regime_keeps_its_colour_and_shape_whichever_regimes_are_shown():
    alone = charts.regime_scales(["gradual"])
    among_others = charts.regime_scales(["no-increase", "gradual", "stepwise"])

    def marks(scales, channel):
        scale = scales[channel].to_dict()["scale"]
        return dict(zip(scale["domain"], scale["range"], strict=True))

    for channel in ("color", "shape"):
        one, several = marks(alone, channel), marks(among_others, channel)
        assert one["gradual"] == several["gradual"]
        assert len(set(several.values())) == 3


def test_alternative_text_starts_with_the_finding():
    _, spec = titled("A finding")
    assert spec["description"] == "A finding. A chart."


def test_empty_lines_of_the_subtitle_are_left_out():
    _, spec = titled("A finding")
    assert spec["title"]["subtitle"] == {"expr": '["a line"]'}


@pytest.mark.parametrize("number", ["no-increase 57.1 %", "gradual −17.1 points", "stepwise 60 px"])
def test_long_title_is_not_broken_between_a_name_its_number_and_the_unit(number):
    words = "x" * (charts.TITLE_LINE - 10)
    lines, _ = titled(f"{words} {number}")
    assert lines == [words, number]


def test_title_follows_several_switches():
    switches = [charts.switch("stage", "stage", {"a": "A", "b": "B"}), charts.switch("size", "size", {"1": "1"})]
    title, spec = titled({("a", "1"): "First", ("b", "1"): "Second"}, switches=switches)
    assert title == {"expr": '{"a|1": ["First"], "b|1": ["Second"]}[chosen_stage + \'|\' + chosen_size]'}
    assert spec["description"].startswith("First. ")
    assert [one["name"] for one in spec["params"]] == ["chosen_stage", "chosen_size"]
