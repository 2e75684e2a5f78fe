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


onerror:
    hint_at_the_cause(log)


rule all:
    default_target: True
    input:
        [record(folder) for folder in JOBS],
        outputs("report"),
