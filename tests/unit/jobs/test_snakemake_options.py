import pytest

from entr.jobs.snakemake_options import without_targets


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("all --cores 2", "--cores 2"),
        ("-c all all --config hours=2", "-c all --config hours=2"),
        ("all -c all", "-c all"),
        ("--cores 2 a b --quiet rules", "--cores 2 --quiet rules"),
        ("--config images=p hours=2 -- all", "--config images=p hours=2"),
        ("--config images=p --cores 1", "--config images=p --cores 1"),
    ],
)
def test_targets_are_removed_and_values_of_options_stay(command, options):
    assert without_targets(command.split()) == options.split()
