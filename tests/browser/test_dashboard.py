"""The dashboard in a real browser: what a person sees of three sites, and what is left when the node is gone.

Needs /usr/bin/chromium (or CHROMIUM). HITHER_DASHBOARD names a running node with three sites; else it is paris of the running demo.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest
import websocket

from test_distribution import NAME, came, is_here, mesh
from test_near import mesh as near_mesh

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
        self.asked = []
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
        if said["method"] == "Network.requestWillBeSent":
            self.asked.append(said["params"]["request"]["url"])
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


class Cable:
    """A wire between the browser and the node that can be cut."""

    def __init__(self, url):
        self.node = ("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))
        self.plugged = True
        self.ends = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                browser_end, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if not self.plugged:
                    browser_end.close()
                    continue
                node_end = socket.create_connection(self.node)
                self.ends |= {browser_end, node_end}
            for source, sink in [(browser_end, node_end), (node_end, browser_end)]:
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def plug(self, plugged):
        with self.lock:
            self.plugged = plugged
            if plugged:
                return
            for end in self.ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self.ends.clear()

    def close(self):
        self.listener.close()
        self.plug(False)


@pytest.fixture(scope="module")
def page():
    with browser() as page:
        yield page


@pytest.fixture
def cable(request):
    url = os.environ.get("HITHER_DASHBOARD") or request.getfixturevalue("running_demo").url("paris")
    with contextlib.closing(Cable(url)) as cable:
        yield cable


def test_a_person_sees_the_three_sites_and_keeps_seeing_them(page, cable):
    page.call("Page.navigate", url=cable.url)
    wait_for("the page is live", lambda: page.text("#link") == "live")
    sites = "[...document.querySelectorAll('#sites .site')].map((site) => site.dataset.site)"
    assert set(page.value(sites)) == SITES
    assert "3 sites serving" in page.text("#summary")
    for site, place in [("munich", "DE"), ("paris", "FR"), ("jakarta", "ID")]:
        card = page.text(f"#sites [data-site={site}]")
        assert place in card and ("present" in card or "this node" in card) and " W" in card, card
    assert SITES <= set(page.text("#models thead").split())
    for part in ["#totals", "#models", "#recent", "#foot"]:
        assert page.text(part).strip(), part
    assert page.complaints == []
    picture(page)

    # The node is gone: the picture stays, and says of when it is.
    cable.plug(False)
    lost = "connection lost, showing the state of "
    wait_for("the loss is said", lambda: page.text("#link").startswith(lost))
    hour, minute, second = page.text("#link").removeprefix(lost).split(":")
    assert int(hour) < 24 and int(minute) < 60 and int(second) < 60
    assert set(page.value(sites)) == SITES

    cable.plug(True)
    wait_for("it is live again", lambda: page.text("#link") == "live")


def test_a_person_sees_chunk_by_chunk_how_far_a_file_is(page):
    with mesh("munich", "paris") as (munich, paris):
        page.call("Page.navigate", url=paris.url + "/")
        wait_for("the page is live", lambda: page.text("#link") == "live")
        hidden = "document.querySelector('#courses-section').hidden"
        assert page.value(hidden) is True
        paris.run("models", "pull", NAME)
        # Looked at without a pause: the file comes within a second.
        until = time.monotonic() + 60
        while came(paris) < 0.05:
            assert time.monotonic() < until, "nothing of the file comes"
        munich.signal(signal.SIGSTOP)
        course = wait_for("a part of it is here", lambda: next(iter(paris.view()["courses"]), None))
        wait_for("it is drawn", lambda: page.value(hidden) is False and page.text("#courses .course h3"))
        course, = paris.view()["courses"]
        assert (course["model"], 0 < course["here"] < course["chunks"]) == (NAME, True), course
        assert [partner["site"] for partner in course["partners"]] == ["munich"], course
        kinds = {kind: course["cells"].count(kind) for kind in "hcen"}
        assert kinds["h"] > 0 and sum(kinds.values()) == len(course["cells"]) <= 256, course
        card = page.text("#courses .course")
        assert NAME in card and f"of {course['chunks']} chunks are here" in card and "munich" in card, card
        drawn = page.value("[...document.querySelectorAll('#courses .strip span')].map((part) => part.dataset.kind)")
        assert set(drawn) == {kind for kind, count in kinds.items() if count}, (drawn, kinds)
        picture(page, "course")
        munich.signal(signal.SIGCONT)
        wait_for("it is here", lambda: is_here(paris))
        wait_for("and not on its way", lambda: page.value(hidden))
        assert paris.view()["courses"] == [] and page.complaints == []


def test_a_person_reads_how_well_it_is_known_where_members_stand_and_by_what(page):
    places = [("munich", "DE"), ("paris", "FR"), ("lyon", "FR"), ("nice", "FR")]
    with near_mesh(*places) as (munich, *_):
        page.call("Page.navigate", url=munich.url + "/")
        wait_for("the page is live", lambda: page.text("#link") == "live")
        said = lambda site: page.text(f"#sites [data-site={site}] .assurance")
        near = wait_for("paris is near", lambda: (text := said("paris")).startswith("near: ") and text)
        trip = r"[\d.]+ ms to (lyon|nice)"
        assert re.fullmatch(rf"near: {trip}, {trip}, (now|\d+ (s|min) ago)", near), near
        assert said("munich") == "vouched by itself: munich founded the mesh", said("munich")
        # One of the two goes: what is left is said, and by whom a member is vouched for.
        munich.run("member", "revoke", "nice")
        left = wait_for("it is near no more", lambda: (text := said("paris")).startswith("vouched") and text)
        assert re.fullmatch(r"vouched by munich; [\d.]+ ms to lyon, (now|\d+ (s|min) ago), and near takes two", left), left
        assert page.complaints == []
        picture(page, "assurance")


def picture(page, name="dashboard"):
    """Pictures for people, where HITHER_SCREENSHOTS names a folder."""
    folder = os.environ.get("HITHER_SCREENSHOTS")
    for scheme in ["light", "dark"] if folder else []:
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        shot = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        (pathlib.Path(folder) / f"{name}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
