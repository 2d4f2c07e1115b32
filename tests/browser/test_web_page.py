"""The web page of an exported model in a real browser that is offline, opened from the disk."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from conftest import SHARED
from PIL import ExifTags, Image

from entr.deploy.predict import Classifier
from entr.deploy.web_page import PAGE, write_web_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

MARKUP = '</script><b title="x">Größe & <i>'
TOLERANCE = 0.01
"""Largest difference of probabilities; browsers decode JPEG files and Pillow downscales them a little differently."""
MILLISECONDS = 60_000
SHOWN = """[...document.querySelectorAll(".card")].map((card) => ({
  name: card.querySelector("h2").textContent,
  problem: card.querySelector(".problem")?.textContent ?? "",
  classes: [...card.querySelectorAll("ol li")].map((row) => row.firstChild.textContent),
  probabilities: [...card.querySelectorAll("data")].map((data) => Number(data.value)),
}))"""
DROP = """(files) => {
  const data = new DataTransfer();
  for (const [name, content] of Object.entries(files)) {
    data.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
  }
  document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
}"""


@pytest.fixture(scope="module")
def model(exported, onnxruntime_web, tmp_path_factory):
    """Directory of an exported model with its web page; the names of the classes contain markup."""
    folder = tmp_path_factory.mktemp("models") / "50 % Größe #1"
    shutil.copytree(exported.model, folder)
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    (folder / "classes.json").write_text(json.dumps([MARKUP + name for name in classes]), "utf-8")
    write_web_page(folder, "Steel & <b>rust</b>", **onnxruntime_web)
    return folder


@pytest.fixture(scope="module")
def images(originals, tmp_path_factory):
    """Real files of every kind: as rendered, upright only by EXIF data, transparent, large, grey; and photographs."""
    folder = tmp_path_factory.mktemp("images")
    rendered = [min(path.iterdir()) for path in sorted(originals.iterdir())]
    for number, path in enumerate(rendered):
        shutil.copy(path, folder / f"rendered{number}{path.suffix}")
    image = Image.open(rendered[0]).convert("RGB")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.crop((0, 0, image.width, image.height // 2)).save(folder / "rotated <b>.jpg", exif=exif, quality=95)
    image.resize((1300, 900)).save(folder / "large.jpg", quality=90)
    rgba = np.asarray(image.convert("RGBA")).copy()
    rgba[: image.height // 2, :, 3] = 0
    Image.fromarray(rgba).save(folder / "transparent.png")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / "grey.png")
    for path in sorted(SHARED.glob("flowers/*/*.jpg"))[::500]:
        shutil.copy(path, folder / path.name)
    image.resize((10, 10)).save(folder / "tiny.png")
    (folder / "notes.txt").write_text("not an image")
    return sorted(folder.iterdir())


def open_page(one, model):
    page = one.goto(model / PAGE)
    sync_api.expect(page.get_by_role("status")).to_have_text("Ready.", timeout=MILLISECONDS)
    return page


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_chosen_images_are_classified_as_by_the_command_on_an_accessible_page(width, scheme, model, images, reader):
    one = reader(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = open_page(one, model)
    page.get_by_label("Drop images here").set_input_files(images)
    status = page.get_by_role("status")
    sync_api.expect(status).to_have_text(re.compile("classified, 2 files skipped"), timeout=MILLISECONDS)
    shown = page.evaluate(SHOWN)
    expected = list(Classifier.open(model, "cpu").predict(images, batch_size=8))
    assert [card["name"] for card in shown] == [path.name for path in images]
    for card, prediction in zip(shown, expected, strict=True):
        assert bool(card["problem"]) == bool(prediction.problem)
        if not card["problem"]:
            assert card["classes"][0] == prediction.prediction
            probabilities = [prediction.probabilities[name] for name in card["classes"]]
            assert card["probabilities"] == pytest.approx(probabilities, abs=TOLERANCE)
    assert all(name.startswith(MARKUP) for card in shown for name in card["classes"])
    assert one.messages == []
    assert one.external_requests() == [(model / PAGE).as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # in the same test, because the page of a resnet18 takes seconds to open
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
    violations = axe.Axe().run(page, options=options).response["violations"]
    assert not violations, [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in violations]


def test_file_chooser_opens_with_the_keyboard_and_a_dropped_image_is_announced(model, images, reader):
    one = reader()
    page = open_page(one, model)
    with page.expect_file_chooser():
        page.get_by_label("Drop images here").press("Enter")
    image = next(path for path in images if path.stem == "rendered3")
    page.evaluate(DROP, {"dropped.png": base64.b64encode(image.read_bytes()).decode()})
    (expected,) = Classifier.open(model, "cpu").predict([image], batch_size=1)
    status = page.get_by_role("status")
    sync_api.expect(status).to_contain_text(f"dropped.png: {expected.prediction}, ", timeout=MILLISECONDS)
    assert one.messages == []
