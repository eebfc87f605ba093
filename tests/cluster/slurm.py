"""A SLURM of this machine alone: munge, its controller and one node on loopback, for as long as a test lasts.

Its configuration lies in /etc/slurm: jobs of Snakemake's executor lose variables that would name another place. A
machine that has a configuration already is somebody's cluster and is left alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurm.conf")
PACKAGES = ("slurm-wlm", "munge")
DAEMONS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm"}
PORTS = (16817, 16818)  # not SLURM's own: a machine may be a node of a real one
MEMORY_MB = 20_000  # what the node says it has: two chapters of 8000 MB at a time

SETTINGS = """\
# Written by tests/cluster, removed when it ends.
ClusterName=book
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended.txt
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
MinJobAge=600
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Missing(RuntimeError):
    """What a test of a cluster needs and this machine has not, in words."""


def require() -> None:
    """:class:`Missing`, with the reason, where no SLURM can be started; installs Debian's where it is not there."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise Missing("expected to be root on Linux, to start SLURM's daemons")
    if find_spec("snakemake_executor_plugin_slurm") is None:
        raise Missing("expected Snakemake's executor for SLURM, got none: pip install --editable '.[book,cluster]'")
    if CONFIGURATION.exists():
        raise Missing(f"expected no SLURM here, got {CONFIGURATION}, a configuration of somebody else's")
    if not all(shutil.which(daemon) for daemon in DAEMONS):
        if shutil.which("apt-get") is None:
            raise Missing("expected apt-get, to install slurm-wlm and munge, got none")
        surroundings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-qq"], ["install", "-qq", "--yes", *PACKAGES]):
            command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *step]
            done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"expected {' '.join(PACKAGES)} from apt-get, got: {done.stderr.strip()[-300:]}")


class Slurm:
    """The three daemons; leaving it stops them, by their process ids, whatever happened inside."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.started: list[Path] = []  # files with process ids, in the order in which they were started

    def __enter__(self) -> "Slurm":
        # Whoever is asked to end leaves through __exit__, as after an error or Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.folder.chmod(0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.write_text(SETTINGS.format(host=host, folder=self.folder, ports=PORTS, memory_mb=MEMORY_MB))
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key} | {f"{name}-file": self.folder / f"munge.{name}" for name in ("log", "pid", "seed")}
        munge = [f"--{option}={file}" for option, file in files.items()]
        self._daemon("munge.pid", "munged", "--force", f"--socket={self.folder / 'munge.socket'}", *munge)
        self._daemon("slurmctld.pid", "slurmctld")
        self._daemon("slurmd.pid", "slurmd")
        wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), 60, "an idle node")

    def _daemon(self, pid_file: str, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"
        self.started.append(self.folder / pid_file)
        wait(self.started[-1].is_file, 30, f"{command[0]} to write its process id")

    def __exit__(self, *_) -> None:
        with suppress(OSError, subprocess.SubprocessError):  # TimeoutError is one of the first
            self.ask("scancel", "--user=root")
            wait(lambda: not self.ask("squeue", "--noheader", "--states=RUNNING,COMPLETING"), 60, "jobs to end")
        for file in reversed(self.started):
            with suppress(OSError, ValueError):
                pid = int(file.read_text())
                os.kill(pid, signal.SIGTERM)
                with suppress(TimeoutError):
                    wait(lambda pid=pid: not alive(pid), 30, "a daemon to end")
                    continue
                os.kill(pid, signal.SIGKILL)
        CONFIGURATION.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands answers."""
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def running(self) -> dict[str, str]:
        """Id of each job at work -> the comment that it was given: Snakemake names rule and wildcards there."""
        lines = self.ask("squeue", "--noheader", "--format=%i %k", "--states=RUNNING").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def ended(self) -> dict[str, str]:
        """State of each job that has ended, by its id: COMPLETED, CANCELLED, FAILED."""
        file = self.folder / "ended.txt"
        lines = file.read_text().splitlines() if file.is_file() else []
        fields = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {told["JobId"]: told["JobState"] for told in fields}


def alive(pid: int) -> bool:
    """Is the process there, and not one that has ended and waits to be asked for?"""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait(happened, seconds: float, what: str, *, every: float = 0.2):
    """What ``happened()`` gives as soon as it is true; ``TimeoutError`` after ``seconds``, naming ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected {what} within {seconds:g} s")
        time.sleep(every)
    return found
