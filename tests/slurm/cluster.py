"""A Slurm cluster of two nodes on this machine: own configuration, key, ports, folders and daemons, no accounting."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/etc/slurm/slurm.conf")
"""Where Slurm's commands look; within jobs, the executor takes away the variable that could name another place."""

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

CONFIGURATION = """\
ClusterName=eddymark
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MinJobAge=600
KillWait=20
GresTypes=gpu
NodeName=first NodeAddr=127.0.0.1 NodeHostname={host} Port={first} CPUs=2 RealMemory=8000 Gres=gpu:2
NodeName=second NodeAddr=127.0.0.1 NodeHostname={host} Port={second} CPUs=2 RealMemory=8000 Gres=gpu:2
PartitionName=main Nodes=first,second Default=YES MaxTime=INFINITE State=UP
"""

# Devices that every Linux has, in place of GPUs: enough to see what jobs are given.
DEVICES = """\
NodeName=first Name=gpu File=/dev/null
NodeName=first Name=gpu File=/dev/zero
NodeName=second Name=gpu File=/dev/full
NodeName=second Name=gpu File=/dev/random
"""


def missing() -> str:
    """Return why no cluster can be set up here, or nothing."""
    if SYSTEM.exists() or SYSTEM.is_symlink():
        return f"this machine belongs to a cluster already ({SYSTEM} exists)"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)} missing)"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Arguments:
        folder: its files.
        environment: variables with which its commands find it.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, timeout: float = 30) -> str:
        """Return what a command of Slurm prints."""
        result = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=timeout, check=True
        )
        return result.stdout

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start the daemons, wait until both nodes are idle, and stop jobs and daemons at the end."""
    munge = folder / "munge"
    munge.mkdir(parents=True, mode=0o711)
    (folder / "state").mkdir()
    key = munge / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    controller, first, second = _free_ports(3)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname(), folder=folder, controller=controller, first=first, second=second
        )
    )
    (folder / "gres.conf").write_text(DEVICES)
    cluster = Cluster(folder, {"SLURM_CONF": str(configuration)})
    SYSTEM.parent.mkdir(exist_ok=True)
    files = {name: f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")}
    with contextlib.ExitStack() as daemons:
        SYSTEM.symlink_to(configuration)
        daemons.callback(SYSTEM.unlink)
        # A temporary folder may be writable by others further up, which munged would refuse.
        _start(daemons, folder, ["munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files.values()])
        _wait(lambda: (munge / "socket").exists(), "munged", cluster)
        _start(daemons, folder, ["slurmctld", "-D", "-f", str(configuration)])
        for name in ("first", "second"):
            _start(daemons, folder, ["slurmd", "-D", "-N", name, "-f", str(configuration)])
        _wait(lambda: _idle_nodes(cluster) == 2, "slurmd", cluster)
        try:
            yield cluster
        finally:
            cluster.run("scancel", "--quiet", "--full", "--user=root")
            with contextlib.suppress(TimeoutError):
                _wait(lambda: not cluster.run("squeue", "--noheader"), "the jobs' end", cluster)


def _idle_nodes(cluster: Cluster) -> int:
    with contextlib.suppress(subprocess.SubprocessError):
        return cluster.run("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
    return 0


def _start(daemons: contextlib.ExitStack, folder: Path, command: list[str]) -> None:
    with (folder / f"{command[0]}.out").open("ab") as output:
        # A session of its own, so that Ctrl-C reaches the tests first.
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    daemons.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=20)


def _wait(condition: object, what: str, cluster: Cluster, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}:\n{cluster.logs()}")
        time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
