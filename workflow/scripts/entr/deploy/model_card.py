"""The model card of an exported model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData

from entr.deploy.held_out_accuracy import HeldOutAccuracy
from entr.jobs.markdown import render_markdown
from entr.metrics.cell_metrics import Metrics, Quality
from entr.metrics.labels import PHASE, STAGES, TOTAL

TASK = "image-classification"
"""The task, as the Hugging Face Hub names it."""
INITIAL_WEIGHTS = {
    "none": "random",
    "imagenet": "ImageNet weights as published by torchvision or timm; their licence and that of ImageNet apply",
}


def render_model_card(
    metrics: Metrics,
    classes: Sequence[str],
    choice: Mapping[str, Any],
    card: Mapping[str, Any],
    test: HeldOutAccuracy | None = None,
) -> str:
    """Return the model card [Mitchell et al. 2019, doi 10.1145/3287560.3287596] as Markdown.

    It begins with the metadata that the Hugging Face Hub reads, in YAML.

    Parameters
    ----------
    metrics : Metrics
        The metrics of the exported cell.
    classes : sequence of str
        Names of the classes.
    choice : mapping
        The row of the recommendation.
    card : mapping
        ``title``, ``licence`` and ``citation`` of the dataset.
    test : HeldOutAccuracy, optional
        The accuracy on test images, if there are any.
    """
    mean_accuracy = f"{choice['accuracy']:.4f}"
    if not np.isnan(choice["accuracy_low"]):
        mean_accuracy += f", 95 % interval {choice['accuracy_low']:.4f} to {choice['accuracy_high']:.4f}"
    return render_markdown(
        "model_card.md.j2",
        metadata=_metadata(metrics, card["title"], test),
        metrics=metrics,
        classes=classes,
        card=card,
        test=test,
        optimism=100 * (_validation_quality(metrics).accuracy - test.accuracy) if test else None,
        stages=STAGES,
        evaluations=[evaluation for evaluation in metrics.evaluations if evaluation.resolution == PHASE],
        mean_accuracy=mean_accuracy,
        replicates=int(choice["replicates"]),
        initial_weights=INITIAL_WEIGHTS.get(metrics.weights, f"the file {metrics.weights}; its licence applies"),
        phases=[
            f"{phase.phase} {phase.epochs} × {phase.input_sizes()[-1]} px ({phase.layers})"
            for phase in metrics.plan.phases
        ],
        size=metrics.plan.phases[-1].size,
        training=metrics.plan.training,
        environment=metrics.environment,
    )


def _metadata(metrics: Metrics, title: str, test: HeldOutAccuracy | None) -> str:
    """Return the metadata in YAML; the licence is unknown until the user chooses one."""
    quality = _validation_quality(metrics)
    results = [("validation", "accuracy", quality.accuracy), ("validation", "f1", quality.macro_f1)]
    if test:
        results.append(("test", "accuracy", test.accuracy))
    data = ModelCardData(
        license="unknown",
        library_name="onnx",
        pipeline_tag=TASK,
        tags=[TASK, "entr"],
        metrics=["accuracy", "f1"],
        model_name=f"{metrics.model} for {title}",
        eval_results=[
            EvalResult(
                task_type=TASK,
                dataset_type=metrics.dataset,
                dataset_name=title,
                dataset_split=split,
                metric_type=metric,
                metric_value=round(value, 4),
                metric_args={"average": "macro"} if metric == "f1" else None,
            )
            for split, metric, value in results
        ],
    )
    return data.to_yaml(line_break="\n")


def _validation_quality(metrics: Metrics) -> Quality:
    """Return the scores without test-time augmentation, which `predict.pyz` does not use either."""
    return next(one.quality for one in metrics.evaluations if (one.stage, one.resolution) == (TOTAL, PHASE))
