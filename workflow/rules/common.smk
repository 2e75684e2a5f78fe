"""The experiment, its jobs, and which of them have to run.

Content decides, never time stamps: a job is stale if its signature (configuration, sources, upstream signatures) or
an output it was made from has changed. All inputs are `ancient`, so that Snakemake ignores their times; a stale job
gets a gate instead, which is newer than its record because the records of stale jobs are made to look old.
"""

import hashlib
import re
import shlex

from eddymark.jobs import STOP_WITH_PARENT
from eddymark.config import ConfigurationError, experiment_from_mapping
from eddymark.locks import release_stale_locks
from eddymark.pipeline import write_plan
from eddymark.plan import OUTPUTS, plan
from eddymark.records import RECORD, mark_stale, write_atomically
from eddymark.trial import is_foreign, try_foreign_operators

RESULTS = str(config.get("results", "results"))
DEFAULT = Path("config", "config.yaml")


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
        for finding in error.findings:
            print(finding, file=sys.stderr)
        sys.stderr.flush()
        raise SystemExit(2)


# The file stays open, and so marks this run as alive, until the process ends.
RUNNING = release_stale_locks(Path(".snakemake")) if workflow.is_main_process else None

EXPERIMENT = load()
JOBS = plan(EXPERIMENT)
STALE = mark_stale(JOBS, Path(RESULTS))


def trains_foreign_operator(job):
    return job.stage == "train" and is_foreign(
        EXPERIMENT.flows[job.flow].surrogates[job.name]
    )


# Not in the processes of the jobs, and not if there is nothing to train: it takes seconds.
if workflow.is_main_process and any(trains_foreign_operator(JOBS[f]) for f in STALE):
    load(try_foreign_operators)

# Jobs that start later, or on another machine, see the experiment as it is now.
RESOLVED = EXPERIMENT.model_dump_json(indent=1)
RESOLVED_FILE = f"{RESULTS}/.work/experiment-{hashlib.sha256(RESOLVED.encode()).hexdigest()[:16]}.json"
if not Path(RESOLVED_FILE).exists():
    write_atomically(Path(RESOLVED_FILE), RESOLVED)
write_plan(JOBS, Path(RESULTS))

os.environ[STOP_WITH_PARENT] = "1"


def command(stage):
    options = ["--experiment", RESOLVED_FILE, "--results", RESULTS]
    return shlex.join([sys.executable, "-m", "eddymark.cli", stage, *options])


def record(folder):
    return f"{RESULTS}/{folder}/{RECORD}"


def outputs(folder):
    return [f"{RESULTS}/{folder}/{name}" for name in JOBS[folder].outputs]


def names(attribute, stage):
    """Return the pattern of the names which a wildcard can have."""
    found = {
        str(getattr(job, attribute)) for job in JOBS.values() if job.stage == stage
    }
    return "|".join(map(re.escape, sorted(found))) or "-"


def gate(pattern):
    """Return the input that makes a stale job run, and lets Snakemake look at its upstream jobs."""

    def inputs(wildcards):
        job = JOBS[pattern.format(**dict(wildcards))]
        if job.folder not in STALE:
            return []
        # A folder: small files would be compared by content instead of by time.
        return [str(Path(workflow.basedir, "workflow")), *map(record, job.upstream)]

    return inputs


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
    flow=names("flow", "generate"),
    shard=names("name", "generate"),
    model=names("name", "train"),
    seed=names("seed", "train"),
    stepper=names("name", "validate"),
