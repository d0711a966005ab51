"""Snakemake finds the logger `histobench` by the name of this package in a folder of PYTHONPATH."""

from histobench.tools.terminal import LogHandler

__all__ = ["LogHandler"]
