"""Draw docs/overview.png: what the demo's images look like, and what `make sample` found on real ones.

Run in the project's folder after `make sample`: PYTHONPATH=workflow .venv/bin/python docs/overview.py
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from histobench.datasets import synthetic
from histobench.study.synthetic_settings import SyntheticSettings

SPLITS = {
    "accession": "accession\nnumber",
    "patient": "patient",
    "image": "image\n(leaky)",
}
SUBTYPES = {"TA": "tubular adenoma", "F": "fibroadenoma", "DC": "ductal carcinoma", "LC": "lobular carcinoma"}


def main() -> None:
    figure = plt.figure(figsize=(12.6, 3.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[2, 1])
    settings = SyntheticSettings(patients_per_class=8, images_per_patient=1, width=700, height=460)
    fields = {(field.kind, field.magnification): field for field in synthetic.fields(settings)}
    axes = left.subplots(2, 4)
    for row, magnification in zip(axes, (40, 200), strict=True):
        for axis, (subtype, name) in zip(row, SUBTYPES.items(), strict=True):
            axis.imshow(synthetic.image(settings, fields[subtype, magnification]))
            axis.set(xticks=[], yticks=[])
            if magnification == 40:
                axis.set_title(name, fontsize=10)
        row[0].set_ylabel(f"{magnification}X")
    left.suptitle("Synthetic tissue, by the demo's generator")

    with Path("results/studies/sample/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == "lp" and row["selection"] == "last"]
    axis = right.subplots()
    for place, split in enumerate(SPLITS):
        scores = [float(row["accuracy"]) for row in rows if row["split"] == split]
        mean = sum(scores) / len(scores)
        spread = [place + 0.04 * (number - 2) for number in range(len(scores))]
        axis.plot(spread, scores, "o", color="0.55", markersize=6)
        axis.plot([place - 0.22, place + 0.22], [mean, mean], color="#8c2d62", linewidth=3)
        axis.annotate(f"{mean:.3f}", (place + 0.26, mean), va="center", color="#8c2d62")
    axis.set(
        xticks=range(len(SPLITS)),
        xticklabels=SPLITS.values(),
        ylabel="accuracy, one dot per fold",
        ylim=(0.5, 1),
        xlim=(-0.5, 2.7),
    )
    axis.spines[["top", "right"]].set_visible(False)
    right.suptitle("Real images, one model, three splits")
    figure.savefig("docs/overview.png", dpi=110)


if __name__ == "__main__":
    main()
