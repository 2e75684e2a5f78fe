rule report:
    input:
        gate=gate("report"),
        data=upstream("report"),
    output:
        page=report(
            f"{RESULTS}/report/index.html",
            caption="../report/page.rst",
            category="Report",
        ),
        figures=report(
            directory(f"{RESULTS}/report/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
        ),
        tables=report(
            directory(f"{RESULTS}/report/tables"),
            patterns=["{table}.csv"],
            caption="../report/table.rst",
            category="Tables",
        ),
        metrics=f"{RESULTS}/report/metrics.json",
        record=f"{RESULTS}/report/{RECORD}",
    log:
        log_of("report"),
    benchmark:
        benchmark_of("report")
    threads: EXPERIMENT.threads
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        command=command("report"),
    message:
        "Writing the report"
    shell:
        "exec {params.command} > {log} 2>&1"
