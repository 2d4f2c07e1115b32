"""The figures of the report, in its order: heading, question, caption, module and tables of each."""

from dataclasses import asdict, dataclass
from typing import Any

ANSWER = "The answer"
"""Category of the figure that leads the report."""
TIME = "How much time is saved?"
ACCURACY = "Is accuracy kept?"
TRAINING = "What did training do?"
DATA = "What were the images and the schedule?"
QUESTIONS = {TIME: "Time", ACCURACY: "Accuracy", TRAINING: "Training", DATA: "Images"}
"""The other categories, with their short names."""


@dataclass(frozen=True)
class Figure:
    """A figure as it is described before it is drawn."""

    name: str
    """Name of its files."""
    module: str
    """Module of this package whose `plot` draws it. It is not imported, so that a change redraws one figure."""
    heading: str
    category: str
    caption: str
    tables: tuple[str, ...]
    """The tables of ``results/tables`` from which it is drawn."""
    shows_images: bool = False
    """Whether it shows images of the datasets."""
    shows_plans: bool = False
    """Whether it shows how the regimes are configured."""

    @property
    def source(self) -> str:
        """Path of the module, relative to ``workflow/scripts``."""
        return f"entr/figures/{self.module}.py"

    def plain(self) -> dict[str, Any]:
        """Return the figure as plain values, for the parameters of a rule."""
        return asdict(self)


SAMPLE_IMAGES = "fig2_sample_images"
"""The figure that needs no cells and therefore has its own rule."""

