"""What an engine read of a prompt stays for the next one that begins alike, where both laws say so."""

import contextlib

import pytest

from mesh import EEA, LANGUAGE_MODEL, Node, chat, wait_for

KEEPING = EEA.replace('action = ["infer"]', 'action = ["infer", "cache"]')
FORGETTING = KEEPING + """
[[forbid]]
id = "nothing-stays"
action = ["cache"]
"""
LONG = "The harbour opens at six. " * 40


@pytest.fixture(scope="module")
def sites():
    """munich has the model, paris asks it."""
    with contextlib.ExitStack() as stack:
        munich, paris = (stack.enter_context(contextlib.closing(Node(name, KEEPING))) for name in ("munich", "paris"))
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        ticket = munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"]
        paris.up()
        paris.run("join", ticket)
        munich.run("models", "add", LANGUAGE_MODEL, "--name", "smollm2-135m", "--licence", "Apache-2.0")
        answered = lambda: chat(paris)[0] == 200
        wait_for("paris is answered", answered)
        yield munich, paris


def apply(node, policy):
    file = node.data / "next.toml"
    file.write_text(policy)
    node.run("policy", "apply", file)


def twice(node, name):
    """How many tokens of a prompt were known when it was asked the second time; the header of that."""
    for _ in range(2):
        status, headers, body = chat(node, LONG, prompt_cache_key=name)
        assert status == 200, body
    return body["usage"]["prompt_tokens_details"]["cached_tokens"], headers


def records(node, kind, request):
    """Those about a request, once they are there."""
    def there():
        shown = node.json("ledger", "show", node.data / "ledger")["records"]
        return [record for record in shown if record["kind"] == kind and record["req"] == request]
    return wait_for(f"{kind} of {request}", there)


@pytest.mark.parametrize(
    "there, here, by_there, by_here",
    [
        (KEEPING, KEEPING, "eea-personal", "eea-personal"),
        (KEEPING, EEA, "eea-personal", None),
        (EEA, KEEPING, None, "eea-personal"),
        (FORGETTING, KEEPING, None, "eea-personal"),
    ],
    ids=["both permit it", "where it entered, nobody does", "where it is worked on, nobody does", "forbidden there"],
)
def test_what_is_read_elsewhere_stays_there_only_if_both_ends_permit_it(sites, there, here, by_there, by_here, request):
    munich, paris = sites
    apply(munich, there)
    apply(paris, here)
    known, headers = twice(paris, request.node.name)
    assert headers["x-hither-served-by"] == "munich"
    asked = headers["x-hither-request"]
    assert records(paris, "egress.intent", asked)[0].get("cache") == by_here
    assert records(munich, "ingress.accept", asked)[0].get("cache") == by_there
    if by_there and by_here:
        assert known > 100
    else:
        assert known == 0
    said = "may stay in memory there" if by_here else "goes with it, for no rule permits cache"
    assert said in paris.run("explain", asked).stdout
    # What left is what the record says, with a scope and without.
    intent, settled = (records(paris, kind, asked)[0] for kind in ("egress.intent", "egress.settled"))
    assert intent["bytes_out"] == settled["bytes_out"] == records(munich, "ingress.accept", asked)[0]["bytes_in"]


def test_at_home_it_stays_unless_a_rule_forbids_it(sites):
    munich, _ = sites
    apply(munich, EEA)
    assert twice(munich, "home")[0] > 100
    apply(munich, FORGETTING)
    assert twice(munich, "home again")[0] == 0
    assert twice(munich, "home")[0] == 0, "nor is used what stayed before"
