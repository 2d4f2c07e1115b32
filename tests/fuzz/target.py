"""A target of fuzzing: real inputs, how they are damaged, and the code of the workflow that reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random

from fuzz.damage import damage_bytes


@dataclass(frozen=True)
class Target:
    """Inputs from outside, and what reads them."""

    name: str
    title: str
    """Name in the documentation."""
    make_corpus: Callable[[], Sequence[bytes]]
    """Makes undamaged inputs. All of them are accepted."""
    read: Callable[[bytes, Path], bool]
    """Reads an input as the workflow does, in an empty folder, and returns whether it is accepted.

    The only exception that it may raise is EntrError, which counts as refused.
    """
    inputs: int
    """Number of inputs in `make test-slow`."""
    quick_inputs: int
    """Number of inputs in `make test`."""
    memory: int
    """Bytes that reading an input may add to the address space of the process."""
    seconds: int = 10
    """Time limit on one input."""
    damage: Callable[[Random, Sequence[bytes]], bytes] = damage_bytes
    """Makes a damaged input from undamaged ones."""
    setup: Callable[[], None] = field(default=lambda: None)
    """Prepares the process, before the memory is limited."""

    @cached_property
    def corpus(self) -> Sequence[bytes]:
        return self.make_corpus()

    def input(self, number: int) -> bytes:
        """Return the damaged input of a number, always the same."""
        return self.damage(Random(f"{self.name} {number}"), self.corpus)
