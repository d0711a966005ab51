"""What keeps images and paths of the machine out of an archive, and how two files are compared."""

import pytest

from histobench.io.errors import HistoBenchError
from histobench.tools import pack
from tests.study.test_tasks import THEIRS, laid


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ("a,b\n1,0.5\n", "a,b\n1,0.5\n", ""),
        ("a,b\n1,0.5\n", "a,b\n1,0.50000000000001\n", ""),
        ("a,b\nx,0.5\n", "a,b\nx,0.5001\n", "line 2, column b: packed 0.5, rebuilt 0.5001"),
        ("a,b\nx,12\n", "a,b\nx,13\n", "line 2, column b: packed 12, rebuilt 13"),
        ("a,b\nx,yes\n", "a,b\nx,no\n", "line 2, column b: packed yes, rebuilt no"),
        ("a,b\nx,1.0\n", "a,b\nx,1.0\ny,2.0\n", "line 3, column a: packed , rebuilt y"),
    ],
)
def test_the_first_difference_of_tables_is_named(ours, theirs, found):
    assert pack.difference(ours.encode(), theirs.encode(), table=True) == found


def test_the_first_difference_of_texts_is_named():
    found = pack.difference(b"**Table**\n| 0.91 |\n", b"**Table**\n| 0.92 |\n")
    assert found == "line 2: packed '| 0.91 |', rebuilt '| 0.92 |'"
    assert pack.difference(b"| 0.3000000000000001 |", b"| 0.3 |") == ""


def test_paths_out_of_the_project_become_file_names():
    given = {
        "datasets": {"a": {"source": "/home/me/slides/Gewebe 1.tar.gz"}, "b": {"source": "resources/b/b.zip"}},
        "splits": {"s": {"files": ["../lists/one.txt", "two.txt"]}},
        "models": {"m": {"weights": {"file": "https://host/home/me/net.pth"}}, "label": "/home/me"},
    }
    hidden = pack.outside(given)
    assert hidden == {"/home/me/slides/Gewebe 1.tar.gz": "Gewebe 1.tar.gz", "../lists/one.txt": "one.txt"}
    text = b'{"source": "/home/me/slides/Gewebe 1.tar.gz", "other": "/home/me/slides/Gewebe 1.tar.gz2"}'
    assert (
        pack.without_paths(text, hidden)
        == b'{"source": "Gewebe 1.tar.gz", "other": "/home/me/slides/Gewebe 1.tar.gz2"}'
    )


def test_a_page_keeps_charts_and_loses_samples_of_images():
    cost = b'<figure id="cost"><img src="data:image/png;base64,AAAA"> <a href="figures/cost.png">PNG</a></figure>'
    page = (
        b'<figure id="figure1">\n<img src="data:image/png;base64,BBBB"><a href="figures/figure1.pdf">PDF</a></figure>'
        + cost
    )
    links = b'<li><a href="figures/figure1.pdf">1</a></li><li><a href="figures/cost.pdf">cost</a></li>'
    left_out = b"<p>This figure shows images of a dataset, which are not passed on with the results.</p>"
    assert pack.without_samples(page + links) == (
        b'<figure id="figure1">' + left_out + b"</figure>" + cost + b'<li><a href="figures/cost.pdf">cost</a></li>'
    )


def test_published_tables_that_would_have_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(pack, "is_up_to_date", lambda place, specification: True)
    both = [THEIRS | {"file": "/one/x.csv"}, THEIRS | {"file": "../x.csv", "metric": "macro_f1"}]
    with pytest.raises(
        HistoBenchError, match=r"^published: two tables outside of this folder have the same file name; ren"
    ):
        pack.contents(laid(task="subtype", published=both))
