"""TensorBoard of real runs, as a user sees it: the named charts, pictures and settings are there, and all is local."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
WAIT = 30_000  # milliseconds


def shown(page, text):
    page.get_by_text(text, exact=True).first.wait_for(timeout=WAIT)


def loaded(page, count):
    """Wait until so many pictures have been decoded."""
    script = """count => {
      const found = [], walk = root => root.querySelectorAll('*').forEach(node => {
        if (node.tagName === 'IMG' && node.naturalWidth > 100) found.push(node);
        if (node.shadowRoot) walk(node.shadowRoot);
      });
      walk(document);
      return found.length >= count;
    }"""
    page.wait_for_function(script, arg=count, timeout=WAIT)


def test_the_charts_of_a_study_and_of_its_trainings(serve, study_run, open_page, keep):
    page, seen = open_page(serve(study_run)["charts, laid out"])
    for chart in (
        "planned and realised, whole network", "planned drop probability a cell", "silent nodes a sample, expected "
        "and realised", "accuracy", "learning rate", "images a second", "value of each trial, and the best so far",
    ):  # fmt: skip
        shown(page, chart)
    page.locator("tf-custom-scalar-multi-line-chart-card").first.wait_for(timeout=WAIT)
    assert page.locator("tf-custom-scalar-multi-line-chart-card").count() >= 8
    shown(page, "Drop rate an edge: reduction")
    page.locator("tf-custom-scalar-multi-line-chart-card svg path").first.wait_for(state="attached", timeout=WAIT)
    keep(page, "tensorboard-study-charts")
    assert seen.elsewhere() == []


def test_the_pictures_of_a_study(serve, study_run, open_page, keep):
    links = serve(study_run)
    page, seen = open_page(links["cells"])
    shown(page, "cell")
    loaded(page, 4)
    keep(page, "tensorboard-study-cells")
    page.get_by_text("search", exact=True).first.click()
    for tag in ("search/importance", "search/pareto_front"):
        page.get_by_text(tag).first.wait_for(timeout=WAIT)
    page.goto(links["edges over epochs"])
    page.reload()
    page.get_by_text("drop/edges_over_epochs").first.wait_for(timeout=WAIT)
    loaded(page, 2)
    keep(page, "tensorboard-study-edges")
    assert seen.elsewhere() == []


def test_the_settings_of_every_training(serve, study_run, open_page, keep):
    page, seen = open_page(serve(study_run)["settings, results"])
    for name in ("drop.p", "drop.policy", "train.learning_rate", "valid/accuracy", "drop/realised/mean"):
        page.get_by_text(name).first.wait_for(timeout=WAIT)
    keep(page, "tensorboard-study-hparams")
    assert seen.elsewhere() == []


def test_a_search_by_gradient(serve, gradient_run, open_page, keep):
    links = serve(gradient_run)
    page, seen = open_page(links["charts, laid out"])
    for chart in ("entropy of the mixtures", "share of skip connections", "planned and realised, whole network"):
        shown(page, chart)
    for group in ("Shares of the operations: normal", "Drop rate an edge: normal"):
        shown(page, group)
    keep(page, "tensorboard-gradient-charts")
    page.goto(links["cells"])
    page.reload()
    loaded(page, 2)
    keep(page, "tensorboard-gradient-images")
    page.goto(links["drop rates"])
    page.reload()
    page.get_by_text("drop/planned/mean").first.wait_for(timeout=WAIT)
    keep(page, "tensorboard-gradient-drop")
    assert seen.elsewhere() == []


def test_runs_side_by_side(serve, study_run, gradient_run, open_page, keep):
    page, seen = open_page(serve(study_run, gradient_run)["drop rates"])
    for run in ("gradient/search", "study <b>&/study"):
        page.get_by_text(run).first.wait_for(timeout=WAIT)
    keep(page, "tensorboard-two-runs")
    assert seen.elsewhere() == []
