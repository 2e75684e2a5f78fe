import os
import sys
from errno import ENOSPC
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/start.smk"


configfile: "config/config.yaml"


# Inactive unless containers are asked for with --software-deployment-method.
container: "docker://python:3.11"


include: "workflow/rules/common.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/report.smk"


onstart:
    # A limit on how many jobs start per second makes Snakemake (9.27) look again for jobs a second after each look, and
    # every finished job begins another such chain of looks: after fifty jobs they take a third of a core. On one machine
    # jobs can start when others end, and then it looks anyway.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onerror:
    hint_at_the_cause(log)


rule all:
    default_target: True
    input:
        [record(folder) for folder in JOBS],
        outputs("report"),
