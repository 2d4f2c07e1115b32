"""Files of recorded checksums that a user has edited or a disk has damaged."""

import pytest

from entr.data.checksum_record import ChecksumRecord
from entr.jobs.errors import EntrError

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checksums" / "datasets" / "mine.csv"


def test_missing_record_is_empty(path):
    assert ChecksumRecord(path).find(["http://h/a.zip"]) is None


def test_first_checksum_of_a_source_is_kept(path):
    ChecksumRecord(path).add({"http://h/a.zip": ONE})
    ChecksumRecord(path).add({"http://h/a.zip": TWO, "timm/model/file": TWO})
    assert ChecksumRecord(path).find(["http://h/a.zip"]) == ONE
    assert ChecksumRecord(path).find(["http://other", "timm/model/file"]) == TWO


def test_row_that_a_user_deletes_is_forgotten(path):
    ChecksumRecord(path).add({"http://h/a.zip": ONE})
    path.write_text(path.read_text().splitlines()[0] + "\n")
    record = ChecksumRecord(path)
    assert record.find(["http://h/a.zip"]) is None
    record.add({"http://h/a.zip": TWO})
    assert ChecksumRecord(path).find(["http://h/a.zip"]) == TWO


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty"),
        ("source,key,sha256\nhttp://h/a,0,11", "its last line is truncated"),
        ("source,sha256\nhttp://h/a,11\n", "its columns are not source, key, sha256"),
        ("source,key,sha256\nhttp://h/a,0,11\n", "'11' is not a SHA-256"),
    ],
)
def test_damaged_record_is_an_error_and_never_ignored(path, content, problem):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(EntrError, match=rf"mine\.csv is damaged \({problem}\); delete it and run again"):
        ChecksumRecord(path)


def test_checksums_that_look_like_numbers_stay_text(path):
    numbers = {"http://h/a": "0" * 64, "http://h/b": f"1e{'5' * 62}"}
    ChecksumRecord(path).add(numbers)
    assert {source: ChecksumRecord(path).find([source]) for source in numbers} == numbers
