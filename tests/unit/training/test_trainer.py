import json
import logging
import re
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from fastai.callback.core import Callback
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from entr.config.regimes import RandomSizes, Regime
from entr.config.training import LearningRateFinder, Phase, Training
from entr.config.training_plan import Plan
from entr.jobs.errors import EntrError
from entr.jobs.files import sha256
from entr.metrics.cell_files import read_metrics, verify_files
from entr.metrics.cell_metrics import Cell, Metrics
from entr.models.architectures import build_model, normalization
from entr.training import callbacks, progress_log
from entr.training.batches import CropDataset, make_loader
from entr.training.cell import train_cell
from entr.training.clock import Clock
from entr.training.learner import EagerSGD
from entr.training.resize import PackedImages, resize_images
from entr.training.trainer import Trainer

SETTINGS = Training(
    phases={"sgdr": Phase(cycle_length=2), "rpl": Phase(cycles=2, layers="all", lr_divisors=(9, 3, 1))},
    schedule=("sgdr", "rpl"),
    subtotal_after="sgdr",
    full_size=40,
    batch_size=16,
    lr_finder=LearningRateFinder(steps=6),
    evaluation_sizes=(24, 56),
    tta_views=2,
    device="cpu",
)
SIZES = {"sgdr": 24, "rpl": 32, "tta": 32}
CELL = Cell(dataset="micrographs", model="test_resnet", regime="gradual", seed=0, weights="none")


