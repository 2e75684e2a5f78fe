rule generate:
    input:
        gate=gate("{flow}/generate/{shard}"),
    output:
        train=f"{RESULTS}/{{flow}}/generate/{{shard}}/train.zarr.zip",
        validation=f"{RESULTS}/{{flow}}/generate/{{shard}}/validation.zarr.zip",
        test=f"{RESULTS}/{{flow}}/generate/{{shard}}/test.zarr.zip",
        unfiltered_validation=f"{RESULTS}/{{flow}}/generate/{{shard}}/unfiltered_validation.zarr.zip",
        unfiltered_test=f"{RESULTS}/{{flow}}/generate/{{shard}}/unfiltered_test.zarr.zip",
        stress=f"{RESULTS}/{{flow}}/generate/{{shard}}/stress.zarr.zip",
        budget=f"{RESULTS}/{{flow}}/generate/{{shard}}/budget.csv",
        record=f"{RESULTS}/{{flow}}/generate/{{shard}}/{RECORD}",
    log:
        log_of("{flow}/generate/{shard}"),
    benchmark:
        benchmark_of("{flow}/generate/{shard}")
    wildcard_constraints:
        flow=names("flow", "generate"),
    priority: 30
    threads: EXPERIMENT.threads
    resources:
        mem_mb=memory_of_dns,
        runtime=240,
        gpu=GPUS,
    params:
        command=command("generate"),
    message:
        "Generating the data of {wildcards.flow}, shard {wildcards.shard}"
    shell:
        "exec {params.command} {wildcards.flow} {wildcards.shard} > {log} 2>&1"


# Only a DNS keeps the true stress and its own states; a source may be filtered already.
use rule generate as importing with:
    output:
        train=f"{RESULTS}/{{flow}}/generate/{{shard}}/train.zarr.zip",
        validation=f"{RESULTS}/{{flow}}/generate/{{shard}}/validation.zarr.zip",
        test=f"{RESULTS}/{{flow}}/generate/{{shard}}/test.zarr.zip",
        budget=f"{RESULTS}/{{flow}}/generate/{{shard}}/budget.csv",
        record=f"{RESULTS}/{{flow}}/generate/{{shard}}/{RECORD}",
    wildcard_constraints:
        flow=names("flow", "importing"),
    message:
        "Importing the data of {wildcards.flow}, shard {wildcards.shard}"
