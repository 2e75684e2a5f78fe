"""The experiment, its jobs, and which of them have to run.

Content decides, never time stamps: a job is stale if its signature (configuration, sources, upstream signatures) or
an output it was made from has changed. All inputs are `ancient`, so that Snakemake ignores their times; a stale job
gets a gate instead, which is newer than its record because the records of stale jobs are made to look old.
"""

import base64
import hashlib
import json
import re
import shlex
import shutil
import zlib

from eddymark.jobs import STOP_WITH_PARENT
from eddymark.config import experiment_from_mapping
from eddymark.locks import locked_outputs, release_stale_locks
from eddymark.pipeline import write_plan
from eddymark.plan import OUTPUTS, plan
from eddymark.records import RECORD, mark_stale, write_atomically
from eddymark.resources import generate_mem_mb
from eddymark.source_cache import kept_fingerprints
from eddymark.trial import try_out


def become_own_array_task():
    """Replace this process by the command of its own task of a Slurm job array.

    The Slurm executor starts all tasks with the command of the first one, which then runs the task's own command. If
    left at that, each task would wait for the first task's outputs, fail without them, and remove them if its own job
    fails (snakemake-executor-plugin-slurm issue 447).
    """
    option = "--slurm-jobstep-array-execs="
    tasks = next(
        (text.removeprefix(option) for text in sys.argv if text.startswith(option)),
        None,
    )
    number = os.environ.get("SLURM_ARRAY_TASK_ID")
    if tasks is None or number == os.environ.get("SLURM_ARRAY_TASK_MIN"):
        return
    compressed = json.loads(base64.b64decode(tasks))[number]
    own = zlib.decompress(bytes.fromhex(compressed)).decode()
    os.execvp("sh", ["sh", "-c", own])


become_own_array_task()

RESULTS = str(config.get("results", "results"))


def load(further=None):
    """Return the experiment, or exit with one line for everything that is wrong with it.

    Arguments:
        further: a check that is made only if nothing else is wrong.
    """
    files = list(dict.fromkeys([DEFAULT, *map(Path, workflow.overwrite_configfiles)]))
    described = {key: value for key, value in config.items() if key != "results"}
    try:
        return experiment_from_mapping(described, DEFAULT.parent, files, further)
    except ConfigurationError as error:
        stop(error)


# The file stays open, and so marks this run as alive, until the process ends.
RUNNING = release_stale_locks(Path(".snakemake")) if workflow.is_main_process else None
# Read before this run has locks of its own.
MADE_BY_OTHERS = (
    locked_outputs(Path(".snakemake")) if workflow.is_main_process else set()
)

EXPERIMENT = load()
with kept_fingerprints(Path(RESULTS)):
    JOBS = plan(EXPERIMENT)
try:
    if workflow.is_main_process:
        require_writable(Path(RESULTS))
    STALE = mark_stale(JOBS, Path(RESULTS))
except EddymarkError as error:
    stop(error)


def needs_trial(job):
    return job.driver in ("importing", "train")


# Not in the processes of the jobs, and not if there is nothing to try: it takes seconds.
if workflow.is_main_process and any(needs_trial(JOBS[f]) for f in STALE):
    load(try_out)

# Jobs that start later, or on another machine, see the experiment as it is now.
RESOLVED = EXPERIMENT.model_dump_json(indent=1)
RESOLVED_FILE = f"{RESULTS}/.work/experiment-{hashlib.sha256(RESOLVED.encode()).hexdigest()[:16]}.json"
if not Path(RESOLVED_FILE).exists():
    write_atomically(Path(RESOLVED_FILE), RESOLVED)
write_plan(JOBS, Path(RESULTS))

# On a cluster Slurm ends what a job leaves behind, and jobs outlive the process that submitted them.
if workflow.remote_exec:
    os.environ.pop(STOP_WITH_PARENT, None)
else:
    os.environ[STOP_WITH_PARENT] = "1"

# What a job asks for if it may use a GPU. Only clusters look at it.
GPUS = 0 if EXPERIMENT.device == "cpu" else 1


def command(stage):
    options = ["--experiment", RESOLVED_FILE, "--results", RESULTS]
    return shlex.join([sys.executable, "-m", "eddymark.cli", stage, *options])


