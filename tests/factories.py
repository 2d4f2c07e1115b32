"""Metrics, benchmark tables and studies of made-up cells."""

import itertools
import json

import numpy as np
import pandas as pd

from entr.analysis.study import Study
from entr.config.regimes import Regime
from entr.config.study_design import StudyDesign
from entr.config.training import Training
from entr.config.training_plan import Plan
from entr.jobs.files import sha256
from entr.metrics.cell_metrics import (
    Environment,
    Evaluation,
    LayerGroup,
    Metrics,
    Quality,
    Seconds,
    TrainingDiagnostics,
    content_checksum,
)
from entr.metrics.labels import STAGES

INFERENCE = pd.DataFrame(
    {
        "model": "resnet18",
        "size": [100, 100, 250, 250],
        "batch_size": [1, 64, 64, 1],
        "seconds_per_image": [0.010, 0.001, 0.004, 0.020],
    }
)
TRAINED = pd.DataFrame(
    {"dataset": "ucm", "model": "resnet18", "regime": ["no-increase", "gradual"], "p50_seconds": [0.021, 0.020]}
)
PLAN = Plan.of(Training(), Regime(**dict.fromkeys(("sgdr", "clrs", "cmult", "rpl", "tta"), 250)), pretrained=False)
SECONDS_UNTIL = {"no-increase": (100.0, 200.0), "gradual": (50.0, 150.0)}
"""Training seconds until the first two stages, by regime."""
ACCURACIES = {"no-increase": 0.81, "gradual": 0.72}
TRAINING_QUALITY = Quality(
    correct=9, count=10, accuracy=0.9, macro_f1=0.9, negative_log_likelihood=0.25, calibration_error=0
)
LAYER_GROUP = LayerGroup(distance=0.5, norm=20)


def metrics(regime, seed, device="A", accuracy=None):
    """Return the metrics of a cell, with the same quality at both of its stages."""
    accuracy = accuracy or ACCURACIES[regime]
    quality = Quality(
        correct=round(100 * accuracy),
        count=100,
        accuracy=accuracy,
        macro_f1=accuracy,
        negative_log_likelihood=1,
        calibration_error=0,
    )
    stages = ("sub-total", "total")
    passes = {250: 20_000} if regime == "no-increase" else {100: 8_000, 250: 12_000}
    groups = {"early": LAYER_GROUP, "late": LAYER_GROUP, "head": LAYER_GROUP}
    return Metrics(
        dataset="ucm",
        model="resnet18",
        regime=regime,
        seed=seed,
        weights="none",
        precision="float32",
        plan=PLAN,
        epochs=3,
        classes=4,
        resumed=0,
        seconds_to_first_step=5,
        training_images=90,
        validation_images=10,
        peak_memory_mb=None,
        seconds=Seconds(**dict.fromkeys(Seconds.model_fields, 0)),
        evaluations=[
            Evaluation(stage=stage, resolution=resolution, size=250, quality=quality)
            for stage in stages
            for resolution in ("phase", "full")
        ],
        diagnostics=[
            TrainingDiagnostics(stage=stage, size=250, training=TRAINING_QUALITY, **groups) for stage in stages
        ],
        other_sizes={100: TRAINING_QUALITY, 350: quality},
        seconds_until=dict(zip(stages, SECONDS_UNTIL[regime], strict=True)),
        image_passes=dict.fromkeys(stages, passes),
        environment=Environment(
            device=device, device_type="cpu", threads=2, driver="", python="3", torch="2", torchvision="0", fastai="2"
        ),
        checksums={},
    )


def write_metrics_file(folder, content=None):
    """Write `metrics.json` into the directory of a cell, with the checksums of the files there.

    Parameters
    ----------
    folder : Path
        The directory of the cell.
    content : Metrics or dict, optional
        The rest of the file; of older versions, or little of it, if it is a dictionary.
    """
    content = json.loads(content.model_dump_json()) if isinstance(content, Metrics) else dict(content or {})
    content["checksums"] = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    content["checksums"]["metrics.json"] = content_checksum(content)
    (folder / "metrics.json").write_text(json.dumps(content, indent=2))


