rule timestep:
    input:
        gate=gate("{flow}/train/{model}/timestep"),
        data=upstream("{flow}/train/{model}/timestep"),
    output:
        timestep=f"{RESULTS}/{{flow}}/train/{{model}}/timestep/timestep.json",
        record=f"{RESULTS}/{{flow}}/train/{{model}}/timestep/{RECORD}",
    log:
        log_of("{flow}/train/{model}/timestep"),
    benchmark:
        benchmark_of("{flow}/train/{model}/timestep")
    wildcard_constraints:
        model=names("name", "timestep"),
    priority: 25
    threads: EXPERIMENT.threads
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=GPUS,
    params:
        command=command("timestep"),
    message:
        "Measuring the time step of {wildcards.model} for {wildcards.flow}"
    shell:
        "exec {params.command} {wildcards.flow} {wildcards.model} > {log} 2>&1"


rule train:
    input:
        gate=gate("{flow}/train/{model}/seed{seed}"),
        data=upstream("{flow}/train/{model}/seed{seed}"),
    output:
        weights=f"{RESULTS}/{{flow}}/train/{{model}}/seed{{seed}}/weights.safetensors",
        model=f"{RESULTS}/{{flow}}/train/{{model}}/seed{{seed}}/model.json",
        history=f"{RESULTS}/{{flow}}/train/{{model}}/seed{{seed}}/history.csv",
        record=f"{RESULTS}/{{flow}}/train/{{model}}/seed{{seed}}/{RECORD}",
    log:
        log_of("{flow}/train/{model}/seed{seed}"),
    benchmark:
        benchmark_of("{flow}/train/{model}/seed{seed}")
    priority: 20
    threads: training_threads
    resources:
        mem_mb=lambda wildcards: 4000 * parallel(wildcards).devices,
        runtime=480,
        gpu=training_resource("gpu"),
        gres=training_resource("gres"),
        mpi=training_resource("mpi"),
        nodes=training_resource("nodes"),
        tasks=training_resource("tasks"),
        tasks_per_node=training_resource("tasks_per_node"),
        tasks_per_gpu=training_resource("tasks_per_gpu"),
    params:
        launcher=launcher,
        command=command("train"),
    message:
        "Training {wildcards.model} for {wildcards.flow}, seed {wildcards.seed}"
    shell:
        "exec {params.launcher}{params.command} {wildcards.flow} {wildcards.model} {wildcards.seed} > {log} 2>&1"
