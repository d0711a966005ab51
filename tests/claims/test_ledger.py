"""The ledger as a file."""

import inspect
import os
from pathlib import Path

import pytest

from histobench.claims import ledger as claims
from histobench.claims.checks import CHECKS
from histobench.io.errors import HistoBenchError
from tests.claims.paper import LEDGER, PAPER


def test_the_ledger_is_large_short_and_consistent() -> None:
    assert len(LEDGER) >= 40
    assert all(len((claim.quote or claim.paraphrase).split()) <= 20 for claim in LEDGER.values())
    assert {claim.predicate for claim in LEDGER.values()} == set(CHECKS)
    for name, (on_paper, in_study) in CHECKS.items():
        if in_study:
            paper, study = (list(inspect.signature(check).parameters)[1:] for check in (on_paper, in_study))
            assert paper == study, name


PAPER_TEXT = Path(os.getenv("HISTOBENCH_SHARED_DATA", "none")).parent / "paper" / "paper.txt"


@pytest.mark.skipif(not PAPER_TEXT.is_file(), reason="the text of the paper is not at hand")
def test_a_quotation_is_verbatim_and_a_paraphrase_is_not_called_one() -> None:
    text = " ".join(PAPER_TEXT.read_text(encoding="utf-8").split())
    quotes = {claim.id for claim in LEDGER.values() if claim.quote}
    assert {claim.id for claim in LEDGER.values() if claim.quote and claim.quote in text} == quotes
    assert {claim.id for claim in LEDGER.values() if claim.paraphrase and claim.paraphrase in text} == set()


GOOD = "claims:\n- {id: a, section: '1', quote: s, predicate: product, arguments: {factors: [2, 3], result: '6'}}\n"


def test_a_new_claim_is_a_line_of_yaml(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(GOOD)
    (item,) = claims.load(tmp_path / "claims.yaml")
    (row,) = claims.on_paper([item], PAPER)
    assert (row["published_verdict"], row["published_evidence"]) == ("holds", "2 x 3 = 6.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("claims: [", "is not YAML"),
        ("", ": Input should be a valid dictionary"),
        ("claims: []", "claims: List should have at least 1 item"),
        ("claims: [a]", "claims.0: Input should be a valid dictionary"),
        (GOOD.replace("id: a, ", ""), "claims.0.id: Field required, found {'section': '1'"),
        (GOOD.replace("'1'", "1"), "claims.0.section: Input should be a valid string, found 1;"),
        (GOOD.replace("predicate: product", "predicate: produkt"), "there is no predicate 'produkt', choose one of"),
        (
            GOOD.replace("quote: s, ", ""),
            "claims.0: Value error, a claim has either a quote, verbatim, or a paraphrase",
        ),
        (GOOD.replace("quote: s", "quote: s, paraphrase: s"), "a claim has either a quote, verbatim, or a paraphrase"),
        (GOOD.replace("section:", "verdict: holds, section:"), "claims.0.verdict: Extra inputs are not permitted"),
        (GOOD + GOOD.splitlines()[1], "the id a occurs twice"),
        (GOOD.replace("factors", "factor"), "arguments of predicate product: "),
        (
            GOOD.replace("{factors: [2, 3], result: '6'}", "[2]"),
            "claims.0.arguments: Input should be a valid dictionary",
        ),
    ],
)
def test_a_malformed_ledger_is_one_message(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(HistoBenchError) as error:
        claims.load(path)
    assert fault in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("table4", "'table4' is no cell; write `TABLE MODEL/MODE 200x SCORE`"),
        ("table9 ResNet34/ft 200x accuracy", "there is no table 'table9', the paper's tables are: table1, table2"),
        (
            "table4 ResNet34 200x accuracy",
            "named by model, magnification is no cell of table4: its rows have model, mode, mag",
        ),
        ("table4 ResNet34/ft accuracy", "is no cell"),
        ("table6 ResNet34/ft 40x accuracy", "is no cell"),
        ("table4 ResNet34/ft 200x accurracy", "accurracy is no cell of table4: its columns are model, mode"),
        ("table4 {arm} 200x accuracy", "`each` gives no values for {arm}"),
    ],
)
def test_a_wrong_cell_is_one_message(address: str, fault: str) -> None:
    item = claims.Claim(id="c", section="1", quote="s", predicate="exceeds", arguments={"terms": {address: 1}})
    with pytest.raises(HistoBenchError) as error:
        claims.on_paper([item], PAPER)
    assert str(error.value).startswith("claim c: arguments of predicate exceeds: ")
    assert fault in str(error.value)
    assert str(error.value).endswith("; correct them in the ledger")
