"""The report page without a browser: numbers, sections, missing results, the best arm, the protocol."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from histobench.claims.verdicts import ON_PAPER, ON_STUDY
from histobench.io import checkout
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv, write_csv
from histobench.report.page import answer, protocol
from histobench.report.page.cells import Source, Value, number
from histobench.report.page.page import build
from histobench.report.tables import costs
from histobench.study import resolved
from histobench.study.resolved import Study
from histobench.study.runs import Run
from tests.report import made_study, page_numbers
from tests.report.studies import EXTERNAL, ROOT, call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What a page is built from, and the page."""
    folder = tmp_path_factory.mktemp("made") / "results/studies/made"
    content = made_study.make(folder)
    page = folder / "report.html"
    page.write_text(build(content, page), encoding="utf-8")
    return content, page


def built(content, page, **changes) -> page_numbers.Read:
    other = page.with_name("other.html")
    other.write_text(build(replace(content, **changes), other), encoding="utf-8")
    page_numbers.check(other)
    return page_numbers.read(other)


def text_of(read: page_numbers.Read) -> str:
    return " ".join(" ".join(read.texts).split())


def test_every_number_is_its_csvs(made):
    # 12 arms in both tables with 13 cells and more: the page is not empty by mistake.
    assert page_numbers.check(made[1]) > 1000


def test_the_page_begins_with_the_notes_and_has_all_sections_in_order(made):
    found = page_numbers.read(made[1])
    assert found.sections == page_numbers.SECTIONS
    body = made[1].read_text().split("<body>")[1].lstrip()
    assert body.startswith(
        '<p class="notes" role="note"><strong>The images are SYNTHETIC. Models start from RANDOM weights.'
    )
    assert 'class="notes"' not in build(replace(made[0], study=replace(made[0].study, notes=[])), made[1])


def test_the_page_needs_no_other_file(made):
    for tag, attribute, address in page_numbers.read(made[1]).addresses:
        if tag != "a":
            assert address.startswith("data:"), (tag, attribute, address)
        elif not address.startswith(("#", "https://doi.org/")):
            assert not address.startswith("/")
            if not address.endswith(".pdf") and not address.startswith("figures/"):
                assert (made[1].parent / address).is_file(), address
    for word in ("url(", "@import", "fetch(", "XMLHttpRequest"):
        assert word not in made[1].read_text()
    # Texts of CSVs are escaped.
    assert "Sentence one &lt;of the paper&gt; &amp; more" in made[1].read_text()
    assert "<of the paper>" not in made[1].read_text()


def test_a_figure_has_its_caption_and_a_large_svg_is_shown_as_its_png(made):
    figures = [address for tag, _, address in page_numbers.read(made[1]).addresses if tag == "img"]
    assert [address.split(";")[0] for address in figures] == ["data:image/svg+xml", "data:image/png"]
    assert base64.b64decode(figures[0].split(",")[1]) == (made[1].parent / "figures/figure5.svg").read_bytes()
    assert base64.b64decode(figures[1].split(",")[1]) == made_study.PIXEL
    assert "Accuracy by magnification, with intervals. The images are SYNTHETIC." in text_of(page_numbers.read(made[1]))


@pytest.mark.parametrize(("width", "narrow"), [("240.9pt", True), ("496.1pt", False)])
def test_a_figure_for_one_column_of_a_journal_is_not_blown_up(made, tmp_path, width, narrow):
    content, page = made
    figure = tmp_path / "figure5.svg"
    figure.write_text(f'<?xml version="1.0"?>\n<svg height="9pt" version="1.1" width="{width}" xmlns="x"></svg>')
    assert ('<div class="scroll narrow"' in build(replace(content, figures=[figure]), page)) == narrow


