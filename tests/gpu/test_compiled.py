"""Compiled training steps in each mode, at all image sizes of a regime."""

import numpy as np
import pytest
from gpu.cells import make_plan, phases_of_length, train
from torch._dynamo.utils import counters

pytestmark = pytest.mark.needs_gpu


@pytest.fixture(scope="module")
def eager_history(scale, files, tmp_path_factory):
    """Return the history of a cell that is not compiled."""
    return train("resnet18", _stepwise_plan(scale), files, tmp_path_factory.mktemp("eager") / "cell").table("history")


def _stepwise_plan(scale, **settings):
    """Return a plan with the smallest and the largest image size in each phase, as in the regime `stepwise`."""
    return make_plan(scale, (scale.sizes[0], scale.sizes[-1]), phases_of_length(2), **settings)


@pytest.mark.time_limit(240)
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compilation_is_not_part_of_the_measured_training_time(
    mode, scale, files, eager_history, tmp_path, record_finding, record_property
):
    counters.clear()
    cell = train("resnet18", _stepwise_plan(scale, compile_mode=mode), files, tmp_path / "cell")
    history = cell.table("history")
    for eager, compiled in zip(eager_history.itertuples(), history.itertuples(), strict=True):
        row = {
            "model": "resnet18",
            "mode": mode,
            "layers": compiled.layers,
            "size (px)": compiled.size,
            "images/s": round(compiled.images_per_second),
            "eager images/s": round(eager.images_per_second),
            "speed-up": round(compiled.images_per_second / eager.images_per_second, 2),
        }
        record_property("compile", row)
    graph_breaks = sum(counters["graph_break"].values())
    record_finding(f"learning-rate finder with compilation {cell.metrics.seconds.lr_finder:.0f} s")
    record_finding(f"{graph_breaks} graph breaks")
    assert np.isfinite(history["training_loss"]).all()
    assert (history["training_seconds"] < 1.5 * eager_history["training_seconds"] + 0.2).all()
    assert graph_breaks == 0
