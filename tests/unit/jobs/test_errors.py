import pytest

from entr.jobs.errors import one_line


def test_long_message_is_one_truncated_line():
    assert (
        one_line(ValueError("first line\n  second line\n" + "x" * 400), limit=30) == "first line second line xxxxxxx …"
    )


def test_memory_addresses_are_removed():
    assert one_line(ValueError(f"no method {object()} here")) == "no method here"


@pytest.mark.parametrize(("message", "line"), [("One sentence.", "One sentence"), ("", "")])
def test_short_message_loses_only_its_full_stop(message, line):
    assert one_line(ValueError(message)) == line
