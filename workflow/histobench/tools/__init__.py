"""What a person runs beside the workflow: `python -m histobench.tools.NAME`."""
