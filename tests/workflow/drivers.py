"""A driver that takes the place of a stage's in a copy of the package, for tests of what reruns when.

What it writes states what it depends on: the job's part of the configuration, a constant of the code and the content
of all upstream outputs. A result which does not belong to the configuration is therefore seen by its content.
"""

import hashlib
import json
from pathlib import Path

from eddymark.config import Experiment
from eddymark.plan import Job, plan

CODE = 1


def run(experiment: Experiment, *item: str | int, results: Path, output: Path, work: Path) -> None:
    """Write every output of the job."""
    jobs = plan(experiment)
    job = next(job for job in jobs.values() if job.stage == STAGE and names(job) == [str(part) for part in item])
    upstream = {
        f"{folder}/{name}": hashlib.sha256((results / folder / name).read_bytes()).hexdigest()
        for folder in job.upstream
        for name in jobs[folder].outputs
    }
    described = {"configuration": job.fragment.get("model"), "code": CODE, "upstream": upstream}
    content = json.dumps(described | {"fragment": job.fragment}, sort_keys=True)
    for name in job.outputs:
        if "." in name:
            (output / name).write_text(TEXTS.get(name, content))
        else:
            (output / name).mkdir()
    if STAGE == "report":
        (output / "figures" / "figure.svg").write_text("<svg/>")
        (output / "tables" / "kolmogorov-headline.csv").write_text("stepper,spectrum_error\nfno,1\n")


def names(job: Job) -> list[str]:
    """Return flow, item and seed of a job as its driver is given them."""
    return [str(part) for part in (job.flow, job.name, job.seed) if part not in ("", None)]


STAGE = Path(__file__).stem
TEXTS = {
    "history.csv": f"step,validation_error\n1,{CODE}\n",
    "metrics.json": json.dumps({"kolmogorov": {"fno": {"spectrum_error": CODE}}}),
}
