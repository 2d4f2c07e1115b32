import re

import pytest
from factories import REGIMES, study

from entr.analysis.answer import find_answer
from entr.analysis.answer_parts import BETTER, FASTER, answer_table
from entr.analysis.estimation import NEW_IMAGES, TARGETS, THESE_IMAGES
from entr.jobs.tables import read_table, write_table
from entr.metrics.labels import CELL
from entr.report.answer import MAX_LINES, WIDTH, answer_rows, answer_text, list_needs, read_parts


def answer_of(**changes):
    given = study(**changes)
    return find_answer(given, given.metrics[CELL].drop_duplicates().assign(seconds_wall=60.0))


def test_compact_table_has_a_row_per_question_and_rival():
    rows = answer_rows(answer_of().parts, "gradual")
    assert [(row.question, row.comparator) for row in rows] == [
        ("Is it faster?", "no-increase"),
        ("Is it as accurate?", "no-increase"),
        ("Is it better than shorter training?", "matched"),
        ("Is it better than smaller images?", "small"),
        ("Is As, the efficiency of Wanger & Frohn, higher?", "no-increase"),
    ]
    faster = rows[0]
    assert faster.change == "-25.0 % time"
    assert faster.verdicts == dict.fromkeys(TARGETS, "yes")
    assert faster.intervals[THESE_IMAGES].startswith("[-25.")


def test_change_relative_to_a_rival_is_of_accuracy_and_time():
    rows = answer_rows(answer_of().parts, "gradual")
    (rival,) = (row for row in rows if row.comparator == "matched")
    assert re.fullmatch(r"[+-]\d\.\d points, [+-]\d+\.\d % time", rival.change)


def test_untested_rival_has_no_change_and_no_interval():
    rows = [row for row in answer_rows(answer_of(regimes=REGIMES[:3]).parts, "gradual") if row.part == BETTER]
    assert {row.change for row in rows} == {""}
    assert all(set(row.intervals.values()) == {""} for row in rows)


@pytest.mark.parametrize(
    "changes", [{}, {"seeds": 1}, {"seeds": 2, "regimes": REGIMES[:3]}, {"accuracy": {"gradual": 0.7}}]
)
def test_text_for_the_terminal_is_short_and_leads_with_the_headline(changes):
    answer = answer_of(**changes)
    lines = answer_text(answer).splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).startswith(answer.headline)


def test_undecided_answer_states_the_command_that_adds_seeds():
    text = answer_text(answer_of(seeds=2))
    assert "To decide the rest: about 4 more seeds (1.0 h on this machine)" in text
    assert "    snakemake --config seeds=6\n" in text


def test_needs_of_both_targets_are_stated_once():
    parts = [part for part in answer_of(regimes=REGIMES[:3]).parts if part.leading]
    texts = [need.text for need in list_needs(parts, THESE_IMAGES, NEW_IMAGES)]
    assert texts == ["runs of the regimes matched and small or medium (add them to grid.regimes)"]


def test_answer_is_read_as_it_was_written(tmp_path):
    answer = answer_of(seeds=3)
    write_table(answer_table(answer), tmp_path / "answer.csv")
    parts = read_parts(read_table(tmp_path / "answer.csv"))
    assert [part.sentence for part in parts] == [part.sentence for part in answer.parts]
    assert [part.leading for part in parts] == [part.leading for part in answer.parts]
    assert {part.verdict for part in parts if part.part == FASTER} == {"undecided"}
