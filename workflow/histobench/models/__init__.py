"""Classifiers behind one small protocol. Knows no file layout and no Snakemake."""
