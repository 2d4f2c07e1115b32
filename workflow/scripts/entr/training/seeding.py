"""Random seeds: every purpose has its own, so that all regimes of a seed share the same draws."""

import random

import numpy as np
import torch


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed of 32 bits for one purpose.

    Parameters
    ----------
    seed : int
        The replicate.
    purpose : str
        What is drawn, such as the name of a phase.
    """
    return int(np.random.SeedSequence([seed, *purpose.encode()]).generate_state(1)[0])


def seed_all(seed: int, purpose: str) -> None:
    """Seed Python's, NumPy's and torch's generators; see `derive_seed`."""
    state = derive_seed(seed, purpose)
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)
