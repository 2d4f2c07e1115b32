"""The data dictionary: the tables below ``results``, with the type, unit and meaning of each column.

It is documentation only: no script may import it, because its wording would then make results stale.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from entr.metrics.cell_metrics import Seconds


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: Literal["text", "integer", "number", "boolean"]
    meaning: str
    """A noun phrase in Markdown, ending with a period."""
    unit: str = ""
    """Unit of a number; empty if it has none or if another column states it."""


@dataclass(frozen=True)
class Table:
    """A table, or all tables of one kind."""

    rows: str
    """A sentence that states what one row represents."""
    columns: tuple[Column, ...]

    def names(self) -> list[str]:
        """Return the names of the columns, in order."""
        return [column.name for column in self.columns]


def _text(name: str, meaning: str) -> Column:
    return Column(name, "text", meaning)


def _integer(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "integer", meaning, unit)


def _number(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "number", meaning, unit)


def _seconds_of_parts() -> tuple[Column, ...]:
    """Return the columns of the components of a cell's wall time, with the descriptions of `Seconds`."""
    parts = Seconds.model_fields.items()
    return tuple(_number(f"seconds_{name}", " ".join((part.description or "").split()), "s") for name, part in parts)


DATASET = _text("dataset", "Name of the dataset.")
MODEL = _text("model", "Name of the model.")
REGIME = _text("regime", "Name of the regime.")
SEED = _integer("seed", "Seed, which identifies the replicate.")
CELL = (DATASET, MODEL, REGIME, SEED)
SCOPE = _text(
    "scope", "`block` (one dataset and model), `dataset` (mean over its models) or `all` (mean over datasets)."
)
DATASET_OR_ALL = _text("dataset", "Name of the dataset, or `all`.")
MODEL_OR_ALL = _text("model", "Name of the model, or `all`.")
PHASE = _text("phase", "Name of the training phase.")
STAGE = _text("stage", "Stage of the evaluation: `sub-total`, `total` or `total-tta`.")
RESOLUTION = _text("resolution", "Resolution of the evaluation: `phase`, `full` or `other`.")
TIME_BASIS = _text(
    "time_basis", "Basis of *T*: `training`, `forward` or `latency`; empty if the metric does not use *T*."
)
SIZE = _integer("size", "Side length of the (square) image, after multiplication by `scale`.", "px")
LABEL = _text("label", "True class.")
PREDICTED = _text("predicted", "Predicted class.")
IMAGE = _text("image", "Path of the downscaled image, relative to the folder of images.")
SOURCE = _text("source", "Path of the original image, relative to the folder of originals.")
REPLICATES = _integer("replicates", "Number of seeds.")
PRECISION = _text("precision", "Precision of the forward pass: `float32` or `bf16`.")
LOW = "Lower limit of the 95 % confidence interval"
HIGH = "Upper limit of the 95 % confidence interval"

METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("fraction", "*A*: top-1 accuracy on the validation images."),
    "macro_f1": ("fraction", "F1 score, averaged over classes with equal weight."),
    "negative_log_likelihood": ("nats", "Mean negative log-likelihood of the true class."),
    "calibration_error": ("fraction", "Expected calibration error, 15 bins of equal width."),
    "correct": ("images", "Correctly classified validation images."),
    "count": ("images", "Validation images."),
    "time": ("s", "*T* on the time basis of the row."),
    "efficiency": ("s^-1/2", "*As* = √(*A*/*T*)."),
    "efficiency_ratio": ("1", "*As* relative to the control of the same dataset, model and seed."),
    "training_accuracy": ("fraction", "Accuracy on the training images without augmentation."),
    "training_negative_log_likelihood": ("nats", "Negative log-likelihood on the training images."),
    "accuracy_gap": ("fraction", "Accuracy on the training images minus that on the validation images."),
    "loss_gap": ("nats", "Negative log-likelihood on the validation images minus that on the training images."),
} | {
    f"weight_{metric}_{layers}": (unit, meaning.format(described))
    for metric, unit, meaning in (
        (
            "distance",
            "1",
            "Euclidean distance of the weights of the {} from their initial values, relative to the norm of the "
            "initial weights.",
        ),
        ("norm", "1", "Euclidean norm of the weights of the {}."),
    )
    for layers, described in (("early", "early layers"), ("late", "late layers"), ("head", "head"))
}
"""Unit and meaning of each value of the column ``metric`` in ``tables/metrics.csv``."""

