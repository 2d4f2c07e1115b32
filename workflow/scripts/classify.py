"""Name new images with a network that a grid left: classify.py results/best/NAME PHOTOS --output labels.csv."""

import argparse
import logging
import sys
from dataclasses import asdict

import pandas as pd

from entr import classifying, devices
from entr.guards import EntrError, atomic_write

log = logging.getLogger("entr")


def main() -> None:
    """Read the command line, name the images, and write a CSV file."""
    parser = argparse.ArgumentParser(description="Name new images with a network that a grid left.")
    parser.add_argument("network", help="folder of results/best")
    parser.add_argument("images", nargs="+", help="images, or folders of images")
    parser.add_argument("--output", default="labels.csv", help="CSV file: path, label, probability, problem")
    parser.add_argument("--batch-size", type=int, default=64, help="images at once")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        files = classifying.files(options.images)
        classifier = classifying.Classifier.open(options.network, devices.choose(options.device))
    except EntrError as error:
        sys.exit(f"Error: {error}")
    named = list(classifier.name(files, options.batch_size))
    with atomic_write(options.output) as file:
        pd.DataFrame([asdict(one) for one in named]).to_csv(file, index=False)
    bad = [one for one in named if one.problem]
    for one in bad:
        log.warning("%s: %s", one.path, one.problem)
    log.info("%d images named, %d files left out; see %s", len(named) - len(bad), len(bad), options.output)
    if len(bad) == len(named):
        sys.exit("Error: none of the files is an image that can be used")


if __name__ == "__main__":
    main()
