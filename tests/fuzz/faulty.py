"""A target with faults, to test that they are found: each input is the name of one."""

import os
from pathlib import Path

from fuzz.target import Target

from entr.jobs.errors import EntrError

MEMORY = 2**26


def read(data: bytes, folder: Path) -> bool:
    match data.decode():
        case "accepted":
            return True
        case "refused":
            raise EntrError("refused")
        case "traceback":
            raise KeyError(data)
        case "several lines":
            raise EntrError("refused\nbecause")
        case "hang":
            while True:
                pass
        case "crash":
            os.abort()
        case "memory":
            bytearray(2 * MEMORY)
        case "large file":
            with open(folder / "large", "wb") as file:
                file.truncate(2**30)
        case "new file outside":
            (folder.parent / "escaped").write_text("")
        case "changed file outside":
            (folder.parent / "sentinel").write_text("changed")
        case "file in the working directory":
            Path("escaped").write_text("")
    return True


TARGET = Target(
    name="faulty",
    title="faults",
    make_corpus=lambda: [b"accepted"],
    read=read,
    inputs=0,
    quick_inputs=0,
    memory=MEMORY,
    seconds=2,
)
