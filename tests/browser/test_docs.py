"""The description of the API in a real browser: found, opened, tried out, and nobody else is asked."""

import json
import urllib.request

import pytest
from test_dashboard import browser, wait_for


@pytest.fixture
def page():
    with browser() as page:
        yield page


def test_a_person_finds_an_operation_tries_it_and_nobody_else_is_asked(page, munich_alone):
    url = munich_alone.url
    with urllib.request.urlopen(url + "/openapi.json", timeout=30) as answer:
        described = json.load(answer)
    operations = sum(len(methods) for methods in described["paths"].values())
    page.call("Page.navigate", url=f"{url}/docs")
    wait_for("all operations are listed", lambda: page.text("#count") == f"{operations} operations")
    assert page.value("document.querySelectorAll('#operations details[id]').length") == operations

    find = "const f = document.getElementById('find'); f.value = 'embeddings /v1'; f.dispatchEvent(new Event('input'))"
    page.value(f"{{ {find} }}")
    assert page.text("#count") == "1 operations"
    page.value("document.getElementById('find').value = ''; document.getElementById('find').dispatchEvent(new Event('input'))")

    page.value("document.querySelector('#modelMetadata summary').click()")
    wait_for("the operation is open", lambda: page.text("#modelMetadata .typed").startswith("curl -X GET"))
    assert f"{url}/v2/models/fraud" in page.text("#modelMetadata .typed")
    page.value("document.querySelector('#modelMetadata form').requestSubmit()")
    wait_for("the model is shown", lambda: "onnxruntime_onnx" in page.text("#modelMetadata .came"))
    assert page.text("#modelMetadata .came").startswith("HTTP 200")

    page.value("document.querySelector('#chat summary').click()")
    wait_for("the body has an example", lambda: page.value("document.querySelector('#chat textarea')?.value.includes('messages')"))
    page.value("document.querySelector('#chat form').requestSubmit()")
    wait_for("the answer is there", lambda: '"chat.completion"' in page.text("#chat .came"))
    assert "x-hither-served-by: munich" in page.text("#chat .came")

    page.call("Page.navigate", url=f"{url}/docs/errors#E0301")
    wait_for("the code is explained", lambda: "No" in page.text("#E0301") or "law" in page.text("#E0301"))
    assert "451" in page.text("#E0301")
    assert page.complaints == []
    foreign = [asked for asked in page.asked if not asked.startswith((url, "about:"))]
    assert len(page.asked) > 5 and foreign == []
