"""Speed of training steps and predictions, and agreement of ENTR's clocks with those of torch."""

import numpy as np
import pytest
import torch
from gpu.cells import FinishedCell, make_plan, phases_of_length, start_training, train
from gpu.steps import EpochBoundaryHook, Floor, TrainingTimer, count_host_waits, speed_row
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from entr.benchmark import inference
from entr.benchmark.unit_times import measure_unit_times
from entr.devices import torch_device
from entr.jobs.tables import read_table
from entr.models import architectures
from entr.training.clock import Clock, EpochClock
from entr.training.resize import PackedImages


@pytest.mark.time_limit(240)
def test_throughput_of_training_steps_is_measured(model, make_harness, scale, device, record_property):
    harness = make_harness(model)
    floor = Floor(model, scale.n_classes, scale.batch_size, device, harness.precision)
    for layers in ("head", "all"):
        for size in scale.sizes:
            record_property("speed", speed_row(harness, floor, size, layers, scale.rounds))


def test_new_process_trains_as_fast_as_a_warm_one(scale, files, tmp_path, record_finding):
    plan, folder = make_plan(scale, scale.sizes[0]), tmp_path / "new"
    assert start_training("resnet18", plan, files, folder).wait() == 0, (folder / "log.txt").read_text()
    cold, warm = FinishedCell(folder).metrics, train("resnet18", plan, files, tmp_path / "warm").metrics
    record_finding(
        f"new process: first step after {cold.seconds_to_first_step:.1f} s, imports {cold.seconds.starting:.1f} s, "
        f"wall {cold.seconds.wall:.1f} s"
    )
    for name, metrics in {"new": cold, "warm": warm}.items():
        total, resizing = metrics.seconds_until["total"], metrics.seconds.resize
        record_finding(f"{name} process: T {total:.2f} s, of which resizing {resizing:.3f} s")
    assert cold.seconds.training == pytest.approx(warm.seconds.training, rel=2 * scale.tolerance)


@pytest.mark.needs_gpu
@pytest.mark.parametrize("layers", ["head", "all"])
def test_host_never_waits_for_the_gpu_between_training_steps(layers, make_harness, scale, record_finding):
    harness = make_harness("resnet18")
    harness.set_image_size(scale.sizes[0])
    harness.train_epoch(layers, TrainingTimer())
    waits = count_host_waits(harness, layers)
    record_finding(", ".join(f"{count} at {line}" for line, count in waits.most_common(4)) or "no waits")
    assert not waits


@pytest.mark.needs_gpu
@pytest.mark.parametrize(("name", "layers", "size_index"), [("resnet18", "head", 0), ("resnet50", "all", -1)])
def test_epoch_duration_agrees_with_cuda_events_and_a_profiler_trace(
    name, layers, size_index, make_harness, scale, device, record_finding
):
    harness = make_harness(name)
    harness.set_image_size(scale.sizes[size_index])
    harness.train_epoch(layers, TrainingTimer())
    clock, events = Clock(device), [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    unrecorded = iter(events)
    with profile(activities=[ProfilerActivity.CUDA]):
        # the first trace takes time to start
        harness.train_epoch(layers, TrainingTimer())
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        record_event = EpochBoundaryHook(lambda: next(unrecorded).record())
        harness.train_epoch(layers, EpochClock(clock), SkipValidation(), record_event)
    seconds, steps = clock.seconds["training"], events[0].elapsed_time(events[1]) / 1e3
    intervals = _gpu_intervals(trace)
    busy, traced = _union_length(intervals), intervals[:, 1].max() - intervals[:, 0].min()
    record_finding(
        f"{1e3 * seconds:.1f} ms by ENTR's clock, {1e3 * steps:.1f} ms between CUDA events at the first and last "
        f"step, {1e3 * traced:.1f} ms from the first to the last kernel; GPU utilisation {busy / seconds:.0%}"
    )
    assert steps < seconds + 1e-3
    assert busy < seconds + 1e-3
    # augmentation parameters of the epoch are drawn on the host before the first step
    assert seconds - steps < 0.1


class SkipValidation(TrainingTimer):
    """Skipping of validation, without the timer's synchronisation."""

    def before_train(self):
        pass

    def after_train(self):
        pass


def _gpu_intervals(trace) -> np.ndarray:
    """Return start and end in seconds of all kernels and copies, shape (n, 2), sorted by start."""
    intervals = [
        (event.time_range.start, event.time_range.end)
        for event in trace.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]
    return np.array(sorted(intervals)) / 1e6


def _union_length(intervals: np.ndarray) -> float:
    """Return the length of the union of intervals that are sorted by start."""
    latest_end = np.maximum.accumulate(np.concatenate([[-np.inf], intervals[:-1, 1]]))
    return float(np.maximum(0, intervals[:, 1] - np.maximum(intervals[:, 0], latest_end)).sum())


@pytest.mark.parametrize("batch_size", [1, 64])
def test_inference_benchmark_agrees_with_torch_timer(batch_size, scale, device, tmp_path, record_finding):
    size = scale.sizes[0]
    inference.benchmark_model(
        "resnet18",
        [size],
        tmp_path / "inference.csv",
        batch_sizes=(batch_size,),
        min_seconds=scale.min_seconds,
        device=device.type,
        precision="auto",
        tf32=True,
    )
    row = read_table(tmp_path / "inference.csv").iloc[0]
    model = architectures.build_model("resnet18", inference.CLASSES).eval()
    model.to(device, memory_format=torch.channels_last)
    batch = torch.rand(batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def predict():
        with torch.autocast(device.type, torch.bfloat16, enabled=row["precision"] == "bf16"):
            model(batch)

    def predict_and_synchronize():
        predict()
        torch_device.synchronize(device)

    def median_seconds(function):
        timer = Timer("function()", globals={"function": function}, num_threads=torch.get_num_threads())
        return timer.blocked_autorange(min_run_time=scale.min_seconds).median

    throughput, latency = batch_size / median_seconds(predict), median_seconds(predict_and_synchronize)
    record_finding(
        f"{row['images_per_second']:.4g} images/s (torch {throughput:.4g}), p50 {1e3 * row['p50_seconds']:.3g} ms "
        f"(torch {1e3 * latency:.3g}), p99 {1e3 * row['p99_seconds']:.3g} ms, "
        f"spread of rounds {row['spread_of_rounds']:.0%}"
    )
    assert row["images_per_second"] == pytest.approx(throughput, rel=2 * scale.tolerance)
    assert row["p50_seconds"] == pytest.approx(latency, rel=2 * scale.tolerance)


def test_runtime_estimate_agrees_with_measured_cells(scale, files, tmp_path, record_finding):
    plan = make_plan(scale, scale.sizes[:2], phases_of_length(2))
    packed, device = PackedImages.open(**files), torch_device.choose_device(plan.training.device)
    for model in scale.models:
        units = measure_unit_times("textures", model, [plan], packed, None, device)
        estimated = units.seconds_of(plan)["training"]
        measured = train(model, plan, files, tmp_path / model).metrics.seconds.training
        record_finding(f"{model}: training steps estimated {estimated:.2f} s, measured {measured:.2f} s")
        assert estimated == pytest.approx(measured, rel=2 * scale.tolerance)