def flip_bit(path, position=-2, bit=0):
    """Change one bit of a file, and return what restores the file."""
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[position] ^= 1 << bit
    path.write_bytes(damaged)
    return lambda: path.write_bytes(original)


CONTROL = "no-increase"
MODELS = ("resnet18", "resnet34", "resnet50")
REGIMES = (CONTROL, "gradual", "stepwise", "matched", "small")
STUDY_ACCURACY = {CONTROL: 0.80, "gradual": 0.81, "stepwise": 0.81, "matched": 0.75, "small": 0.70}
STUDY_SECONDS = {CONTROL: 100.0, "gradual": 75.0, "stepwise": 85.0, "matched": 75.0, "small": 50.0}
STUDY_GAPS = {"loss_gap": 0.3, "training_negative_log_likelihood": 0.2}


def study(
    *,
    accuracy=None,
    time=None,
    gaps=None,
    datasets=("ucm",),
    stand_in_for=None,
    models=MODELS,
    regimes=REGIMES,
    seeds=7,
    time_basis="training",
):
    """Return a study in which the ENTR hypothesis holds, apart from the given means; the noise is reproducible.

    Parameters
    ----------
    accuracy, time : dict, optional
        Means by regime, by (model, regime) or by (dataset, model, regime).
    gaps : dict, optional
        By name of a training diagnostic: means by regime.
    datasets, models, regimes, seeds, stand_in_for, time_basis
        As in `StudyDesign`, but `datasets` without titles and `seeds` as a number.
    """
    accuracy, time, gaps = accuracy or {}, time or {}, gaps or {}
    rng = np.random.default_rng(1)
    rows = []
    for dataset, model, regime, seed in itertools.product(datasets, models, regimes, range(seeds)):
        keys = [(dataset, model, regime), (model, regime), regime]
        value = next((accuracy[key] for key in keys if key in accuracy), STUDY_ACCURACY.get(regime, 0.8))
        seconds = next((time[key] for key in keys if key in time), STUDY_SECONDS.get(regime, 100.0))
        value += rng.normal(0, 0.002)
        seconds *= (1 + MODELS.index(model)) * np.exp(rng.normal(0, 0.005))
        for stage in STAGES:
            cell = {"dataset": dataset, "model": model, "regime": regime, "seed": seed, "stage": stage}
            phase = cell | {"resolution": "phase"}
            rows.append(phase | {"metric": "accuracy", "time_basis": "", "value": value})
            bases = {"training": seconds} | ({"latency": 0.01} if time_basis == "latency" else {})
            for basis, of_basis in bases.items():
                rows.append(phase | {"metric": "time", "time_basis": basis, "value": of_basis})
                efficiency = np.sqrt(value / of_basis)
                rows.append(phase | {"metric": "efficiency", "time_basis": basis, "value": efficiency})
            # at other sizes, which no claim is about
            other = cell | {"resolution": "other", "metric": "accuracy", "time_basis": "", "value": value}
            rows += [other | {"size": size} for size in (100, 350)]
            for name in gaps:
                gap = gaps[name].get(regime, STUDY_GAPS[name]) + rng.normal(0, 0.001)
                rows.append(cell | {"resolution": "full", "metric": name, "time_basis": "", "value": gap})
    design = StudyDesign(
        datasets={name: name.upper() for name in datasets},
        stand_in_for=stand_in_for or {},
        models=models,
        regimes=regimes,
        seeds=tuple(range(seeds)),
        control=CONTROL,
        time_basis=time_basis,
        folds=10,
    )
    return Study(design, pd.DataFrame(rows))


def with_final_stage(cell):
    """Return metrics with the stage `total-tta`, equal to the stage `total`."""
    final = [one.model_copy(update={"stage": "total-tta"}) for one in cell.evaluations if one.stage == "total"]
    until = {
        name: getattr(cell, name) | {"total-tta": getattr(cell, name)["total"]}
        for name in ("seconds_until", "image_passes")
    }
    return cell.model_copy(update={"evaluations": (*cell.evaluations, *final), **until})
