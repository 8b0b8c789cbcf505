"""The dashboard in a real browser: what a person sees of three sites, and what is left when the node is gone.

Needs /usr/bin/chromium (or CHROMIUM). HITHER_DASHBOARD names a running node with three sites, or three are started.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

import pytest
import websocket

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
SITES = {"munich", "paris", "jakarta"}
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "--remote-allow-origins=*", "--window-size=1280,1500",
]


def wait_for(what, check, seconds=60):
    """Asks again until the answer is true; the bound is for a machine that hangs."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Page:
    """One tab, driven over the browser's own debugging protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=60)
        self.number = 0
        self.complaints = []
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]
            self.heard(said)

    def heard(self, said):
        if said["method"] == "Runtime.exceptionThrown":
            self.complaints.append(said["params"]["exceptionDetails"])
        if said["method"] == "Log.entryAdded" and said["params"]["entry"]["source"] in ("security", "javascript"):
            self.complaints.append(said["params"]["entry"])

    def value(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")


@contextlib.contextmanager
def browser():
    """A browser with an empty profile; ends with the test."""
    profile = pathlib.Path(tempfile.mkdtemp(prefix="hither-browser-"))
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        wait_for("the browser is up", lambda: port_file.exists() and len(port_file.read_text().splitlines()) == 2)
        port = port_file.read_text().splitlines()[0]

        def tab():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
                return [tab for tab in json.load(answer) if tab["type"] == "page"]

        yield Page(wait_for("a tab is open", tab)[0]["webSocketDebuggerUrl"])
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="module")
def page():
    with browser() as page:
        yield page


@pytest.fixture
def url(request):
    return os.environ.get("HITHER_DASHBOARD") or request.getfixturevalue("three_sites")[1].url


def test_a_person_sees_the_three_sites_and_keeps_seeing_them(page, url):
    page.call("Page.navigate", url=url)
    wait_for("the page is live", lambda: page.text("#link") == "live")
    seen = page.value("[...document.querySelectorAll('#sites .site')].map((site) => site.dataset.site)")
    assert set(seen) == SITES
    assert "3 sites serving" in page.text("#summary")
    for site, place in [("munich", "DE"), ("paris", "FR"), ("jakarta", "ID")]:
        card = page.text(f"#sites [data-site={site}]")
        assert place in card and ("present" in card or "this node" in card) and " W" in card, card
    assert {"munich", "paris", "jakarta"} <= set(page.text("#models thead").split())
    for part in ["#totals", "#models", "#recent", "#foot"]:
        assert page.text(part).strip(), part
    assert page.complaints == []
    if folder := os.environ.get("HITHER_SCREENSHOTS"):
        import base64
        for scheme in ["light", "dark"]:
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            shot = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            (pathlib.Path(folder) / f"dashboard-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
        page.call("Emulation.setEmulatedMedia", features=[])

    # The browser is cut off: the picture stays, and says of when it is.
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.value("window.dispatchEvent(new Event('offline'))")
    lost = "connection lost, showing the state of "
    wait_for("the loss is said", lambda: page.text("#link").startswith(lost), 90)
    hour, minute, second = page.text("#link").removeprefix(lost).split(":")
    assert int(hour) < 24 and int(minute) < 60 and int(second) < 60
    assert len(page.value("[...document.querySelectorAll('#sites .site')]")) == 3

    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    wait_for("it is live again", lambda: page.text("#link") == "live")
