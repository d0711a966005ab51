"""Every rule and its script, and the report that Snakemake makes of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = {
    name: body
    for path in (ROOT / "workflow/rules").glob("*.smk")
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(), re.MULTILINE)
}


def test_every_script_has_its_rule_and_every_rule_its_script():
    assert set(RULES) == {path.stem for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_log_benchmark_environment_and_tracks_its_code(name):
    directives = re.findall(r"^    (\w+):", RULES[name], re.MULTILINE)
    assert {"output", "log", "benchmark", "conda", "params", "shell"} <= set(directives)
    assert f"$HISTOBENCH_SCRIPTS/{name}.py " in RULES[name]
    assert re.search(rf'code=(lambda w: )?\w*code\(\W*"{name}"|code=\w+_code\b', RULES[name])
    assert re.search(
        r"^        mem_mb=.*\n        runtime=", RULES[name], re.MULTILINE
    )  # for a queue; see test_slurm.py
    (environment,) = re.findall(r'conda:\n        "\.\./\.\./(envs/.*)"', RULES[name])
    assert (ROOT / environment).is_file()


def test_the_report_holds_every_category(finished):
    text = "\n".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    calls = text.count("report_table(") - text.count("def report_table(")
    categories = re.findall(r'(?<!def )report_table\([^()]*,\s*"([\w ]+)"\s*\)', text)
    assert len(categories) == calls  # none is written in a way that is not found
    categories = set(categories) - {"External test"}  # the tiny study has no external dataset
    assert categories >= {"Dataset", "Scores", "Intervals and comparisons", "Tables", "Figures", "Report page"}
    page = finished.folder / "report.html"
    finished.snakemake("--configfile", "config/tiny.yaml", "--report", "report.html")
    text = page.read_text()
    page.unlink()
    for category in categories:
        assert f'"{category}"' in text, category
    assert "Image classifiers on breast histopathology" in text
