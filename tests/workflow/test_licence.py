"""BACH's licence forbids passing its photographs on, resized ones included."""

import re


def test_its_photographs_are_drawn_for_the_user_and_stay_out_of_the_page(project):
    output = project.snakemake("-n").stdout
    files = {
        name: re.search(rf"^rule {name}:\n +input: (.*)\n +output: (.*)", output, re.M)
        for name in ("figure_samples", "page")
    }
    assert "figures/figure2.svg" in files["figure_samples"][2]
    assert "figures/figure1.svg" in files["page"][1]
    assert "figures/figure2." not in files["page"][1]
