rule claims_published:
    input:
        CLAIMS_PUBLISHED.format(ledger=STUDY.ledger),


# The claims of a paper on its own tables.
rule claims_of_paper:
    input:
        claims=f"{PAPERS}/{{ledger}}/claims.yaml",
        tables=lambda w: sorted(glob.glob(f"{PAPERS}/{w.ledger}/tables/*.csv")),
        # The true architectures of the models that the paper speaks of, where claims are about them.
        architectures=lambda w: glob.glob(f"{PAPERS}/{w.ledger}/architectures.yaml"),
    output:
        report_table(CLAIMS_PUBLISHED, "claims_published", "Claims"),
        CLAIMS_PUBLISHED.replace(".csv", ".md"),
        CLAIMS_PUBLISHED.replace(".csv", ".tex"),
        CLAIMS_PUBLISHED.replace(".csv", "-tabular.tex"),
    log:
        "results/logs/claims_published/{ledger}.log",
    wildcard_constraints:
        ledger="|".join(map(re.escape, published_papers.ledgers())),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        **script("claims_of_paper"),
        arguments=arguments,
    shell:
        SCRIPT


use rule score as claims with:
    input:
        study=STUDY_FILE,
        claims=f"{PAPERS}/{published_papers.PAPER}/claims.yaml",
        published=CLAIMS_PUBLISHED.format(ledger=published_papers.PAPER),
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
