"""Real runs, and Chromium to look at them with.

Screenshots are kept where NASDROP_SCREENSHOTS names a folder. Without Chromium these tests skip; under CI they fail.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nasdrop import cli

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
QUICK = (
    "space=tiny", "network.channels=2", "search.trials=6", "search.epochs=3", "search.min_epochs=1", "drop.p=0.4",
    "search.sampler=random", "search.costs=['parameters']", "train.epochs=2", "train.batch_size=64", "final.seeds=1",
    "final.random_cells=1", "data.train_limit=128", "threads=1",
)  # fmt: skip
SUPERNET = (
    "space=tiny", "search.epochs=4", "search.num_cells=3", "search.channels=2", "search.validation_epochs=0",
    "search.alpha_learning_rate=0.3", "search.batch_size=32", "data.train_limit=128", "final.seeds=0", "threads=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def study_run(tmp_path_factory):
    """A finished study of two objectives."""
    folder = tmp_path_factory.mktemp("runs") / "study <b>&"
    assert cli.run(["search", "digits", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def gradient_run(tmp_path_factory):
    """A finished search by gradient."""
    folder = tmp_path_factory.mktemp("runs") / "gradient"
    assert cli.run(["search", "robust_darts_digits", *SUPERNET, "--out", str(folder)]) == 0
    return folder


def missing(reason):
    """Skip where a developer lacks something; CI installs it, so there its absence is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install -e '.[dev]'")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        missing("no Chromium: apt-get install chromium fonts-dejavu-core")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page has asked for and complained of."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def elsewhere(self) -> list[str]:
        """Requests to anything but loopback, the disk and the page itself."""
        return [url for url in self.requests if not local(url)]


def local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname == "127.0.0.1"


@pytest.fixture
def open_page(chromium):
    """`open_page(url, ...)`: a page, and what it asks for and complains of."""
    contexts = []

    def opened(url, **options):
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page, seen = context.new_page(), Seen()
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.goto(url)
        return page, seen

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def keep(request):
    """`keep(page, name)`: a screenshot for whoever wants to look, where they ask for it."""
    folder = os.environ.get("NASDROP_SCREENSHOTS")

    def shot(page, name, **options):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", **options)

    return shot


@pytest.fixture(scope="session")
def serve():
    """`serve(*runs)`: starts `nasdrop tensorboard` and gives its pages' addresses; in the end Ctrl-C has to end it."""
    servers = {}

    def started(*runs):
        if runs not in servers:
            servers[runs] = _start(runs)
        return servers[runs][1]

    yield started
    for server, _ in servers.values():
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=30)
        assert server.returncode == 0, err
        assert "Traceback" not in err and "Stopped." in err


def _start(runs):
    command = [sys.executable, "-m", "nasdrop", "tensorboard", *map(str, runs), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    server = subprocess.Popen(command, **pipes, preexec_fn=_heed_interrupts)
    watchdog = threading.Timer(60, server.kill)
    watchdog.start()
    links = {}
    for line in server.stdout:
        if line.startswith("Ctrl-C"):
            break
        name, _, address = line.rstrip().rpartition(" ")
        links[name.strip()] = address
    watchdog.cancel()
    return server, links


def _heed_interrupts():
    """Undo what a shell does to children of its background jobs: have them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
