import pytest

from nasdrop.view.page import Bar, Facts, Listing, Note, Page, Part, Picture, Section, Table


def html(*blocks):
    return Page("T <b>", [Part("", [Section("S", blocks)])], footer="F").html()


def test_every_kind_of_block_is_written_and_escaped():
    page = html(
        Facts([("<n>", "<v>")]),
        Table(["<h>", "n"], [("<c>", 1.5), ("d", "2 %")], caption="<k>", strong=1),
        Picture("<svg>ours</svg>", "<p>"),
        Listing("<l>"),
        Listing("<l>", "<s>"),
        Note("<w>"),
    )
    for words in ("n", "v", "h", "c", "k", "p", "l", "s", "w"):
        assert f"&lt;{words}&gt;" in page and f"<{words}></" not in page
    assert "<title>T &lt;b&gt;</title>" in page
    assert "<svg>ours</svg>" in page
    assert page.count("<details>") == 1


def test_numbers_are_set_to_the_right():
    rows = [("a", 1, "97.5 % ± 0.4", "-"), ("b", "1,000", "–", 2)]
    assert Table(["w", "n", "p", "m"], rows).numeric == (False, True, True, True)
    assert Table(["w"], []).numeric == (False,)


@pytest.mark.parametrize(("share", "most", "width"), [(0.1, 0.2, "50.0"), (0.0, 1.0, "0.0"), (3.0, 1.0, "100.0")])
def test_a_bar_is_as_long_as_its_share_of_the_largest(share, most, width):
    assert Bar(share, most).width == width
    assert f'width="{width}"' in html(Table(["x"], [(Bar(share, most),)]))


def test_paper_is_light_whatever_the_screen():
    assert "@media screen and (prefers-color-scheme: dark)" in html()
