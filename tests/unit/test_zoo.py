import subprocess
import sys

import timm
import torchvision

from entr import zoo


def test_the_names_are_those_that_the_packages_list():
    listed = set(torchvision.models.list_models(module=torchvision.models)) | set(timm.list_models())
    assert zoo.names() == listed


def test_nothing_heavy_is_imported_for_it():
    code = "import sys; from entr import zoo; zoo.names(); print({'torch', 'torchvision', 'timm'} & set(sys.modules))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"
