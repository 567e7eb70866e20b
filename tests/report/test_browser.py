"""The page in a real browser: on a desk, on a phone, in the dark, on paper."""

import base64
import json
import shutil
import time

import pytest

from lnas.report import subject_of, write_report

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]
PATIENCE = 240  # seconds, on a machine that has other work


@pytest.fixture(scope="module")
def browser():
    """Return a headless chromium that notes its console and what it asks the network for."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                 "--disable-extensions", "--disable-background-networking"):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    made.set_page_load_timeout(PATIENCE)
    made.set_script_timeout(PATIENCE)
    yield made
    made.quit()


@pytest.fixture(scope="module")
def pages(made, small_study, tmp_path_factory):
    """Return the files of two reports: of `runs`, and of a `study`."""
    pytest.importorskip("vl_convert")
    folder = tmp_path_factory.mktemp("pages")
    runs = subject_of([made.images, made.nasbench, made.text, made.trained])
    write_report(runs, folder / "runs.html")
    write_report(subject_of([small_study]), folder / "study.html")
    return folder


def opened(browser, page, width=1440, dark=False):
    """Open a page and wait until everything is drawn."""
    tell = browser.execute_cdp_cmd
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    tell("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    tell("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    wait(lambda: browser.execute_script("return document.body.dataset.drawn === 'true'"))


def wait(until):
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "the page does not get ready"
        time.sleep(0.1)


def noise(browser):
    """Return what the console said and which addresses but the page's own were asked for."""
    said = [one["message"] for one in browser.get_log("browser")]
    events = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in events
             if one["method"] == "Network.requestWillBeSent"]  # fmt: skip
    return said, [url for url in asked if not url.startswith(("file:", "data:"))]


def test_the_slider_moves_cells_strips_and_curves(browser, pages, made):
    opened(browser, pages / "runs.html")
    look = """
        const card = document.querySelector('article[data-run="0"]');
        return [card.querySelector('svg.cell').outerHTML, card.querySelector('.said').textContent,
            card.querySelector('.strip b').style.left, card.querySelector('canvas').ariaLabel,
            document.getElementById('epoch-said').value]"""
    last = browser.execute_script(look)
    assert last[4] == "4 of 4"
    slider = browser.find_element("id", "epoch")
    for _ in range(3):
        slider.send_keys("\ue012")  # the key to the left
    first = browser.execute_script(look)
    assert first[4] == "1 of 4"
    assert "since epoch 1;" in first[1]
    assert float(first[2].split("%")[0].split("(")[1]) < float(last[2].split("%")[0].split("(")[1])
    assert "after epoch 1 the largest is" in first[3]
    hashes = [json.loads(line)["hash"] for line in (made.images / "genotypes.jsonl").open()]
    assert hashes[0][:8] in first[1]
    assert hashes[-1][:8] in last[1]
    assert (first[0] != last[0]) or hashes[0] == hashes[-1]
    assert noise(browser) == ([], [])


def test_strips_show_the_gates_in_the_colours_of_the_operations(browser, pages):
    opened(browser, pages / "runs.html")
    pixels, bytes_, colours = browser.execute_script("""
        const report = JSON.parse(document.getElementById('data').textContent);
        const canvas = document.querySelector('article[data-run="0"] canvas');
        const picture = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const heat = report.searches[0].heat;
        return [[...picture.data], [...atob(heat.cells[0].gates)].map((one) => one.charCodeAt(0)),
            heat.operations.map((name) => report.operations[name].colour)]""")
    operations, epochs, edges = len(colours), 4, 5
    for row, colour in enumerate(colours):
        red = int(colour[1:3], 16)
        for time_ in range(epochs):
            at = 4 * (row * epochs + time_)
            alpha = bytes_[(time_ * edges + 0) * operations + row]
            assert pixels[at + 3] == alpha
            assert alpha < 200 or abs(pixels[at] - red) <= 2


def test_a_run_is_taken_out_of_cells_and_curves_and_comes_back(browser, pages):
    opened(browser, pages / "runs.html")
    count = """
        const chart = [...document.querySelectorAll('.chart')].find(
            (one) => one.querySelector('figcaption').textContent === 'Entropy of an edge (nats)');
        return [chart.querySelectorAll('.mark-line path').length,
            document.querySelectorAll('article:not([hidden])').length]"""
    before = browser.execute_script(count)
    assert before == [4, 3]  # two cell types, one, one
    box = browser.find_element("css selector", "#toggles input")
    box.click()
    wait(lambda: browser.execute_script(count) == [2, 2])
    box.click()
    wait(lambda: browser.execute_script(count) == before)
    assert noise(browser) == ([], [])


@pytest.mark.parametrize("name", ["runs", "study"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser, pages, name):
    opened(browser, pages / f"{name}.html", width=390)
    wide = "return [document.scrollingElement.scrollWidth, window.innerWidth]"
    assert browser.execute_script(wide) == [390, 390]
    charts = """
        return [...document.querySelectorAll('.plot svg')].map(
            (one) => one.getBoundingClientRect().right)"""
    assert max(browser.execute_script(charts)) <= 390
    assert noise(browser) == ([], [])


def test_the_dark_page_is_dark_and_its_text_has_contrast(browser, pages):
    opened(browser, pages / "runs.html", dark=True)
    colours = browser.execute_script("""
        const style = getComputedStyle(document.body);
        const label = document.querySelector('.plot svg .role-axis-label text');
        return [style.backgroundColor, style.color, getComputedStyle(label).fill]""")
    ground, ink, label = [[int(part) for part in one[4:-1].split(",")] for one in colours]
    assert contrast(ground, ink) > 7
    assert contrast(ground, label) > 4.5
    assert max(ground) < 60


def contrast(one, other):
    """Return the contrast of two colours by WCAG 2."""

    def luminance(colour):
        parts = [v / 255 for v in colour]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_study_shows_its_scores_and_prints(browser, pages):
    opened(browser, pages / "study.html")
    assert len(browser.find_elements("css selector", "#scores .mark-symbol path")) == 3
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    document = base64.b64decode(printed["data"])
    assert document.startswith(b"%PDF-")
    assert len(document) > 30_000
    assert noise(browser) == ([], [])


def test_a_script_that_came_in_would_not_run(browser, pages, tmp_path):
    page = (
        (pages / "runs.html")
        .read_text()
        .replace("</main>", "<script>window.evil = 1</script></main>")
    )
    (tmp_path / "evil.html").write_text(page)
    opened(browser, tmp_path / "evil.html")
    assert browser.execute_script("return window.evil === undefined")
    said, _ = noise(browser)
    assert any("Content Security Policy" in line for line in said)