HISTORY = (
    _integer("epoch", "Epoch number within the cell, starting from 1."),
    PHASE,
    SIZE,
    _text("layers", "Trained layers: `head` or `all`."),
    _number("learning_rate", "Learning rate of the head in the first step of the epoch."),
    _number("training_loss", "Smoothed cross-entropy on the augmented training images.", "nats"),
    _number("validation_loss", "Cross-entropy on the validation images.", "nats"),
    _number("accuracy", "Accuracy on the validation images.", "fraction"),
    _number("training_seconds", "Seconds in training steps.", "s"),
    _number(
        "issue_seconds",
        "Time that the host took to issue the training steps. If the GPU finishes less than the duration of one step "
        "after that, training is launch-bound: the GPU was waiting for the host.",
        "s",
    ),
    _number("validation_seconds", "Seconds in validation.", "s"),
    _number("images_per_second", "Throughput of the training steps.", "images/s"),
)
STEPS = (
    _integer("step", "Training step number within the cell, starting from 1."),
    PHASE,
    _integer("epoch", "Epoch number within the cell, starting from 1."),
    SIZE,
    _integer("images", "Images of the step (the batch size).", "images"),
    _number("dropout", "Dropout probability of the head."),
    _number("rate_early", "Learning rate of the early layers."),
    _number("rate_late", "Learning rate of the late layers."),
    _number("learning_rate", "Learning rate of the head."),
    _number("momentum", "Momentum."),
    _number("loss", "Cross-entropy of the batch; with gradient accumulation, of its last part.", "nats"),
)
LR_FIND = (
    PHASE,
    SIZE,
    _integer("step", "Step number of the learning-rate finder within the phase, starting from 0."),
    _number("learning_rate", "Learning rate of the step."),
    _number("loss", "Smoothed cross-entropy.", "nats"),
)
PREDICTIONS = (
    STAGE,
    RESOLUTION,
    SIZE,
    IMAGE,
    LABEL,
    PREDICTED,
    _number("probability_of_label", "Predicted probability of the true class."),
    _number("probability_of_predicted", "Predicted probability of the predicted class."),
)
TIMING = (
    _integer("calls", "Number of timed calls."),
    _number("p50_seconds", "Median latency of a call.", "s"),
    _number("p95_seconds", "95th percentile of the latency of a call.", "s"),
    _number("p99_seconds", "99th percentile of the latency of a call.", "s"),
    _number("seconds_per_image", "Seconds per image in back-to-back calls, median over rounds.", "s"),
    _number("images_per_second", "Throughput of back-to-back calls, median over rounds.", "images/s"),
    _number(
        "spread_of_rounds", "Largest difference between the median latencies of rounds, relative to `p50_seconds`."
    ),
    _number("peak_memory_mb", "Peak memory allocated on a GPU; empty on a CPU.", "10^6 bytes"),
)
MACHINE = (
    PRECISION,
    _text("device", "Name of the GPU or CPU."),
    _integer("threads", "CPU threads that torch uses."),
)

