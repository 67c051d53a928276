import pytest

from nasdrop.view.svg import document, element, number, shorten, style, text, text_width


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1"), (1.239, "1.24"), (-0.001, "0"), (100.0, "100"), (-2.5, "-2.5"), (0.1 + 0.2, "0.3")]
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


def test_text_is_escaped_and_holds_no_forbidden_character():
    assert text("a<b>&\"'\x00\x1b") == "a&lt;b&gt;&amp;&quot;&#x27;\ufffd\ufffd"


def test_elements():
    assert element("rect", x=1.5, class_="a b", data_edge=3, rx=None) == '<rect x="1.5" class="a b" data-edge="3"/>'
    assert element("text", "hi", fill='"') == '<text fill="&quot;">hi</text>'


def test_wide_characters_are_measured_wide():
    assert text_width("名", 10) > text_width("m", 10) > text_width("a", 10) > text_width("i", 10)
    assert text_width("", 10) == 0


def test_shorten_keeps_beginning_and_end():
    assert shorten("abc", 3) == "abc"
    assert shorten("sep_conv_3x3_with_a_long_tail", 12) == "sep_conv…ail"
    assert len(shorten("x" * 50, 12, "...")) == 12
    assert shorten("abcdef", 2, "...") == ".."


def test_rules_are_kept_to_our_pictures():
    sheet = style({".a,.b": "fill:red"}, {".a": "fill:blue"}, {})
    assert ".nasdrop .a,.nasdrop .b{fill:red}" in sheet
    assert "@media screen and (prefers-color-scheme:dark){.nasdrop .a{fill:blue}}" in sheet


def test_a_document_is_labelled_and_sized(parse):
    root = parse(document(200, 100, 'a "label" & more', style({}, {}, {}), "<g/>"))
    assert root.attrib["viewBox"] == "0 0 200 100"
    assert root.attrib["aria-label"] == 'a "label" & more'
    assert root.attrib["class"] == "nasdrop"
