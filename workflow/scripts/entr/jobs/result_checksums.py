"""Checksums of all results, by which a file that was changed after its job is found before it misleads.

The main process records the outputs of each finished job in one file and verifies them whenever the workflow starts.
A file is hashed again only if its size or modification time differs from the recorded one.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from snakemake_interface_logger_plugins.common import LogEvent

from entr.jobs.errors import EntrError
from entr.jobs.files import atomic_write, sha256

log = logging.getLogger(__name__)

CHECKSUMS = "results/checksums.jsonl"
TIMESTAMP = ".snakemake_timestamp"
"""What Snakemake writes into a directory that is an output."""
EDITABLE = "README.md"
"""Results that people edit: the card of a model and the paper."""
MAX_NAMED = 10
"""Changed files that an error names."""


class Recorded(NamedTuple):
    """What is recorded of a file."""

    size: int
    """In bytes."""
    modified: int
    """Modification time in nanoseconds since 1970."""
    sha256: str

    @classmethod
    def of(cls, path: Path, checksum: str | None = None) -> "Recorded":
        """Return what is to be recorded of a file; it is hashed unless its checksum is given."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, checksum or sha256(path))


class ResultChecksums:
    """A file with the size, modification time and SHA-256 of each result, one JSON array per line.

    Lines are appended, and later ones replace earlier ones. A line with a name alone means that the file, or each file
    of the directory, is being made again. Invalid lines are ignored.

    Parameters
    ----------
    path : path
        The file. It need not exist.
    """

    def __init__(self, path: str | Path = CHECKSUMS) -> None:
        self.path = Path(path)

    def read(self) -> dict[str, Recorded]:
        """Return the recorded files by name."""
        if not self.path.exists():
            return {}
        files: dict[str, tuple[int, Recorded]] = {}
        forgotten: dict[str, int] = {}
        for number, line in enumerate(self.path.read_bytes().splitlines()):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            match row:
                case [str(name)]:
                    forgotten[name] = number
                case [str(name), int(size), int(modified), str(checksum)]:
                    files[name] = number, Recorded(size, modified, checksum)

        def is_valid(name: str, number: int) -> bool:
            return all(forgotten.get(str(path), -1) < number for path in (name, *Path(name).parents))

        return {name: recorded for name, (number, recorded) in files.items() if is_valid(name, number)}

    def forget(self, outputs: Iterable[str]) -> None:
        """Note that files, or all files of directories, are about to be made again."""
        self._append([output] for output in outputs)

    def add(self, outputs: Iterable[str]) -> None:
        """Record files, and all files of directories."""
        self._append([str(path), *Recorded.of(path)] for path in _files(outputs))

    def verify(self) -> None:
        """Compare all recorded files that exist with their checksums.

        Raises
        ------
        EntrError
            If the content of a file has changed.
        """
        changed = [
            name
            for name, recorded in self.read().items()
            if Path(name).name != EDITABLE and not _is_unchanged(Path(name), recorded)
        ]
        if not changed:
            return
        several = len(changed) > 1
        named = ", ".join(changed[:MAX_NAMED]) + (f" and {len(changed) - MAX_NAMED} more" * (len(changed) > MAX_NAMED))
        outputs = list(dict.fromkeys(map(_output_of, changed[:MAX_NAMED])))
        to_delete = ("them" if several else "it") if outputs == changed else ", ".join(outputs)
        raise EntrError(
            f"{named} {'were' if several else 'was'} changed after the job that wrote "
            f"{'them' if several else 'it'}: the content does not match the checksum in {self.path}; "
            f"restore {'the files' if several else 'the file'}, or delete {to_delete} and run again"
        )

    def compact(self) -> None:
        """Rewrite the file with one row per existing file. Call this only while Snakemake's lock is held.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if not self.path.exists():
            return
        with atomic_write(self.path) as file:
            for name, recorded in self.read().items():
                if Path(name).is_file():
                    print(json.dumps([name, *Recorded.of(Path(name), recorded.sha256)]), file=file)

    def _append(self, rows: Iterable[list[str | int]]) -> None:
        rows = list(rows)
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="ascii") as file:
            for row in rows:
                # the last line may be incomplete, if the disk was full
                print(file=file)
                file.write(json.dumps(row))


class ResultChecksumsHandler(logging.Handler):
    """Handler of Snakemake's log events that records the outputs of finished jobs.

    Parameters
    ----------
    record : ResultChecksums
        Where they are recorded.
    """

    def __init__(self, record: ResultChecksums) -> None:
        super().__init__(logging.INFO)
        self.record = record
        self.outputs: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Forget the outputs of a job that starts, and record those of one that has finished."""
        event, values = getattr(record, "event", None), vars(record)
        try:
            if event == LogEvent.JOB_INFO:
                self.outputs[values["jobid"]] = outputs = [str(path) for path in values.get("output") or ()]
                self.record.forget(outputs)
            elif event == LogEvent.JOB_FINISHED:
                self.record.add(self.outputs.pop(values["job_id"], ()))
        except OSError as error:
            # the job itself meets the same full or read-only disk, and Snakemake reports that
            log.warning("the checksums of results could not be recorded in %s: %s", self.record.path, error)


def _files(outputs: Iterable[str]) -> Iterator[Path]:
    """Yield files, and the files of directories; links lead to files that are not ours."""
    for output in map(Path, outputs):
        for path in sorted(output.rglob("*")) if output.is_dir() else [output]:
            if path.is_file() and not path.is_symlink() and path.name != TIMESTAMP:
                yield path


def _output_of(name: str) -> str:
    """Return the directory that a job wrote as a whole, if a file is in one; otherwise the file."""
    return next((str(folder) for folder in Path(name).parents if (folder / TIMESTAMP).exists()), name)


def _is_unchanged(path: Path, recorded: Recorded) -> bool:
    try:
        status = path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) == recorded[:2] or sha256(path) == recorded.sha256