def test_the_page_says_what_the_study_does_not_have(made):
    content, page = made
    found = built(content, page, results={}, figures=[], tables=[])
    assert found.sections == page_numbers.SECTIONS
    text = text_of(found)
    for sentence in (
        "This study has no scores with intervals, so no best arm is named.",
        "The claims were not evaluated in this study.",
        "This study has no table.",
        "This study has no pair of arms to compare.",
        "This study has no figure.",
        "This study has no external dataset.",
        "This study has no records of runs.",
        "The predictions of every run could be used.",
    ):
        assert sentence in text, sentence


def test_gaps_of_the_external_test_are_shown_with_the_others(made):
    content, page = made
    gaps = page.parent / "external_gaps.csv"
    write_csv(gaps, ("where", "what"), [{"where": "bach/fold2", "what": "the file has another image"}])
    for results in ({"external_gaps": gaps}, content.results | {"external_gaps": gaps}):
        text = text_of(built(content, page, results=results)).split("Gaps")[-1]
        assert "The following could not be used" in text
        assert "the file has another image" in text
        assert ("NaN logit in 2 images" in text) == (len(results) > 1)


def test_a_missing_file_is_one_sentence(made):
    content, page = made
    with pytest.raises(HistoBenchError, match=r"absent\.csv: no such file"):
        build(replace(content, results={"intervals": Path("absent.csv")}), page)
    with pytest.raises(HistoBenchError, match=r"absent\.svg: no such file"):
        build(replace(content, figures=[Path("absent.svg")]), page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.7191", "0.7191"),
        ("0.83", "0.83"),
        ("0.829450830140", "0.8295"),
        ("-0.0314159", "−0.0314"),
        ("+0.0009", "+0.0009"),
        ("-1850", "−1,850"),
        ("21285185", "21,285,185"),
        ("0.00009999", "0.0001"),
        ("0.0000123456", "1.2e−5"),
        ("1e-07", "1e−7"),
        ("0.0", "0.0"),
        ("12345.678", "12,345.678"),
        ("AlexNet", None),
        ("nan", None),
        ("1e-3 (lp)", None),
    ],
)
def test_how_numbers_are_shown(text, shown):
    assert number(text) == shown


SETTING = {"dataset": "d", "split": "patient", "magnification": 40, "augmentation": "none", "selection": "last"}


def interval(model: str, estimate: float) -> dict[str, object]:
    return made_study.interval(SETTING | {"model": model, "mode": "ft"}, "accuracy", estimate)


def pair(first: str, second: str, difference: float, low: float, high: float, holm: float) -> dict[str, object]:
    row = SETTING | {"first": first, "second": second, "metric": "accuracy"}
    return row | {"difference": difference, "difference_low": low, "difference_high": high, "holm_p": holm}


def test_the_best_arm_and_which_arms_are_significantly_worse(tmp_path):
    write_csv(
        tmp_path / "intervals.csv",
        made_study.INTERVALS,
        [interval(*one) for one in (("a", 0.7), ("b", 0.9), ("c", 0.88), ("e", 0.6), ("f", 0.65))],
    )
    write_csv(
        tmp_path / "comparisons.csv",
        made_study.COMPARISONS,
        [
            pair("a/ft", "b/ft", -0.2, -0.3, -0.1, 0.01),  # the best arm is the second of the pair
            pair("b/ft", "c/ft", 0.02, -0.01, 0.05, 0.4),
            pair("b/ft", "e/ft", 0.3, 0.2, 0.4, 0.06),  # the interval excludes zero, but Holm's p is too large
        ],
    )
    names = dict(zip("abcef", "aBcef", strict=True))
    sources = [Source.read(tmp_path / f"{name}.csv", tmp_path, names) for name in ("intervals", "comparisons")]
    (found,) = answer.winners(*sources, "d", "patient")
    assert (found.arm, found.second) == ("B FT", "c FT")
    assert (found.worse, found.similar, found.not_compared) == (["a FT"], ["c FT", "e FT"], ["f FT"])
    assert [getattr(part, "text", part) for part in found.difference or ()] == [
        "0.02",
        " [",
        "−0.01",
        ", ",
        "0.05",
        "]",
    ]

    write_csv(tmp_path / "intervals.csv", made_study.INTERVALS, [interval("a", 0.7), interval("b", 0.9)])
    (turned,) = answer.winners(Source.read(tmp_path / "intervals.csv", tmp_path, names), sources[1], "d", "patient")
    assert (turned.second, turned.worse) == ("a FT", ["a FT"])
    shown = [part for part in turned.difference or () if isinstance(part, Value)]
    assert [(part.text, part.value) for part in shown] == [("0.2", "-0.2"), ("0.1", "-0.1"), ("0.3", "-0.3")]


