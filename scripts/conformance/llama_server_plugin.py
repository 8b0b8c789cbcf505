"""Lets the tests of llama.cpp's server talk to a node: one is started, unless CONFORMANCE_SERVER names a server.

The tests leave out the model, or name one that does not exist, which llama-server takes for its only one, and they leave
out /v1. Both are put in here. Nothing else is changed.
"""

import contextlib
import os

import openai
import requests

from mesh import EEA, LANGUAGE_MODEL, Node, wait_for

MODEL = "smollm2-135m"
ROUTES = ("/chat/completions", "/completions", "/embeddings", "/responses", "/models")

exits = contextlib.ExitStack()
send = requests.Session.request
call = openai.OpenAI.request


def of_openai(session, method, url, **more):
    """Puts in what the tests leave out."""
    host, slash, path = url.partition("//")[2].partition("/")
    if (slash + path).startswith(ROUTES):
        url = f"http://{host}/v1/{path}"
    if isinstance(more.get("json"), dict) and "/v1/" in url:
        more["json"] = {**more["json"], "model": MODEL}
    return send(session, method, url, **more)


def of_client(client, cast_to, options, **more):
    if isinstance(options.json_data, dict):
        options.json_data = {**options.json_data, "model": MODEL}
    return call(client, cast_to, options, **more)


def pytest_configure(config):
    requests.Session.request = of_openai
    openai.OpenAI.request = of_client
    server = os.environ["CONFORMANCE_SERVER"]
    if not server:
        node = exits.enter_context(contextlib.closing(Node("conformance", EEA)))
        node.up()
        node.run("models", "add", LANGUAGE_MODEL, "--name", MODEL, "--licence", "Apache-2.0")
        wait_for("the model is ready", lambda: node.get(f"/v2/models/{MODEL}/ready")[0] == 200)
        server = node.url.removeprefix("http://")
    os.environ["PORT"] = server.rpartition(":")[2]


def pytest_unconfigure(config):
    exits.close()
