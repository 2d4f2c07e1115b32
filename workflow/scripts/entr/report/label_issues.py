"""What the page of errors and the terminal say about images that may be mislabelled."""

MAX_MISTAKES = 0.5
"""Largest fraction of misclassified images at which label issues are counted; beyond it, most of them are correct."""


def describe_label_issues(checked: int, mistakes: int, issues: int) -> str:
    """Return how many images may be mislabelled, as part of a sentence about images.

    Parameters
    ----------
    checked, mistakes, issues : int
        Number of images that were checked, that are misclassified, and that may be mislabelled.
    """
    if mistakes > MAX_MISTAKES * checked:
        return "too many to tell which are mislabelled"
    return f"{issues} may be mislabelled" if issues else "none appears to be mislabelled"
