import json

import pytest

from nasdrop.errors import GenotypeError
from nasdrop.space import CellGenotype
from nasdrop.space.document import read_json, schema, write_json

CELLS = (CellGenotype("normal", ((0, 2, "sep_conv_3x3"), (1, 2, "none")), (2,)),)
TEXT = write_json("tiny", CELLS)


def failed(text):
    with pytest.raises(GenotypeError) as caught:
        read_json(text, "g.json")
    return list(caught.value.lines)


def tree(**changes):
    return json.dumps(json.loads(TEXT) | changes)


def test_round_trip_and_layout():
    assert read_json(TEXT, "g.json") == ("tiny", CELLS, ())
    assert TEXT.count("\n") == 6
    assert '\n    {"source": 1, "target": 2, "operation": "none"}\n' in TEXT


def test_options_are_written_and_read():
    options = (("p", "0.15"), ("widths", "1 2"))
    text = write_json("fractal", CELLS, options)
    assert json.loads(text)["options"] == dict(options)
    assert read_json(text, "g.json") == ("fractal", CELLS, options)
    with pytest.raises(GenotypeError, match=r"g.json: options.p: must be a valid string, got 0.15"):
        read_json(text.replace('"0.15"', "0.15"), "g.json")


def test_the_schema_names_the_keys():
    assert schema()["required"] == ["format", "version", "space", "cells"]
    assert set(schema()["properties"]) == {*json.loads(TEXT), "options"}


def test_not_json():
    assert failed("{") == [
        "g.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    ]
    assert failed("[1]") == ["g.json: must be a JSON object, got [1]"]


def test_nesting_is_refused_in_one_line():
    assert failed("[" * 900_000) == ["g.json: not valid JSON: nested too deeply"]
    assert failed('{"a":' * 100_000) == ["g.json: not valid JSON: nested too deeply"]


def test_many_keys_are_refused_before_any_is_looked_at():
    many = ",".join(f'"key{number}": 0' for number in range(50_000))
    assert failed("{" + many + "}") == ["g.json: not valid JSON: an object has a key twice, or too many keys"]
    assert failed('{"space": "a", "space": "b"}') == [
        "g.json: not valid JSON: an object has a key twice, or too many keys"
    ]


def test_every_mistake_of_the_schema_at_once():
    assert failed(tree(version=2, space=3, cellz=[])) == [
        "g.json: version: must be 1, got 2; known: 1",
        "g.json: space: must be a valid string, got 3",
        "g.json: cellz: unknown key; did you mean 'cells'?",
    ]


def test_contradictions_are_told_with_their_place():
    edges = [{"source": 2, "target": 2, "operation": "a"}]
    cells = [{"name": "normal", "concat": [2, 2], "edges": edges}, {"name": "normal", "concat": [9], "edges": edges}]
    assert failed(tree(cells=cells)) == [
        "g.json: cells.0.edges.0: must lead to a later node, got 2 -> 2",
        "g.json: cells.0.concat: must name nodes 0 to 2, each once, got [2, 2]",
        "g.json: cells.1.name: each cell must be given once, got 'normal' again",
        "g.json: cells.1.edges.0: must lead to a later node, got 2 -> 2",
        "g.json: cells.1.concat: must name nodes 0 to 2, each once, got [9]",
    ]


def test_many_and_long_mistakes_are_shortened():
    cells = [{"name": "x" * 5000, "concat": [2], "edges": [{"source": 1.5, "target": "2", "operation": ""}] * 20}]
    lines = failed(tree(cells=cells))
    assert len(lines) == 11
    assert lines[-1] == "and 51 more mistakes"
    assert max(map(len, lines)) <= 303
