"""A real SLURM on this machine in its own namespaces, and a study that uses the profile as its user would."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from conftest import ROOT, copy_workflow

START = Path(__file__).with_name("cluster.sh")
CELLS = "results/cells/micrographs/resnet18"
SMALLEST = ROOT / "tests" / "workflow" / "smallest.yaml"
NAMESPACES = ("--mount", "--net", "--pid")
PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "sbatch", "ip", "unshare")
PACKAGES = "slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core mariadb-client-core"
ONE_THREAD = [
    f"{rule}=1" for rule in ("train", "benchmark_inference", "benchmark_trained", "render_micrographs", "downscale")
]
"""The simulated nodes share one or two real cores, which more threads would only slow down."""


class Cluster:
    """A running SLURM, whose namespaces each command has to enter."""

    def __init__(self, starter):
        self.starter = starter
        self.first = psutil.Process(starter.pid).children()[0].pid

    def command(self, *words, directory="/"):
        return ["nsenter", f"--target={self.first}", *NAMESPACES, f"--wdns={directory}", "--", *map(str, words)]

    def run(self, *words, directory="/", check=True):
        """Run a command on the cluster and return its output."""
        done = subprocess.run(self.command(*words, directory=directory), capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def accounts(self, since):
        """Return sacct's records of the jobs since a time, ordered by number."""
        fields = "JobID,JobName,Partition,State,Start,End,AllocTRES,TimelimitRaw"
        text = self.run("sacct", "-X", "-P", "-S", since, "-o", fields)
        return list(csv.DictReader(text.splitlines(), delimiter="|"))


class Study:
    """A copy of the repository whose profile names the account of the cluster, and a directory of results."""

    def __init__(self, cluster, folder):
        self.cluster, self.checkout, self.directory = cluster, folder / "checkout", folder / "a run"
        self.directory.mkdir(parents=True)
        copy_workflow(self.checkout)
        profile = self.checkout / "profiles" / "slurm" / "config.yaml"
        text = profile.read_text()
        assert "slurm_account: main" in text
        profile.write_text(text.replace("slurm_account: main", "slurm_account: test"))

    def words(self, *options, config=SMALLEST, groups=False):
        # the profile's waiting times are those of a large cluster
        quick = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")
        program = shutil.which("snakemake", path=Path(sys.executable).parent)
        profiles = self.checkout / "profiles"
        where = ("--snakefile", self.checkout / "Snakefile", "--workflow-profile")
        where += (profiles / "slurm-groups", "--profile", profiles / "slurm") if groups else (profiles / "slurm",)
        threads = ("--set-threads", *ONE_THREAD)
        return self.cluster.command(
            program, *options, *where, "--configfile", config, *quick, *threads, directory=self.directory
        )

    def start(self, *options, **choice):
        """Start snakemake on the cluster; its output goes to a file. `choice` is as in `words`."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.directory / ".cache")}
        self.began = time.strftime("%Y-%m-%dT%H:%M:%S")
        with (self.directory / "output").open("w") as file:
            return subprocess.Popen(
                self.words(*options, **choice), stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    def run(self, *options, check=True, **choice):
        """Run snakemake on the cluster, and return its output. `choice` is as in `words`."""
        process = self.start(*options, **choice)
        try:
            process.wait(500)
        finally:
            process.kill()
        assert not check or process.returncode == 0, self.output
        return self.output

    @property
    def output(self):
        return (self.directory / "output").read_text()

    def jobs(self, **having):
        """Return sacct's records of the jobs since the last start."""
        found = self.cluster.accounts(self.began)
        return [job for job in found if having.items() <= job.items()]

    def until(self, condition, seconds=120):
        """Wait until a condition holds, and return its value."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.output
            time.sleep(0.3)
        return found


def kill(process):
    """Kill a process that nsenter started, with its children, by SIGKILL."""
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.send_signal(signal.SIGKILL)
    process.wait()
