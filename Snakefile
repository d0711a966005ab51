include: "workflow/Snakefile"


# An included file does not decide what is built by default.
workflow.default_target = "all"
