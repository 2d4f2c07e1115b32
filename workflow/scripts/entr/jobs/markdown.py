"""Markdown documents from templates, with text of users escaped."""

import re

import jinja2

from entr.jobs.paths import TEMPLATES

_MARKUP = re.compile(
    r"""
      [\\`*|~]                                  # code, emphasis, fields of a table, strikethrough
    | <(?=[A-Za-z/!?])                          # HTML
    | \[(?=[^\]]*\]\()                          # a link
    | &(?=\#?\w+;)                              # a character reference
    | (?<![^\W_])_ | _(?![^\W_])                # emphasis; an underscore within a word is not markup
    """,
    re.VERBOSE,
)


def escape_markdown(text: object) -> str:
    """Return text on one line with its Markdown markup escaped, so that it also fits a cell of a table.

    Parameters
    ----------
    text : object
        A name, title or sentence; converted to a string.
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def render_markdown(template: str, **values: object) -> str:
    """Fill in a Markdown template of ``workflow/report``.

    Parameters
    ----------
    template : str
        Name of the template. It escapes text of users by the filter ``text``.
    **values : object
        Its variables.

    Raises
    ------
    jinja2.UndefinedError
        If the template uses a variable that is not given.
    """
    environment = jinja2.Environment(  # noqa: S701  Markdown, not HTML
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = escape_markdown
    return environment.get_template(template).render(**values)
