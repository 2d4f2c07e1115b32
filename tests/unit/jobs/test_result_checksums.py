import logging
import os

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from entr.jobs.errors import EntrError
from entr.jobs.result_checksums import TIMESTAMP, ResultChecksums, ResultChecksumsHandler


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A record of a table and of a directory with two images."""
    monkeypatch.chdir(tmp_path)
    for name in ("table.csv", "images/a.png", "images/b.png"):
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    made = ResultChecksums()
    made.add(["results/table.csv", "results/images"])
    return made


def test_changed_file_is_named_and_a_touched_one_is_not(record, tmp_path):
    (tmp_path / "results/table.csv").touch()
    record.verify()
    (tmp_path / "results/images/b.png").write_text("CONTENT of images/b.png")
    with pytest.raises(EntrError, match=r"^results/images/b\.png was changed .* or delete it and run again$"):
        record.verify()


def test_error_for_a_changed_file_names_the_output_directory_to_delete(record, tmp_path):
    (tmp_path / "results/images" / TIMESTAMP).touch()
    (tmp_path / "results/images/b.png").write_text("CONTENT of images/b.png")
    with pytest.raises(
        EntrError, match=r"^results/images/b\.png was changed .* or delete results/images and run again$"
    ):
        record.verify()


def test_edited_readme_is_accepted(record, tmp_path):
    card = tmp_path / "results/README.md"
    card.write_text("license: unknown")
    record.add(["results/README.md"])
    card.write_text("license: mit")
    record.verify()


def test_deleted_file_is_left_to_snakemake(record, tmp_path):
    (tmp_path / "results/table.csv").unlink()
    record.verify()


def test_error_names_ten_files_and_counts_the_others(record, tmp_path):
    names = [f"results/{number:02}.csv" for number in range(12)]
    for name in names:
        (tmp_path / name).write_text("1")
    record.add(names)
    for name in names:
        (tmp_path / name).write_text("2")
    with pytest.raises(EntrError, match=r"results/09\.csv and 2 more were changed"):
        record.verify()


def test_unchanged_files_are_not_read_again(record, monkeypatch):
    monkeypatch.setattr("entr.jobs.result_checksums.sha256", lambda path: pytest.fail(f"{path} was read"))
    record.verify()
    record.compact()
    record.verify()


@pytest.mark.parametrize("outputs", [["results/table.csv", "results/images/a.png"], ["results"]])
def test_output_of_a_job_that_did_not_finish_may_change(record, tmp_path, outputs):
    record.forget(outputs)
    for name in ("table.csv", "images/a.png"):
        (tmp_path / "results" / name).write_text("new")
    record.verify()
    record.add(["results/table.csv"])
    (tmp_path / "results/table.csv").write_text("other")
    with pytest.raises(EntrError, match=r"table\.csv"):
        record.verify()


def test_incomplete_and_damaged_lines_are_ignored(record):
    before = record.read()
    content = record.path.read_bytes()
    record.path.write_bytes(content[:-20])
    record.add(["results/images/b.png"])
    assert record.read() == before
    record.path.write_bytes(content.replace(b"[", b"\xff", 1))
    assert len(record.read()) == len(before) - 1


def test_compaction_keeps_one_line_per_existing_file(record, tmp_path):
    record.add(["results/table.csv", "results/table.csv"])
    (tmp_path / "results/images/a.png").unlink()
    expected = {name: one for name, one in record.read().items() if "a.png" not in name}
    record.compact()
    assert record.read() == expected
    assert len(record.path.read_text().splitlines()) == len(expected) == 2


def test_names_of_any_bytes_are_recorded(record, tmp_path):
    name = os.fsdecode(b"results/\xff\n\xc3\xa9.csv")
    (tmp_path / name).write_text("1")
    record.add([name])
    record.compact()
    (tmp_path / name).write_text("2")
    with pytest.raises(EntrError):
        record.verify()


def test_links_are_not_followed(record, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_text("1")
    (tmp_path / "results/photos").mkdir()
    (tmp_path / "results/photos/link.jpg").symlink_to(photo)
    record.add(["results/photos"])
    photo.write_text("2")
    record.verify()


def test_outputs_are_recorded_when_a_job_finishes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = ResultChecksums()
    handler = ResultChecksumsHandler(record)

    def emit(**values):
        handler.emit(logging.makeLogRecord(values))

    emit(event=LogEvent.JOB_INFO, jobid=2, output=None)
    emit(event=LogEvent.JOB_FINISHED, job_id=2)
    assert not record.path.exists()
    emit(event=LogEvent.JOB_INFO, jobid=3, output=["results/a.csv"])
    (tmp_path / "results/a.csv").write_text("1")
    assert record.read() == {}
    emit(event=LogEvent.JOB_FINISHED, job_id=3)
    assert list(record.read()) == ["results/a.csv"]
    emit(event=LogEvent.JOB_INFO, jobid=4, output=["results/a.csv"])
    assert record.read() == {}
