rule validate:
    input:
        gate=gate("{flow}/validate/{stepper}"),
        data=upstream("{flow}/validate/{stepper}"),
    output:
        rollouts=f"{RESULTS}/{{flow}}/validate/{{stepper}}/rollouts.zarr.zip",
        statistics=f"{RESULTS}/{{flow}}/validate/{{stepper}}/statistics.nc",
        scores=f"{RESULTS}/{{flow}}/validate/{{stepper}}/scores.csv",
        cost=f"{RESULTS}/{{flow}}/validate/{{stepper}}/cost.json",
        record=f"{RESULTS}/{{flow}}/validate/{{stepper}}/{RECORD}",
    log:
        log_of("{flow}/validate/{stepper}"),
    benchmark:
        benchmark_of("{flow}/validate/{stepper}")
    priority: 10
    threads: EXPERIMENT.threads
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPUS,
    params:
        command=command("validate"),
    message:
        "Validating {wildcards.stepper} on {wildcards.flow}"
    shell:
        "exec {params.command} {wildcards.flow} {wildcards.stepper} > {log} 2>&1"


rule apriori:
    input:
        gate=gate("{flow}/validate/apriori"),
        data=upstream("{flow}/validate/apriori"),
    output:
        statistics=f"{RESULTS}/{{flow}}/validate/apriori/apriori.csv",
        densities=f"{RESULTS}/{{flow}}/validate/apriori/dissipation.csv",
        record=f"{RESULTS}/{{flow}}/validate/apriori/{RECORD}",
    log:
        log_of("{flow}/validate/apriori"),
    benchmark:
        benchmark_of("{flow}/validate/apriori")
    priority: 10
    threads: EXPERIMENT.threads
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=GPUS,
    params:
        command=command("apriori"),
    message:
        "Testing the closures of {wildcards.flow} on filtered DNS"
    shell:
        "exec {params.command} {wildcards.flow} > {log} 2>&1"


# It asks for all cores (on a cluster, for a whole node), so that nothing else runs while it measures; it uses as many
# threads as every other job.
rule cost:
    input:
        gate=gate("{flow}/validate/cost"),
        data=upstream("{flow}/validate/cost"),
    output:
        cost=f"{RESULTS}/{{flow}}/validate/cost/cost.csv",
        record=f"{RESULTS}/{{flow}}/validate/cost/{RECORD}",
    log:
        log_of("{flow}/validate/cost"),
    benchmark:
        benchmark_of("{flow}/validate/cost")
    threads: all_cores
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=GPUS,
        slurm_extra="--exclusive",
    params:
        command=command("cost"),
    message:
        "Timing all steppers of {wildcards.flow}"
    shell:
        "exec {params.command} {wildcards.flow} > {log} 2>&1"
