"""Errors that users can fix, and exceptions as one line of text."""

import re
from collections.abc import Callable
from typing import Any


class EntrError(Exception):
    """An error that the user can fix; its message states the problem, its location and the remedy."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return the message of an exception on one line, without memory addresses, which differ between runs.

    Parameters
    ----------
    error : BaseException
        Its message may be long: those of torch can fill a page.
    limit : int
        Maximum number of characters; a longer message is truncated.
    """
    text = " ".join(re.sub(r" <[^>]* at 0x[0-9a-f]+>", "", str(error)).split())
    return text.rstrip(".") if len(text) < limit else f"{text[:limit]} …"


def shown(value: object, form: Callable[[Any], str] = repr, limit: int = 300) -> str:
    """Return a value as text for a message.

    Parameters
    ----------
    value : object
        Any value, such as one from a file of the user.
    form : callable
        `repr`, or `str` for a name.
    limit : int
        Maximum number of characters; a longer text is truncated.
    """
    try:
        text = form(value)
    except ValueError:
        # Python does not write integers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= limit else f"{text[:limit]} …"
