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
    threads: EXPERIMENT.threads
    resources:
        mem_mb=4000,
        runtime=480,
    params:
        command=command("train"),
    message:
        "Training {wildcards.model} for {wildcards.flow}, seed {wildcards.seed}"
    shell:
        "exec {params.command} {wildcards.flow} {wildcards.model} {wildcards.seed} > {log} 2>&1"
