# `snakemake` without arguments finds this file. All rules are in workflow/Snakefile.
include: "workflow/Snakefile"


# The default target of an included file does not count.
use rule all as default
