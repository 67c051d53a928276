import re

import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space.genotype import CellGenotype, Genotype
from nasdrop.view.cell_svg import cell_svg, genotype_svg


def words(root):
    return ["".join(element.itertext()) for element in root.iter("text")]


def placed(root, name):
    """The outer translation of a cell's body and its heading's place."""
    (group,) = [group for group in root.iter("g") if group.attrib.get("data-cell") == name]
    moved = re.fullmatch(r"translate\((\S+) (\S+)\)", group.find("g").attrib["transform"])
    return float(moved[1]), float(moved[2])


@pytest.mark.parametrize("shape", ["darts", "nasnet", "nas_bench_201", "tiny"])
def test_a_genotype_is_one_valid_picture_with_every_edge(draw, parse, shape):
    for seed in range(15):
        genotype = draw(shape, seed)
        root = parse(genotype_svg(genotype))
        for cell in genotype.cells:
            (group,) = [group for group in root.iter("g") if group.attrib.get("data-cell") == cell.name]
            assert len([edge for edge in group.iter("g") if "data-edge" in edge.attrib]) == len(cell.edges)


def test_small_cells_stand_side_by_side_and_wide_ones_are_stacked(darts_v2, parse):
    root = parse(genotype_svg(darts_v2))
    (x0, _), (x1, _) = placed(root, "normal"), placed(root, "reduction")
    assert x1 > x0
    chain = [(source, node, "sep_conv_5x5") for node in range(2, 7) for source in (node - 1, node - 2)]
    wide = Genotype("nasnet", tuple(CellGenotype(name, tuple(chain), (6,)) for name in ("normal", "reduction")))
    root = parse(genotype_svg(wide))
    (x0, y0), (x1, y1) = placed(root, "normal"), placed(root, "reduction")
    assert x1 == x0
    assert y1 > y0


def test_titles_names_and_legend(darts_v2, parse):
    root = parse(cell_svg(darts_v2["normal"], title="best", input_names=["a", "b"]))
    shown = words(root)
    assert shown.count("a") == shown.count("b") == 1
    assert "best4 nodes, 8 operations" in shown
    assert {"separable convolution", "dilated convolution", "skip connection"} <= set(shown)
    assert "pooling" not in shown
    assert root.attrib["aria-label"] == "best"
    assert "DARTS_V2 · reduction4 nodes, 8 operations" in words(parse(genotype_svg(darts_v2, title="DARTS_V2")))


def test_the_legend_explains_the_dashes(darts_v2, parse):
    rates = {"normal": {0: 0.1, 1: 0.2, 2: 0.3}, "reduction": {}}
    shown = words(parse(genotype_svg(darts_v2, rates=rates)))
    assert "dropped with p = 0.1" in shown
    assert "dropped with p = 0.3" in shown
    assert not any(word.startswith("dropped") for word in words(parse(genotype_svg(darts_v2))))


def test_names_are_escaped(hostile, parse):
    root = parse(genotype_svg(hostile, title="<b>&", rates={}))
    (group,) = [group for group in root.iter("g") if group.attrib.get("data-edge") == "0"]
    assert group.attrib["data-operation"].startswith("a\"b<c>&'\\;#]")
    assert "\x1b" not in genotype_svg(hostile)
    assert all(
        element.tag in {"svg", "style", "rect", "g", "path", "title", "text", "tspan"} for element in root.iter()
    )


def test_the_picture_asks_nothing_of_the_outside(darts_v2):
    picture = genotype_svg(darts_v2)
    assert picture.count("http") == 1  # the name space
    assert "url(" not in picture
    assert " id=" not in picture
    assert len(picture) < 30_000


def test_both_themes_are_there(darts_v2):
    light, dark = cell_svg(darts_v2["normal"]).split("@media screen and (prefers-color-scheme:dark)")
    for rule in (".nasdrop .panel{fill:", ".nasdrop text{fill:", ".nasdrop .sep rect{fill:"):
        assert rule in light
        assert rule in dark


def test_the_same_cell_gives_the_same_picture(draw):
    assert genotype_svg(draw("nasnet", 3)) == genotype_svg(draw("nasnet", 3))


def test_everything_lies_on_the_panel(draw, parse):
    for shape in ("darts", "nasnet"):
        for seed in range(10):
            root = parse(genotype_svg(draw(shape, seed)))
            width, height = float(root.attrib["width"]), float(root.attrib["height"])
            for group in root.iter("g"):
                if "transform" in group.attrib:
                    x, y = map(float, re.findall(r"-?[\d.]+", group.attrib["transform"])[:2])
                    for rect in group.findall("g/rect"):
                        assert x + float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width
                        assert y + float(rect.attrib["y"]) + float(rect.attrib["height"]) <= height


def test_no_cells_at_all(parse):
    assert parse(genotype_svg(Genotype("empty", ()))).tag == "svg"


def test_wrong_names_are_refused(darts_v2):
    with pytest.raises(GenotypeError, match="input_names"):
        cell_svg(darts_v2["normal"], input_names=["only one"])
