"""The smallest grid and its faults on a real SLURM with two simulated nodes and a simulated GPU.

After each fault, the tests check the message, and that a rerun computes only missing results.
"""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import time

import psutil
import pytest
from conftest import run_snakemake
from slurm_study import CELLS, NAMESPACES, PACKAGES, PROGRAMS, SMALLEST, START, Cluster, Study, kill

from entr.jobs.tables import read_table

GPU = re.compile(r"gres/gpu=(\d+)")
RULE = re.compile(r"with SLURM jobid (\d+) \(log: .*/slurm_logs/(?:rule|group)_([^/]+)/")
NO_INCREASE, GRADUAL = (f"{CELLS}/{regime}/seed0/metrics.json" for regime in ("no-increase", "gradual"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("only root can start a SLURM of its own")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        pytest.skip(f"no {', '.join(missing)}: apt-get install --no-install-recommends {PACKAGES}")
    if subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True).returncode:
        pytest.skip("namespaces cannot be made on this machine, for example in a container")
    folder = tmp_path_factory.mktemp("slurm")
    command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", START, folder / "cluster"]
    errors = folder / "errors"
    with errors.open("w") as file:
        starter = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True,
            env=os.environ | {"PATH": path},
        )  # fmt: skip
        try:
            assert any(line == "ready\n" for line in starter.stdout), errors.read_text()
            yield Cluster(starter)
        finally:
            # end of input ends the first process, and with it all others of the namespace
            starter.stdin.close()
            starter.wait(60)


@pytest.fixture
def study(cluster, tmp_path):
    yield Study(cluster, tmp_path)
    cluster.run("scancel", "--signal=KILL", "--partition=gpu", check=False)
    cluster.run("scancel", "--signal=KILL", "--partition=cpu", check=False)


def gpus_of(job):
    return int(found[1]) if (found := GPU.search(job["AllocTRES"])) else 0


def test_smallest_grid_runs_one_gpu_job_at_a_time_and_cpu_jobs_concurrently(study):
    # without figures, which take another minute of CPU jobs
    output = study.run("results/verdict.md")
    jobs = study.jobs()
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    rules = dict(RULE.findall(output))
    on_gpu = [job for job in jobs if gpus_of(job)]
    assert sorted(rules[job["JobID"]] for job in on_gpu) == [
        *["benchmark_inference", "benchmark_trained", "train", "train"],
    ]
    assert {gpus_of(job) for job in on_gpu} == {1}
    assert {job["Partition"] for job in on_gpu} == {"gpu"}
    times = sorted((job["Start"], job["End"]) for job in on_gpu)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times))
    concurrent = [
        job["JobID"] for job in jobs if not gpus_of(job)
        and any(job["Start"] < end and begin < job["End"] for begin, end in times)
    ]  # fmt: skip
    assert concurrent
    # all splits are one job, and so are tables, figures and the report
    others = [rules[job["JobID"]] for job in jobs if not gpus_of(job)]
    assert len([name for name in others if name.startswith("report")]) == 1
    assert len(others) == len({"render_micrographs", "downscale", "pack_images", "splits", "report"})

    metrics = json.loads((study.directory / CELLS / "gradual/seed0/metrics.json").read_text())
    assert metrics["environment"]["device"]
    log = (study.directory / "results/logs/train/micrographs/resnet18/gradual/seed0.log").read_text()
    # SLURM assigns a GPU that torch does not see, so the log must not claim a GPU
    assert "running on CPU" in log
    assert "waiting" not in log
    cells = read_table(study.directory / "results/tables/cells.csv")
    assert set(cells["regime"]) == {"no-increase", "gradual"}
    assert "- 2 of 2 cells" in (study.directory / "results/verdict.md").read_text()
    assert not (study.directory / "results/failed_jobs.txt").exists()
    assert "Nothing to be done" in study.run("results/verdict.md", "--dry-run")


def test_partitions_of_the_profile_are_checked_before_any_job(study):
    assert re.search(r"^ok +SLURM +partitions cpu, gpu$", study.run("check_environment"), re.MULTILINE)
    output = study.run("check_environment", "--default-resources", "slurm_partition=nowhere", check=False)
    assert re.search(r"^problem +SLURM +unknown partition nowhere; the cluster has ", output, re.MULTILINE)
    assert study.jobs() == []


