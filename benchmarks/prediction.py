"""Prediction with an exported model compared with other runtimes, interleaved in one run: milliseconds per image.

    PYTHONPATH=workflow/scripts .venv/bin/python benchmarks/prediction.py results/models/NAME IMAGES…

`entr` is `predict.pyz`. The others compute the same probabilities of the same prepared images: `onnxruntime` with its
default options, and PyTorch in channels-last layout: as it is, traced and optimised by TorchScript, and compiled. All
use one thread per core that `taskset` leaves. The last row includes reading the files: `entr` in batches of 64, and
`plain`, a loop that prepares one image after the other and classifies each batch with ONNX Runtime.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from entr.data.decode import downscale_image
from entr.deploy.predict import Classifier, find_images
from entr.models import architectures

BATCH_SIZES = (1, 8, 64)
ROUNDS = 7
SECONDS = 1.0
"""Of each implementation per round."""
TOLERANCE = 1e-4
"""Largest difference of probabilities."""

Runtime = Callable[[NDArray[np.float32]], NDArray[np.floating]]


def runtimes(folder: Path, classifier: Classifier) -> dict[str, Runtime]:
    """Return functions from prepared images, shape (b, 3, size, size), to probabilities."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    model = architectures.load_trained(folder / "model.safetensors")[0].eval().to(memory_format=torch.channels_last)
    size = classifier.preprocessing["size"]
    example = _channels_last(np.zeros((2, 3, size, size), np.float32))
    with torch.inference_mode():
        traced = torch.jit.optimize_for_inference(torch.jit.trace(model, example))

    def of_torch(module: Callable[[torch.Tensor], torch.Tensor]) -> Runtime:
        def run(batch: NDArray[np.float32]) -> NDArray[np.floating]:
            with torch.inference_mode():
                return module(_channels_last(batch)).softmax(1).numpy()

        return run

    return {
        "entr": lambda batch: classifier.probabilities(list(batch)),
        "onnxruntime": lambda batch: _softmax(session.run(None, {"images": batch})[0]),
        "torch": of_torch(model),
        "torchscript": of_torch(traced),
        "torch.compile": of_torch(torch.compile(model)),
    }


def _channels_last(batch: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return torch.from_numpy(logits).softmax(1).numpy()


def from_files(classifier: Classifier, paths: list[Path]) -> dict[str, Callable[[], object]]:
    """Return functions that classify files."""

    def plain() -> None:
        for start in range(0, len(paths), BATCH_SIZES[-1]):
            batch = paths[start : start + BATCH_SIZES[-1]]
            images = [downscale_image(path.read_bytes(), classifier.preprocessing["images"])[0] for path in batch]
            classifier.probabilities([classifier.prepare(image) for image in images])

    return {"entr": lambda: list(classifier.predict(paths, BATCH_SIZES[-1])), "plain": plain}


def interleaved(functions: Mapping[str, Callable[[], object]], n_images: int) -> dict[str, float]:
    """Return the median milliseconds per image of each function, called in random order in each round."""
    timings: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name in random.sample(list(functions), len(functions)):
            functions[name]()
            calls, start = 0, time.perf_counter()
            while (seconds := time.perf_counter() - start) < SECONDS:
                functions[name]()
                calls += 1
            timings[name].append(1000 * seconds / calls / n_images)
    return {name: statistics.median(times) for name, times in timings.items()}


def main() -> None:
    """Check that all runtimes agree, time them, and print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path, help="directory of an exported model")
    parser.add_argument("images", nargs="+", type=Path, help="images, or folders of images")
    parser.add_argument("--number", type=int, default=256, help="number of files that are classified (default: 256)")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    classifier = Classifier.open(options.model, "cpu")
    paths = find_images(options.images)
    paths = random.Random(0).sample(paths, min(options.number, len(paths)))
    images = [downscale_image(path.read_bytes(), classifier.preprocessing["images"])[0] for path in paths]
    squares = np.stack([classifier.prepare(image) for image in images])
    of_runtime = runtimes(options.model, classifier)
    print(f"{squares.shape[-1]} px, {threads} threads, ms per image, load {os.getloadavg()}")
    for size in BATCH_SIZES:
        batch = squares[:size]
        for name, run in of_runtime.items():
            np.testing.assert_allclose(run(batch), of_runtime["torch"](batch), atol=TOLERANCE, err_msg=name)
        calls = {name: partial(run, batch) for name, run in of_runtime.items()}
        _print_row(f"batch of {size}", interleaved(calls, size))
    _print_row(f"{len(paths)} files", interleaved(from_files(classifier, paths), len(paths)))
    print(f"load {os.getloadavg()}")


def _print_row(label: str, milliseconds: Mapping[str, float]) -> None:
    ratio = milliseconds["entr"] / min(milliseconds.values())
    columns = "  ".join(f"{name} {value:.2f}" for name, value in milliseconds.items())
    print(f"{label}: {columns}  (entr : fastest {ratio:.2f})")


if __name__ == "__main__":
    main()