def run(dataset, folder, settings=SETTINGS, sizes=SIZES, cell=CELL, pretrained=False, weights=None, tensorboard=None):
    train_cell(
        cell,
        Plan.of(settings, Regime(**sizes), pretrained=pretrained),
        pixels=dataset / "pixels.npy",
        manifest=dataset / "manifest.csv",
        split=dataset / "split.csv",
        weights=weights,
        folder=folder,
        checkpoint=folder.with_suffix(".npz"),
        tensorboard=tensorboard,
    )
    return Metrics.model_validate_json((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cell")
    return folder, run(dataset, folder)


def test_cell_writes_six_files(trained):
    folder, _ = trained
    names = ["history.csv", "lr_find.csv", "metrics.json", "model.safetensors", "predictions.csv", "steps.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_metrics_have_the_checksums_of_all_files_of_the_cell(trained):
    folder, metrics = trained
    files = {path.name for path in folder.iterdir()}
    assert set(metrics.checksums) == files
    verify_files(folder / name for name in files)
    assert {name: sha256(folder / name) for name in files - {"metrics.json"}}.items() <= metrics.checksums.items()
    assert read_metrics(folder / "metrics.json") == metrics


def test_history_has_one_row_per_epoch_at_the_size_of_its_phase(trained):
    history = pd.read_csv(trained[0] / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["phase"].tolist() == ["sgdr", "sgdr", "rpl", "rpl"]
    assert history["size"].tolist() == [24, 24, 32, 32]
    assert history["learning_rate"].tolist() == pytest.approx([0.01, 0.005, 0.01, 0.01])
    assert np.isfinite(history.select_dtypes("number")).all(axis=None)


def test_lr_finder_curve_is_recorded_before_each_phase(trained):
    curve = pd.read_csv(trained[0] / "lr_find.csv")
    assert curve.groupby("phase", sort=False)["step"].count().index.tolist() == ["sgdr", "rpl"]
    first = curve[curve["phase"] == "sgdr"]["learning_rate"]
    assert first.iloc[0] == pytest.approx(1e-5)
    assert (first.diff().dropna() > 0).all()


def test_each_training_step_is_recorded_with_the_learning_rates_of_the_plan(trained):
    steps = pd.read_csv(trained[0] / "steps.csv")
    assert steps["step"].tolist() == list(range(1, 13))
    assert steps["size"].tolist() == [24] * 6 + [32] * 6
    assert steps["epoch"].tolist() == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    # one cosine of two epochs, then two of one, each from the full rate
    cosine = 0.01 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    assert steps["learning_rate"][:6].tolist() == pytest.approx(cosine)
    assert steps["learning_rate"][6:].tolist() == pytest.approx([0.01, 0.0075, 0.0025] * 2)
    assert (steps["rate_early"][6:] * 9).tolist() == pytest.approx(steps["learning_rate"][6:].tolist())
    assert (steps["rate_late"][6:] * 3).tolist() == pytest.approx(steps["learning_rate"][6:].tolist())
    assert set(steps["momentum"]) == {0.9}
    history = pd.read_csv(trained[0] / "history.csv")
    assert np.isfinite(steps["loss"]).all()
    assert steps["loss"][9:].mean() == pytest.approx(history["training_loss"].iloc[-1], rel=0.2)


def test_training_images_other_sizes_and_weight_distances_are_recorded(trained):
    folder, metrics = trained
    assert [one.stage for one in metrics.diagnostics] == ["sub-total", "total"]
    first, last = metrics.diagnostics
    assert first.size == last.size == 40
    assert first.training.count == 56
    assert 0 < first.early.distance < last.early.distance
    assert list(metrics.other_sizes) == [24, 56]
    # the same images go through the same model
    own = next(one for one in metrics.evaluations if (one.stage, one.resolution) == ("total", "phase"))
    assert metrics.other_sizes[24].count == own.quality.count
    network = load_file(folder / "model.safetensors")
    norm = torch.cat(
        [value.flatten() for name, value in network.items() if re.match(r"1\..*(weight|bias)$", name)]
    ).norm()
    assert last.head.norm == pytest.approx(float(norm), rel=1e-5)


def test_each_stage_is_evaluated_at_its_own_and_at_the_full_size(trained):
    _, metrics = trained
    found = [(one.stage, one.resolution, one.size, one.quality.count) for one in metrics.evaluations]
    assert found == [
        (stage, resolution, size, 14)
        for stage, own in (("sub-total", 24), ("total", 32), ("total-tta", 32))
        for resolution, size in (("phase", own), ("full", 40))
    ]


def test_predictions_agree_with_the_metrics(trained):
    folder, metrics = trained
    table = pd.read_csv(folder / "predictions.csv")
    for one in metrics.evaluations:
        rows = table[(table["stage"] == one.stage) & (table["resolution"] == one.resolution)]
        assert len(rows) == one.quality.count
        assert (rows["label"] == rows["predicted"]).sum() == one.quality.correct
        likelihood = rows["probability_of_label"].clip(lower=np.finfo(np.float32).eps)
        assert -np.log(likelihood).mean() == pytest.approx(one.quality.negative_log_likelihood, 1e-3)


def test_time_is_training_and_resizing_and_all_parts_add_up_to_the_wall_time(trained):
    _, metrics = trained
    seconds = metrics.seconds
    assert metrics.seconds_until["total"] == pytest.approx(seconds.training + seconds.resize)
    assert metrics.seconds_until["total-tta"] == metrics.seconds_until["total"]
    assert 0 < metrics.seconds_until["sub-total"] < metrics.seconds_until["total"]
    parts = seconds.model_dump()
    assert sum(parts.values()) == pytest.approx(2 * parts["wall"])
    history = pd.read_csv(trained[0] / "history.csv")
    assert history["training_seconds"].sum() == pytest.approx(seconds.training)


def test_first_step_is_timed_after_the_imports_and_before_training(trained):
    _, metrics = trained
    seconds = metrics.seconds
    assert seconds.starting + seconds.loading <= metrics.seconds_to_first_step
    assert metrics.seconds_to_first_step < seconds.wall - seconds.training


def test_image_passes_count_the_images_of_training_steps_by_size(trained):
    # 56 images train, in three whole batches of 16
    assert trained[1].image_passes["sub-total"] == {24: 2 * 48}
    assert trained[1].image_passes["total"] == {24: 2 * 48, 32: 2 * 48}


def test_stored_model_is_the_one_that_was_evaluated(trained, dataset):
    folder, metrics = trained
    model = build_model(CELL.model, 7).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    packed = packed_images(dataset)
    resized = resize_images(packed, 32, "crop", torch.device("cpu"))
    crops = CropDataset(resized, packed.validation_rows, augmented=False)
    statistics = normalization(CELL.model)
    ((images, classes),) = make_loader(crops, 64, SETTINGS.augmentation, statistics=statistics)
    with torch.no_grad():
        correct = (model(torch.Tensor(images)).argmax(1) == classes).sum()
    total = next(one for one in metrics.evaluations if (one.stage, one.resolution) == ("total", "phase"))
    assert correct == total.quality.correct


def packed_images(dataset):
    return PackedImages.open(dataset / "pixels.npy", dataset / "manifest.csv", dataset / "split.csv")


def without_times(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    seconds = [name for name in history if "second" in name]
    return metrics["evaluations"], history.drop(columns=seconds), (folder / "lr_find.csv").read_text()


def test_same_seed_gives_bit_identical_results_and_another_seed_others(trained, dataset, tmp_path):
    run(dataset, tmp_path / "again")
    run(dataset, tmp_path / "other", cell=CELL.model_copy(update={"seed": 1}))
    first, again, other = (without_times(folder) for folder in (trained[0], tmp_path / "again", tmp_path / "other"))
    assert first[0] == again[0]
    assert first[1].equals(again[1])
    assert first[2] == again[2]
    assert not first[1]["training_loss"].equals(other[1]["training_loss"])
    weights = [(folder / "model.safetensors").read_bytes() for folder in (trained[0], tmp_path / "again")]
    assert weights[0] == weights[1]


class Spy(Callback):
    """Recorder of gradients, BatchNorm modes and learning rates in each training step."""

    def __init__(self):
        self.seen = []

    def after_backward(self):
        body = self.learn.model[0]
        self.seen.append(
            {
                "gradients": [parameter.grad is not None for parameter in body.parameters()],
                "training": [m.training for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d)],
                "rates": [round(group["lr"], 9) for group in self.opt.hypers],
            }
        )


def make_trainer(dataset, weights=None, **changes):
    plan = Plan.of(SETTINGS.model_copy(update=changes), Regime(**SIZES), pretrained=weights is not None)
    return Trainer(CELL, plan, packed_images(dataset), weights, Clock(torch.device("cpu")))


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    # with zero_init_last, a frozen BatchNorm keeps its zero weights, so its residual branch gets no gradient
    network = timm.create_model(CELL.model, zero_init_last=False)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_frozen_backbone_has_no_gradients_and_keeps_its_statistics(dataset, weights):
    made = make_trainer(dataset, weights)
    before = {name: value.clone() for name, value in made.learner.model[0].state_dict().items()}
    spy = Spy()
    made.learner.add_cb(spy)
    made.train(made.plan.phases[0])
    assert not any(any(seen["gradients"]) or any(seen["training"]) for seen in spy.seen)
    after = made.learner.model[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fine_tuning_reaches_every_layer_with_lower_learning_rates_for_earlier_ones(dataset, weights):
    made = make_trainer(dataset, weights)
    spy = Spy()
    made.learner.add_cb(spy)
    made.train(made.plan.phases[1])
    trained = spy.seen[SETTINGS.lr_finder.steps :]
    assert all(all(seen["gradients"]) and all(seen["training"]) for seen in trained)
    assert trained[0]["rates"] == pytest.approx([0.01 / 9, 0.01 / 3, 0.01])


@pytest.mark.parametrize("pretrained", [True, False])
def test_frozen_batchnorm_keeps_pretrained_weights_and_statistics_in_fine_tuning(dataset, weights, pretrained):
    made = make_trainer(dataset, weights if pretrained else None, freeze_batchnorm=True)
    norms = {name for name, module in made.learner.model[0].named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    before = {name: value.clone() for name, value in made.learner.model[0].state_dict().items()}
    made.train(made.plan.phases[1])
    after = made.learner.model[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[0] for name in changed} & norms == (set() if pretrained else norms)
    assert {name for name in before if name.rpartition(".")[0] not in norms} <= changed


class Draws(Callback):
    """Recorder of the classes of each batch, and of the state of the generator of the augmentation."""

    def __init__(self):
        self.seen = []

    def before_batch(self):
        self.seen.append((self.yb[0].tolist(), torch.get_rng_state().tolist()))


def test_phases_with_several_sizes_share_the_order_of_batches_and_the_augmentation(dataset):
    draws = []
    for size in (24, (24, 32), RandomSizes(random=(24, 32))):
        plan = Plan.of(SETTINGS, Regime(**SIZES | {"sgdr": size}), pretrained=False)
        made = Trainer(CELL, plan, packed_images(dataset), None, Clock(torch.device("cpu")))
        recorder = Draws()
        made._find_learning_rate = lambda *_: 0.01
        made.learner.add_cb(recorder)
        made.train(plan.phases[0])
        draws.append(recorder.seen)
    assert draws[0] == draws[1] == draws[2]


def test_training_images_are_resized_once_per_size_and_outside_of_validation(dataset, monkeypatch):
    resize, calls = Trainer.resize, []

    def spy(self, size, rows, upsample_to=None):
        calls.append((size, len(rows)))
        return resize(self, size, rows, upsample_to)

    monkeypatch.setattr(Trainer, "resize", spy)
    monkeypatch.setattr(Trainer, "_find_learning_rate", lambda *_: 0.01)
    plan = Plan.of(SETTINGS, Regime(**SIZES | {"sgdr": 32}), pretrained=False)
    made = Trainer(CELL, plan, packed_images(dataset), None, Clock(torch.device("cpu")))
    # a few images warm the device up before anything is timed
    assert {size for size, _ in calls} == {32}
    calls.clear()
    made.train(plan.phases[0])
    assert calls == [(32, 56), (32, 14)]
    assert made.clock.seconds["resize"] > 0
    calls.clear()
    made.train(plan.phases[1])
    assert calls == [(32, 14)]


class WeightsBeforeFit(Callback):
    """Recorder of the weights when a fit begins: that of the finder, then that of the phase."""

    def __init__(self):
        self.weights = []

    def before_fit(self):
        self.weights.append({name: tensor.clone() for name, tensor in self.learn.model.state_dict().items()})


def test_lr_finder_restores_the_model(dataset):
    made = make_trainer(dataset)
    recorder = WeightsBeforeFit()
    made.learner.add_cb(recorder)
    made.train(made.plan.phases[0])
    before_finder, before_phase = recorder.weights
    assert all(torch.equal(before_finder[name], before_phase[name]) for name in before_finder)


@pytest.mark.parametrize("rule", ["valley", "steep", "minimum"])
def test_lr_finder_rule_sets_the_learning_rate_of_a_phase(dataset, rule):
    made = make_trainer(dataset, lr_finder=LearningRateFinder(steps=30, start=1e-4, end=1, rule=rule))
    made.train(made.plan.phases[0])
    curve = pd.DataFrame(made.state.lr_find)
    # fastai leaves out the first tenth and the last five
    trimmed = curve["learning_rate"].iloc[3:-5].tolist()
    rate = made.state.steps[0]["learning_rate"]
    assert (10 * rate if rule == "minimum" else rate) == pytest.approx(
        min(trimmed, key=lambda one: abs(one - (10 * rate if rule == "minimum" else rate)))
    )
    assert rate != SETTINGS.learning_rate
    if rule == "minimum":
        best = curve.iloc[3:-5].set_index("learning_rate")["loss"].idxmin()
        assert rate == pytest.approx(best / 10)


def test_lr_finder_that_stopped_too_early_to_suggest_is_an_error(dataset):
    made = make_trainer(dataset, lr_finder=LearningRateFinder(steps=30, start=1, end=1e9, rule="valley"))
    with pytest.raises(EntrError, match=r"stopped after \d+ of 30 steps, .*training\.lr_finder\.rule: none"):
        made.train(made.plan.phases[0])


def test_lr_finder_rule_needs_enough_steps():
    with pytest.raises(ValidationError, match="needs a curve of at least 20 steps"):
        LearningRateFinder(steps=10, rule="valley")


def test_long_epoch_logs_progress_before_it_ends(dataset, monkeypatch, caplog):
    monkeypatch.setattr(progress_log, "SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr(logging.getLogger("entr"), "propagate", True)
    made = make_trainer(dataset)
    with caplog.at_level("INFO", "entr"):
        made.train(made.plan.phases[0])
    lines = [record.getMessage() for record in caplog.records]
    assert "micrographs test_resnet gradual seed 0: sgdr at 24 px, epoch 1 of 4: 33 % of the epoch" in lines
    assert any(re.search(r"epoch 2 of 4: 67 % of the epoch, about \d+:\d\d min left$", line) for line in lines)


def test_non_finite_loss_stops_the_cell_and_names_the_phase(dataset, tmp_path):
    wild = SETTINGS.model_copy(update={"learning_rate": 1e30})
    sentence = r"^micrographs .*: the training loss is (nan|inf) in phase sgdr, epoch 1, .*training\.learning_rate$"
    with pytest.raises(EntrError, match=sentence):
        run(dataset, tmp_path / "cell", wild)
    assert not (tmp_path / "cell").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_requested_gpu_that_is_absent_is_an_error(dataset, tmp_path):
    with pytest.raises(EntrError, match=r"training\.device is cuda, but torch sees no GPU here"):
        run(dataset, tmp_path, SETTINGS.model_copy(update={"device": "cuda"}))


def test_gradient_accumulation_makes_as_many_steps_over_as_many_images(dataset, monkeypatch):
    steps = []
    step = EagerSGD.step
    monkeypatch.setattr(EagerSGD, "step", lambda self, *rest: (steps.append(1), step(self, *rest))[1])
    counts = []
    for parts in (1, 3):
        steps.clear()
        made = make_trainer(dataset, gradient_accumulation=parts)
        made.train(made.plan.phases[0])
        counts.append(len(steps))
        assert made.state.passes == {24: 2 * 48}
    # the finder counts its steps in parts
    finder = SETTINGS.lr_finder.steps
    assert counts[0] - finder == counts[1] - finder // 3


def test_tensorboard_logs_each_epoch_and_changes_no_result(dataset, tmp_path, trained):
    summaries = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(dataset, tmp_path / "cell", tensorboard=tmp_path / "board")
    ours = pd.read_csv(tmp_path / "cell" / "history.csv")
    for phase, rows in ours.groupby("phase"):
        shown = summaries.EventAccumulator(str(tmp_path / "board" / phase)).Reload()
        assert [one.value for one in shown.Scalars("accuracy")] == pytest.approx(rows["accuracy"].tolist())
    plain = pd.read_csv(trained[0] / "history.csv")
    pd.testing.assert_series_equal(ours["training_loss"], plain["training_loss"])


def test_missing_tensorboard_is_an_error_that_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "fastai.callback.tensorboard", raising=False)
    with pytest.raises(
        EntrError, match=r"package tensorboard, which is not installed; run `uv pip install tensorboard`, or set logger"
    ):
        callbacks.tensorboard_callback(tmp_path)


@pytest.fixture
def compiled(monkeypatch):
    """Compile as a user would, but let torch run the graphs that it finds itself: C++ takes half a minute a graph."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield torch._dynamo.utils.counters
    torch._dynamo.reset()
    torch.compiler.set_stance("default")


def test_compiled_steps_give_the_same_losses_from_one_graph_per_size_and_choice_of_layers(
    compiled, dataset, tmp_path, weights
):
    sizes = SIZES | {"sgdr": [24, 32]}
    for mode in ("none", "default"):
        settings = SETTINGS.model_copy(update={"compile_mode": mode})
        run(dataset, tmp_path / mode, settings, sizes, pretrained=True, weights=weights)
    assert compiled["stats"]["unique_graphs"] == 3
    assert not compiled["graph_break"]
    plain, found = (pd.read_csv(tmp_path / mode / "steps.csv") for mode in ("none", "default"))
    assert found["loss"].tolist() == pytest.approx(plain["loss"].tolist(), rel=1e-3)


def test_missing_compiler_is_one_clear_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "absent")))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(EntrError, match=r"torch cannot compile the training steps .*set training\.compile_mode: none"):
        run(dataset, tmp_path / "cell", SETTINGS.model_copy(update={"compile_mode": "default"}))
    assert not (tmp_path / "cell").exists()


def test_out_of_memory_is_one_clear_error(dataset, tmp_path, monkeypatch):
    """Raised by hand: there is no GPU here whose memory could run out."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.nn.AdaptiveAvgPool2d, "forward", full)
    advice = r"set training\.gradient_accumulation: 2, which keeps the batch size, or lower"
    with pytest.raises(
        EntrError,
        match=rf"out of memory on .* in phase sgdr, with 16 images of 24 px at a .*{advice} training\.batch_size$",
    ):
        run(dataset, tmp_path / "cell")
    assert not (tmp_path / "cell").exists()
    own = SETTINGS.model_copy(update={"phases": SETTINGS.phases | {"sgdr": Phase(batch_size=20)}})
    with pytest.raises(EntrError, match=rf"with 20 images .*{advice} training\.phases\.sgdr\.batch_size$"):
        run(dataset, tmp_path / "cell", own)


def test_parts_of_the_wall_time_add_up(trained):
    seconds = trained[1].seconds.model_dump()
    wall = seconds.pop("wall")
    assert sum(seconds.values()) == pytest.approx(wall, rel=1e-6)
    assert seconds["starting"] > 0


def test_bf16_on_a_cpu_is_an_error(dataset, tmp_path):
    with pytest.raises(EntrError, match=r"training\.precision is bf16, which .* does not support"):
        run(dataset, tmp_path / "cell", SETTINGS.model_copy(update={"precision": "bf16"}))


def test_precision_is_recorded(trained):
    assert trained[1].precision == "float32"


def test_regime_may_change_the_size_within_a_phase_or_draw_it(dataset, tmp_path):
    sizes = {"sgdr": [24, 32], "rpl": {"random": [24, 40]}, "tta": 40}
    metrics = run(dataset, tmp_path / "cell", sizes=sizes)
    history = pd.read_csv(tmp_path / "cell" / "history.csv")
    assert history["size"].tolist() == [24, 32, 40, 40]
    assert metrics.image_passes["sub-total"] == {24: 48, 32: 48}
    total = metrics.image_passes["total"]
    assert sum(total.values()) == 4 * 48
    assert set(total) == {24, 32, 40}
    rates = pd.read_csv(tmp_path / "cell" / "lr_find.csv")
    assert rates.groupby("phase")["size"].unique().map(sorted).to_dict() == {"rpl": [24, 40], "sgdr": [24, 32]}
    at_phase = {one.stage: one.size for one in metrics.evaluations if one.resolution == "phase"}
    assert at_phase == {"sub-total": 32, "total": 40, "total-tta": 40}


def test_upsampled_images_are_counted_at_their_final_size(dataset):
    plan = Plan.of(SETTINGS, Regime(**SIZES | {"upsample_to": 40}), pretrained=False)
    made = Trainer(CELL, plan, packed_images(dataset), None, Clock(torch.device("cpu")))
    made.train(plan.phases[0])
    assert made.state.passes == {40: 2 * 48}
