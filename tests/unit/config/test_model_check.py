import json

import pytest

from entr.config import model_check
from entr.jobs.errors import EntrError


@pytest.fixture
def record(tmp_path):
    return tmp_path / "new folder" / "models.json"


def test_model_for_a_single_size_is_refused_once(record, monkeypatch):
    with pytest.raises(EntrError, match=r"^grid\.models: vit_b_16 cannot be used: .*; choose a convolutional model$"):
        model_check.check_models(["resnet18", "vit_b_16"], record)
    monkeypatch.setattr(model_check, "_build", lambda names: pytest.fail(f"{names} built again"))
    with pytest.raises(EntrError, match="vit_b_16 cannot be used"):
        model_check.check_models(["vit_b_16"], record)


def test_unfamiliar_model_that_accepts_several_sizes_is_recorded_even_if_the_record_is_damaged(record):
    record.parent.mkdir()
    record.write_text("{")
    model_check.check_models(["ghostnet_100"], record)
    ((name, problem),) = json.loads(record.read_text()).items()
    assert name.startswith("ghostnet_100, torch ")
    assert problem == ""


def test_familiar_models_are_not_built(record):
    model_check.check_models(
        ["resnet18", "tf_efficientnet_lite0", "efficientnet_b0", "mixnet_s", "test_resnet"], record
    )
    assert not record.exists()
