from pathlib import Path

import pytest

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.metrics import METRICS
from histobench.report.render import Bold
from histobench.report.tables.dataset_table import dataset_tables
from histobench.report.tables.hyperparameters_table import hyperparameter_tables
from histobench.report.tables.models_table import COLUMNS, model_tables
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scores_tables import scores_table
from histobench.study.recipes import Lora, Recipe
from histobench.study.resolved import Arm, Study
from tests.report.studies import NAMES, study

TABLES = Path(__file__).parents[3] / "resources" / "papers" / "zhaksylyk-2026" / "tables"
STUDY = study()


def load(name: str) -> list[dict[str, str]]:
    return read_csv(TABLES / f"{name}.csv", ())


def arm(model: str, mean: float = 0.9, std: float | str = 0.05, **other: object) -> dict[str, str]:
    identity = {"dataset": "breakhis", "model": model, "mode": "ft", "split": "patient", "magnification": 40}
    identity |= {"augmentation": "none", "selection": "last", "folds": 5, "seeds": 1}
    identity |= {"one_class": "", "few_groups": ""}
    identity |= {"groups": 81, "benign_groups": 24, "malignant_groups": 57}
    scores = {f"{metric}_mean": mean for metric in METRICS} | {f"{metric}_std": std for metric in METRICS}
    row = {name: str(value) for name, value in (identity | scores | other).items()}
    assert set(row) == set(SUMMARY_COLUMNS)
    return row


def results(*summary: dict[str, str], selection: str = "last", number: int = 4):
    published = load(f"table{number}")
    one = study(tables=STUDY.tables | {"with_augmentation": "none"})
    return results_tables(summary, published, number, selection, one)


@pytest.mark.parametrize("number", [4, 5])
def test_the_published_rows_come_back_in_their_own_order(number: int) -> None:
    published = load(f"table{number}")
    back = {name: model for model, name in NAMES.items()}
    summary = [
        {**arm("", patient_rate_mean=0, patient_rate_std=0), **row, "model": back[row["model"]]}
        for row in reversed(published)
    ]
    table, beside = results(*summary, number=number)
    assert [dict(row) for row in table.rows] == published
    assert len(beside.rows) == 28 * 10
    assert {row["difference"] for row in beside.rows} == {"0.0000"}


def test_own_models_follow_the_published_ones_and_magnifications_ascend() -> None:
    summary = [arm("tiny", magnification=200), arm("tiny", magnification=40), arm("vgg19"), arm("own"), arm("alexnet")]
    table, beside = results(*summary)
    order = [(row["model"], row["magnification"]) for row in table.rows]
    assert order == [("AlexNet", "40"), ("VGG19", "40"), ("tiny", "40"), ("tiny", "200"), ("own", "40")]
    tiny = [row for row in beside.rows if row["model"] == "tiny"]
    assert {(row["published"], row["difference"]) for row in tiny} == {("", "")}


def test_differences_from_the_published_table() -> None:
    # Table 4, AlexNet 40x: accuracy 0.9512 +- 0.0110, AUC 0.9912.
    table, beside = results(arm("alexnet", 0.90124, 0.0500))
    assert (table.rows[0]["accuracy_mean"], table.cells[0][3]) == ("0.9012", "0.9012 ± 0.0500")
    rows = {row["quantity"]: (row["reproduced"], row["published"], row["difference"]) for row in beside.rows}
    assert rows["accuracy_mean"] == ("0.9012", "0.9512", "-0.0500")
    assert rows["accuracy_std"] == ("0.0500", "0.0110", "+0.0390")
    assert rows["auc_mean"] == ("0.9012", "0.9912", "-0.0900")
    assert beside.header == ("Model", "Mode", "Magnification", "Accuracy", "Precision", "Recall", "F1-score", "AUC")
    assert beside.cells[0][:4] == ("AlexNet", "FT", "40×", "0.9012 / 0.9512 (−0.0500)")


def test_the_best_of_each_magnification_is_bold() -> None:
    table, _ = results(
        arm("alexnet", 0.8),
        arm("vgg19", 0.9, auc_mean=0.7),
        arm("resnet34", 0.9),
        arm("alexnet", 0.1, magnification=400),
    )
    bold = {
        (row[0], row[2], column) for row in table.cells for column, cell in enumerate(row) if isinstance(cell, Bold)
    }
    # VGG19 and ResNet34 tie but for the AUC (column 7); alone at 400x, AlexNet is no winner.
    tied = {(model, "40×", column) for model in ("VGG19", "ResNet34") for column in (3, 4, 5, 6, 7)}
    assert bold == tied - {("VGG19", "40×", 7)}


