"""Which figures there are, in the order of the report: what each is called, says and is drawn from."""

from dataclasses import dataclass

PAPER, OURS = "The paper's figures, from these runs", "Further figures"


@dataclass(frozen=True)
class Figure:
    """One figure, before it is drawn."""

    heading: str
    category: str
    module: str
    """Module of this package that draws it, named here and not imported, so that a change redraws its own."""
    function: str
    tables: tuple[str, ...]
    """Of ``results/tables``, all that it is drawn from; the first is linked beside it."""
    caption: str
    shows_images: bool = False
    """Whether it shows images of the datasets too."""
    shows_plans: bool = False
    """Whether it shows how the regimes are configured."""


GALLERY = {
    "fig1": Figure(
        "Fig. 1. The hypothesis, measured", PAPER, "paths", "hypothesis", ("history", "runs"),
        "Validation accuracy at the image size of each phase against the seconds spent in training steps until then. "
        "A line is the mean over seeds, its points are epochs, a numbered point is where the size in px changes. "
        "The paper drew this by hand, as what it expected.",
    ),
    "fig2": Figure(
        "Fig. 2. The images", PAPER, "", "", ("samples",),
        "One image of each class, chosen by checksum, so neither by name nor by look.", shows_images=True,
    ),
    "fig3": Figure(
        "Fig. 3. The schedule", PAPER, "schedules", "planned", (),
        "Image size of each regime, and learning rate, by epoch, as configured. Bars are darker where images are "
        "larger; a layer without a line is frozen.",
        shows_plans=True,
    ),
    "fig4": Figure(
        "Fig. 4. Efficiency", PAPER, "outcomes", "efficiency", ("cells", "summary", "effects", "runs"),
        "Standardized accuracy As = √(A/T) by dataset, network and regime, before and after re-training the "
        "pretrained layers. Large points are means over seeds with their 95 % interval, small points the seeds. "
        "The ratios in the title are paired by seed.",
    ),
    "fig5": Figure(
        "Fig. 5. Accuracy", PAPER, "outcomes", "accuracy", ("cells", "summary", "effects", "runs"),
        "Share of validation images that are named rightly, as in Fig. 4. A dashed line is the best that the paper "
        "states in its text for that dataset, from one run; its final accuracies include test-time augmentation.",
    ),
    "front": Figure(
        "Accuracy against time", OURS, "paths", "front", ("cells", "summary", "runs"),
        "Mean accuracy against mean T of each network and regime, with 95 % intervals; small points are seeds. The "
        "line joins the Pareto front: what no other network and regime equals in both.",
    ),
    "effects": Figure(
        "Regimes against the control", OURS, "comparisons", "forest", ("effects", "runs"),
        "Ratios of efficiency As and of time T to the control's, and differences of accuracy A, paired by seed. "
        "Thick lines are 95 % intervals for further seeds on the same images, thin ones for further images, widened "
        "because folds share training images. As follows from the other two: ln As = ½ (ln A − ln T).",
    ),
    "learning": Figure(
        "Learning curves", OURS, "course", "learning", ("history", "runs"),
        "Mean over seeds after each epoch, with the range of the seeds shaded. A numbered point is where the image "
        "size in px changes; accuracy is measured at the size of the phase.",
    ),
    "schedule": Figure(
        "The schedule as recorded", OURS, "schedules", "recorded", ("steps",),
        "Image size, learning rate and momentum of each training step of the first seed and network, as the "
        "optimizer had them; thinned where nothing changes.",
    ),
    "finder": Figure(
        "The learning-rate finder", OURS, "course", "finder", ("lr_find", "runs"),
        "Smoothed training loss while the rate grows, before each phase, of the first seed. It is recorded and by "
        "default not chosen by, for a rate chosen for each regime would confound them. Losses above four times the "
        "lowest are cut off.",
    ),
    "time": Figure(
        "Where the time went", OURS, "costs", "parts", ("runs",),
        "Mean wall time of a cell by what it was spent on. The two dark parts are T on the basis of training; "
        "the others are timed apart and never count.",
    ),
    "speed": Figure(
        "Training speed by image size", OURS, "costs", "speed", ("history", "runs"),
        "Images a second in training steps against image size. Where small images are no faster, the device is not "
        "filled and shrinking them saves no time. The dashed line is what pixels alone would say, from the largest.",
    ),
    "sizes": Figure(
        "Accuracy by test size", OURS, "comparisons", "test_sizes", ("cells", "summary", "runs"),
        "Accuracy of the finished networks on validation images of other sizes, without test-time augmentation. A "
        "network trained at one size can do better at another.",
    ),
    "mechanism": Figure(
        "Mechanism", OURS, "comparisons", "mechanism", ("cells", "summary", "runs"),
        "Training loss and generalisation gap at the full size and without augmentation, and how far the weights "
        "have come from the first ones, relative to those, by group of layers. Descriptive.",
    ),
    "confusions": Figure(
        "What is taken for what", OURS, "confusions", "matrices", ("confusions", "summary"),
        "For each dataset the network and regime of the highest mean accuracy: what validation images of each class "
        "were taken for, all seeds together, and the classes most often confused. Above, the image of which the "
        "network was surest when it was wrong; below, one that it rightly called so.", shows_images=True,
    ),
}  # fmt: skip
"""Every figure by its name, which is that of its files."""

SAMPLES = "fig2"
"""The figure with a rule of its own, for it needs no cells."""
