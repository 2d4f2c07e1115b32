"""Training steps never wait for the device.

The device `meta` of torch stands for the GPU that is missing here: its tensors have shapes but no values, so that every
operation for which the host would have to wait (`item`, `cpu`, `tolist`, `bool`) raises an error.
"""

import pytest
import torch
from fastai.callback.core import Callback
from packed import packed_gradients
from torch.utils._python_dispatch import TorchDispatchMode

from entr.config.regimes import Regime
from entr.config.training import Phase, Training
from entr.config.training_plan import Plan
from entr.metrics.cell_metrics import Cell
from entr.training.clock import Clock
from entr.training.trainer import Trainer

STEPS = 4
TRAINING = Training(
    phases={"frozen": Phase(), "unfrozen": Phase(layers="all")},
    schedule=("frozen", "unfrozen"),
    subtotal_after="frozen",
    batch_size=8,
    device="cpu",
)


class CopyCounter(TorchDispatchMode):
    """Counter of copies from the host to the device, which wait for the device unless memory is pinned."""

    def __init__(self):
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in {torch.ops.aten._to_copy, torch.ops.aten.copy_}:
            self.copies += len({value.device for value in (*args, result) if isinstance(value, torch.Tensor)}) > 1
        return result


class EpochIsOverError(Exception):
    pass


class StopAfterSteps(Callback):
    """Recorder of the copies at the end of each step; it stops before the epoch is evaluated."""

    order = 1000  # after other callbacks

    def __init__(self, counter):
        self.counter, self.copies = counter, []

    def after_batch(self):
        self.copies.append(self.counter.copies)
        if self.iter == self.n_iter - 1:
            raise EpochIsOverError("stop")


@pytest.mark.parametrize(
    ("phase", "pieces", "shapes"), [("frozen", 1, [(60, 60)]), ("unfrozen", 2, [(60, 60), (60, 40)])]
)
def test_training_steps_neither_read_from_the_device_nor_copy_to_it(phase, pieces, shapes, monkeypatch):
    monkeypatch.setattr(Trainer, "_find_learning_rate", lambda *_: 0.01)
    packed = packed_gradients(shapes * (12 * STEPS // len(shapes)))
    plan = Plan.of(
        TRAINING.model_copy(update={"gradient_accumulation": pieces}),
        Regime(frozen=40, unfrozen=40, tta=40),
        pretrained=True,
    )
    cell = Cell(dataset="gradients", model="resnet18", regime="r", seed=0, weights="none")
    trainer = Trainer(cell, plan, packed, None, Clock(torch.device("meta")))
    counter = CopyCounter()
    stop = StopAfterSteps(counter)
    trainer.learner.add_cb(stop)
    with counter, pytest.raises(EpochIsOverError):
        trainer.train(next(one for one in plan.phases if one.phase == phase))
    assert len(stop.copies) == STEPS * pieces
    assert stop.copies[-1] == stop.copies[0]
