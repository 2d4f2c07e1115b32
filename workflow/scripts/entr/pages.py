"""Pages of HTML that hold all they need, so that they open anywhere and ask no network for anything."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from entr.guards import atomic_write

TEMPLATES = Path(__file__).parents[2] / "report"
OPTIONS = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}
"""Of vega-embed: SVG has alternative text; nothing that leads to a server."""


def bundle(path: str | Path) -> None:
    """Write Vega, Vega-Lite and vega-embed as one script, which every page inlines."""
    with atomic_write(path) as file:
        file.write(vl_convert.javascript_bundle())


def figure(name: str, shown: Mapping[str, Any], spec: dict[str, Any], library: str) -> str:
    """Return the page of one figure, with its caption and links to what it is drawn from.

    Parameters
    ----------
    name : str
        Of the figure's files.
    shown : mapping
        Its ``heading``, ``caption`` and ``tables``.
    spec : dict
        The chart as Vega-Lite.
    library : str
        What `bundle` wrote.
    """
    told = {key: shown[key] for key in ("heading", "caption", "tables")}
    about = spec["description"]
    return render("figure.html.j2", name=name, about=about, spec=embedded(spec), library=script(library), **told)


def render(template: str, **values: Any) -> str:  # noqa: ANN401  what the template asks for
    """Fill a template of ``workflow/report``; text is escaped unless it is `Markup`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(options=embedded(OPTIONS), **values)


def embedded(value: Any) -> Markup:  # noqa: ANN401  any JSON
    """Return JSON that may stand within a script: a class named ``</script>`` does not end it."""
    return Markup(json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704  escaped here


def script(text: str) -> Markup:
    """Return JavaScript that may stand within a script element."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))  # noqa: S704  escaped here
