import numpy as np
import pandas as pd
import pytest

from entr.jobs.errors import EntrError
from entr.jobs.tables import read_columns, read_table, write_table

CELL = "results/cells/ucm/resnet18/gradual/seed0"


@pytest.mark.parametrize("name", ["nan", "null", "NA", "None", "01", "1e5", "True", "", " spaces ", 'quo"te', "a,b"])
def test_class_keeps_its_name_whatever_it_looks_like(tmp_path, name):
    table = pd.DataFrame({"dataset": [name], "label": [name], "predicted": ["x"], "seed": [0]})
    write_table(table, tmp_path / "table.csv")
    read = read_table(tmp_path / "table.csv")
    assert read.loc[0, ["dataset", "label"]].tolist() == [name, name]


def test_empty_field_is_missing_only_in_columns_of_numbers(tmp_path):
    (tmp_path / "table.csv").write_text("metric,time_basis,value,n\naccuracy,,0.5,3\ntime,training,,\n")
    table = read_table(tmp_path / "table.csv")
    assert table["time_basis"].tolist() == ["", "training"]
    assert table["value"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert table["n"].tolist() == pytest.approx([3, np.nan], nan_ok=True)


def test_numbers_and_truth_values_survive_the_round_trip(tmp_path):
    table = pd.DataFrame({"seed": [0, 1], "value": [0.1 + 0.2, -1e-300], "validation": [True, False]})
    write_table(table, tmp_path / "new" / "table.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "new" / "table.csv"), table, check_exact=True)


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame(columns=["dataset", "value"])])
def test_table_without_rows_keeps_its_columns(tmp_path, table):
    write_table(table, tmp_path / "table.csv")
    read = read_table(tmp_path / "table.csv")
    assert (list(read.columns), len(read)) == (list(table.columns), 0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"epoch,accuracy\n1,0.5\n2,0.2", "its last line is truncated"),
        (b"stage,size\n1,2,3\n4\n5,6,7,8\n", "Error tokenizing"),
        (b"stage,size\n\xff\xfe,1\n", "codec can't decode"),
    ],
)
@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (
            f"{CELL}/history.csv",
            f"restore it from a copy, or delete the directory {CELL} and run again: only that cell is retrained",
        ),
        ("results/inference/resnet18.csv", "delete it and run again"),
        ("cells/results/tables/effects.csv", "delete it and run again"),
    ],
)
def test_damaged_table_is_an_error_with_the_remedy(tmp_path, monkeypatch, content, problem, path, remedy):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(EntrError) as raised:
        read_table(path)
    assert str(raised.value).startswith(f"{path} is damaged (")
    assert problem in str(raised.value)
    assert str(raised.value).endswith(f"); {remedy}")
    assert "\n" not in str(raised.value)


def test_failed_write_keeps_the_previous_table(tmp_path):
    write_table(pd.DataFrame({"seed": [1]}), tmp_path / "table.csv")
    with pytest.raises(AttributeError):
        write_table(None, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv")["seed"].tolist() == [1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("image,height\na.png,3\n", "the column validation is missing"),
        ("image,height,validation\n", "it has no rows"),
        ("image,height,validation\na.png,tall,True\n", "a value in the column height is not a number of 0 or more"),
        ("image,height,validation\na.png,,True\n", "a value in the column height is not a number of 0 or more"),
        ("image,height,validation\na.png,-3,True\n", "a value in the column height is not a number of 0 or more"),
        ("image,height,validation\na.png,1.5,True\n", "a value in the column height is not a number of 0 or more"),
        ("image,height,validation\na.png,3,1\n", "a value in the column validation is not True or False"),
        ("height,validation,image\n3,True\n", "a value in the column image is not text"),
    ],
)
def test_table_without_the_columns_that_are_used_is_damaged(tmp_path, content, problem):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(EntrError, match=rf"table\.csv is damaged \({problem}\); delete it and run again"):
        read_columns(tmp_path / "table.csv", image=str, height=int, validation=bool)


def test_table_with_the_columns_that_are_used_is_returned_with_all_columns(tmp_path):
    table = pd.DataFrame({"image": ["1", "nan"], "height": [0, 3], "validation": [True, False], "note": ["", "x"]})
    write_table(table, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read_columns(tmp_path / "table.csv", image=str, height=int, validation=bool), table)
