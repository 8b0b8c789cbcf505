"""Budgets of what leaves: money at a server outside the mesh, bytes by app, and what a restart and a kill change of that."""

import contextlib
import subprocess
import time

import pytest

from mesh import EEA, HITHER, Node, wait_for
from test_endpoints import CLOUD_RULE, Server, US, ask, lives, section

PUBLIC = EEA.replace('"internal"\n', '"public"\n', 1) + CLOUD_RULE
PRICE = "price = { per_request = 0.4 }\n"
EURO = '[egress]\ncurrency = "EUR"\n'


@contextlib.contextmanager
def node(text, key=None):
    # A day that ends in the middle of a test would begin anew with nothing spent.
    wait_for("there is time until midnight UTC", lambda: 86_400 - time.time() % 86_400 > 150, 200)
    with contextlib.closing(Node("munich", PUBLIC, '[models]\npull = "manual"\n' + text)) as munich:
        if key:
            (munich.data / "cloud.key").write_text(key)
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        yield munich


@pytest.fixture
def server():
    with contextlib.closing(Server()) as server:
        yield server


def code(problem):
    return problem["error"]["hither_code"]


def asked(server):
    return len([path for path, *_ in server.http.asked if path.endswith("completions")])


def public(munich):
    return ask(munich, {"x-hither-class": "public"})


def egress(munich):
    return munich.json("budget", "egress")["egress"]


def test_a_server_gets_no_more_than_may_be_spent_there_and_a_restart_begins_no_new_day(server):
    cloud = section("cloud", server.port, US + PRICE + "spend_per_day = 1.0\n")
    with node(EURO + cloud) as munich:
        assert [public(munich)[0] for _ in range(2)] == [200, 200]
        status, headers, problem = public(munich)
        error = problem["error"]
        assert (status, error["code"], code(problem)) == (429, "insufficient_quota", "E0511"), problem
        assert "of the 1.00 that may be spent at cloud in a day" in error["message"], error
        assert 0 < int(headers["retry-after"]) <= 86_400
        assert asked(server) == 2
        told = munich.run("run", "assistant", "A colour?", "--class", "public", check=False)
        assert told.returncode == 5 and "E0511" in told.stderr and "hither budget" in told.stderr, told
        wait_for("the view is new", lambda: egress(munich)["servers"][0]["spent"] == 800_000)
        [cloud] = egress(munich)["servers"]
        assert (cloud["spent_max"], egress(munich)["currency"]) == (1_000_000, "EUR")
        assert "0.80 of 1.00 EUR" in munich.run("budget").stdout
        assert "spent 0.80 EUR" in munich.run("status").stdout
        records = lambda: munich.run("ledger", "show", munich.data / "ledger").stdout
        wait_for("the refusal is on the record", lambda: "egress-budget" in records())

        munich.process.terminate()
        munich.process.wait(30)
        munich.up()
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        assert public(munich)[0] == 429
        assert asked(server) == 2


def test_what_was_written_down_before_a_kill_counts_after_it(server):
    cloud = section("cloud", server.port, US + PRICE + "spend_per_day = 0.5\n")
    with node(EURO + cloud) as munich:
        assert public(munich)[0] == 200
        wait_for("it is written down", lambda: "money cloud" in kept(munich))
        munich.kill()
        munich.up()
        wait_for("the server is there", lambda: lives(munich, "cloud"))
        assert public(munich)[0] == 429


def kept(munich):
    path = munich.data / "spent"
    return path.read_text() if path.exists() else ""


def test_who_says_no_is_paid_nothing(server):
    cloud = section("cloud", server.port, US + PRICE + "spend_per_day = 0.5\n")
    with node(EURO + cloud) as munich:
        server.http.mode = "full"
        assert public(munich)[0] == 429
        # While it is under way it is counted with what it may cost.
        wait_for("nothing is paid", lambda: egress(munich)["links"][3]["requests"] > 0 and egress(munich)["servers"][0]["spent"] == 0)
        server.http.mode = "well"
        wait_for("it is asked again", lambda: public(munich)[0] == 200)
        assert egress(munich)["bytes"] > 0


def test_a_key_that_is_not_taken_spends_nothing_and_what_fails_spends_what_was_guessed(server):
    cloud = section("cloud", server.port, US + PRICE + 'key_file = "cloud.key"\nspend_per_day = 0.5\n')
    with node(EURO + cloud, key="wrong") as munich:
        server.http.mode = "key"
        answers = [public(munich) for _ in range(3)]
        assert {(status, code(problem)) for status, _, problem in answers} == {(503, "E0512")}, answers
        assert asked(server) == 1
        wait_for("the view is new", lambda: egress(munich)["links"][3]["requests"] > 0)
        assert egress(munich)["servers"][0]["spent"] == 0
        (munich.data / "cloud.key").write_text("right")
        server.http.mode = "broken"
        wait_for("the new key is tried", lambda: public(munich)[0] == 500)
        wait_for("it counts", lambda: egress(munich)["servers"][0]["spent"] == 400_000)


def test_a_key_is_for_the_apps_that_are_named(server):
    cloud = section("cloud", server.port, US + 'apps = ["till"]\n')
    with node(cloud) as munich:
        status, _, problem = public(munich)
        assert status == 503, problem
        key = munich.json("apps", "add", "till", "--class", "public")["key"]
        other = munich.json("apps", "add", "press", "--class", "public")["key"]
        headers = {"x-hither-class": "public", "Authorization": f"Bearer {key}"}
        assert ask(munich, headers)[0] == 200
        assert ask(munich, headers | {"Authorization": f"Bearer {other}"})[0] == 503
        assert asked(server) == 1


def test_an_app_sends_no_more_bytes_out_than_it_may(server):
    cloud = section("cloud", server.port, US)
    with node('[egress]\napps_mb_per_day = { till = 1, "*" = 0 }\n' + cloud) as munich:
        status, _, problem = public(munich)
        assert (status, code(problem)) == (429, "E0511"), problem
        assert "of the 0 B that app anonymous may send out of this site in a day" in problem["error"]["message"]
        key = munich.json("apps", "add", "till", "--class", "public")["key"]
        headers = {"x-hither-class": "public", "Authorization": f"Bearer {key}"}
        assert ask(munich, headers)[0] == 200
        wait_for("it is counted", lambda: [app["bytes"] for app in egress(munich)["apps"] if app["app"] == "till"][0] > 0)
        long = {"messages": [{"role": "user", "content": "x" * 1_100_000}]}
        status, _, problem = ask(munich, headers, **long)
        assert (status, code(problem)) == (429, "E0511"), problem
        assert asked(server) == 1


def test_a_budget_that_means_nothing_is_refused_when_the_node_starts(server):
    text = section("cloud", server.port, US + "spend_per_day = 1.0\n")
    with contextlib.closing(Node("munich", PUBLIC, text)) as munich:
        done = subprocess.run([HITHER, "--data", munich.data, "up"], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "nothing says what is asked for" in done.stderr, done
