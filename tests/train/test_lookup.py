import os
from pathlib import Path

import pytest

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings
from nasdrop.train.lookup import data_root, find_file, reading, refuse_absurd


def test_the_root_is_the_setting_else_the_environment_else_data(monkeypatch):
    monkeypatch.delenv("NASDROP_DATA", raising=False)
    assert data_root(DataSettings()) == Path("data")
    monkeypatch.setenv("NASDROP_DATA", "/somewhere")
    assert data_root(DataSettings()) == Path("/somewhere")
    assert data_root(DataSettings(root="/elsewhere")) == Path("/elsewhere")


def test_the_first_folder_that_has_a_file_wins_whatever_its_name(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "raw").touch()
    folders = (tmp_path / "a", tmp_path / "b")
    assert find_file(("raw.gz", "raw"), folders, "") == tmp_path / "b" / "raw"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "raw").touch()
    assert find_file(("raw.gz", "raw"), folders, "") == tmp_path / "a" / "raw"


def test_a_missing_file_is_one_line_with_name_places_and_how_to_get_it(tmp_path):
    with pytest.raises(DataError) as caught:
        find_file(("images.bin",), (tmp_path / "a", tmp_path / "b"), "download it")
    (line,) = caught.value.lines
    assert "\n" not in line
    for part in ("images.bin", str(tmp_path / "a"), str(tmp_path / "b"), "download it", "NASDROP_DATA"):
        assert part in line


def test_what_goes_wrong_while_reading_becomes_one_line_that_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"x\.bin: cannot be read.*two words") as caught, reading(tmp_path / "x.bin"):
        raise EOFError("two\nwords")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DataError, match=r"^as it was$"), reading(tmp_path / "x.bin"):
        raise DataError("as it was")
    with pytest.raises(ZeroDivisionError), reading(tmp_path / "x.bin"):
        raise ZeroDivisionError


def test_promises_that_no_deflate_stream_or_no_memory_can_keep_are_refused(tmp_path):
    refuse_absurd(tmp_path, 1_000_000, 1_000)
    with pytest.raises(DataError, match="2000000 bytes, more than 1000 compressed"):
        refuse_absurd(tmp_path, 2_000_000, 1_000)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with pytest.raises(DataError, match="must fit into memory"):
        refuse_absurd(tmp_path, memory + 1, memory)
