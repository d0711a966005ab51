rule claims_published:
    input:
        claims=LEDGER,
        # The true architectures of the vision-language models that the paper speaks of.
        architectures=os.path.relpath(ROOT / "resources/paper/architectures.yaml"),
        tables=published(*range(1, 8)),
    output:
        report_table("results/claims_published.csv", "claims_published", "Claims"),
        "results/claims_published.md",
        "results/claims_published.tex",
        "results/claims_published-tabular.tex",
    log:
        "results/logs/claims_published.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **script("claims_published"),
        arguments=arguments,
    shell:
        SCRIPT


use rule score as claims with:
    input:
        study=STUDY_FILE,
        claims=LEDGER,
        published=rules.claims_published.output[0],
        metrics=rules.score.output.metrics,
        summary=rules.score.output.summary,
        intervals=rules.compare.output.intervals,
        draws=rules.compare.output.draws,
        parameters=rules.check_arms.output,
        external_intervals=rules.score_external.output.intervals if STUDY.tested else [],
        external_draws=rules.score_external.output.draws if STUDY.tested else [],
        histories=[STUDY.path(paths.HISTORY, **vars(run)) for run in MAIN],
    output:
        report_table(f"{RESULTS}/claims.csv", "claims", "Claims"),
        f"{RESULTS}/claims.md",
        f"{RESULTS}/claims.tex",
        f"{RESULTS}/claims-tabular.tex",
    log:
        report_log("claims"),
    params:
        **script("claims"),
