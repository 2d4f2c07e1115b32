"""Numerical agreement of GPU and CPU, in each precision, and reproducibility of deterministic cells."""

import time

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from gpu.cells import EXACT_FLOAT32, PHASES, CellHarness, FinishedCell, has_checkpoint, make_plan, start_training, train
from gpu.steps import TrainingTimer
from safetensors.torch import load_file

from entr.config.training import Augmentation, Phase
from entr.training.augmentation import AugmentationParams
from entr.training.resize import PackedImages, resize_images

CPU = torch.device("cpu")
ROWS = np.arange(32)
"""Rows of the images that are compared."""


def test_resizing_and_augmentation_agree_with_the_cpu(device, mixed_shape_files, size, record_finding):
    packed = PackedImages.open(**mixed_shape_files).subset(ROWS)
    on_cpu, on_device = (resize_images(packed.to(place), size, "crop", place) for place in (CPU, device))
    grey_levels = (on_cpu.pixels.int() - on_device.pixels.cpu().int()).abs()
    assert grey_levels.max() <= 1
    torch.manual_seed(0)
    params = AugmentationParams.draw(Augmentation(), len(ROWS))
    squares = on_cpu.crop(torch.from_numpy(ROWS), params.corners)
    difference = (params.apply(squares) - params.to(device).apply(squares.to(device)).cpu()).abs()
    assert difference.max() < 0.05
    assert difference.mean() < 1e-4
    record_finding(f"fraction of pixel values that differ by one grey level: {(grey_levels > 0).float().mean():.1e}")
    record_finding(f"maximum difference after augmentation: {difference.max():.1e}")


def test_float32_predictions_agree_with_the_cpu(model, device, scale, files, record_finding):
    plan = make_plan(scale, **EXACT_FLOAT32)
    on_device, on_cpu = CellHarness(model, plan, files, device), CellHarness(model, plan, files, CPU)
    on_device.train_phase("unfrozen")
    difference = _prediction_difference(on_device, on_cpu, scale.sizes[0])
    record_finding(f"maximum difference {difference:.1e}")
    # float32 sums in another order, through 18 to 50 layers that were randomly initialised
    assert difference < 1e-2


@pytest.mark.needs_gpu
def test_predictions_do_not_depend_on_the_training_precision(model, make_harness, scale, record_finding):
    bf16, float32 = make_harness(model, precision="bf16", tf32=False), make_harness(model, **EXACT_FLOAT32)
    bf16.train_phase("unfrozen")
    difference = _prediction_difference(bf16, float32, scale.sizes[0])
    assert difference < 1e-4
    record_finding(f"maximum difference {difference:.1e}")


def _prediction_difference(trained: CellHarness, other: CellHarness, size: int) -> float:
    """Return the maximum difference of predicted probabilities, after the weights are copied to the other cell."""
    other.learner.model.load_state_dict(trained.learner.model.state_dict())
    return float(np.abs(trained.predict(ROWS, size) - other.predict(ROWS, size)).max())


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=pytest.mark.needs_gpu), "float32"])
def test_cell_trains_all_layers_and_its_seconds_add_up(
    model, size, precision, scale, device, files, tmp_path, record_finding, record_property
):
    cell = train(model, make_plan(scale, size, precision=precision), files, tmp_path / "cell")
    metrics = cell.metrics
    seconds = metrics.seconds.model_dump()
    record_property("cell", cell.summary_row())
    assert metrics.environment.device_type == device.type
    assert metrics.precision == precision
    assert sum(seconds.values()) - seconds["wall"] == pytest.approx(seconds["wall"], abs=0.1)
    assert metrics.seconds_until["total"] == pytest.approx(seconds["resize"] + seconds["training"], abs=0.01)
    assert np.isfinite(cell.table("steps")["loss"]).all()
    assert np.isfinite(cell.table("history")["training_loss"]).all()
    assert all(diagnostics.early.distance > 0 for diagnostics in metrics.diagnostics[1:])
    accuracy = metrics.evaluations[-1].quality.accuracy
    record_finding(f"accuracy {accuracy:.2f}, T {metrics.seconds_until['total']:.2f} s")


def test_optimizer_step_is_fused_and_matches_the_sgd_formula(make_harness, device, scale, record_finding):
    harness = make_harness("resnet18")
    harness.set_image_size(scale.sizes[0])
    max_error = 0.0
    for layers in ("head", "all", "head"):
        check = SGDFormulaCheck()
        harness.train_epoch(layers, TrainingTimer(), check)
        assert check.fused == (device.type == "cuda")
        assert check.n_tensors == sum(parameter.requires_grad for parameter in harness.learner.model.parameters())
        max_error = max(max_error, check.max_error)
    assert max_error < 1e-6
    record_finding(f"maximum error {max_error:.1e}")


class SGDFormulaCheck(Callback):
    """Comparison of each step with the formula of gradient descent with momentum, in float64."""

    def before_fit(self):
        self.momenta, self.max_error, self.n_tensors = {}, 0.0, 0

    def before_step(self):
        self.expected = {}
        for group in self.opt.opt.param_groups:
            self.fused = bool(group["fused"])
            for parameter in group["params"]:
                if parameter.grad is not None:
                    momentum = self.momenta.get(parameter, torch.zeros_like(parameter, dtype=torch.float64))
                    self.momenta[parameter] = group["momentum"] * momentum + parameter.grad.double()
                    self.expected[parameter] = parameter.detach().double() - group["lr"] * self.momenta[parameter]
        self.n_tensors = max(self.n_tensors, len(self.expected))

    def after_step(self):
        for parameter, expected in self.expected.items():
            error = (parameter.detach().double() - expected).abs() / expected.abs().clamp(min=1)
            self.max_error = max(self.max_error, error.max().item())


@pytest.mark.time_limit(180)
def test_deterministic_cells_are_bit_identical_even_if_one_is_interrupted(scale, files, tmp_path, record_finding):
    # the third phase is long, so that the kill comes after a checkpoint and before the end
    phases = {**PHASES, "long": Phase(cycle_length=8, layers="all")}
    plan = make_plan(scale, scale.sizes[0], phases, deterministic=True, **EXACT_FLOAT32)
    folders = {name: tmp_path / name for name in ("first", "second", "interrupted")}
    processes = {name: start_training("resnet18", plan, files, folder) for name, folder in folders.items()}
    interrupted = folders["interrupted"]
    while not has_checkpoint(interrupted):
        assert processes["interrupted"].poll() is None, (interrupted / "log.txt").read_text()
        time.sleep(0.005)
    processes["interrupted"].kill()
    processes["interrupted"].wait()
    processes["interrupted"] = start_training("resnet18", plan, files, interrupted)
    for name, process in processes.items():
        assert process.wait() == 0, (folders[name] / "log.txt").read_text()
    first, *others = (FinishedCell(folder) for folder in folders.values())
    assert [cell.metrics.resumed for cell in (first, *others)] == [0, 0, 1]
    for cell in others:
        weights, expected = load_file(cell.weights), load_file(first.weights)
        assert all(torch.equal(weights[name], expected[name]) for name in expected), cell.folder.name
        for table in ("steps", "lr_find", "predictions"):
            assert cell.table(table).equals(first.table(table)), (cell.folder.name, table)
    seconds = FinishedCell(interrupted).metrics.seconds_to_first_step
    record_finding(f"first step of the resumed cell, next to two other cells, after {seconds:.1f} s")
