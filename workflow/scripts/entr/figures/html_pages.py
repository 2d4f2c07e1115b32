"""Self-contained HTML pages: their templates, and Vega's JavaScript, which is inlined so that they work offline."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from entr.figures import palette
from entr.jobs.files import atomic_write
from entr.jobs.paths import TEMPLATES

EMBED_OPTIONS = {
    "renderer": "svg",
    "actions": False,
}
"""Options of vega-embed: SVG, for the alternative text and the colours of dark mode, and no menu, because pages have
links that save a chart."""


def bundle_vega(path: str | Path) -> None:
    """Write Vega, Vega-Lite and vega-embed as one script."""
    with atomic_write(path) as file:
        file.write(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the stub lacks the default


def figure_page(name: str, figure: Mapping[str, Any], spec: dict[str, Any], library: str) -> str:
    """Return the HTML page of one figure, with its caption and links to its tables.

    Parameters
    ----------
    name : str
        Name of the figure's files.
    figure : mapping
        Entry of the catalogue as plain values.
    spec : dict
        Chart as Vega-Lite.
    library : str
        JavaScript that `bundle_vega` wrote.
    """
    return render_template(
        "figure.html.j2",
        name=name,
        figure=figure,
        chart_spec=spec,
        spec=inline_json(spec),
        library=inline_script(library),
    )


def render_template(template: str, **values: Any) -> str:  # noqa: ANN401  the template's variables
    """Render a template of ``workflow/report``; text is escaped unless it is `Markup`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = with_minus_signs
    shared = {"options": inline_json(EMBED_OPTIONS), "dark_rules": Markup(palette.dark_rules())}  # noqa: S704  constants
    return environment.get_template(template).render(**shared, **values)


def with_minus_signs(text: str) -> str:
    """Return text with minus signs in place of the hyphens before numbers."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)


def inline_json(value: Any) -> Markup:  # noqa: ANN401  any JSON value
    """Return a value as JSON for a script element; a class named ``</script>`` does not end the element."""
    return Markup(json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704  escaped here


def inline_script(text: str) -> Markup:
    """Return JavaScript for a script element."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))  # noqa: S704  escaped here
