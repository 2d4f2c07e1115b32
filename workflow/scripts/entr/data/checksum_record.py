"""Checksums of downloads without a configured one: recorded at the first download, required of every later one."""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from entr.config.download_settings import redact_url
from entr.jobs.tables import damaged_file, read_table, write_table

log = logging.getLogger("entr")

COLUMNS = ["source", "key", "sha256"]
"""URL without secrets or other name of a source, the SHA-256 of the whole name, and the SHA-256 of the file."""
SHA256 = re.compile("[0-9a-f]{64}")


class ChecksumRecord:
    """The recorded checksums of the files of a dataset or model, in a CSV file outside of the results.

    Parameters
    ----------
    path : path
        The CSV file, which need not exist.

    Raises
    ------
    EntrError
        If the file is not a table of checksums.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._table = _read(self.path)
        self._by_key = dict(zip(self._table["key"], self._table["sha256"], strict=True))

    def find(self, sources: Iterable[str]) -> str | None:
        """Return the SHA-256 recorded for the first source that has one, or None.

        Parameters
        ----------
        sources : iterable of str
            URLs or other names of the same file.
        """
        found = (self._by_key.get(_key(source)) for source in sources)
        return next((checksum for checksum in found if checksum), None)

    def remedy(self, setting: str) -> str:
        """Return what to do about a file with another checksum.

        Parameters
        ----------
        setting : str
            What sets the checksum, which then is the only one that counts.
        """
        return (
            f"the expected SHA-256 is that of the first download, recorded in {self.path}; to accept the new file, set "
            f"{setting}, or delete its row there"
        )

    def add(self, checksums: Mapping[str, str]) -> None:
        """Record the checksums of sources that have none yet.

        Parameters
        ----------
        checksums : mapping of str to str
            SHA-256 in hexadecimal by source.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        rows = pd.DataFrame(
            [[_without_secrets(source), _key(source), checksum] for source, checksum in checksums.items()],
            columns=COLUMNS,
        )
        new = rows[~rows["key"].isin(self._by_key)]
        if new.empty:
            return
        self._table = pd.concat([self._table, new], ignore_index=True)
        self._by_key |= dict(zip(new["key"], new["sha256"], strict=True))
        write_table(self._table, self.path)
        log.info("%d checksums recorded in %s; later downloads have to match them", len(new), self.path)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = read_table(path)
    if list(table.columns) != COLUMNS:
        raise damaged_file(path, f"its columns are not {', '.join(COLUMNS)}")
    for checksum in table["sha256"]:
        if not SHA256.fullmatch(checksum):
            raise damaged_file(path, f"{checksum!r} is not a SHA-256")
    return table


def _key(source: str) -> str:
    """Return a digest that identifies a source without its secrets."""
    return hashlib.sha256(source.encode()).hexdigest()


def _without_secrets(source: str) -> str:
    return redact_url(source) if "://" in source else source