TABLES: Mapping[str, Table] = {
    "tables/metrics.csv": Table(
        "One row per cell and metric, stage, resolution and time basis.",
        (
            *CELL,
            STAGE,
            RESOLUTION,
            SIZE,
            _text("metric", "Name of the metric, see below."),
            TIME_BASIS,
            _number("value", "Value of the metric."),
            _text("unit", "Unit of the value."),
        ),
    ),
    "tables/cells.csv": Table(
        "One row per cell: its setup, hardware, software and the components of its wall time.",
        (
            *CELL,
            _text("weights", "Initial weights: `imagenet`, `none`, or the name of a file."),
            _number("scale", "Factor by which the configured image sizes were multiplied (`scale`)."),
            PRECISION,
            _integer("epochs", "Total number of epochs over all phases."),
            _integer("classes", "Number of classes."),
            _integer("training_images", "Number of training images."),
            _integer("validation_images", "Number of validation images."),
            _number("peak_memory_mb", "Peak memory allocated on a GPU; empty on a CPU.", "10^6 bytes"),
            _text(
                "sizes_in_host_memory",
                "Image sides in px at which the training images did not fit on the GPU, so that *T* includes copying "
                "them; separated by spaces.",
            ),
            _number(
                "seconds_to_first_step",
                "Time from the start of the process to the first training step; for a resumed cell, measured in its "
                "last process, and empty if that process did not train.",
                "s",
            ),
            _integer("resumed", "Number of times that the cell resumed from a checkpoint."),
            _text("device", "Name of the GPU or CPU."),
            _text("device_type", "`cuda` or `cpu`."),
            _integer("threads", "CPU threads that torch uses."),
            _text("driver", "Versions of CUDA and of the GPU driver; empty on a CPU."),
            _text("python", "Version of Python."),
            _text("torch", "Version of torch."),
            _text("torchvision", "Version of torchvision."),
            _text("fastai", "Version of fastai."),
            *_seconds_of_parts(),
        ),
    ),
    "tables/summary.csv": Table(
        "One row per metric of a dataset, model and regime, aggregated over seeds.",
        (
            DATASET,
            MODEL,
            REGIME,
            STAGE,
            RESOLUTION,
            SIZE,
            _text("metric", "Name of the metric, as in `tables/metrics.csv`."),
            TIME_BASIS,
            _text("unit", "Unit of `mean`, `sd`, `low` and `high`."),
            _integer("n", "Number of seeds."),
            _number("mean", "Mean over seeds."),
            _number("sd", "Standard deviation over seeds."),
            _number("low", f"{LOW} of the mean (Student's t); empty with fewer than three seeds."),
            _number("high", f"{HIGH} of the mean; also empty with fewer than three seeds."),
        ),
    ),
    "tables/pairs.csv": Table(
        "One row per cell–control pair, stage, resolution and time basis.",
        (
            DATASET,
            MODEL,
            SEED,
            REGIME,
            STAGE,
            RESOLUTION,
            TIME_BASIS,
            _number("accuracy", "*A* of the cell.", "fraction"),
            _number("accuracy_of_control", "*A* of the control.", "fraction"),
            _number("accuracy_difference", "*A* of the cell minus *A* of the control.", "fraction"),
            _number("time", "*T* of the cell.", "s"),
            _number("time_of_control", "*T* of the control.", "s"),
            _number("time_ratio", "*T* of the cell divided by *T* of the control."),
            _number("log_time_ratio", "Natural logarithm of `time_ratio`."),
            _number("efficiency", "*As* of the cell.", "s^-1/2"),
            _number("efficiency_of_control", "*As* of the control.", "s^-1/2"),
            _number("efficiency_ratio", "*As* of the cell divided by *As* of the control."),
            _number("log_efficiency_ratio", "Natural logarithm of `efficiency_ratio`; empty if an accuracy is zero."),
        ),
    ),
    "tables/effects.csv": Table(
        "One row per effect of a regime relative to the control.",
        (
            SCOPE,
            DATASET_OR_ALL,
            MODEL_OR_ALL,
            REGIME,
            STAGE,
            RESOLUTION,
            TIME_BASIS,
            _number("accuracy_difference", "Mean difference in *A*.", "fraction"),
            _number("time_ratio", "Geometric mean of the ratio of *T*."),
            _number("efficiency_ratio", "Geometric mean of the ratio of *As*."),
            _text(
                "metric",
                "The effect that the following columns describe: `accuracy_difference`, `log_time_ratio` or "
                "`log_efficiency_ratio`.",
            ),
            _text("unit", "Unit of the effect: `fraction`, or `ln` for a natural logarithm."),
            _integer("replicates", "Total number of seeds over all datasets."),
            _number("mean", "Mean of the paired differences."),
            _number("sd", "Standard deviation of the paired differences between the seeds of a dataset."),
            _number("low", f"{LOW} of the mean over further seeds on the same images (Student's t)."),
            _number("high", f"{HIGH} of the mean over further seeds on the same images."),
            _number(
                "low_corrected",
                f"{LOW} of the mean over further images of the same kind, corrected for overlapping folds (Nadeau & "
                "Bengio 2003).",
            ),
            _number(
                "high_corrected", f"{HIGH} of the mean over further images of the same kind, with the same correction."
            ),
            _number("bootstrap_low", f"{LOW} of the BCa bootstrap; empty with fewer than eight replicates."),
            _number("bootstrap_high", f"{HIGH} of the BCa bootstrap; also empty with fewer than eight replicates."),
            _number("p", "Two-sided p-value of the sign-flip test; exact with up to 15 replicates."),
            _number("p_holm", "`p`, adjusted over its family (Holm 1979)."),
            _text("family", "The family of tests, and its size."),
            _number("p_corrected", "Two-sided p-value that corresponds to the corrected interval."),
            _number("effect_size", "Standardised effect size: `mean` divided by `sd`."),
            _number("margin", "Equivalence margin for accuracy.", "fraction"),
            _number(
                "p_equivalent", "p-value of the equivalence test (TOST): the accuracy is equivalent within the margin."
            ),
            _number(
                "p_not_worse", "p-value of the non-inferiority test: the accuracy is not worse by more than the margin."
            ),
            _number("seeds_needed", "Seeds per dataset to detect a ratio of 1.05 with 80 % power."),
            _text("note", "Limitations of this sample size."),
        ),
    ),
    "tables/pareto_front.csv": Table(
        "One row per regime and Pareto front: of a dataset and model, of a dataset, and of all datasets.",
        (
            SCOPE,
            DATASET_OR_ALL,
            MODEL_OR_ALL,
            REGIME,
            STAGE,
            RESOLUTION,
            TIME_BASIS,
            _text(
                "comparator",
                "The control, with which accuracy and time are compared; empty for the scope `block`, where they are "
                "absolute.",
            ),
            replace(REPLICATES, meaning="Total number of seeds over all datasets, of those that have every regime."),
            _number("accuracy", "Mean *A*; or the mean difference in *A* from `comparator`.", "fraction"),
            _number("accuracy_low", f"{LOW} of the mean over further seeds on the same images.", "fraction"),
            _number("accuracy_high", f"{HIGH} of the mean over further seeds on the same images.", "fraction"),
            _number("time", "Mean *T*; or the geometric mean of the ratio of *T* to that of `comparator`."),
            _number("time_low", f"{LOW} of the mean over further seeds on the same images."),
            _number("time_high", f"{HIGH} of the mean over further seeds on the same images."),
            _text("unit", "Unit of `time`, `time_low` and `time_high`: `s`, or `1` for a ratio."),
            Column(
                "on_front",
                "boolean",
                "Whether no other regime is at least as accurate and as fast, and better in one of the two, by the "
                "means.",
            ),
            _number(
                "front_share",
                "Share of bootstrap draws in which the regime is on the front; empty with fewer than two seeds per "
                "dataset.",
            ),
            _text("note", "Limitations of this sample size."),
        ),
    ),
    "tables/time_to_accuracy.csv": Table(
        "One row per cell with a control: when it first reaches 98 % of the last-epoch accuracy of the control.",
        (
            *CELL,
            _number(
                "target_accuracy",
                "98 % of the accuracy of the control of the same dataset, model and seed after its last epoch, "
                "without test-time augmentation.",
                "fraction",
            ),
            _number("best_accuracy", "Highest accuracy after any epoch, at the image size of that epoch.", "fraction"),
            _number("trained_seconds", "*T* after the last epoch.", "s"),
            Column("reached", "boolean", "Whether the accuracy after any epoch reaches the target."),
            _integer("epoch", "First epoch that reaches the target; empty if none does."),
            _number("seconds", "*T* after this epoch; empty if none reaches the target.", "s"),
            _number("seconds_of_control", "*T* after the first epoch of the control that reaches the target.", "s"),
            _number("time_ratio", "`seconds` divided by `seconds_of_control`."),
            _number("log_time_ratio", "Natural logarithm of `time_ratio`."),
        ),
    ),
    "tables/time_to_accuracy_effects.csv": Table(
        "One row per regime and scope: its time to accuracy relative to that of the control.",
        (
            SCOPE,
            DATASET_OR_ALL,
            MODEL_OR_ALL,
            REGIME,
            _integer("cells", "Number of cells."),
            _integer("reached_cells", "Number of cells that reach the target accuracy."),
            _number("reached_share", "`reached_cells` divided by `cells`."),
            replace(REPLICATES, meaning="Total number of seeds over all datasets for which every model reaches it."),
            _number("time_ratio", "Geometric mean of the ratio of the time to accuracy over these seeds."),
            _number("low", f"{LOW} of the ratio over further seeds on the same images (Student's t)."),
            _number("high", f"{HIGH} of the ratio over further seeds on the same images."),
            _number(
                "low_corrected",
                f"{LOW} of the ratio over further images of the same kind, corrected for overlapping folds.",
            ),
            _number("high_corrected", f"{HIGH} of the ratio over further images of the same kind."),
            _text("note", "Limitations of this comparison."),
        ),
    ),
    "tables/answer.csv": Table(
        "One row per part of the answer, treatment, comparator and target.",
        (
            _text(
                "part",
                "`faster`, `as_accurate` or `better_than_less`, the three parts of the answer; or `more_efficient`, "
                "that is, a higher *As*, the efficiency of Wanger & Frohn.",
            ),
            _text("regime", "Name of the treatment."),
            _text(
                "comparator", "The control; or, for `better_than_less`, a regime that trains less or on smaller images."
            ),
            _text(
                "target",
                "`these_images` (further seeds on the same images) or `new_images` (further images of the same kind).",
            ),
            _text("verdict", "`yes`, `no`, `undecided` or `not tested`."),
            _text("metric", "The metric of `value`: `time`, `accuracy` or `efficiency`."),
            _number("value", "Ratio to the comparator; for accuracies, difference from the comparator."),
            _number("low", f"{LOW} of the value, for this target."),
            _number("high", f"{HIGH} of the value, for this target."),
            _text(
                "time_change", "For `better_than_less`: the change in *T*, which decides as well, with its interval."
            ),
            _number("p", "p-value of the test that decides the verdict; if undecided, that of the test for *yes*."),
            _integer("replicates", "Number of replicates."),
            _text("sentence", "The answer as a sentence."),
            _number(
                "seeds_needed",
                "Seeds per dataset that would probably decide an undecided part; infinite if no number would.",
            ),
            _text("lacking", "What has to be added to decide the part."),
            _text("leading", "Whether the headline is about this treatment: `True` or `False`."),
        ),
    ),
    "tables/claims.csv": Table(
        "One row per claim and set of datasets on which it is evaluated.",
        (
            _text("claim", "`ENTR` for the hypothesis, `C1` to `C9` for the claims of the paper."),
            _text("regime", "Regime for which the hypothesis is evaluated; empty for the claims of the paper."),
            _text("evaluated_on", "Names of the datasets on which the claim is evaluated."),
            _text(
                "stand_in_for", "Names of the paper's datasets for which these are stand-ins; empty if they are not."
            ),
            _text("statement", "The claim."),
            _text("verdict", "`supported`, `not supported` or `not tested here`."),
            _text("result", "Result of this study, in the same terms as `paper`."),
            _text("paper", "Result of the paper."),
            _text("comparison", "The deciding comparison: the weakest of those that the claim consists of."),
            _number("value", "Result of this comparison."),
            _number("low", f"{LOW} of the value, corrected for overlapping folds."),
            _number("high", f"{HIGH} of the value, corrected for overlapping folds."),
            _number("p", "p-value of the comparison, adjusted if only some of several comparisons have to hold."),
            _number("replicates", "Number of replicates of the comparison."),
            _text("reason", "Reason for the verdict."),
        ),
    ),
    "tables/recommendation.csv": Table(
        "One row per dataset and goal: the best model and regime.",
        (
            DATASET,
            _text(
                "goal",
                "`accurate` (the most accurate), `efficient` (the most efficient) or `within_limits` (the most "
                "accurate within the limits of `recommend`).",
            ),
            _text("model", "Name of the model; empty if none meets the limits."),
            _text("regime", "Name of the regime."),
            _integer("seed", "Seed of the replicate with median accuracy."),
            REPLICATES,
            _number("accuracy", "Mean accuracy with test-time augmentation.", "fraction"),
            _number("accuracy_low", f"{LOW} of the accuracy.", "fraction"),
            _number("accuracy_high", f"{HIGH} of the accuracy.", "fraction"),
            _number("seconds", "Mean *T*.", "s"),
            _number("seconds_low", f"{LOW} of *T*.", "s"),
            _number("seconds_high", f"{HIGH} of *T*.", "s"),
            _number("efficiency", "Mean *As*.", "s^-1/2"),
            _number("efficiency_low", f"{LOW} of *As*.", "s^-1/2"),
            _number("efficiency_high", f"{HIGH} of *As*.", "s^-1/2"),
            _text("comparison", "Comparison with the runner-up."),
            Column("recommended", "boolean", "Whether this is the model that is exported to `results/models`."),
        ),
    ),
    "errors/<dataset>.csv": Table(
        "One row per image checked with the recommended model and regime, least plausible label first.",
        (
            IMAGE,
            replace(LABEL, meaning="Class with which the image is labelled."),
            PREDICTED,
            _number("probability_of_label", "Predicted probability of the class in `label`, averaged over seeds."),
            _number("probability_of_predicted", "Predicted probability of the predicted class, averaged over seeds."),
            _integer("seeds", "Number of seeds that validated on the image."),
            Column(
                "label_issue",
                "boolean",
                "Whether the image may be mislabelled: a different class is predicted, and its probability is at least "
                "the mean probability of that class among the images labelled with it.",
            ),
            SOURCE,
        ),
    ),
    "tables/datasets.csv": Table(
        "One row per dataset (Table 1). Each trait listed under `traits` in the catalogue is added as a column after "
        "`title`.",
        (
            DATASET,
            _text("title", "Title of the dataset."),
            _integer("images_published", "Published number of images."),
            _integer("images_found", "Number of usable images."),
            _integer("classes_published", "Published number of classes."),
            _integer("classes_found", "Number of classes."),
            _integer("smallest_class", "Number of images in the smallest class."),
            _integer("largest_class", "Number of images in the largest class."),
            _number("median_width_px", "Median width of the originals.", "px"),
            _number("median_height_px", "Median height of the originals.", "px"),
            _integer("unreadable_files", "Files that are not readable images."),
            _integer("contradicting_labels", "Images rejected because a near-duplicate has a different label."),
            _integer("near_duplicates", "Images that are near-duplicates of another image that is used."),
            _integer("near_duplicate_pairs", "Pairs of near-duplicates with the same label."),
            _text("source", "Kind of source, as in the catalogue."),
            _text("licence", "Licence of the images."),
            _text("citation", "Publication to cite."),
            _text("note", "Remark in the catalogue."),
        ),
    ),
    "tables/sample_images.csv": Table("One row per class of each dataset (Fig. 2).", (DATASET, LABEL, IMAGE, SOURCE)),
    "tables/history.csv": Table("One row per cell and epoch.", (*CELL, *HISTORY)),
    "tables/steps.csv": Table("One row per training step of the cells of the first seed.", (*CELL, *STEPS)),
    "tables/lr_find.csv": Table(
        "One row per step of the learning-rate finder of the cells of the first seed.", (*CELL, *LR_FIND)
    ),
    "tables/confusions.csv": Table(
        "One row per cell, true class and predicted class, for the stage `total-tta` at the resolution `phase`.",
        (
            *CELL,
            LABEL,
            PREDICTED,
            _integer("images", "Number of images."),
            _text("example", "Path of the image with the highest probability of the predicted class."),
        ),
    ),
    "cells/<dataset>/<model>/<regime>/seed<seed>/history.csv": Table("One row per epoch.", HISTORY),
    "cells/<dataset>/<model>/<regime>/seed<seed>/steps.csv": Table("One row per training step.", STEPS),
    "cells/<dataset>/<model>/<regime>/seed<seed>/lr_find.csv": Table(
        "One row per step of the learning-rate finder.", LR_FIND
    ),
    "cells/<dataset>/<model>/<regime>/seed<seed>/predictions.csv": Table(
        "One row per validation image, stage and resolution.", PREDICTIONS
    ),
    "data/<dataset>/manifest.csv": Table(
        "One row per usable image, in the order of `pixels.npy`.",
        (
            IMAGE,
            LABEL,
            SOURCE,
            _integer("source_width", "Width of the original in upright orientation.", "px"),
            _integer("source_height", "Height of the original in upright orientation.", "px"),
            _integer("width", "Width of the downscaled image.", "px"),
            _integer("height", "Height of the downscaled image.", "px"),
            _integer(
                "frames",
                "Number of frames or pages in the original; only the first is used. "
                "Pages of a TIFF file are counted up to 20.",
            ),
            _text("sha256", "SHA-256 of the original file."),
            _text("phash", "Perceptual hash, in the format of imagehash."),
            _integer("group", "Number of the group of near-duplicates to which the image belongs."),
        ),
    ),
    "data/<dataset>/rejected.csv": Table(
        "One row per rejected file.",
        (
            SOURCE,
            _text("label", "Class of the file."),
            _text("kind", "`not an image`, or `contradiction` if a near-duplicate has a different label."),
            _text("reason", "Reason for the rejection."),
        ),
    ),
    "data/<dataset>/duplicates.csv": Table(
        "One row per pair of near-duplicates.",
        (
            _text("first", "Path of one original."),
            _text("second", "Path of the other original."),
            _text("first_label", "Class of the first."),
            _text("second_label", "Class of the second."),
            _integer("distance", "Hamming distance between the perceptual hashes in the closest orientation.", "bits"),
            Column("same_file", "boolean", "Whether the files are identical."),
        ),
    ),
    "data/<dataset>/splits/seed<seed>.csv": Table(
        "One row per image of the manifest, in the same order.",
        (
            IMAGE,
            LABEL,
            _integer("class", "Index of the class in alphabetical order, starting from 0."),
            Column("validation", "boolean", "Whether the image is used for validation instead of training."),
            Column("test", "boolean", "Whether the image is held out for testing; see `split.test`."),
        ),
    ),
    "data/<dataset>/originals/links.csv": Table(
        "One row per line of a URL list (only for `source: url_list`).",
        (
            _integer("line", "Line number in the URL list; the header is line 1."),
            _text("url", "URL without credentials or query string."),
            _text("label", "Class."),
            _text("sha256", "Expected SHA-256, if the list has one."),
            _text(
                "status",
                "`fetched`, `duplicate`, `contradiction` (a URL with two labels), `refused` (an invalid URL or label), "
                "`failed`, `not an image`, `checksum mismatch` or `pending`.",
            ),
            _text("detail", "Reason for the status."),
        ),
    ),
    "inference/<model>.csv": Table(
        "One row per image size and batch size of the inference benchmark.",
        (
            MODEL,
            SIZE,
            _integer("batch_size", "Images per call.", "images"),
            *TIMING,
            _integer("parameters", "Parameters of the model."),
            _integer("multiply_adds", "Multiply-adds per image."),
            *MACHINE,
        ),
    ),
    "inference/trained/<dataset>/<model>.csv": Table(
        "One row per regime: the trained model of the first seed, at the final image size of the regime.",
        (
            DATASET,
            MODEL,
            REGIME,
            SIZE,
            _integer("batch_size", "Images per call: 1.", "images"),
            *TIMING,
            *MACHINE,
        ),
    ),
    "progress/progress.csv": Table(
        "One row per cell of the grid.",
        (
            *CELL,
            _text("state", "`finished`, `running`, `interrupted` or `pending`."),
            replace(PHASE, meaning="Last completed phase."),
            _integer("epoch", "Last epoch of this phase."),
            _number("accuracy", "Accuracy on the validation images after this epoch.", "fraction"),
        ),
    ),
    "comparison/comparison.csv": Table(
        "One row per dataset, model, regime, stage, time basis and metric that are common to the two compared runs, at "
        "the resolution `phase`.",
        (
            DATASET,
            MODEL,
            REGIME,
            STAGE,
            TIME_BASIS,
            _text("metric", "`accuracy` (*A*), `time` (*T*) or `efficiency` (*As*)."),
            _integer("seeds_before", "Number of seeds of the earlier run."),
            _integer("seeds_after", "Number of seeds of the later run."),
            _number("mean_before", "Mean over the seeds of the earlier run."),
            _number("mean_after", "Mean over the seeds of the later run."),
            _text("unit", "Unit of both means."),
            _text(
                "pairing",
                "`paired` by seed if at least two seeds validate on the same images in both runs, otherwise "
                "`unpaired`.",
            ),
            _integer("replicates", "Number of pairs; without pairing, the number of seeds in the run that has fewer."),
            _number(
                "change",
                "For *A*, the mean difference (later minus earlier); for *T* and *As*, the mean logarithm of the ratio "
                "of the later run to the earlier one.",
            ),
            _text("change_unit", "Unit of the change: `fraction`, or `ln` for a natural logarithm."),
            _number("sd", "Standard deviation of the paired differences."),
            _number("low", f"{LOW} of the change, on the same images (Student's t; Welch's t without pairing)."),
            _number("high", f"{HIGH} of the change, on the same images."),
            _number(
                "low_corrected",
                f"{LOW} of the change for further images of the same kind, corrected for overlapping folds; empty "
                "without pairing.",
            ),
            _number(
                "high_corrected",
                f"{HIGH} of the change for further images of the same kind; also empty without pairing.",
            ),
            _text("note", "Limitations of the comparison."),
        ),
    ),
    "comparison/predictions.csv": Table(
        "One row per cell common to the two compared runs.",
        (
            *CELL,
            Column("same_images", "boolean", "Whether both runs validate on the same images with the same labels."),
            Column("identical", "boolean", "Whether all predictions and probabilities are equal digit for digit."),
            _integer("predictions", "Number of predictions common to both runs."),
            _integer("changed", "Number of these whose predicted class differs."),
            _number(
                "largest_difference",
                "Largest absolute difference in predicted probability; empty if the runs share no predictions.",
            ),
        ),
    ),
    "comparison/differences.csv": Table(
        "One row per difference between two compared runs.",
        (
            _text("section", "`configuration`, `code`, `machine`, `packages` or `images`."),
            _text("key", "What differs."),
            _text("before", "Value in the earlier run; empty if it is not set."),
            _text("after", "Value in the later run; empty if it is not set."),
        ),
    ),
    "runtime_estimate.csv": Table(
        "One row per unfinished cell: the estimated components of its wall time.",
        (
            *CELL,
            _number("starting", "Imports and loading.", "s"),
            _number("resize", "Resizing of all images.", "s"),
            _number("training", "Training steps.", "s"),
            _number("validation", "Validation after each epoch.", "s"),
            _number("lr_finder", "Learning-rate finder.", "s"),
            _number("evaluation", "Evaluation of the stages.", "s"),
            _number("seconds", "Sum of the components.", "s"),
            _text("plan", "Digest of the training plan of the cell."),
        ),
    ),
    "predictions.csv": Table(
        "One row per file that `predict.pyz` read; `--output` sets the path of this table.",
        (
            _text("path", "Path of the file."),
            _text("prediction", "Predicted class; empty if the file cannot be used."),
            _number("probability", "Probability of the predicted class.", "fraction"),
            _text("problem", "Why the file cannot be used."),
        ),
    ),
}
"""All tables, by their path below ``results``, where they are unless the description states another path."""


def documented_columns(path: str) -> list[str]:
    """Return the documented columns of a table, in order.

    Parameters
    ----------
    path : str
        A key of `TABLES`, such as ``tables/metrics.csv``.
    """
    return TABLES[path].names()
