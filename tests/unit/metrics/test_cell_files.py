import json
import re

import pytest
from factories import flip_bit, metrics, write_metrics_file
from hypothesis import given
from hypothesis import strategies as st

from entr.jobs.errors import EntrError
from entr.jobs.files import sha256
from entr.metrics.cell_files import read_content, read_metrics, unrecorded_files, verify_files
from entr.metrics.cell_metrics import Metrics

CELL = "cells/ucm/resnet18/gradual/seed0"
HISTORY = "epoch,accuracy\n1,0.5\n2,0.25\n"
LENGTH = len(metrics("gradual", 0).to_json())


@pytest.fixture
def cell(tmp_path):
    """The directory of a cell with its metrics and one table."""
    folder = tmp_path / CELL
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text(HISTORY)
    checksums = {"history.csv": sha256(folder / "history.csv")}
    written = metrics("gradual", 0).model_copy(update={"checksums": checksums})
    (folder / "metrics.json").write_text(written.to_json())
    return folder


def test_intact_files_are_read(cell):
    verify_files([cell / "history.csv", cell / "metrics.json"])
    read = read_metrics(cell / "metrics.json")
    assert read.model_copy(update={"checksums": {}}) == metrics("gradual", 0)
    assert set(read.checksums) == {"history.csv", "metrics.json"}


@pytest.mark.parametrize("position", range(len(HISTORY)))
def test_flipped_bit_anywhere_in_a_table_is_named(cell, position):
    flip_bit(cell / "history.csv", position)
    with pytest.raises(EntrError) as raised:
        verify_files([cell / "history.csv"])
    assert str(raised.value) == (
        f"{cell}/history.csv is damaged (its content does not match the checksum in metrics.json); restore it from a "
        f"copy, or delete the directory {cell} and run again: only that cell is retrained"
    )


def content_of(path):
    """Return the content of a JSON file, or None if it is not one."""
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


@given(st.integers(0, LENGTH - 1), st.integers(0, 7))
def test_flipped_bit_in_the_metrics_is_named_unless_it_is_layout(cell, position, bit):
    path = cell / "metrics.json"
    content = content_of(path)
    restore = flip_bit(path, position, bit)
    try:
        if content_of(path) == content:
            read_metrics(path)
        else:
            with pytest.raises(EntrError, match=rf"^{path} is damaged \(.*delete the directory {cell} and run again"):
                read_metrics(path)
    finally:
        restore()


@pytest.mark.parametrize("pattern", [r'"accuracy": 0\.\d', r'"full_size": \d', r'"history\.csv": "[0-9a-f]'])
def test_changed_digit_in_the_metrics_is_not_blamed_on_another_file(cell, pattern):
    path = cell / "metrics.json"
    flip_bit(path, re.search(pattern, path.read_text()).end() - 1)
    json.loads(path.read_text())
    for read in (lambda: read_metrics(path), lambda: read_content(path), lambda: verify_files([cell / "history.csv"])):
        with pytest.raises(EntrError, match=re.escape(f"{path} is damaged (its content does not match the checksum")):
            read()


def test_checksum_of_the_metrics_is_independent_of_the_layout(cell):
    path = cell / "metrics.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_metrics(path).regime == "gradual"


@pytest.mark.parametrize("name", ["history.csv", "metrics.json"])
def test_missing_file_is_named(cell, name):
    (cell / name).unlink()
    with pytest.raises(EntrError, match=re.escape(f"{cell / name} is damaged (it is missing); restore it from a copy")):
        verify_files([cell / "history.csv"])


@pytest.mark.parametrize("content", ["[]", '{"checksums": 1}', '{"checksums": {}}', "{", ""])
def test_file_that_is_not_a_metrics_file_is_an_error(cell, content):
    (cell / "metrics.json").write_text(content)
    with pytest.raises(EntrError, match=r"metrics\.json is damaged \("):
        read_content(cell / "metrics.json")


def test_files_of_a_version_without_checksums_are_never_skipped_silently(cell):
    old = json.loads(metrics("gradual", 0).model_dump_json(exclude={"checksums"}))
    (cell / "metrics.json").write_text(json.dumps(old))
    assert unrecorded_files([cell / "history.csv"]) == [cell / "history.csv"]
    assert read_content(cell / "metrics.json") == old
    with pytest.raises(
        EntrError, match=r"history\.csv cannot be verified, because metrics\.json beside it is from an ear"
    ):
        verify_files([cell / "history.csv"])
    with pytest.raises(EntrError, match=r"metrics\.json is damaged \(checksums: Field required\)"):
        read_metrics(cell / "metrics.json")


def test_file_without_a_recorded_checksum_is_reported(cell):
    (cell / "notes.csv").touch()
    assert unrecorded_files([cell / "history.csv", cell / "notes.csv"]) == [cell / "notes.csv"]


def test_written_text_is_what_pydantic_reads(tmp_path):
    written = metrics("no-increase", 3)
    (tmp_path / "metrics.json").write_text(written.to_json())
    read = Metrics.model_validate_json((tmp_path / "metrics.json").read_bytes())
    assert read.model_copy(update={"checksums": {}}) == written
    write_metrics_file(tmp_path, written)
    assert read_metrics(tmp_path / "metrics.json") == read
