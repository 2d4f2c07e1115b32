"""Prediction with an exported model, by ONNX Runtime: ``python predict.pyz IMAGES... --output predictions.csv``.

It needs NumPy, Pillow and ONNX Runtime only. `export.write_predict_command` packs it, with the modules that it
imports, into a file beside the model, which runs without a checkout.
"""

import argparse
import csv
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from entr.data.decode import UnusableError, downscale_image
from entr.data.image_folder import decode_name, is_hidden
from entr.jobs.errors import EntrError, one_line
from entr.jobs.files import atomic_write

log = logging.getLogger("entr")

GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True)
class Prediction:
    """The predicted class of an image."""

    path: str
    prediction: str = ""
    probability: float | None = None
    problem: str = ""
    """Why the file could not be used."""
    probabilities: Mapping[str, float] | None = None
    """Of each class."""


@dataclass(frozen=True)
class Classifier:
    """An exported model with its classes and its preprocessing."""

    session: onnxruntime.InferenceSession
    classes: tuple[str, ...]
    preprocessing: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path, device: str = "auto") -> Self:
        """Open the directory of an exported model.

        Parameters
        ----------
        folder : path
            The directory.
        device : {"auto", "cuda", "cpu"}
            ``auto`` uses a GPU if ONNX Runtime supports one here.

        Raises
        ------
        EntrError
            If it is not such a directory or is damaged, or if a GPU is requested and there is none.
        """
        providers = onnxruntime.get_available_providers()
        if device == "cuda" and GPU not in providers:
            raise EntrError("--device cuda: this ONNX Runtime does not support CUDA; install onnxruntime-gpu")
        wanted = [GPU, CPU] if device != "cpu" and GPU in providers else [CPU]
        try:
            preprocessing = json.loads(Path(folder, "preprocessing.json").read_text(encoding="utf-8"))
            classes = json.loads(Path(folder, "classes.json").read_text(encoding="utf-8"))
            session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")), providers=wanted)
        # ONNX Runtime's own errors derive from Exception
        except Exception as error:
            raise EntrError(
                f"{folder} is not the directory of an exported model ({one_line(error)}); give results/models/<dataset>"
            ) from error
        if device == "cuda" and GPU not in session.get_providers():
            raise EntrError("--device cuda: ONNX Runtime cannot use a GPU here; check the GPU driver, CUDA and cuDNN")
        return cls(session, tuple(classes), preprocessing)

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """Return an image as the model takes it: a normalised square, float32 of shape (3, size, size).

        Parameters
        ----------
        image : Image
            As `downscale_image` returns it.
        """
        size, method = self.preprocessing["size"], self.preprocessing["resize_method"]
        if method == "squish":
            width = height = size
        else:
            scale = size / (min if method == "crop" else max)(image.size)
            width, height = (max(1, round(side * scale)) for side in image.size)
        resized = image if image.size == (width, height) else image.resize((width, height), Resampling.BILINEAR)
        if method == "pad":
            square = Image.new("RGB", (size, size))
            square.paste(resized, ((size - width) // 2, (size - height) // 2))
        else:
            left, top = round((width - size) / 2), round((height - size) / 2)
            square = resized.crop((left, top, left + size, top + size))
        mean, std = (np.array(self.preprocessing[name], np.float32) for name in ("mean", "std"))
        return ((np.asarray(square, np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)

    def probabilities(self, squares: Sequence[NDArray[np.float32]]) -> NDArray[np.floating]:
        """Return the probability of each class, shape (images, classes), of squares as `prepare` returns them."""
        (logits,) = self.session.run(None, {"images": np.stack(squares)})
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def predict(self, paths: Iterable[Path], batch_size: int) -> Iterator[Prediction]:
        """Yield the prediction of each file, in order; a file that cannot be used yields the problem.

        The next batch is read while the model classifies the current one.

        Parameters
        ----------
        paths : iterable of path
            Image files.
        batch_size : int
            Number of images that are classified at once.
        """
        remaining = iter(paths)
        with ThreadPoolExecutor() as pool:
            read = [(path, pool.submit(self._read, path)) for path in islice(remaining, batch_size)]
            while read:
                batch = [(path, future.result()) for path, future in read]
                read = [(path, pool.submit(self._read, path)) for path in islice(remaining, batch_size)]
                yield from self._classify(batch)

    def _classify(self, batch: Sequence[tuple[Path, NDArray[np.float32] | str]]) -> Iterator[Prediction]:
        squares = [square for _, square in batch if not isinstance(square, str)]
        probabilities = iter(self.probabilities(squares) if squares else ())
        for path, square in batch:
            if isinstance(square, str):
                yield Prediction(decode_name(str(path)), problem=square)
            else:
                row = next(probabilities)
                of_classes = dict(zip(self.classes, map(float, row), strict=True))
                best = row.argmax()
                yield Prediction(decode_name(str(path)), self.classes[best], float(row[best]), probabilities=of_classes)

    def _read(self, path: Path) -> NDArray[np.float32] | str:
        """Return an image as the model takes it, or the reason why the file cannot be used."""
        try:
            return self.prepare(downscale_image(path.read_bytes(), self.preprocessing["images"])[0])
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
        try:
            path.stat()
            if path.is_dir():
                os.scandir(path).close()
            below = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        except FileNotFoundError as error:
            raise EntrError(f"{path} does not exist; correct the path") from error
        except OSError as error:
            raise EntrError(f"{path} cannot be read ({one_line(error)}); change its permissions") from error
        files += [file for file in below if not any(map(is_hidden, file.relative_to(path).parts))]
    if not files:
        raise EntrError(f"there are no files in {', '.join(map(str, given))}; give images, or directories of images")
    return files


def predict_files(
    folder: str | Path, images: Iterable[str | Path], output: str | Path, *, batch_size: int = 64, device: str = "auto"
) -> None:
    """Classify images with an exported model.

    Parameters
    ----------
    folder : path
        Directory of the exported model.
    images : iterable of path
        Images, or directories of images.
    output : path
        File with one entry per image file. A name that ends in ``.json`` selects JSON, which also contains the
        probability of each class; other names select CSV with the columns ``path``, ``prediction``,
        ``probability`` and ``problem``.
    batch_size : int
        Number of images that are classified at once.
    device : {"auto", "cuda", "cpu"}
        See `Classifier.open`.

    Raises
    ------
    EntrError
        If the model cannot be opened, or none of the files is a usable image.
    """
    files = find_images(images)
    predictions = Classifier.open(folder, device).predict(files, batch_size)
    skipped: list[str] = []
    with atomic_write(output) as file:
        write = _write_json if Path(output).suffix.lower() == ".json" else _write_csv
        write(_noting_skipped(predictions, skipped), file)
    log.info("%d images classified, %d files skipped; see %s", len(files) - len(skipped), len(skipped), output)
    if len(skipped) == len(files):
        raise EntrError(f"none of the files is a usable image; {output} states the problem of each")


def _noting_skipped(predictions: Iterable[Prediction], skipped: list[str]) -> Iterator[Prediction]:
    """Yield predictions; log and note the path of each file that cannot be used."""
    for prediction in predictions:
        if prediction.problem:
            log.warning("%s: skipped (%s)", prediction.path, prediction.problem)
            skipped.append(prediction.path)
        yield prediction


def _write_json(predictions: Iterable[Prediction], file: IO[str]) -> None:
    json.dump([asdict(prediction) for prediction in predictions], file, ensure_ascii=False, indent=2)
    file.write("\n")


def _write_csv(predictions: Iterable[Prediction], file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["path", "prediction", "probability", "problem"])
    for one in predictions:
        writer.writerow([one.path, one.prediction, one.probability, one.problem])


def main(model_dir: str | Path | None = None) -> None:
    """Parse the command line, and classify images.

    Parameters
    ----------
    model_dir : path, optional
        Directory of the exported model; by default the first argument of the command line.
    """
    program = f"python {Path(sys.argv[0]).name}" if model_dir else "python -m entr.deploy.predict"
    parser = argparse.ArgumentParser(prog=program, description="Classify images with a model that ENTR exported.")
    if model_dir is None:
        parser.add_argument(
            "model_dir", metavar="MODEL_DIR", help="directory of the exported model: results/models/NAME"
        )
    parser.add_argument("images", metavar="IMAGES", nargs="+", help="images, or directories of images")
    parser.add_argument(
        "--output",
        default="predictions.csv",
        help="file of predictions: CSV, or JSON with the probability of each class if the name ends in .json "
        "(default: predictions.csv)",
    )
    parser.add_argument(
        "--batch-size", type=_positive, default=64, help="number of images that are classified at once (default: 64)"
    )
    parser.add_argument(
        "--device",
        choices=["auto", "cuda", "cpu"],
        default="auto",
        help="auto uses a GPU if onnxruntime-gpu is installed (default: auto)",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        predict_files(
            model_dir or options.model_dir,
            options.images,
            options.output,
            batch_size=options.batch_size,
            device=options.device,
        )
    except EntrError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: {options.output} could not be written ({one_line(error)}); choose another --output")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    main()
