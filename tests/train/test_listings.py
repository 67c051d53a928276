import numpy as np
import pytest
from PIL import Image

from nasdrop.errors import DataError
from nasdrop.train.listings import list_csv, list_folder


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def refused(reader, place):
    with pytest.raises(DataError) as caught:
        reader(place)
    assert all("\n" not in line for line in caught.value.lines)
    return caught.value.lines


def test_a_folder_a_class(tmp_path):
    touch(tmp_path / "b" / "2.png", tmp_path / "b" / "1.JPG", tmp_path / "a" / "deep" / "er" / "0.webp")
    touch(tmp_path / "a" / "notes.txt", tmp_path / "a" / ".hidden.png", tmp_path / ".git" / "x.png", tmp_path / "x.png")
    listing = list_folder(tmp_path)
    assert listing.names == ("a/deep/er/0.webp", "b/1.JPG", "b/2.png")
    assert listing.labels.tolist() == [0, 1, 1]
    assert listing.parts.tolist() == [0, 0, 0]
    assert (listing.classes, listing.others) == (("a", "b"), 1)
    assert listing.path(2) == tmp_path / "b" / "2.png"


@pytest.mark.parametrize(("valid", "test"), [("val", "test"), ("Validation", "Testing"), ("valid", None)])
def test_folders_of_parts(tmp_path, valid, test):
    touch(*(tmp_path / part / "cat" / "1.png" for part in ("Train", valid, test) if part))
    touch(tmp_path / "Train" / "dog" / "2.png")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert sorted(zip(listing.parts.tolist(), listing.labels.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)] + (
        [(2, 0)] if test else []
    )


def test_a_class_may_be_called_train(tmp_path):
    touch(tmp_path / "train" / "1.png", tmp_path / "tram" / "2.png")
    assert list_folder(tmp_path).classes == ("train", "tram")


def test_what_is_wrong_with_a_folder_is_told_at_once(tmp_path):
    assert "got no folder" in refused(list_folder, tmp_path / "missing")[0]
    assert "must have one folder a class, got none" in refused(list_folder, tmp_path)[0]
    touch(tmp_path / "flat" / "train" / "cat" / "1.png", tmp_path / "flat" / "test" / "1.png")
    touch(tmp_path / "flat" / "extra" / "cat" / "1.png", tmp_path / "flat" / "val" / "cat" / "1.png")
    touch(tmp_path / "flat" / "valid" / "cat" / "1.png")
    lines = refused(list_folder, tmp_path / "flat")
    assert any("extra: must be called train, valid or test" in line for line in lines)
    assert any("must have one folder for valid, got several" in line for line in lines)
    assert any("test: must have one folder a class, got none" in line for line in lines)
    touch(tmp_path / "own" / "train" / "cat" / "1.png", tmp_path / "own" / "test" / "cats" / "1.png")
    touch(tmp_path / "own" / "test" / "cat" / "x.txt")
    lines = refused(list_folder, tmp_path / "own")
    assert any("did you mean 'cat'?" in line for line in lines)
    assert any("cat: must hold pictures" in line and line.endswith("got none") for line in lines)


def write_csv(tmp_path, text, **options):
    touch(*(tmp_path / f"{number}.png" for number in range(4)))
    (tmp_path / "list.csv").write_text(text, **options)
    return tmp_path / "list.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_names_files_labels_and_parts(tmp_path, separator):
    rows = ["Split,Image,Label", "test,0.png,10", "train,./1.png,9", "", "val,2.png,9", 'train,"3.png",10']
    path = write_csv(tmp_path, "\n".join(rows).replace(",", separator), encoding="utf-8-sig")
    listing = list_csv(path)
    assert listing.names == ("0.png", "./1.png", "2.png", "3.png")
    assert listing.classes == ("9", "10")  # numbers by their value
    assert listing.labels.tolist() == [1, 0, 0, 1]
    assert listing.parts.tolist() == [2, 0, 1, 0]


def test_words_are_classes_in_the_order_of_their_letters(tmp_path):
    listing = list_csv(write_csv(tmp_path, "path,class\n0.png,dog\n1.png,cat\n2.png,7\n"))
    assert listing.classes == ("7", "cat", "dog") and not listing.parts.any()


def test_a_path_cannot_leave_the_folder_of_its_csv(tmp_path):
    inside = tmp_path / "inside"
    touch(tmp_path / "secret.png", inside / "folder" / "0.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    hostile = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "folder/../../secret.png",
        "link.png",
        "a\0b",
        "/dev/zero",
    ]
    path = write_csv(inside, "path,label\nfolder/0.png,a\n" + "".join(f"{name},a\n" for name in hostile))
    lines = refused(list_csv, path)
    assert len(lines) == len(hostile)
    assert all("must name a file below" in line for line in lines)


def test_what_is_wrong_with_a_csv_is_told_at_once_up_to_a_number(tmp_path):
    path = write_csv(tmp_path, "name,kind\n")
    assert refused(list_csv, path) == (
        f"{path}: must have a column 'path' named in the first line, got name, kind",
        f"{path}: must have a column 'label' named in the first line, got name, kind",
    )
    path = write_csv(tmp_path, "path,label,split\n0.png,a\n1.png,,test\n9.png,a,test\n2.png,b,tset\n")
    short, empty, missing, unknown = refused(list_csv, path)
    assert short.endswith("line 2: must have 3 columns or more, got 2")
    assert empty.endswith("line 3: must have a path and a label, got an empty one")
    assert missing.endswith("got '9.png', which is not there")
    assert unknown.endswith("got 'tset'; did you mean 'test'?")
    path = write_csv(tmp_path, "path,label\n" + "gone.png,a\n" * 500)
    lines = refused(list_csv, path)
    assert len(lines) == 11 and lines[-1] == "and 490 more such files"
    for text in ("", "path,label\n"):
        assert len(refused(list_csv, write_csv(tmp_path, text))) <= 2
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    assert "cannot be read" in refused(list_csv, tmp_path / "list.csv")[0]
    assert "No such file" in refused(list_csv, tmp_path / "missing.csv")[0]


def test_a_field_without_end_is_refused(tmp_path):
    path = write_csv(tmp_path, 'path,label\n"' + "x" * 200_000)
    assert "must be a CSV file" in refused(list_csv, path)[0]


def test_the_order_is_that_of_the_names(tmp_path):
    names = [f"{number}.png" for number in np.random.default_rng(0).permutation(50)]
    for name in names:
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / "a" / name)
    assert list_folder(tmp_path).names == tuple(sorted(f"a/{name}" for name in names))
