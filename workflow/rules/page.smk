use rule score as costs with:
    input:
        records=[STUDY.path(paths.RECORD, **vars(run)) for run in STUDY.runs],
    output:
        costs=report_table(f"{RESULTS}/costs.csv", "costs", "Provenance"),
    log:
        report_log("costs"),
    params:
        **script("costs"),


use rule score as page with:
    input:
        # Files beside those named below, which the script reads too.
        tables(".md"),
        page_figures(".png"),
        study=STUDY_FILE,
        tables=tables(),
        figures=page_figures(),
        captions=[f"{CAPTIONS}/{outputs.papers(Path(path).stem)}.rst" for path in page_figures()],
        results=page_results(),
    output:
        page=report_table(f"{RESULTS}/report.html", "page", "Report page"),
    log:
        report_log("page"),
    params:
        **script("page"),