def test_only_the_wanted_arms_are_shown() -> None:
    others = ({"split": "image"}, {"augmentation": "paper"}, {"selection": "best_epoch"}, {"dataset": "other"})
    rows = [arm("alexnet", 0.1, **other) for other in others]
    table, _ = results(arm("alexnet", 0.9), *rows)
    assert [row["accuracy_mean"] for row in table.rows] == ["0.9000"]
    for table in results(*rows):
        assert (table.rows, table.cells) == ([], [])
        assert "over no fold. Empty: none of its rows could be made; gaps.csv says" in table.caption


def test_the_caption_says_what_the_numbers_are() -> None:
    for table in results(arm("alexnet"), arm("vgg19", folds=3)):
        for part in (
            "split policy patient",
            "3 to 5 folds",
            "last epoch",
            "Study: demo. Synthetic images. Random weights.",
        ):
            assert part in table.caption
        assert "optimistic" not in table.caption
    for best in results(arm("alexnet", selection="best_epoch"), selection="best_epoch"):
        assert best.title.startswith("Table 4, best epoch")
        assert "optimistic" in best.caption


def test_one_fold_has_no_deviation() -> None:
    table, beside = results(arm("alexnet", 0.9, "", folds=1))
    assert (table.rows[0]["accuracy_std"], table.cells[0][3]) == ("", "0.9000")
    assert "over 1 fold." in table.caption
    assert [row["difference"] for row in beside.rows if row["quantity"] == "accuracy_std"] == [""]


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(HistoBenchError, match="same name in print"):
        results(arm("alexnet"), arm("AlexNet"))


def test_scores_set_split_policies_and_selections_under_each_other() -> None:
    summary = [
        arm("alexnet", mean, split=split, magnification=magnification, selection=selection)
        for split, mean in (("patient", 0.8), ("leaky", 0.9))
        for magnification in (200, 40)
        for selection in ("last", "best_epoch")
    ]
    splits = {"patient": {"by": "patient", "unit": "patient"}, "leaky": {"by": "image", "unit": "accession number"}}
    equal_pixels = {("breakhis", "patient"): 0, ("breakhis", "leaky"): 7}
    table = scores_table(summary, equal_pixels, study(splits=splits))
    assert [(row["magnification"], row["split"], row["selection"], row["accuracy_mean"]) for row in table.rows] == [
        (magnification, split, selection, mean)
        for magnification in ("40", "200")
        for split, mean in (("patient", "0.8000"), ("leaky", "0.9000"))
        for selection in ("last", "best_epoch")
    ]
    assert table.header[:7] == ("Model", "Mode", "Magnification", "Augmentation", "Split", "Selection", "Folds")
    assert table.header[-1] == "Patient rate"
    assert table.cells[1] == (
        ("AlexNet", "FT", "40×", "none", "patient", "best epoch (optimistic)", "5") + ("0.8000 ± 0.0500",) * 6
    )
    numbers = "81 {} (24 benign, 57 malignant) by split policy {}".format
    groups = f"{numbers('patients', 'patient')}, {numbers('accession numbers', 'leaky')}"
    assert f"Dataset breakhis: mean ± sample standard deviation over folds; {groups}." in table.caption
    assert "Split policy leaky lets images of one patient into both sides" in table.caption
    assert "Split policy patient" not in table.caption
    assert (
        "Dataset breakhis, split policy leaky: images with equal pixels stand on both sides of a fold (7 pairs in all folds)."
        in table.caption
    )
    assert "split policy patient:" not in table.caption
    # A leaky policy wins always: no best value is marked across policies.
    assert not any(isinstance(cell, Bold) for row in table.cells for cell in row)


def test_dataset_table_of_the_official_counts() -> None:
    # The published table's own counts; 5-fold mean sizes are n 4/5 and n/5.
    counts = {40: (625, 1370), 100: (644, 1437), 200: (623, 1390), 400: (588, 1232)}
    sizes = {
        40: [(1596, 399)] * 5,
        100: [(1665, 416)] * 4 + [(1664, 417)],
        200: [(1610, 403)] * 5,
        400: [(1456, 364)] * 5,
    }
    images = {magnification: {"benign": b, "malignant": m} for magnification, (b, m) in counts.items()}
    table, beside = dataset_tables(images, sizes, load("table1"), STUDY)
    assert [tuple(row.values()) for row in table.rows] == [
        ("40", "625", "1370", "1995", "1596.0", "399.0"),
        ("100", "644", "1437", "2081", "1664.8", "416.2"),
        ("200", "623", "1390", "2013", "1610.0", "403.0"),
        ("400", "588", "1232", "1820", "1456.0", "364.0"),
        ("total", "2480", "5429", "7909", "6326.8", "1582.2"),
    ]
    assert [row[0] for row in table.cells] == ["40×", "100×", "200×", "400×", "Total"]
    differences = {(row["magnification"], row["quantity"]): row["difference"] for row in beside.rows}
    assert differences["40", "train"] == "+200.0"
    assert differences["100", "test"] == "-207.8"
    assert {differences[m, q] for m in ("40", "total") for q in ("benign", "malignant", "total")} == {"0"}
    assert "mean number of images over 5 folds of the split policy patient" in table.caption


