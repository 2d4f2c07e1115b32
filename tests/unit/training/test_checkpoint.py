import re

import numpy as np
import pytest

from entr.training import checkpoint as module
from entr.training.cell_state import CellState
from entr.training.checkpoint import Checkpoint, read_records

WEIGHTS = {"a/weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3)}
STATE = CellState(
    phases_finished=2,
    history=[{"loss": 0.1, "phase": "sgdr"}],
    passes={24: 96},
    image_passes={"sub-total": {24: 96}},
    seconds={"training": 1 / 3},
)
IDENTITY = {"configuration": "1", "code": "2"}


@pytest.fixture
def checkpoint(tmp_path):
    saved = Checkpoint(tmp_path / "saved" / "checkpoint.npz", IDENTITY)
    saved.save(STATE, WEIGHTS)
    return saved


def test_checkpoint_round_trip(checkpoint):
    state, weights = checkpoint.load()
    assert state == STATE
    assert weights.keys() == WEIGHTS.keys()
    assert all(
        np.array_equal(weights[name], WEIGHTS[name]) and weights[name].dtype == WEIGHTS[name].dtype for name in WEIGHTS
    )
    assert read_records(checkpoint.path)["history"] == STATE.history


def test_missing_checkpoint_is_nothing_to_resume_from(tmp_path):
    assert Checkpoint(tmp_path / "nothing.npz", {}).load() is None
    assert read_records(tmp_path / "nothing.npz") is None


@pytest.mark.parametrize(
    "fault", ["truncated", "empty", "a byte changed", "a header changed", "not an archive", "pickled"]
)
def test_damaged_checkpoint_is_ignored_with_a_warning(checkpoint, caplog, fault):
    content = checkpoint.path.read_bytes()
    position = content.index(WEIGHTS["a/weight"].tobytes())
    broken = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "a byte changed": content[:position] + b"\xff" + content[position + 1 :],
        # the flag of encryption of each member, in the directory of the archive
        "a header changed": re.sub(rb"(?s)(PK\x01\x02.{4})\x00", lambda match: match[1] + b"\x01", content),
        "not an archive": b"x" * 99,
    }
    if fault == "pickled":
        np.savez(checkpoint.path, identity=np.array([{}], dtype=object), state=np.array(0))
    else:
        checkpoint.path.write_bytes(broken[fault])
    assert checkpoint.load() is None
    assert "is damaged" in caplog.text


def test_checkpoint_of_another_configuration_is_ignored_with_a_warning(checkpoint, caplog):
    assert Checkpoint(checkpoint.path, IDENTITY | {"configuration": "3"}).load() is None
    assert "was written with different configuration; starting from scratch" in caplog.text


def test_checkpoint_that_cannot_be_written_leaves_the_previous_one(checkpoint, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(CellState(), {})
    assert checkpoint.load()[0] == STATE
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.npz"]
