"""Random seeds: every purpose has its own, so that all regimes of a seed share the same draws."""

import random

import numpy as np
import torch


def seed_all(seed: int, purpose: str) -> None:
    """Seed Python's, NumPy's and torch's generators.

    Parameters
    ----------
    seed : int
        The replicate.
    purpose : str
        What is drawn next, such as the name of a phase.
    """
    state = int(np.random.SeedSequence([seed, *purpose.encode()]).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)
