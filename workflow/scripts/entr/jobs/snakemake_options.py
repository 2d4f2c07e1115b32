"""Options of a Snakemake command line."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr

from snakemake.cli import get_argument_parser


def without_targets(arguments: Sequence[str]) -> list[str]:
    """Return the options of a command line without its targets.

    An argument that equals a target stays if it is the value of an option, such as the first ``all`` in ``-c all all``.

    Parameters
    ----------
    arguments : sequence of str
        Arguments after the name of the program; Snakemake has to accept them.
    """
    arguments = list(arguments)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    targets = _targets(options)
    while targets:
        places = (place for place, option in enumerate(options) if option == targets[0])
        shorter = (options[:place] + options[place + 1 :] for place in places)
        options = next((candidate for candidate in shorter if _targets(candidate) == targets[1:]), options)
        targets = targets[1:]
    return options


def _targets(arguments: Sequence[str]) -> list[str] | None:
    """Return the targets in a command line, or None if Snakemake does not accept it."""
    try:
        with redirect_stderr(io.StringIO()):
            return list(get_argument_parser().parse_known_args(list(arguments))[0].targets)
    except SystemExit:
        return None