def test_model_table_counts_with_both_heads() -> None:
    """Qwen2-VL-2B: 2,208,985,600 parameters, adapters of 4,358,144 and a head of 1,537."""
    hub = {"hub": "Qwen/Qwen2-VL-2B-Instruct", "revision": "895c3a49bc3fa70a340399125c650a463535e71c"}
    counted = [
        ("resnet34", "ft", "21797672", "21285185", "21285185", "0", 336, "imagenet"),
        ("resnet34", "lp", "21797672", "21285185", "513", "0", 336, "imagenet"),
        ("qwen2-vl-2b", "ft", "2208985600", "2213345281", "4359681", "4358144", 336, hub),
        ("own", "ft", "", "9", "9", "0", 64, {"file": "folder/own_net.pth", "package": None, "sha256": "0" * 64}),
        ("random", "ft", "", "9", "9", "0", 64, "random"),
        ("package", "ft", "", "9", "9", "0", 64, {"package": "p", "file": "f"}),
        ("folder", "ft", "", "9", "9", "0", 64, {"folder": "some/folder", "sha256": "0" * 64}),
    ]
    parameters = [dict(zip(COLUMNS, row, strict=False)) for row in counted]
    models = {model: {"family": "cnn", "image_size": size, "weights": weights} for model, *_, size, weights in counted}
    table, beside = model_tables(parameters, load("table2"), study(models=models))
    assert table.cells == [
        ("ResNet34", "FT", "21.8", "21,285,185", "21,285,185", "0", "336 × 336", "ImageNet"),
        ("ResNet34", "LP", "21.8", "21,285,185", "513", "0", "336 × 336", "ImageNet"),
        ("Qwen2-VL-2B", "FT", "2209.0", "2,213,345,281", "4,359,681", "4,358,144", "336 × 336",
         "Qwen/Qwen2-VL-2B-Instruct (895c3a4)"),
        ("own", "FT", "", "9", "9", "0", "64 × 64", "own_net.pth"),
        ("random", "FT", "", "9", "9", "0", "64 × 64", "no (random)"),
        ("package", "FT", "", "9", "9", "0", "64 × 64", "p"),
        ("folder", "FT", "", "9", "9", "0", "64 × 64", "folder"),
    ]  # fmt: skip
    assert [row["lora"] for row in table.rows[:3]] == ["0", "0", "4358144"]
    # The published table has CNNs alone.
    assert beside.cells[:3] == [
        ("ResNet34", "21.8 / 21.8 (0.0)", "336 / 336 (0)", "ImageNet / ImageNet (same)"),
        ("Qwen2-VL-2B", "2209.0 / –", "336 / –", "Qwen/Qwen2-VL-2B-Instruct (895c3a4) / –"),
        ("own", "– / –", "64 / –", "own_net.pth / –"),
    ]


CNN = Arm("alexnet", "ft", "AlexNet", "cnn", "all")
PROBE = Arm("smolvlm", "lp", "SmolVLM", "smolvlm", "head")
TUNED = Arm("smolvlm", "ft", "SmolVLM", "smolvlm", "lora")


def table_3(one: Study):
    return hyperparameter_tables(load("table3"), one)


def test_the_default_recipe_is_the_published_one() -> None:
    table, beside = table_3(study(arms=[CNN, PROBE, TUNED]))
    compared = {row["hyperparameter"]: (row["reproduced"], row["published"], row["difference"]) for row in beside.rows}
    assert compared["Learning rate"] == ("1e-4", "1e-4", "0.0000")
    same = {"Batch size": "64", "Epochs": "20", "Rank r": "16", "alpha": "32"}
    assert {name: compared[name] for name in same} == {name: (value, value, "0") for name, value in same.items()}
    assert compared["Dropout"] == ("0.05", "0.05", "0.00")
    assert {compared[name][2] for name in ("Optimizer", "Loss function", "Evaluation")} == {"same"}
    assert compared["Weight decay"] == ("0.01", "", "")
    assert compared["Scheduler"][2] == "differs"
    # Every published row has its counterpart, but for LoRA in a study without adapters.
    both = [published for reproduced, published, _ in compared.values() if reproduced and published]
    assert len(both) == len(load("table3"))
    alone = {row["hyperparameter"]: (row["reproduced"], row["published"]) for row in table_3(study(arms=[CNN]))[1].rows}
    assert alone["Rank r"] == ("", "16")
    values = {row["hyperparameter"]: row["value"] for row in table.rows}
    own = [values[name] for name in ("Projections", "Decoder layers", "Vision tower", "Connector")]
    assert own == ["q, k, v, o", "all", "frozen", "frozen"]
    assert values["Trained parameters"] == (
        "all (AlexNet FT); linear head on frozen backbone (SmolVLM LP); LoRA adapters and linear head (SmolVLM FT)"
    )


