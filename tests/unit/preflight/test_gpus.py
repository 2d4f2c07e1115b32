"""GPUs: a program called nvidia-smi simulates those that are missing here."""

import os

import pytest
import torch

from entr.devices import gpu_lock
from entr.preflight import gpus

MODERN = "GPU-a, NVIDIA A100, 570.86.10, 40960, 8.0"
GB = 10**9


@pytest.fixture(autouse=True)
def no_gpu(tmp_path, monkeypatch):
    """Hide the GPUs of this machine, if it has some."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.delenv(gpu_lock.VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpus, "has_pci_gpu", lambda: False)


@pytest.fixture
def nvidia_smi(tmp_path):
    """Function that simulates the program, from its lines or from the commands of a shell."""

    def make(*lines, script=""):
        program = tmp_path / "nvidia-smi"
        listed = "\n".join(f"{number}, {line.split(',')[0]}" for number, line in enumerate(lines))
        all_fields = "\n".join(lines)
        answers = f'case "$1" in *memory*) echo "{all_fields}";; *) echo "{listed}";; esac'
        program.write_text(f"#!/bin/sh\n{script or answers}\n")
        program.chmod(0o755)

    return make


@pytest.fixture
def usable(monkeypatch):
    """Let torch see GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90", "compute_90"])


def check(device="auto", precision="auto", image_bytes=GB, cell_bytes=GB):
    (finding,) = gpus.check_gpus({device}, {precision}, image_bytes, cell_bytes)
    return finding


def test_machine_without_a_gpu_uses_the_cpu_unless_a_gpu_is_required():
    assert check().detail == "none; cells are trained on the CPU"
    assert check("cpu").status == "ok"
    assert check("cuda").status == "problem"
    assert "training.device: auto" in check("cuda").remedy


def test_gpu_without_a_driver_is_found_on_the_bus(tmp_path, monkeypatch):
    monkeypatch.undo()
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x040300\n")
    assert not gpus.has_pci_gpu(tmp_path), "its sound device"
    (device / "class").write_text("0x030200\n")
    assert gpus.has_pci_gpu(tmp_path)


@pytest.mark.parametrize(("device", "status"), [("auto", "warning"), ("cuda", "problem")])
def test_gpu_without_a_driver_says_what_to_install(monkeypatch, device, status):
    monkeypatch.setattr(gpus, "has_pci_gpu", lambda: True)
    assert check(device).status == status
    assert check(device).remedy.startswith("install the NVIDIA driver")


def test_broken_driver_is_reported_with_its_message(nvidia_smi):
    nvidia_smi(script="echo NVIDIA-SMI has failed because it could not communicate with the driver; exit 9")
    assert check().status == "warning"
    assert "nvidia-smi fails: NVIDIA-SMI has failed because it could not communicate" in check().detail


def test_driver_that_torch_cannot_use_is_reported_with_the_cuda_version_that_it_needs(nvidia_smi, monkeypatch):
    nvidia_smi("GPU-a, Tesla T4, 450.80.02, 15360, 7.5")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    finding = check()
    assert finding.status == "warning"
    assert finding.detail.startswith("Tesla T4, driver 450.80.02, which torch for CUDA 13.0 cannot use")
    assert finding.remedy.startswith("update the NVIDIA driver to one for CUDA 13.0 or newer")
    assert check("cuda").status == "problem"


def test_build_of_torch_without_cuda_is_reported(nvidia_smi, monkeypatch):
    nvidia_smi(MODERN)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "this build of torch is for CPUs only" in check().detail
    assert gpus.check_torch().detail == f"{torch.__version__} (CPU only)"


def test_hidden_gpus_are_reported(nvidia_smi, monkeypatch):
    nvidia_smi(MODERN)
    monkeypatch.setenv(gpu_lock.VISIBLE, "")
    assert check().detail == "1, hidden by CUDA_VISIBLE_DEVICES=''"
    assert check().status == "warning"


@pytest.mark.usefixtures("usable")
def test_usable_gpus_are_listed_with_memory_and_driver(nvidia_smi, monkeypatch):
    nvidia_smi(MODERN, "GPU-b, NVIDIA GB10, 580.95.05, [N/A], 12.1")
    both = gpus.check_gpus({"auto"}, {"bf16"}, GB, GB)
    assert both[0].detail == "NVIDIA A100, 42.9 GB, driver 570.86.10"
    assert both[1].detail == "NVIDIA GB10, shared memory, driver 580.95.05"
    assert {one.status for one in both} == {"ok"}
    monkeypatch.setenv(gpu_lock.VISIBLE, "1")
    assert "GB10" in check().detail


@pytest.mark.usefixtures("usable")
def test_driver_that_does_not_state_the_capability_is_accepted(nvidia_smi):
    of_lock, others = "0, GPU-a", "GPU-a, Tesla V100, 450.1, 16384"
    nvidia_smi(script=f'case "$1" in *compute_cap*) exit 2;; *memory*) echo "{others}";; *) echo "{of_lock}";; esac')
    assert (check().status, check().detail) == ("ok", "Tesla V100, 17.2 GB, driver 450.1")


@pytest.mark.usefixtures("usable")
def test_card_that_is_older_than_the_build_supports_is_a_problem(nvidia_smi):
    nvidia_smi("GPU-a, GeForce GTX 1080, 570.1, 8192, 6.1")
    assert check().status == "problem"
    assert "no kernels for its compute capability 6.1" in check().detail
    assert "training={'device': 'cpu'}" in check().remedy


@pytest.mark.parametrize(
    ("capability", "supported"), [(6.1, False), (7.0, False), (7.5, True), (8.9, True), (9.0, True), (12.0, True)]
)
def test_kernels_run_on_later_cards_of_a_generation_and_intermediate_code_on_all_later_ones(capability, supported):
    assert gpus.is_supported(capability, ["sm_75", "sm_80", "sm_90a", "compute_90"]) == supported


def test_later_generation_needs_intermediate_code():
    assert not gpus.is_supported(12.0, ["sm_80", "sm_90"])


@pytest.mark.usefixtures("usable")
def test_bf16_on_a_card_without_it_is_a_problem(nvidia_smi):
    nvidia_smi("GPU-a, Tesla T4, 570.1, 15360, 7.5")
    assert check().status == "ok"
    assert check(precision="bf16").status == "problem"


@pytest.mark.usefixtures("usable")
def test_small_gpu_is_a_warning(nvidia_smi):
    nvidia_smi(MODERN)
    assert "images take 20.0 GB, so they stay in host memory" in check(image_bytes=20 * GB).detail
    assert "gradient_accumulation: 2" in check(cell_bytes=50 * GB).remedy


@pytest.mark.usefixtures("usable")
def test_gpu_without_nvidia_smi_is_not_locked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    assert "GPUs are not locked" in check().detail
    assert check().status == "warning"
