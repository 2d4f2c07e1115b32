import jinja2
import pytest
from markdown_it import MarkdownIt

from entr.jobs.markdown import escape_markdown, render_markdown


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "`code`",
        "*emphasis*",
        "_emphasis_ and snake_case",
        "back\\slash",
        "<b>bold</b>",
        "[link](https://example.org)",
        "&lt;",
        "p < 0.05 [1, 2]",
    ],
)
def test_escaped_text_is_rendered_as_it_is_in_a_table(text):
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(f"| a | b |\n| --- | --- |\n| {escape_markdown(text)} | c |\n")
    fields = [token for token in tokens if token.type == "inline"][2:]
    assert ["".join(child.content for child in field.children) for field in fields] == [text, "c"]
    assert {child.type for field in fields for child in field.children} <= {"text", "text_special"}


def test_escaped_text_is_on_one_line():
    assert escape_markdown("two\nlines") == "two lines"


def test_variable_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render_markdown("recommendation.md.j2")
