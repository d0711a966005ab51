from histobench.report.tables.strict_table import strict_table
from tests.report.studies import ARMS, block, study
from tests.report.tables.test_tables_1_to_5 import arm


def test_scores_under_a_stricter_split_stand_beside_those_of_table_4() -> None:
    splits = {
        "patient": {"by": "patient", "folds": 5, "seed": 0, "unit": "patient"},
        "accession": {"by": "accession", "folds": 5, "seed": 0, "unit": "accession number"},
    }
    grid = [*map(block, ARMS[:3]), block(ARMS[2], splits=["accession"])]
    made = study(splits=splits, grid=grid)
    summary = [
        *(arm(model, 0.85, 0.02) for model in ("vgg19", "resnet34")),
        arm(
            "resnet34", 0.81996, 0.06, split="accession", auc_mean=0.9, groups=70, benign_groups=22, malignant_groups=48
        ),
        arm("resnet34", 0.5, selection="best_epoch", split="accession"),
        arm("resnet34", 0.5, augmentation="paper", split="accession"),
    ]
    table = strict_table(summary, made)
    (row,) = table.rows
    assert (row["model"], row["magnification"], row["unit"], row["strict_unit"]) == (
        "ResNet34",
        "40",
        "patient",
        "accession number",
    )
    assert (row["accuracy_mean"], row["accuracy_strict_mean"], row["accuracy_difference"]) == (
        "0.8500",
        "0.8200",
        "-0.0300",
    )
    assert row["auc_difference"] == "+0.0500"
    assert (row["benign_groups"], row["strict_groups"], row["strict_malignant_groups"]) == ("24", "70", "48")
    assert table.header[3:9] == (
        *("Stricter split", "Groups, patient", "Groups, stricter"),
        *("Accuracy, patient", "Accuracy, accession", "Difference"),
    )
    assert table.cells[0][6:9] == ("0.8500 ± 0.0200", "0.8200 ± 0.0600", "−0.0300")
    assert (
        "81 patients (24 benign, 57 malignant) by split policy patient, "
        "70 accession numbers (22 benign, 48 malignant) by split policy accession"
    ) in table.caption
    assert set(row) == set(table.columns)