_FIGURES = (
    Figure(
        name="effects",
        module="effects",
        heading="Change in time, accuracy and efficiency",
        category=ANSWER,
        caption="Final results relative to the control, paired by seed. Thick lines are 95 % intervals for further "
        "seeds on these images. Thin lines are 95 % intervals for new images of the same kind, corrected for "
        "overlapping folds (Nadeau & Bengio 2003). Intervals are cut off at a factor of 4 and at 50 points. "
        "Efficiency As = √(A/T) follows from the other two.",
        tables=("effects", "cells"),
    ),
    Figure(
        name="fig1_accuracy_time",
        module="accuracy_time",
        heading="Accuracy against training time",
        category=TIME,
        caption="Validation accuracy at the image size of each phase, against T. Lines are means over seeds and points "
        "are epochs. A large point marks a change of the image size, labelled in px unless there are many regimes. "
        "Figure 1 of the paper is a sketch of this. The dashed line is 98 % of the control's accuracy after its last "
        "epoch.",
        tables=("history", "cells", "time_to_accuracy", "time_to_accuracy_effects"),
    ),
    Figure(
        name="time_to_accuracy",
        module="time_to_accuracy",
        heading="Time to accuracy",
        category=TIME,
        caption="T until a regime first reaches 98 % of the last-epoch accuracy of the control of the same dataset, "
        "model and seed, relative to the time that the control needs for that. Accuracy is evaluated after "
        "each epoch at its image size, without test-time augmentation. Right: how many cells reach it; the "
        "others are left out of the ratio, which favours the regime. Intervals are cut off at a factor of 4.",
        tables=("time_to_accuracy_effects", "cells"),
    ),
    Figure(
        name="pareto_front",
        module="pareto_front",
        heading="Pareto front of accuracy and time",
        category=TIME,
        caption="Mean accuracy against mean T of each regime, with 95 % intervals for further seeds on these images; "
        "small points are seeds. The grey line is the Pareto front: it joins the regimes that no other regime "
        "dominates. Means over several datasets or models are relative to the control: differences in accuracy, and "
        "geometric means of ratios of T. The percentage, and the size of a point, is the share of bootstrap draws in "
        "which the regime is on the front; the draws resample seeds.",
        tables=("metrics", "pareto_front", "cells"),
    ),
    Figure(
        name="fig4_efficiency",
        module="efficiency",
        heading="Efficiency",
        category=TIME,
        caption="Efficiency As = √(A/T), the paper's standardised accuracy, by dataset, model and regime, before and "
        "after fine-tuning. Large points are means over seeds with their 95 % intervals; small points are seeds. "
        "The ratios in the title are paired by seed. Figure 4 of the paper.",
        tables=("metrics", "summary", "effects", "cells"),
    ),
    Figure(
        name="wall_time",
        module="wall_time",
        heading="Wall time by activity",
        category=TIME,
        caption="Mean wall time per cell by activity. The first two components are T for the time basis training; "
        "the other components are excluded from T.",
        tables=("cells",),
    ),
    Figure(
        name="throughput",
        module="throughput",
        heading="Training throughput by image size",
        category=TIME,
        caption="Images per second in training steps against image size. Where small images are not faster, the device "
        "is under-utilised and smaller images save no time. The dashed line is ideal scaling with the number of "
        "pixels, from the largest size. Epochs in which the image size changes are left out.",
        tables=("history", "steps", "cells"),
    ),
    Figure(
        name="fig5_accuracy",
        module="accuracy",
        heading="Accuracy",
        category=ACCURACY,
        caption="Top-1 accuracy on the validation images, by dataset, model and regime, before and after "
        "fine-tuning. Large points are means over seeds with their 95 % intervals; small points are seeds. A dashed "
        "line is the best accuracy that the paper states for that dataset, from one run. Figure 5 of the paper.",
        tables=("metrics", "summary", "effects", "cells"),
    ),
    Figure(
        name="evaluation_sizes",
        module="evaluation_sizes",
        heading="Accuracy by evaluation size",
        category=ACCURACY,
        caption="Accuracy of the trained models on validation images of other sizes, without test-time augmentation. "
        "A model that was trained at one size can be more accurate at another.",
        tables=("metrics", "summary", "cells"),
    ),
    Figure(
        name="confusion_matrices",
        module="confusion_matrices",
        heading="Confusion matrices",
        category=ACCURACY,
        caption="Confusion matrix of the model and regime with the highest mean accuracy per dataset, over all seeds, "
        "and the most frequent confusions. If the images are available, the top row shows a confident "
        "misclassification, and the row below a correctly classified image of the predicted class.",
        tables=("confusions", "summary"),
        shows_images=True,
    ),
    Figure(
        name="learning_curves",
        module="learning_curves",
        heading="Learning curves",
        category=TRAINING,
        caption="Means over seeds after each epoch; the shaded bands are ranges over seeds. A labelled point marks a "
        "change of the image size, in px. Accuracy is evaluated at the image size of the phase.",
        tables=("history", "cells"),
    ),
    Figure(
        name="training_diagnostics",
        module="training_diagnostics",
        heading="Training diagnostics",
        category=TRAINING,
        caption="Training loss and generalisation gap at the full size without augmentation, and the distance of the "
        "weights from their initial values, relative to the norm of those, by layer group. Descriptive; not tested.",
        tables=("metrics", "summary", "cells"),
    ),
    Figure(
        name="lr_finder",
        module="lr_finder",
        heading="Learning-rate finder",
        category=TRAINING,
        caption="Smoothed training loss against learning rate, before each phase, for the first seed. By default these "
        "curves select no learning rate, because one that is tuned per regime would be a confounder. "
        "Losses above four times the minimum are cut off.",
        tables=("lr_find", "cells"),
    ),
    Figure(
        name="recorded_schedule",
        module="recorded_schedule",
        heading="Recorded schedule",
        category=TRAINING,
        caption="Image size, learning rate and momentum of each training step of the first seed and model, as recorded "
        "from the optimiser. Sections without changes are thinned out.",
        tables=("steps",),
    ),
    Figure(
        name=SAMPLE_IMAGES,
        module="sample_images",
        heading="Sample images",
        category=DATA,
        caption="One image per class, selected by checksum: arbitrary but reproducible. Figure 2 of the paper.",
        tables=("sample_images",),
        shows_images=True,
    ),
    Figure(
        name="fig3_schedule",
        module="schedule",
        heading="Training schedule",
        category=DATA,
        caption="Image size of each regime and learning rate by epoch, as configured. Darker bars are larger images; "
        "a layer group without a line is frozen. The paper's phases are sgdr (gradient descent with warm restarts), "
        "clrs (cyclical learning rates), cmult (cycles that double in length) and rpl (fine-tuning of all layers). "
        "Figure 3 of the paper.",
        tables=(),
        shows_plans=True,
    ),
)

CATALOGUE = {figure.name: figure for figure in _FIGURES}
"""Every figure by name."""

PAPER_FIGURES = ("effects", "fig1_accuracy_time", "fig4_efficiency", "fig5_accuracy", "time_to_accuracy")
"""Figures that the paper of a run shows, in their order."""
