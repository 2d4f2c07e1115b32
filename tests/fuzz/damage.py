"""Random damage to files of any kind."""

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 2**18
"""Size of the largest input, so that reading it takes little time."""
EDGE = 96
"""Bytes at either end of a file that are damaged more often, because headers and directories are there."""
NUMBERS = [
    *(0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 24, 31, 32, 63, 64, 99, 100, 127, 128, 255, 256, 257, 511, 512, 513),
    *(1000, 1023, 1024, 4095, 4096, 9999, 10_000, 16_383, 32_767, 32_768, 65_535, 65_536, 2**20, 2**24, 10**8),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
]
"""Values at which arithmetic of fixed width, and limits on sizes, tend to fail."""

Operation = Callable[[Random, bytearray, Sequence[bytes]], None]


def damage_bytes(random: Random, corpus: Sequence[bytes], operations: Sequence[Operation] = ()) -> bytes:
    """Return one of several files after a few random operations.

    Parameters
    ----------
    random : Random
        Generator that determines the result.
    corpus : sequence of bytes
        The files; parts of one may be put into another.
    operations : sequence of callable
        Operations that suit the kind of file, which are applied as often as all others together.
    """
    data = bytearray(random.choice(corpus))
    for _ in range(1 + min(int(random.expovariate(0.4)), 12)):
        specific = operations and random.random() < 0.5
        random.choice(operations if specific else OPERATIONS)(random, data, corpus)
        del data[MAX_BYTES:]
    return bytes(data)


def position(random: Random, data: bytes | bytearray) -> int:
    """Return a position in a file, often near its start or end."""
    where, size = random.random(), len(data)
    if where < 0.4:
        return random.randrange(min(size, EDGE) + 1)
    if where < 0.6:
        return size - random.randrange(min(size, EDGE) + 1)
    return random.randrange(size + 1)


def number(random: Random) -> int:
    """Return a value at which arithmetic tends to fail, or one near it, possibly negative."""
    value = random.choice(NUMBERS) + random.choice([0, 0, 0, -1, 1])
    return -value if random.random() < 0.1 else value


def insert_tokens(*tokens: bytes) -> Operation:
    """Return an operation that inserts one of several byte strings, or replaces as many bytes by it."""

    def insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
        token, at = random.choice(tokens), position(random, data)
        data[at : at + random.choice([0, len(token)])] = token

    return insert


def _flip_bit(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[min(position(random, data), len(data) - 1)] ^= 1 << random.randrange(8)


def _set_byte(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        value = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
        data[min(position(random, data), len(data) - 1)] = value


def _set_integer(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    code = random.choice("HIQ")
    packed = struct.pack(f"{random.choice('<>')}{code}", number(random) % 2 ** (8 * struct.calcsize(f"<{code}")))
    at = position(random, data)
    data[at : at + len(packed)] = packed


def _set_decimal(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Replace a number that is written in digits."""
    found = list(re.finditer(rb"\d+", data[: 2**14]))
    if found:
        match = random.choice(found)
        data[match.start() : match.end()] = str(number(random)).encode()


def _truncate(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[position(random, data) :]


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = position(random, data)
    del data[at : at + random.choice([1, 2, 4, random.randrange(1, 600)])]


def _insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = position(random, data)
    data[at:at] = random.randbytes(random.choice([1, 2, 4, random.randrange(1, 200)]))


def _repeat(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = position(random, data)
    part = data[at : at + random.randrange(1, 200)]
    data[at:at] = part * random.choice([1, 2, 10, 100])


def _copy_part(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    begin, at = position(random, data), position(random, data)
    part = data[begin : begin + random.randrange(1, 64)]
    data[at : at + len(part)] = part


def _splice(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = random.choice(corpus)
    data[position(random, data) :] = other[position(random, other) :]


OPERATIONS: Sequence[Operation] = [
    *(_flip_bit, _flip_bit, _set_byte, _set_byte, _set_integer, _set_integer, _set_decimal),
    *(_truncate, _delete, _insert, _repeat, _copy_part, _splice),
]