@pytest.fixture
def prepared(study):
    """A study whose data is prepared, as on a login node."""
    targets = [f"results/data/micrographs/{name}" for name in ("pixels.npy", "splits/seed0.csv")]
    run_snakemake(study.checkout / "Snakefile", study.directory, *targets, "--cores", "1", "--configfile", SMALLEST)
    return study


def train_log(study, regime):
    path = study.directory / f"results/logs/train/micrographs/resnet18/{regime}/seed0.log"
    return path.read_text() if path.exists() else ""


def trains(study, regime, phase="sgdr"):
    """Wait until a cell has finished an epoch of a phase, and return its SLURM job."""
    study.until(lambda: f": {phase} at" in train_log(study, regime))
    return re.search(rf"SLURM jobid (\d+) \(log: .*micrographs_resnet18_{regime}_0", study.output)[1]


def process_of(study, regime, seed=0):
    """Return the process that trains a cell."""
    lock = study.directory / f"results/checkpoints/micrographs/resnet18/{regime}/seed{seed}.lock"
    for one in psutil.process_iter(["cmdline"]):
        if "train.py" in " ".join(one.info["cmdline"] or []) and any(
            found.path == str(lock) for found in one.open_files()
        ):
            return one
    raise AssertionError(f"nothing trains {regime}")


def first_running(study):
    """Wait until one of two cells trains, and return its regime; SLURM has one GPU for both."""
    return study.until(
        lambda: next((one for one in ("gradual", "no-increase") if "sgdr at" in train_log(study, one)), None)
    )


def metrics(study, path):
    return json.loads((study.directory / path).read_text())


@pytest.mark.slow
def test_cancelled_cell_is_listed_and_only_it_is_rerun(prepared):
    process = prepared.start(GRADUAL, NO_INCREASE, "--retries", "0")
    regime = first_running(prepared)
    prepared.cluster.run("scancel", trains(prepared, regime))
    assert process.wait(200) != 0
    other = {"gradual": NO_INCREASE, "no-increase": GRADUAL}[regime]
    kept = (prepared.directory / other).stat().st_mtime_ns
    told = prepared.output[prepared.output.index("1 job failed") :]
    assert f"train micrographs resnet18 {regime} seed0" in told
    assert "killed, cancelled, or out of time or memory" in told
    assert "SLURM status is: 'CANCELLED" in told
    again = shlex.split(re.search(r"rerun: +(.*)", told)[1])
    assert again[:2] == ["snakemake", f"{CELLS}/{regime}/seed0/metrics.json"]
    planned = prepared.run(GRADUAL, NO_INCREASE, "--dry-run")
    assert re.search(r"^train +1$", planned, re.MULTILINE)
    assert re.search(r"^total +1$", planned, re.MULTILINE)
    prepared.run(*again[1 : again.index("--snakefile")])
    assert len(prepared.jobs()) == 1
    assert metrics(prepared, f"{CELLS}/{regime}/seed0/metrics.json")["evaluations"]
    assert (prepared.directory / other).stat().st_mtime_ns == kept


@pytest.mark.slow
def test_killed_job_is_retried_and_resumes_after_its_last_phase(prepared):
    process = prepared.start(GRADUAL, "--retries", "1")
    trains(prepared, "gradual", phase="clrs")
    process_of(prepared, "gradual").kill()
    assert process.wait(200) == 0, prepared.output
    assert [job["State"] for job in prepared.jobs()] == ["FAILED", "COMPLETED"]
    assert metrics(prepared, GRADUAL)["resumed"] == 1
    assert not (prepared.directory / "results/failed_jobs.txt").exists()


@pytest.mark.slow
def test_job_that_exceeds_its_time_limit_gets_more_in_its_second_attempt(prepared):
    resources = ("train:slurm_partition=gpu", "train:runtime=10 * attempt - 9")
    process = prepared.start(GRADUAL, "--retries", "1", "--set-resources", *resources)
    trains(prepared, "gradual", phase="clrs")
    process_of(prepared, "gradual").suspend()
    assert process.wait(300) == 0, prepared.output
    first, second = prepared.jobs()
    assert (first["State"], second["State"]) == ("TIMEOUT", "COMPLETED")
    assert (first["TimelimitRaw"], second["TimelimitRaw"]) == ("1", "11")
    assert metrics(prepared, GRADUAL)["resumed"] == 1


