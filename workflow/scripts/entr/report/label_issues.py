"""What the page of errors and the terminal say about images that may be mislabelled."""

MAX_MISTAKES = 0.5
"""Largest fraction of misclassified images at which the labels are judged; a weaker model flags mostly correct ones."""


def describe_label_issues(judged: int, mistakes: int, issues: int) -> str:
    """Return how many images may be mislabelled, as part of a sentence about images.

    Parameters
    ----------
    judged, mistakes, issues : int
        Number of images that were judged, that are misclassified, and that may be mislabelled.
    """
    if mistakes > MAX_MISTAKES * judged:
        return "too many to tell which are mislabelled"
    return f"{issues} may be mislabelled" if issues else "none appears to be mislabelled"
