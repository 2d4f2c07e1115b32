"""Damaged inputs of every kind that comes from outside are accepted, or refused with one clear error."""

import pytest
from fuzz import campaign, document, targets

from entr.jobs.tables import read_table

SEARCHED_INPUTS = 60
STATED_INPUTS = 100_000
"""Least number of inputs that `make test-slow` reads."""


def check(name, count):
    result = campaign.run(name, 0, count)
    assert not result.findings, result.report()
    assert result.tried == count
    # otherwise nothing, or everything, would be too damaged to reach most of the code
    assert 0 < result.accepted < count


@pytest.mark.parametrize("name", targets.NAMES)
def test_damaged_input_is_accepted_or_refused_with_one_clear_error(name):
    check(name, targets.load(name).quick_inputs)


@pytest.mark.parametrize("name", targets.NAMES)
def test_hypothesis_finds_no_damage_that_reveals_a_fault(name):
    result = campaign.search(name, SEARCHED_INPUTS)
    assert not result.findings, result.report()
    assert 0 < result.accepted < result.tried >= SEARCHED_INPUTS


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.NAMES)
def test_many_damaged_inputs_are_accepted_or_refused_with_one_clear_error(name):
    check(name, targets.load(name).inputs)


@pytest.mark.parametrize("name", sorted(folder.name for folder in campaign.REGRESSIONS.iterdir()))
def test_input_that_once_revealed_a_fault_reveals_none(name):
    files = sorted((campaign.REGRESSIONS / name).glob("*"))
    result = campaign.run_files(name, files)
    assert not result.findings, [(files[number].name, problem) for number, problem in result.findings]
    assert result.tried == len(files) > 0


def test_many_inputs_are_read():
    assert sum(targets.load(name).inputs for name in targets.NAMES) >= STATED_INPUTS


def test_input_is_the_same_each_time():
    images = targets.load("images")
    assert images.input(3) == images.input(3) != images.input(4)


FAULTS = {
    "traceback": "KeyError: b'traceback'",
    "several lines": "message of several lines",
    "hang": "Timeout (0:00:02)!",
    "crash": "the process ended with -6",
    "memory": "MemoryError",
    "large file": "File too large",
    "new file outside": "written outside its folder: ",
    "changed file outside": "written outside its folder: ",
    "file in the working directory": "written outside its folder: ",
}


@pytest.mark.parametrize(("fault", "problem"), FAULTS.items())
def test_fault_is_found_and_attributed_to_its_input(tmp_path, fault, problem):
    files = [tmp_path / str(position) for position in range(3)]
    for file, content in zip(files, ("accepted", fault, "refused"), strict=True):
        file.write_text(content)
    (number, found), *others = campaign.run_files("faulty", files).findings
    assert (number, others) == (1, [])
    assert problem in found


def test_documentation_is_up_to_date_with_the_figures_of_the_run(tmp_path):
    page = tmp_path / "robustness.md"
    page.write_text(document.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    document.update_page(page)
    assert page.read_text(encoding="utf-8") == document.PAGE.read_text(encoding="utf-8")
    rows = read_table(document.TABLE)
    assert rows["target"].tolist() == list(targets.NAMES)
    assert rows["inputs"].sum() >= STATED_INPUTS


def test_hypothesis_reduces_the_damage_that_reveals_a_fault():
    """Most damage to the name of a fault gives an unknown one, which is accepted; the least is that of one byte."""
    result = campaign.search("faulty", 500)
    (_, problem), *others = result.findings
    assert others == []
    assert "UnicodeDecodeError" in problem
