"""Every command as a user types it, and every kind of bad input with the line that it prints."""

import json
import shutil
import socket
import warnings

import pytest

from nasdrop import cli
from nasdrop.space import Genotype

QUICK = (
    "space=tiny", "network.channels=4", "search.trials=2", "search.epochs=1", "search.min_epochs=1", "train.epochs=1",
    "train.batch_size=256", "final.seeds=1", "final.random_cells=1", "data.train_limit=256",
)  # fmt: skip


@pytest.fixture
def nasdrop(capsys):
    def run(*arguments: str):
        code = cli.run(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "quick"
    assert cli.run(["search", "digits", *QUICK, "--out", str(folder)]) == 0
    return folder


def test_a_search_leaves_a_whole_run_folder(run_folder):
    files = {path.name for path in run_folder.iterdir()}
    assert files >= {
        "experiment.toml", "versions.json", "sources", "study.journal", "metrics.jsonl", "events",
        "genotype.json", "cell.svg", "weights.safetensors", "result.json",
    }  # fmt: skip
    assert not list((run_folder / "checkpoints").glob("*"))
    result = json.loads((run_folder / "result.json").read_text())
    labels = [row["label"] for row in result["test"]]
    assert labels == ["best cell", "best cell, no drop path", "random cells"]
    assert Genotype.read(str(run_folder / "genotype.json")).to_text("json") == result["genotype"]
    assert all(row["images"] == 360 for row in result["test"])


def test_the_same_command_again_changes_nothing(nasdrop, run_folder):
    before = (run_folder / "result.json").read_bytes(), (run_folder / "study.journal").read_bytes()
    code, out, err = nasdrop("search", "digits", *QUICK, "--out", run_folder)
    assert code == 0
    assert ((run_folder / "result.json").read_bytes(), (run_folder / "study.journal").read_bytes()) == before
    assert "training" not in err.replace("trainings", "")
    assert "best cell" in out and f"nasdrop show {run_folder}" in err.replace("\n", "")


def test_the_start_says_where_drop_is_active(nasdrop, run_folder):
    _, _, err = nasdrop("search", "digits", *QUICK, "--out", run_folder)
    assert "Where drop is active" in err
    assert "linear to p = 0.2" in err


def test_fresh_sets_the_old_run_aside(nasdrop, tmp_path):
    for flags in ((), ("--fresh",)):
        code, _, _ = nasdrop("search", "digits", *QUICK, "final.without_drop=false", "final.random_cells=0",
                             "--out", tmp_path / "run", *flags)  # fmt: skip
        assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.old1"}
    assert (tmp_path / "run.old1" / "result.json").exists()


def test_show_a_run(nasdrop, run_folder, tmp_path):
    code, out, _ = nasdrop("show", run_folder, "--svg", tmp_path / "x.svg")
    assert code == 0
    assert "best cell" in out and "normal" in out and max(map(len, out.splitlines())) <= 100
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    code, out, _ = nasdrop("show", run_folder, "--json")
    assert json.loads(out)["experiment"]["name"] == "digits"


@pytest.mark.parametrize("what", ["DARTS_V2", "darts", "nas_bench_201"])
def test_show_anything(nasdrop, what):
    code, out, _ = nasdrop("show", what)
    assert (code == 0 and "sep_conv_3x3" in out) or "nor_conv_3x3" in out
    code, out, _ = nasdrop("show", what, "--json")
    json.loads(out)


@pytest.mark.parametrize("name", ["json", "svg", "dot", "mermaid"])
def test_export_texts(nasdrop, run_folder, tmp_path, name):
    code, out, _ = nasdrop("export", run_folder, "--format", name)
    assert code == 0 and out
    nasdrop("export", run_folder, "--format", name, "--out", tmp_path / "x")
    assert (tmp_path / "x").read_text() == out


def test_export_a_picture(nasdrop, run_folder, tmp_path, monkeypatch):
    from PIL import Image

    code, _, err = nasdrop("export", "DARTS_V2", "--format", "png", "--out", tmp_path / "x.png")
    assert code == 0 and f"wrote  {tmp_path / 'x.png'}" in err
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 200
    monkeypatch.chdir(tmp_path)
    code, _, _ = nasdrop("export", run_folder, "--format", "png")
    assert code == 0 and (run_folder / "cell.png").is_file()
    code, _, err = nasdrop("export", "DARTS_V2", "--format", "png", "--out", tmp_path / "x.jpg")
    assert code == 2 and "must end in .png" in err


def test_export_published_text(nasdrop):
    code, out, _ = nasdrop("export", "DARTS_V2", "--format", "darts")
    assert code == 0 and Genotype.read(out) == Genotype.read("DARTS_V2")


def test_the_exported_program_gives_the_networks_logits_and_drops_nothing(nasdrop, run_folder, tmp_path):
    import torch

    from nasdrop.exporters import random_operations
    from nasdrop.run_folder import RunFolder
    from nasdrop.trained import load_network

    code, _, err = nasdrop("export", run_folder, "--format", "pt2", "--out", tmp_path / "x.pt2")
    assert code == 0, err
    program = torch.export.load(tmp_path / "x.pt2")
    assert random_operations(program) == []
    network, shape = load_network(RunFolder(run_folder))
    for batch in (1, 3):
        images = torch.randn(batch, *shape)
        torch.testing.assert_close(program.module()(images), network(images))


def test_the_plain_source_gives_the_networks_logits(nasdrop, run_folder, tmp_path, monkeypatch):
    import torch

    from nasdrop.run_folder import RunFolder
    from nasdrop.trained import load_network

    code, _, err = nasdrop("export", run_folder, "--format", "source", "--out", tmp_path / "found_cell.py")
    assert code == 0 and "found_cell.pt" in err
    monkeypatch.syspath_prepend(str(tmp_path))
    import found_cell

    network, shape = load_network(RunFolder(run_folder))
    images = torch.randn(3, *shape)
    torch.testing.assert_close(found_cell.load(tmp_path / "found_cell.pt")(images), network(images))
    assert len(found_cell.CLASSES) == 10 and "Test accuracy" in found_cell.__doc__


def test_the_onnx_file_holds_the_cell_and_its_accuracy(nasdrop, run_folder, tmp_path):
    import onnxruntime

    code, _, err = nasdrop("export", run_folder, "--format", "onnx", "--out", tmp_path / "x.onnx")
    assert code == 0 and "onnxruntime.InferenceSession" in err
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    held = session.get_modelmeta().custom_metadata_map
    assert Genotype.from_json(held["genotype"]) == Genotype.read(str(run_folder / "genotype.json"))
    assert 0 <= float(held["test_accuracy"]) <= 1 and len(json.loads(held["classes"])) == 10


def test_a_bundle_holds_every_format_and_a_card_that_says_what_they_are(nasdrop, run_folder, tmp_path):
    code, _, err = nasdrop("export", run_folder, "--all", "--out", tmp_path / "bundle")
    assert code == 0 and "MODEL_CARD.md" in err
    files = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert files == {"MODEL_CARD.md", "genotype.json", "genotype-darts.txt", "cell.svg", "cell.dot", "cell.mmd"} | {
        "cell.png",
        "network.pt2", "network.onnx", "network.py", "network.pt", "weights.safetensors", "experiment.toml",
        "sources",
    }  # fmt: skip
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    result = json.loads((run_folder / "result.json").read_text())
    for said in (
        f"{100 * result['test'][0]['mean']:.2f} %",
        f"| parameters | {result['test'][0]['parameters']:,.0f} |",
        "| `genotype-nas-bench-201.txt` | left out: NAS-Bench-201 text: holds one cell",
        "Policy `edge`",
        "| torch | ",
        "1 image at once",
    ):
        assert said in card, said
    assert all(f"`{name}`" in card for name in (files | {"sources/tiny.toml"}) - {"MODEL_CARD.md", "sources"})


def test_the_saved_weights_have_the_saved_accuracy(run_folder):
    from nasdrop import config
    from nasdrop.run_folder import RunFolder
    from nasdrop.settings import Experiment
    from nasdrop.train import evaluate, load
    from nasdrop.trained import load_network

    network, _ = load_network(RunFolder(run_folder))
    experiment = config.load(Experiment, run_folder / "experiment.toml")
    data = load(experiment.data).merged()
    rows = json.loads((run_folder / "result.json").read_text())["test"]
    assert evaluate(network, data.test, data).accuracy == rows[0]["accuracies"][0]


@pytest.mark.parametrize(
    "arguments",
    [("spaces",), ("doctor",), ("drop", "list"), ("drop", "show", "nasnet-v3"), ("drop", "show", "digits"),
     ("config", "show", "digits"), ("config", "schema")],
)  # fmt: skip
def test_what_only_shows(nasdrop, arguments):
    code, out, _ = nasdrop(*arguments)
    assert code == 0 and out and "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80 or arguments[0] == "config"


@pytest.mark.parametrize("arguments", [("spaces",), ("doctor",), ("drop", "list"), ("config", "show", "digits")])
def test_what_lists_gives_json(nasdrop, arguments):
    code, out, _ = nasdrop(*arguments, "--json")
    assert code == 0 and json.loads(out)


def test_schedule_charts_are_written(nasdrop, tmp_path):
    code, _, _err = nasdrop("drop", "show", "digits", "--out", tmp_path / "x.svg")
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.svg", "x-depth.svg", "x-silent.svg"}


@pytest.mark.parametrize(("name", "charts"), [("nasnet-v3", 3), ("p-darts", 3), ("cosine", 3), ("fractalnet", 2)])
def test_every_kind_of_schedule_can_be_drawn(nasdrop, tmp_path, name, charts):
    code, out, err = nasdrop("drop", "show", name, "--cells", "8", "--out", tmp_path / "x.png")
    assert code == 0, err
    assert len(list(tmp_path.glob("*.png"))) == charts
    assert ("DARTS_V2" in out) == (charts == 3)


def test_completion_offers_experiments_and_settings():
    from click.shell_completion import ShellComplete

    complete = ShellComplete(cli.nasdrop, {}, "nasdrop", "_NASDROP_COMPLETE")
    assert "digits" in {item.value for item in complete.get_completions(["search"], "d")}
    assert {item.value for item in complete.get_completions(["search", "digits"], "train.ep")} == {"train.epochs="}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("search", "digit"), "digit: no such experiment; did you mean 'digits'?"),
        (("search", "digits", "train.epoch=5"), "override train.epoch=5: unknown key; did you mean 'epochs'?"),
        (("search", "digits", "drop.p=1.5"), "drop.p=1.5: must be less than or equal to 1, got 1.5"),
        (("search", "digits", "drop.p=nan"), "drop.p=nan: must be a finite number, got nan"),
        (("search", "digits", "drop.schedule=liner"), "schedule: no curve or preset 'liner'; did you mean 'linear'?"),
        (("search", "digits", "space=dart"), "dart: no such search space; did you mean 'darts'?"),
        (("search", "digits", "device=mps"), "device: mps is not supported"),
        (("search", "digits", "data.name=digit"), "did you mean 'digits'?"),
        (("search", "digits", "data.name=cifar10", "data.root=/nowhere"), "data_batch_1.bin: not found"),
        (("search", "digits", "final.genotype=DARTS_V9"), "DARTS_V9"),
        (("search", "digits", "space=nas_bench_201", "network.num_cells=4", "final.genotype=''"), "num_cells"),
        (("search", "fractal_digits", "drop.global_share=2"), "global_share=2: must be less than or equal to 1, got 2"),
        (("search", "fractal_digits", "drop.policy=edge"), "must be local or global or fractal in a fractal network"),
        (("search", "fractal_digits", "network.num_cells=4"), "each side must be at least 16, as each of 4 blocks"),
        (("search", "fractal_digits", "network.fractal.order=conv"), "order: must be a known name, got 'conv'"),
        (("show", "DARTS_V3"), "DARTS_V3"),
        (("export", "DARTS_V2", "--format", "nas-bench-201"), "NAS-Bench-201 text: holds one cell"),
        (("export", "DARTS_V2", "--format", "pt2"), "needs a run folder"),
        (("export", "DARTS_V2", "--all"), "--all: needs a run folder"),
        (("export", ".", "--all", "--format", "svg"), "--all: writes every format of the whole network"),
        (("export", ".", "--format", "source", "--out", "my-cell.py"), "a file that Python can import"),
        (("drop", "show", "nasnet-v4"), "did you mean 'nasnet-v3'?"),
        (("tensorboard", "nowhere"), "nowhere: no TensorBoard events"),
        (("serch",), "No such command 'serch'"),
        (("search", "digits", "--fres"), "--fresh"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_exit_code_2(nasdrop, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    code, out, err = nasdrop(*arguments)
    assert code == 2, err
    assert line in err and out == "" and "Traceback" not in err
    assert len([text for text in err.splitlines() if text.startswith("Error")]) == 1
    assert not list(tmp_path.rglob("study.journal"))


def test_a_run_folder_of_another_experiment_is_left_alone(nasdrop, run_folder):
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file() and path.name != ".lock"}
    code, _, err = nasdrop("search", "digits", *QUICK, "train.epochs=2", "--out", run_folder)
    assert code == 2 and "belongs to another experiment: train.epochs is 1 there, 2 here" in err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("name", "damage", "line"),
    [
        ("study.journal", lambda text: text[: len(text) // 2] + b"\n" + text[len(text) // 2 :], "study.journal: line"),
        ("result.json", lambda text: text[:-9], "result.json: damaged"),
        ("versions.json", lambda text: b"", "versions.json: damaged"),
    ],
)
def test_a_damaged_run_folder_is_refused_and_left_alone(nasdrop, run_folder, tmp_path, name, damage, line):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    content = damage((copy / name).read_bytes())
    (copy / name).write_bytes(content)
    code, _, err = nasdrop("search", "digits", *QUICK, "--out", copy)
    assert code == 2 and line in err
    assert (copy / name).read_bytes() == content


def test_damaged_weights_are_refused(nasdrop, run_folder, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    (copy / "weights.safetensors").write_bytes((copy / "weights.safetensors").read_bytes()[:100])
    code, _, err = nasdrop("export", copy, "--format", "pt2")
    assert code == 2 and "weights.safetensors: damaged" in err


def test_debug_shows_the_traceback(nasdrop):
    code, _, err = nasdrop("--debug", "search", "digit")
    assert code == 2 and "Traceback" in err


def test_version_and_empty_call(nasdrop):
    assert nasdrop("--version")[0] == 0
    code, _, err = nasdrop()
    assert code == 2 or "Usage" in err


def serving(monkeypatch):
    """Make TensorBoard start nothing and Ctrl-C come at once; the arguments that it is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.program import TensorBoard

    given = []
    monkeypatch.setattr(TensorBoard, "configure", lambda self, argv: given.append(argv))
    monkeypatch.setattr(TensorBoard, "launch", lambda self: "http://127.0.0.1:6007/")

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("nasdrop.cli.tensorboard._wait", interrupt)
    return given


def test_tensorboard_is_started_on_loopback_and_tells_its_pages(nasdrop, run_folder, monkeypatch):
    given = serving(monkeypatch)
    code, out, err = nasdrop("tensorboard", run_folder)
    assert code == 0 and "Stopped." in err
    (argv,) = given
    assert argv[argv.index("--host") + 1] == "127.0.0.1" and "--port" not in argv
    assert argv[argv.index("--logdir") + 1] == str(run_folder / "events")
    assert "http://127.0.0.1:6007/?tagFilter=drop#timeseries" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (run_folder / "events" / "study").is_dir()


def test_runs_side_by_side_have_their_names(nasdrop, run_folder, tmp_path, monkeypatch):
    shutil.copytree(run_folder, tmp_path / run_folder.name)
    seen = []
    given = serving(monkeypatch)
    monkeypatch.setattr(
        "nasdrop.cli.tensorboard._serve",
        lambda logs, host, port: seen.extend(sorted(path.name for path in logs.iterdir())) or "http://x/",
    )
    assert nasdrop("tensorboard", run_folder, tmp_path / run_folder.name, "--port", 7000)[0] == 0
    assert seen == ["quick", "quick (2)"] and given == []


def test_a_port_that_is_taken_is_one_line(nasdrop, run_folder, monkeypatch):
    monkeypatch.setattr("nasdrop.cli.tensorboard._has_fast_loader", lambda: False)  # it would outlive the command
    with socket.create_server(("127.0.0.1", 0)) as held:
        code, _, err = nasdrop("tensorboard", run_folder, "--port", held.getsockname()[1])
    assert code == 2 and "Error: tensorboard: cannot listen on 127.0.0.1" in err


def test_a_search_over_the_shipped_table(nasdrop, tmp_path):
    code, out, err = nasdrop("search", "nas_bench_201_table", "search.trials=10", "--out", tmp_path / "run")
    assert code == 0
    assert "Best cells of the search" in out and "Test accuracy" not in out
    assert "best cell in nas_bench_201_cifar10" in err and "test_accuracy_200" in err
    code, out, _ = nasdrop("show", tmp_path / "run")
    assert code == 0 and "looked up instead of trained" in out


def test_a_search_with_a_cost_prints_its_front(nasdrop, tmp_path):
    asked = ("search.trials=8", "search.costs=['latency_ms_edgegpu']", "search.sampler=random")
    code, out, err = nasdrop("search", "nas_bench_201_table", *asked, "--out", tmp_path / "run")
    assert code == 0 and "Pareto front" in out and "latency_ms_edgegpu" in out
    assert "front.json" in err and "front.svg" in err


@pytest.fixture(scope="module")
def fractal_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "fractal"
    quick = ("network.channels=2", "search.trials=2", "search.epochs=1", "search.min_epochs=1", "train.epochs=1")
    final = ("final.seeds=1", "final.random_cells=0", "data.train_limit=200", "--out", str(folder))
    assert cli.run(["search", "fractal_digits", *quick, *final]) == 0
    return folder


def test_a_fractal_search_scores_every_column(fractal_folder):
    from nasdrop.train import read_metrics

    result = json.loads((fractal_folder / "result.json").read_text())
    columns = len(next(iter(result["trainings"].values()))["parts"])
    assert columns in (2, 3, 4)
    trial = next(record for record in read_metrics(fractal_folder / "metrics.jsonl") if "valid/column_0" in record)
    tags = {tag.rpartition("/")[0] for tag in trial}
    assert {"valid", "fractal/drawn", "fractal/live_inputs"} <= tags


def test_a_column_is_exported_as_the_network_restricted_to_it(nasdrop, fractal_folder, tmp_path):
    import runpy

    import torch

    from nasdrop.exporters import random_operations
    from nasdrop.run_folder import RunFolder
    from nasdrop.trained import load_network

    network, shape = load_network(RunFolder(fractal_folder))
    images = torch.randn(3, *shape)
    for column in ("deepest", "0"):
        code, _, err = nasdrop("export", fractal_folder, "--column", column, "--out", tmp_path / "x.pt2")
        assert code == 0, err
        program = torch.export.load(tmp_path / "x.pt2")
        assert random_operations(program) == []
        wanted = network(images, column="deepest" if column == "deepest" else 0)
        torch.testing.assert_close(program.module()(images), wanted)
        code, _, err = nasdrop(
            "export", fractal_folder, "--column", column, "--format", "source", "--out", tmp_path / "plain.py"
        )
        assert code == 0, err
        load = runpy.run_path(str(tmp_path / "plain.py"))["load"]
        torch.testing.assert_close(load(tmp_path / "plain.pt")(images), wanted)


def test_the_bundle_of_a_fractal_tells_its_own_rate_and_what_is_left_out(nasdrop, fractal_folder, tmp_path):
    code, _, err = nasdrop("export", fractal_folder, "--all", "--out", tmp_path / "bundle")
    assert code == 0, err
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    options = dict(Genotype.read(str(fractal_folder / "genotype.json")).options)
    assert f"to p = {float(options['p']):g}," in card
    assert "| `network.py` | left out: format source: writes a fractal network column by column" in card
    assert (tmp_path / "bundle" / "network.onnx").exists() and not (tmp_path / "bundle" / "network.py").exists()


def test_what_a_fractal_cannot_export(nasdrop, fractal_folder, run_folder):
    for arguments, line in (
        ((fractal_folder, "--column", "9"), "column: must be one of 0, 1, "),
        ((fractal_folder, "--column", "deep"), "shallowest, deepest, got 'deep'"),
        ((fractal_folder, "--column", "0", "--format", "svg"), "--column: needs a format of networks, pt2, onnx, so"),
        ((fractal_folder, "--format", "source"), "writes a fractal network column by column, got no column"),
        ((fractal_folder, "--format", "darts"), "DARTS text: holds cells alone, got options"),
        (
            (run_folder, "--column", "deepest"),
            "must be of a fractal network, got column 'deepest' of a network of cells",
        ),
    ):
        code, out, err = nasdrop("export", *arguments)
        assert (code, out) == (2, "")
        assert line in err and len(err.splitlines()) == 1
    assert not list(fractal_folder.glob("*.pt2"))


def test_a_fractal_is_shown_and_drawn(nasdrop, fractal_folder, tmp_path):
    code, out, _ = nasdrop("show", fractal_folder, "--svg", tmp_path / "block.svg")
    assert code == 0 and "global_share" in out and "block" in out
    assert (tmp_path / "block.svg").read_text().startswith("<svg")
    assert nasdrop("show", "fractal")[0] == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "run/x"), "Error: run/x: No space left on device"),
        (MemoryError(), "Error: out of memory: no detail"),
        (RuntimeError("[enforce fail] not enough memory:\n you tried"), "Error: out of memory: [enforce fail] not"),
        (TypeError("a mistake"), "TypeError: a mistake; `nasdrop --debug ...` tells more"),
        (ValueError("postgresql://me:secret@host/db?password=secret"), "postgresql://me@host/db?password=***"),
    ],
)
def test_what_nobody_foresaw_is_one_line_without_a_traceback(nasdrop, monkeypatch, error, line):
    def fails(*_):
        raise error

    monkeypatch.setattr("nasdrop.cli.info.load_experiment", fails)
    code, _, err = nasdrop("config", "show", "digits")
    assert code == 1 and err.count("\n") == 1 and line in err and "secret" not in err
    _, _, err = nasdrop("--debug", "config", "show", "digits")
    assert "Traceback" in err and "secret" not in err