def test_arms_with_the_same_accuracy_share_the_first_place(made):
    content, page = made
    rows = read_csv(content.results["intervals"], ())
    place = ("200", "none", "last", "accuracy")
    for row in rows:
        if (row["magnification"], row["augmentation"], row["selection"], row["metric"]) == place:
            row["fold_mean"] = "0.5" if row["model"] == "alexnet" else "0.875"
    equal = page.parent / "equal" / "intervals.csv"
    write_csv(equal, tuple(rows[0]), rows)
    text = text_of(built(content, page, results=content.results | {"intervals": equal}))
    assert "without augmentation, ResNet34 FT and SmolVLM FT have the same, highest accuracy, 0.8750 [" in text


def test_the_answer_reads_as_a_sentence(made):
    text = text_of(page_numbers.read(made[1]))
    assert "At 200× , without augmentation, SmolVLM FT has the highest accuracy, 0.8" in text
    assert "The second is ResNet34 FT, lower by 0.0" in text
    assert "Best with augmentation paper :" in text
    # One estimator, as in Tables 4 and 5; the other has its name.
    assert "Accuracy is the mean over folds; brackets are 95 % intervals. The pooled accuracy of SmolVLM FT," in text


def test_a_degenerate_study_of_own_data_is_told_in_words(made):
    content, page = made
    rows = read_csv(content.results["intervals"], ())
    rows = [row | {"magnification": "0", "freedom": "3"} for row in rows if row["magnification"] == "40"]
    for row in rows:
        if row["model"] == "smolvlm":  # it calls every image malignant, as often right as wrong in every draw
            values = ("estimate", "low", "high", "fold_mean", "fold_mean_low", "fold_mean_high")
            row |= dict.fromkeys(values, "0.9") | {"one_class": "malignant"}
    folder = page.parent / "own"
    write_csv(folder / "intervals.csv", tuple(rows[0]), rows)
    own = replace(content.study, paper=False, comparisons={**content.study.comparisons, "magnification": 0})
    results = {name: path for name, path in content.results.items() if name != "claims"}
    tables = [path for path in content.tables if path.stem == "scores"]
    figures = [path for path in content.figures if path.stem == "ladder"]
    changes = {"study": own, "results": results | {"intervals": folder / "intervals.csv"}}
    found = built(content, page, tables=tables, figures=figures, **changes)
    text = text_of(found)
    assert (
        "At unknown magnification, without augmentation, SmolVLM FT has the highest accuracy, 0.9000 (no interval)"
        in text
    )
    assert "One class for all images: SmolVLM FT (unknown magnification, always malignant)." in text
    assert (
        "Fewer than 6 degrees of freedom (the effective number of groups of the class that has fewer, less that of folds): 95 %"
        in text
    )
    assert "Best without augmentation: SmolVLM FT at unknown magnification" in text
    # Nothing makes it a footnote to the paper.
    assert found.sections == [name for name in page_numbers.SECTIONS if name != "claims"]
    for word in ("Zhaksylyk", "claim", "ublished", "The paper", "Table 4", "Figure 5", "Spanhol"):
        assert word not in text, word
    assert "Zhaksylyk" in text_of(page_numbers.read(page))


