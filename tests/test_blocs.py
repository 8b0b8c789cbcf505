"""Groups of countries that a policy lists itself: who is in them is the law of the day, at midnight as well."""

import contextlib
import datetime
import shutil

import pytest

from mesh import EEA, clock, wait_for
from test_endpoints import US, Server, ask, lives, node, section

TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def listing(until):
    return EEA + f"""
[blocs]
our-clouds = ["CA", {{ code = "US", until = {until} }}]

[[permit]]
id = "internal-in-our-clouds"
class = ["internal"]
target = ["our-clouds"]
"""


def lists(munich):
    """What the ledger says of them."""
    shown = munich.json("ledger", "show", munich.data / "ledger")["records"]
    return [(record["day"], record["lists"]) for record in shown if record["kind"] == "bloc.change"]


@pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")
def test_at_midnight_a_country_goes_out_of_a_list_and_nothing_more_goes_there():
    now = datetime.datetime.now(datetime.timezone.utc)
    # By its clock it is half a minute to midnight, of today or of tomorrow.
    midnight = datetime.datetime.combine(now.date() + datetime.timedelta(days=1), datetime.time(), now.tzinfo)
    ahead = int((midnight - now).total_seconds()) - 30
    if ahead < 0:
        midnight, ahead = midnight + datetime.timedelta(days=1), ahead + 86_400
    day = midnight.date().isoformat()
    with contextlib.closing(Server()) as server, node(section("cloud", server.port, US), policy=listing(day)) as munich:
        munich.kill()
        prefix = clock(f"+{ahead}s")
        munich.up(prefix=prefix)
        wait_for("the cloud is there", lambda: lives(munich, "cloud"))
        internal = {"x-hither-class": "internal"}
        status, headers, body = ask(munich, internal)
        assert (status, lists(munich)) == (200, []), body
        assert ask(munich, internal)[1]["x-hither-rule"] == "internal-in-our-clouds"
        wait_for("the day has come", lambda: lists(munich), seconds=60)
        asked = len(server.http.asked)
        status, headers, body = ask(munich, internal)
        assert (status, body["error"]["code"]) == (451, "E0301"), body
        assert len(server.http.asked) == asked, "nothing reached it any more"
        assert lists(munich) == [(day, ["-our-clouds/US"])]
        assert munich.run("ledger", "verify", munich.data / "ledger").returncode == 0
        told = munich.run("audit", "report", munich.data / "ledger", "--table", "law").stdout
        assert "bloc.change" in told and "-our-clouds/US" in told


def test_a_policy_whose_tests_will_fail_on_a_day_to_come_is_not_put_in_force():
    day = (TODAY + datetime.timedelta(days=40)).isoformat()
    test = '\n[[test]]\ngiven = { class = "internal", origin = "DE", target = "US" }\nexpect = "permit"\n'
    with node(policy=listing(day)) as munich:
        checked = munich.run("policy", "check", munich.data / "policy.toml").stdout
        assert f"our-clouds: 2 places, and others from {day} on" in checked, checked
        proved = munich.run("policy", "prove", munich.data / "policy.toml", "infer of internal never leaves our-clouds,EEA").stdout
        assert "holds" in proved
        file = munich.data / "next.toml"
        file.write_text(listing(day) + test)
        refused = munich.run("policy", "apply", file, check=False)
        assert refused.returncode == 1 and "E0332" in refused.stderr, refused.stderr
        assert f"as of {day}, test " in refused.stderr, refused.stderr
        file.write_text(listing(day) + test + f"on = {TODAY.isoformat()}\n")
        assert munich.run("policy", "apply", file).returncode == 0