@pytest.mark.parametrize(
    ("changes", "title", "values"),
    [
        ({"rank": 4}, "Rank r", ("16", "4")),
        ({"alpha": 8}, "alpha", ("32", "8")),
        ({"dropout": 0}, "Dropout", ("0.05", "0")),
        ({"projections": ["q", "v"]}, "Projections", ("q, k, v, o", "q, v")),
        ({"layers": [0, 23]}, "Decoder layers", ("all", "0, 23")),
        ({"vision": True}, "Vision tower", ("frozen", "LoRA on its attention")),
        ({"connector": True}, "Connector", ("frozen", "trained")),
    ],
)
def test_adapters_that_differ_name_their_arms(changes: dict[str, object], title: str, values: tuple[str, str]) -> None:
    """Each field of the adapters' settings moves one row of the table."""
    own = Arm("smolvlm", "own", "SmolVLM", "smolvlm", "lora")
    one = study(arms=[TUNED, own])
    one.recipes["smolvlm"]["own"]["lora"] = Lora.model_validate(changes).model_dump(mode="json")  # type: ignore[index]
    table, _ = table_3(one)
    default, changed = values
    differing = {row["hyperparameter"]: row["value"] for row in table.rows if "SmolVLM" in str(row["value"])}
    assert differing == {title: f"{default} (SmolVLM FT); {changed} (SmolVLM own)"}


def test_values_that_differ_name_their_arms() -> None:
    base = Recipe().model_dump(mode="json")
    arms = [CNN, Arm("vgg19", "ft", "VGG19", "cnn", "all"), Arm("resnet34", "lp", "ResNet34", "cnn", "head")]
    head = {"trainable": "head", "standardise": True, "learning_rate": 1e-3, "epochs": 12}
    recipes = {
        "alexnet": {"ft": base},
        "vgg19": {"ft": base | {"learning_rate": 3e-5}},
        "resnet34": {"lp": base | head},
    }
    augmentations = {"none": [], "flips": [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]}
    splits = {name: {"by": name, "folds": 5} for name in ("patient", "image", "official")}
    table, _ = table_3(study(arms=arms, recipes=recipes, augmentations=augmentations, splits=splits))
    values = {row["hyperparameter"]: row["value"] for row in table.rows}
    assert values["Learning rate"] == "1e-4 (AlexNet FT); 3e-5 (VGG19 FT); 1e-3 (ResNet34 LP)"
    assert values["Epochs"] == "20 (AlexNet FT, VGG19 FT); 12 (ResNet34 LP)"
    assert values["Embeddings standardised"] == "yes"
    assert values["Augmentation"] == "none; flips: HorizontalFlip, VerticalFlip"
    assert values["Evaluation"] == (
        "5-fold patient-level cross-validation; 5-fold image-level cross-validation; 5 official patient-level hold-outs"
    )


def test_every_field_of_a_recipe_that_matters_is_in_table_3() -> None:
    read = set()

    class Recorded(dict):
        def __getitem__(self, key):
            read.add(key)
            return super().__getitem__(key)

        def __contains__(self, key):  # of a key that is absent at its default
            read.add(key)
            return super().__contains__(key)

        def get(self, key, default=None):
            read.add(key)
            return super().get(key, default)

    arms = [PROBE, TUNED, Arm("smolvlm", "asked", "SmolVLM", "smolvlm", "none")]
    one = study(arms=arms)
    recipes = {mode: Recorded(of) for mode, of in one.recipes["smolvlm"].items()}
    recipes["ft"] |= {"validation": 0.15, "prompt": "Benign?"}
    recipes["asked"] |= {"prompts": ["One", "Two"], "answers": {"malignant": [" yes", " Yes"], "benign": [" no"]}}
    table, _ = table_3(study(arms=arms, recipes={"smolvlm": recipes}))
    values = {row["hyperparameter"].split(",")[0]: row["value"] for row in table.rows}
    assert values["Kept for choosing epoch"] == "nothing (SmolVLM LP); 0.15 of the training groups (SmolVLM FT)"
    text = "none (SmolVLM LP); Benign? (SmolVLM FT); One / Two (SmolVLM asked)"
    assert values["Text after the image"] == text
    assert values["Words of an answer"] == "malignant: yes, Yes; benign: no"
    assert set(Recipe.model_fields) - read == {"keep_weights"}