@pytest.mark.slow
def test_jobs_of_a_killed_snakemake_run_until_they_are_cancelled_by_name(prepared):
    process = prepared.start(GRADUAL)
    job = trains(prepared, "gradual")
    kill(process)
    run = re.search(r"SLURM run ID: (\S+)", prepared.output)[1]
    began = prepared.began
    time.sleep(2)
    assert "RUNNING" in prepared.cluster.run("squeue", "-h", "-o", "%T", "-j", job)
    # or the short cell would end before Snakemake has planned
    prepared.cluster.run("scontrol", "suspend", job)
    assert "cannot be locked" in prepared.run(GRADUAL, check=False)

    prepared.cluster.run("scancel", f"--name={run}")
    prepared.until(lambda: not prepared.cluster.run("squeue", "-h"))
    prepared.run("--unlock")
    output = prepared.run(GRADUAL)
    assert metrics(prepared, GRADUAL)["resumed"] <= 1
    assert "already running in another process" not in output
    states = [one["State"].split()[0] for one in prepared.cluster.accounts(began)]
    assert states == ["CANCELLED", "COMPLETED"]


@pytest.mark.slow
def test_restarted_controller_loses_no_result(prepared):
    process = prepared.start(GRADUAL, NO_INCREASE)
    regime = first_running(prepared)
    cell = process_of(prepared, regime)
    # the controller saves its state every few seconds, and loses what it has not saved
    cell.suspend()
    time.sleep(10)
    prepared.cluster.run("pkill", "-9", "-x", "slurmctld")
    cell.resume()
    # the cell ends while there is no controller
    prepared.until((prepared.directory / {"gradual": GRADUAL, "no-increase": NO_INCREASE}[regime]).exists)
    time.sleep(10)
    prepared.cluster.run("slurmctld")
    process.wait(300)
    assert process.returncode == 0, prepared.output
    assert metrics(prepared, GRADUAL)["evaluations"]
    assert metrics(prepared, NO_INCREASE)["evaluations"]
    planned = prepared.run(GRADUAL, NO_INCREASE, "--dry-run")
    assert "Nothing to be done" in planned


@pytest.mark.slow
def test_cell_that_fails_in_a_group_stops_no_other_and_finished_cells_are_kept(study):
    cells = list(itertools.product(("gradual", "no-increase"), (0, 1)))
    seeds = ("--config", "grid={'seeds': [0, 1]}")
    targets = [f"{CELLS}/{regime}/seed{seed}/metrics.json" for regime, seed in cells]
    process = study.start(*targets, *seeds, groups=True)
    regime, seed = study.until(lambda: next((cell for cell in cells if trains_now(study, *cell)), None))
    process_of(study, regime, seed).kill()
    assert process.wait(400) != 0
    failed = f"{CELLS}/{regime}/seed{seed}/metrics.json"
    kept = {path: (study.directory / path).stat().st_mtime_ns for path in targets if path != failed}
    assert not (study.directory / failed).exists()
    told = study.output[study.output.index("1 job failed") :]
    assert f"train micrographs resnet18 {regime} seed{seed}" in told
    on_gpu = [job for job in study.jobs() if gpus_of(job)]
    assert [(gpus_of(job), job["State"], job["TimelimitRaw"]) for job in on_gpu] == [(1, "FAILED", str(4 * 15))]

    planned = study.run(*targets, *seeds, "--dry-run", groups=True)
    assert re.search(r"^train +1$", planned, re.MULTILINE)
    study.run(*targets, *seeds, groups=True)
    assert {path: (study.directory / path).stat().st_mtime_ns for path in kept} == kept
    assert metrics(study, failed)["resumed"] <= 1


def trains_now(study, regime, seed):
    """Return whether a cell has finished an epoch and is still training."""
    log = study.directory / f"results/logs/train/micrographs/resnet18/{regime}/seed{seed}.log"
    is_finished = (study.directory / CELLS / regime / f"seed{seed}" / "metrics.json").exists()
    return log.exists() and ": sgdr at" in log.read_text() and not is_finished
