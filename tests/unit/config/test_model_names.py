import os
import subprocess
import sys

import timm
import torchvision

from entr.config.model_names import model_names


def test_names_are_those_that_the_packages_list():
    listed = set(torchvision.models.list_models(module=torchvision.models)) | set(timm.list_models())
    assert model_names() == listed


def test_no_heavy_package_is_imported():
    code = (
        "import sys; from entr.config.model_names import model_names; model_names()\n"
        "print({'torch', 'torchvision', 'timm'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"