def record(folder):
    return f"{RESULTS}/{folder}/{RECORD}"


def outputs(folder):
    return [f"{RESULTS}/{folder}/{name}" for name in JOBS[folder].outputs]


def names(attribute, *drivers):
    """Return the pattern of the names which a wildcard can have."""
    found = {
        str(getattr(job, attribute)) for job in JOBS.values() if job.driver in drivers
    }
    return "|".join(map(re.escape, sorted(found))) or "-"


def refuse_what_another_run_makes(folder):
    """Exit with one line, where Snakemake would later end with an explanation of several."""
    if workflow.executor_plugin is None or workflow.dryrun:
        return
    if record(folder) in MADE_BY_OTHERS:
        stop(
            f"another run is making {RESULTS}/{folder}; wait for it, or stop it first; this run has changed nothing"
        )


def gate(pattern):
    """Return the input that makes a stale job run, and lets Snakemake look at its upstream jobs."""

    def inputs(wildcards):
        job = JOBS[pattern.format(**dict(wildcards))]
        if job.folder not in STALE:
            return []
        refuse_what_another_run_makes(job.folder)
        # A folder: small files would be compared by content instead of by time.
        return [str(Path(workflow.basedir, "workflow")), *map(record, job.upstream)]

    return inputs


def memory_of_dns(wildcards):
    """Return the megabytes that a job of `generate` asks for; only clusters, and a limit of your own, look at them."""
    return generate_mem_mb(EXPERIMENT.flows[wildcards.flow], threads=EXPERIMENT.threads)


def parallel(wildcards):
    """Return on how many devices and nodes a model is trained."""
    return EXPERIMENT.flows[wildcards.flow].surrogates[wildcards.model].parallel


def training_threads(wildcards):
    """Return the threads of all processes of a training on one node, or of each process on several."""
    wanted = parallel(wildcards)
    return EXPERIMENT.threads * (wanted.devices if wanted.nodes == 1 else 1)


def training_resource(name):
    """Return a resource by which Slurm gives a training its devices; None if the training has no such wish."""

    def resource(wildcards):
        nodes, devices = parallel(wildcards).nodes, parallel(wildcards).devices
        if nodes == 1:
            return {"gpu": GPUS * devices}.get(name)
        wishes = {"nodes": nodes, "mpi": "srun"}
        # The executor takes only one of the two, the second only from 2 on, and the first as tasks per GPU too.
        wishes |= (
            {"tasks": nodes, "tasks_per_gpu": 0}
            if devices == 1
            else {"tasks_per_node": devices}
        )
        if GPUS:
            wishes |= {"gres": f"gpu:{devices}"}
        return wishes.get(name)

    return resource


def launcher(wildcards):
    """Return the beginning of the command of a training: on several nodes, Slurm starts one process for each device.

    On one node, the training starts its processes itself.
    """
    nodes, devices = parallel(wildcards).nodes, parallel(wildcards).devices
    if nodes == 1 or shutil.which("srun") is None:
        return ""
    options = f"--nodes={nodes} --ntasks={nodes * devices} --ntasks-per-node={devices}"
    options += f" --cpus-per-task={EXPERIMENT.threads} --kill-on-bad-exit=1"
    return f"srun {options}{f' --gres=gpu:{devices}' if GPUS else ''} "


def all_cores(wildcards):
    """Return as many threads as keep all other jobs off this machine; on a cluster, the node is asked for instead."""
    if workflow.remote_exec or workflow.non_local_exec:
        return EXPERIMENT.threads
    return workflow.cores or EXPERIMENT.threads


def upstream(pattern):
    """Return the outputs that a job reads; their times do not matter."""

    def inputs(wildcards):
        job = JOBS[pattern.format(**dict(wildcards))]
        return [path for folder in job.upstream for path in outputs(folder)]

    return ancient(inputs)


def log_of(pattern):
    return f"{RESULTS}/.work/logs/{pattern}.log"


def benchmark_of(pattern):
    return f"{RESULTS}/.work/benchmarks/{pattern}.tsv"


wildcard_constraints:
    flow=names("flow", "generate", "importing"),
    shard=names("name", "generate", "importing"),
    model=names("name", "train"),
    seed=names("seed", "train"),
    stepper=names("name", "validate"),