def test_a_text_of_the_paper_is_in_quotation_marks_only_if_it_is_quoted(made):
    page = made[1].read_text()
    quoted, paraphrased = ("<q>", "</q>"), ("", " (paraphrased)")
    for identity, (before, after) in (("three", quoted), ("four", paraphrased), ("one", paraphrased)):
        text = f">Sentence {identity} &lt;of the paper&gt; &amp; more</data>"
        shown = next(part for part in page.split("<li>") if text in part).split("<span")[0]
        assert shown.startswith(f"{before}<data"), identity
        assert shown.rstrip().endswith(f"{text}{after}"), identity


def test_claims_are_counted_and_the_impossible_come_first(made):
    claims = Source.read(made[0].results["claims"], made[1].parent, {})
    counts = {title: {verdict: tally.text for verdict, tally in found} for title, found in answer.tallies(claims)}
    by_paper = {"holds": "1", "contradicted": "1", "impossible": "1", "implausible": "1", "not checkable": "1"}
    by_study = {"supported": "1", "contradicted": "1", "undecided": "1", "not run": "1", "not applicable": "1"}
    assert counts == {"By the paper's own numbers": by_paper, "By this study": by_study}
    page = text_of(page_numbers.read(made[1]))
    for verdict, meaning in (ON_PAPER | ON_STUDY).items():
        assert f"{verdict} {meaning}." in page, verdict
    titles = [title for title, _ in answer.notable(claims)]
    assert titles[0] == "Impossible by the paper's own numbers"
    assert titles[-1] == "Supported by this study"
    many = replace(claims, rows=[*claims.rows, *claims.rows])
    assert answer.notable(many, most=1)[0][0] == "Impossible by the paper's own numbers (1 of 2)"


def decided(study: Study) -> dict[str, str]:
    return {point: text for point, _, text in protocol.decisions(study)}


def test_the_protocol_follows_the_configuration():
    study = made_study.study()
    found = decided(study)
    assert found["CNN input"].startswith("the whole image is resized to 336 × 336 pixels")
    assert found["LoRA"] == (
        "q, k, v, o projections of every decoder layer, nothing in the vision tower, nothing in the connector"
    )
    assert found["Patients"].startswith("an accession number is a slide number without its last letters")
    patient = "no patient, as the dataset's authors number them (slide number), is on both sides of a fold"
    assert found["Patients"].endswith(f"; patient: {patient}")
    own = replace(study, datasets={"own": {"format": "csv"}})
    assert decided(own)["Patients"] == "patient: no patient is on both sides of a fold"
    assert "10,000 draws" in found["Significance"]
    assert "External test" not in found
    other = replace(
        study,
        splits={"image": {"by": "image", "folds": 3, "seed": 7, "unit": "patient"}},
        grid=[],
        comparisons={**study.comparisons, "draws": 250},
        models={**study.models, "alexnet": made_study.CNN | {"image_size": 64}},
        external=[EXTERNAL | {"models": ["resnet34"], "magnifications": [40]}],
        datasets={"breakhis": {"format": "breakhis", "synthetic": {"seed": 0}}},
    )
    found = decided(other)
    assert "250 draws" in found["Significance"]
    assert found["Folds"].startswith("3 folds")
    assert found["Patients"] == f"image: {protocol.SPLITS['image']}"
    assert "336 × 336 and 64 × 64" in found["CNN input"]
    assert found["External test"].startswith("every run of resnet34 (FT) trained at 40×")
    without = decided(made_study.study(arms=made_study.ARMS[:2]))
    assert not {"VLM input", "LoRA", "Which checkpoints", "Final hidden state"} & set(without)


def record(seconds: float, speed: float, memory: float, device: str = "cpu (x86_64)", **more: float) -> dict:
    made = {
        "seconds": {"total": seconds, "training": seconds / 2, **more},
        "parameters": {"trainable": 7},
        "precision": "fp32",
    }
    made |= {"images_per_second": speed, "device": device, "versions": {"python": "3.11", "torch": "2"}}
    return made | {"peak_memory_mib": {"host": memory}}


