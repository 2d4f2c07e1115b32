"""The comparison of schedules in the docs, and the archived cells that it is made from."""

import pytest
from schedule_comparison import ARCHIVES, PAGE, SECTION, configuration, section

from entr.config_reference import with_section
from entr.metrics.cell_files import verify_files
from entr.report.archived_cells import check_cells


@pytest.mark.parametrize("match", ARCHIVES)
def test_archived_cells_are_complete_and_undamaged(match):
    check_cells(ARCHIVES[match], configuration(match))
    verify_files(path for path in ARCHIVES[match].glob("cells/**/*") if path.is_file())


def test_tables_are_made_from_the_archived_cells():
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_section(text, SECTION, section(), "schedules"), "run `make schedules`"
