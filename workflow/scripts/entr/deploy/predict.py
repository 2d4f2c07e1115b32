"""Prediction with an exported model: ``python -m entr.deploy.predict MODEL_DIR IMAGES... --output predictions.csv``."""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from fastcore.basics import chunked
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from entr.config.training import Augmentation
from entr.data.downscale import UnusableError, downscale_image
from entr.data.image_folder import is_hidden
from entr.devices import torch_device
from entr.jobs.errors import EntrError, one_line
from entr.jobs.tables import write_table
from entr.models import architectures
from entr.training.batches import CropDataset, make_loader
from entr.training.resize import PackedImages, resize_images

log = logging.getLogger("entr")


@dataclass(frozen=True)
class Prediction:
    """The predicted class of an image."""

    path: str
    prediction: str = ""
    probability: float | None = None
    problem: str = ""
    """Why the file could not be used."""


@dataclass(frozen=True)
class Classifier:
    """An exported model with its classes and its preprocessing."""

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    device: torch.device

    @classmethod
    def open(cls, folder: str | Path, device: torch.device) -> Self:
        """Open the directory of an exported model.

        Raises
        ------
        EntrError
            If it is not such a directory, or is damaged.
        """
        try:
            preprocessing = json.loads(Path(folder, "preprocessing.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EntrError(
                f"{folder} is not the directory of an exported model ({one_line(error)}); give results/models/<dataset>"
            ) from error
        model, classes = architectures.load_trained(Path(folder, "model.safetensors"))
        return cls(model.eval().to(device), classes, preprocessing, device)

    def probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.floating]:
        """Return the probability of each class, shape (images, classes).

        Parameters
        ----------
        images : sequence of Image
            Images as `downscale_image` returns them.
        """
        extents = np.array([(image.height, image.width) for image in images])
        canvas = np.zeros((len(images), *extents.max(0), 3), np.uint8)
        for row, image in enumerate(images):
            canvas[row, : image.height, : image.width] = np.asarray(image)
        packed = PackedImages(
            images=torch.from_numpy(canvas),
            extents=extents,
            classes=np.zeros(len(images), np.int64),
            validation=np.zeros(len(images), np.bool_),
            names=("",) * len(images),
            labels=self.classes,
        )
        size, method = self.preprocessing["size"], self.preprocessing["resize_method"]
        resized = resize_images(packed, size, method, self.device)
        crops = CropDataset(resized, np.arange(len(images)), augmented=False)
        statistics = self.preprocessing["mean"], self.preprocessing["std"]
        batches = make_loader(crops, len(images), Augmentation(), statistics=statistics)
        with torch.inference_mode():
            return torch.cat([self.model(batch).softmax(1).cpu() for batch, _ in batches]).numpy()

    def predict(self, paths: Iterable[Path], batch_size: int) -> Iterator[Prediction]:
        """Yield the prediction of each file, in order; a file that cannot be used yields the problem.

        Parameters
        ----------
        paths : iterable of path
            Image files.
        batch_size : int
            Number of images that are read and classified at once.
        """
        for batch in chunked(tqdm(list(paths), unit="image", disable=None), batch_size):
            opened = [self._open_image(path) for path in batch]
            images = [image for image in opened if isinstance(image, Image.Image)]
            probabilities = iter(self.probabilities(images) if images else ())
            for path, image in zip(batch, opened, strict=True):
                if isinstance(image, Image.Image):
                    row = next(probabilities)
                    yield Prediction(str(path), self.classes[row.argmax()], float(row.max()))
                else:
                    yield Prediction(str(path), problem=image)

    def _open_image(self, path: Path) -> Image.Image | str:
        """Return a downscaled image, or the reason why the file cannot be used."""
        try:
            return downscale_image(path.read_bytes(), self.preprocessing["images"])[0]
        except (UnusableError, OSError) as error:
            return str(error)


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the given files, and all files below the given directories, sorted, except hidden ones.

    Raises
    ------
    EntrError
        If there is no such file or directory, or no file in them.
    """
    given = [Path(path) for path in paths]
    files: list[Path] = []
    for path in given:
        if not path.exists():
            raise EntrError(f"{path} does not exist; correct the path")
        below = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        files += [file for file in below if not any(map(is_hidden, file.relative_to(path).parts))]
    if not files:
        raise EntrError(f"there are no files in {', '.join(map(str, given))}; give images, or directories of images")
    return files


def predict_files(
    folder: str | Path, images: Iterable[str | Path], output: str | Path, *, batch_size: int, device: str
) -> None:
    """Classify images with an exported model.

    Parameters
    ----------
    folder : path
        Directory of the exported model.
    images : iterable of path
        Images, or directories of images.
    output : path
        CSV file with one row per file and the columns ``path``, ``prediction``, ``probability`` and
        ``problem``.
    batch_size : int
        Number of images that are read and classified at once.
    device : {"auto", "cuda", "cpu"}
        See `choose_device`.

    Raises
    ------
    EntrError
        If the model cannot be opened, or none of the files is a usable image.
    """
    files = find_images(images)
    classifier = Classifier.open(folder, torch_device.choose_device(device))
    predictions = list(classifier.predict(files, batch_size))
    write_table(pd.DataFrame([asdict(prediction) for prediction in predictions]), output)
    skipped = [prediction for prediction in predictions if prediction.problem]
    for prediction in skipped:
        log.warning("%s: skipped (%s)", prediction.path, prediction.problem)
    log.info("%d images classified, %d files skipped; see %s", len(predictions) - len(skipped), len(skipped), output)
    if len(skipped) == len(predictions):
        raise EntrError(f"none of the files is a usable image; {output} states the problem of each")


def main() -> None:
    """Parse the command line, and classify images."""
    parser = argparse.ArgumentParser(
        prog="python -m entr.deploy.predict", description="Classify images with a model that ENTR exported."
    )
    parser.add_argument("model_dir", metavar="MODEL_DIR", help="directory of the exported model: results/models/NAME")
    parser.add_argument("images", metavar="IMAGES", nargs="+", help="images, or directories of images")
    parser.add_argument(
        "--output",
        default="predictions.csv",
        help="CSV file with the columns path, prediction, probability and problem (default: predictions.csv)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, help="number of images that are classified at once (default: 64)"
    )
    parser.add_argument(
        "--device", choices=["auto", "cuda", "cpu"], default="auto", help="auto uses a GPU if there is one"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        predict_files(
            options.model_dir, options.images, options.output, batch_size=options.batch_size, device=options.device
        )
    except EntrError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