def test_costs_add_up_over_an_arms_runs(tmp_path):
    run = Run("d", "m", "ft", "patient", 40, "none", 0, 1)
    rows = costs.table(
        [
            (run, record(10.0, 4.0, 100.2, features=7.5)),
            (replace(run, fold=2), record(20.5, 6.0, 90.0, "cuda", features=7.5)),
            (replace(run, magnification=200), record(1.0, 1.0, 1.0)),
            (replace(run, magnification=400), record(1.0, 1.0, 1.0, features=7.5)),
            (replace(run, magnification=400, seed=1), record(1.0, 1.0, 1.0, features=8.0)),
        ]
    )
    assert len(rows) == 3
    assert (rows[2]["runs"], rows[2]["feature_seconds"]) == (2, "15.5")  # each seed has a store of its own
    assert (rows[0]["runs"], rows[0]["seconds"], rows[0]["training_seconds"]) == (2, "30.5", "15.2")
    # All folds share the features of one store; where a record lacks them, they are not known.
    assert (rows[0]["feature_seconds"], rows[1]["feature_seconds"]) == ("7.5", "")
    assert (rows[0]["images_per_second"], rows[0]["host_mib"], rows[0]["device_mib"]) == ("5.0", "100", "")
    assert (rows[0]["device"], rows[0]["versions"]) == ("cpu (x86_64); cuda", "python 3.11, torch 2")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(HistoBenchError, match=r"run\.json: this is no record of a run"):
        costs.read(tmp_path / "run.json")


def test_the_script_writes_the_page_that_the_library_makes(made, monkeypatch, capsys):
    content, page = made
    folder = page.parent
    resolved.write(content.study, folder / "study.json")
    captions = [content.captions / f"{path.stem}.rst" for path in content.figures]
    options = [
        *("--study", folder / "study.json", "--tables", *content.tables, "--figures", *content.figures),
        *("--captions", *captions, "--page", folder / "script.html", "--results", *content.results.values()),
    ]
    call("page", monkeypatch, *options)
    commit, clean = checkout.commit(ROOT)
    known = replace(content, commit=f"{commit or ''}{'' if clean or not commit else '-modified'}")
    assert (folder / "script.html").read_text() == build(known, page)
    with pytest.raises(SystemExit, match="1"):
        call("page", monkeypatch, *options, "absent.csv")
    assert capsys.readouterr().err == "error: absent.csv: no such file; run the workflow again to make it\n"


def test_arms_whose_auc_is_not_above_that_of_guessing_are_named():
    ends = {"good": ("0.51", "0.9"), "vague": ("0.45", "0.55"), "bad": ("0.1", "0.49"), "unknown": ("", "")}
    rows = [
        {"model": model, "mode": "ft", "magnification": "40", "fold_mean_low": low, "fold_mean_high": high}
        for model, (low, high) in ends.items()
    ]
    assert answer.guesses(rows, {model: model.upper() for model in ends}) == [
        "At 40×, the AUC of these arms does not differ from that of guessing: VAGUE FT.",
        "At 40×, the AUC of these arms is below that of guessing: BAD FT.",
    ]


def test_the_page_says_what_the_folds_keep_apart_and_what_also_trains(made):
    text = text_of(page_numbers.read(made[1]))
    assert "What the folds keep apart" in text
    assert "no patient, as the dataset's authors number them (slide number), is on both sides of a fold" in text
    assert "Whether such slides are of one patient is not known." in text
    # 101 to 105 images of which 0.1 to 0.5: 155.5 of 515
    share = "a share of 0.3019 ( 0.1000 to 0.5000 in a fold) has its accession number"
    for images in ("515 benign images", "1,030 images"):
        assert (
            f"of the {images} that evaluate, none has its slide, {share}, none has an image with equal pixels" in text
        )
    own = replace(made[0].study, datasets={"breakhis": {"format": "csv"}})
    text = text_of(built(*made, study=own))
    assert "no patient is on both sides of a fold" in text
    assert "such slides" not in text
    without = [path for path in made[0].tables if path.stem != "folds"]
    assert "In all folds together" not in text_of(built(*made, tables=without))
