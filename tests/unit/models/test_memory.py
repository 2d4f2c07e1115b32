"""Computed memory of a model, compared with that of a real training step."""

import os
import subprocess
import sys

import torch

from entr.models.architectures import build_model
from entr.models.memory import measure_memory

BATCH, SIZE = 16, 160
STEP = f"""
import re, pathlib, torch
from entr.models.architectures import build_model
torch.set_num_threads(1)
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
model = build_model("resnet18", 7)
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
before = peak()
for _ in range(2):
    model(torch.zeros({BATCH}, 3, {SIZE}, {SIZE})).sum().backward()
    optimizer.step()
print(peak() - before)
"""
"""Prints by how many bytes two training steps increase the peak memory of the process; its ``ru_maxrss`` would
include that of the process that started it."""


def test_weights_are_those_of_the_file():
    state = build_model("resnet18", 7).state_dict()
    assert measure_memory("resnet18", 7, 1, 64).weights == sum(tensor.nbytes for tensor in state.values())


def test_training_takes_the_computed_memory_and_no_more_than_twice_as_much():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, env=environment, check=True)
    computed = measure_memory("resnet18", 7, BATCH, SIZE)
    # the weights were there before
    assert 0.9 < int(done.stdout) / (computed.training - computed.weights) < 2


def test_no_feature_maps_are_allocated():
    computed = measure_memory("resnet18", 7, 10**4, 224)
    assert computed.training > 10**11
    assert not torch.cuda.is_initialized()


def test_models_of_timm_are_computed_too():
    assert measure_memory("resnet10t", 7, 8, 64).training > measure_memory("resnet10t", 7, 4, 64).training
