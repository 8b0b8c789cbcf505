"""Files and batches as OpenAI's client for Python sends them, kept through kill -9, each line answered once."""

import contextlib
import io
import json
import os

import openai
import pytest

from mesh import CANARY, EEA, LANGUAGE_MODEL, Node, wait_for

CHAT = "smollm2-135m"
ENDED = ("completed", "failed", "expired", "cancelled")


@contextlib.contextmanager
def node(config="", model=True):
    with contextlib.closing(Node("munich", EEA, config=config)) as made:
        made.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        made.up()
        if model:
            add(made)
        yield made


def add(made):
    made.run("models", "add", LANGUAGE_MODEL, "--name", CHAT, "--licence", "Apache-2.0")


def client(made, key="none", **headers):
    # The port is another one after a kill.
    return openai.OpenAI(base_url=f"{made.url}/v1", api_key=key, max_retries=0, timeout=60, default_headers=headers)


def line(at, model=CHAT, url="/v1/chat/completions", **more):
    body = {
        "model": model, "messages": [{"role": "user", "content": f"Say {at}. {CANARY}"}],
        "max_tokens": 4, "temperature": 0, **more,
    }
    return {"custom_id": f"line-{at}", "method": "POST", "url": url, "body": body}


def sent(api, lines, **more):
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines) + "\n"
    return api.files.create(file=("lines.jsonl", io.BytesIO(text.encode())), purpose="batch", **more)


def begun(api, lines, window="24h", endpoint="/v1/chat/completions", **more):
    return api.batches.create(
        input_file_id=sent(api, lines).id, endpoint=endpoint, completion_window=window, **more
    )


def ended(made, batch, seconds=120, key="none"):
    def look():
        with client(made, key) as api:
            seen = api.batches.retrieve(batch.id)
        return seen if seen.status in ENDED else None

    return wait_for(f"batch {batch.id} ends", look, seconds)


def lines_of(api, file):
    return [json.loads(one) for one in api.files.content(file).text.splitlines()] if file else []


def names(lines):
    return [one["custom_id"] for one in lines]


def test_a_batch_is_answered_line_by_line():
    with node() as made, client(made) as api:
        lines = [line(0), line(1, max_tokens=-1), line(2)]
        batch = begun(api, lines, metadata={"note": "seven"})
        assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", "/v1/chat/completions")
        assert batch.expires_at - batch.created_at == 24 * 3600 and batch.metadata == {"note": "seven"}
        done = ended(made, batch)
        assert done.status == "completed" and done.in_progress_at and done.finalizing_at and done.completed_at, done
        counts = done.request_counts
        assert (counts.total, counts.completed, counts.failed) == (3, 2, 1), done
        output, errors = lines_of(api, done.output_file_id), lines_of(api, done.error_file_id)
        assert names(output) == ["line-0", "line-2"] and names(errors) == ["line-1"]
        for one in output:
            assert one["error"] is None and one["response"]["status_code"] == 200 and one["response"]["request_id"], one
            body = one["response"]["body"]
            assert body["object"] == "chat.completion" and body["usage"]["completion_tokens"] > 0, body
            assert made.json("explain", one["response"]["request_id"])["request"]["model"] == CHAT
        wrong = errors[0]["response"]
        assert wrong["status_code"] == 400 and wrong["body"]["error"]["param"] == "max_tokens", wrong
        files = {file.id: file for file in api.files.list()}
        assert set(files) == {batch.input_file_id, done.output_file_id, done.error_file_id}
        assert files[done.output_file_id].purpose == "batch_output"
        assert [file.id for file in api.files.list(purpose="batch")] == [batch.input_file_id]
        assert [one.id for one in api.batches.list(limit=1)] == [batch.id]
        assert made.json("jobs", "ls")["data"] == [], "the jobs of lines that are written are gone"


def test_other_paths_are_asked_by_batches_too():
    asked = {
        "/v1/responses": {"model": CHAT, "input": "Hi", "max_output_tokens": 16, "store": False},
        "/v1/completions": {"model": CHAT, "prompt": "Hi", "max_tokens": 2},
        "/v1/embeddings": {"model": CHAT, "input": "Hi"},
        "/api/chat": {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "stream": False, "options": {"num_predict": 2}},
    }
    with node() as made, client(made) as api:
        batches = [
            begun(api, [{"custom_id": url, "method": "POST", "url": url, "body": body}], endpoint=url)
            for url, body in asked.items()
        ]
        for batch in batches:
            done = ended(made, batch)
            assert done.status == "completed" and done.request_counts.completed == 1, (
                done, lines_of(api, done.error_file_id)
            )
        with pytest.raises(openai.BadRequestError) as refused:
            begun(api, [line(0)], endpoint="/v1/models")
        assert refused.value.param == "endpoint"


def test_each_line_is_there_once_though_the_node_is_killed_in_the_middle():
    with node() as made:
        with client(made) as api:
            lines = [line(at, **({"max_tokens": -1} if at % 10 == 9 else {})) for at in range(160)]
            batch = begun(api, lines)
        seen = 0
        for _ in range(4):
            def moved():
                with client(made) as api:
                    counts = api.batches.retrieve(batch.id).request_counts
                    return counts.completed + counts.failed > seen + 15 and counts

            counts = wait_for("lines are answered", moved, 120)
            seen = counts.completed + counts.failed
            made.kill()
            made.up()
        done = ended(made, batch, 240)
        assert seen < 160, "it was over before it was killed"
        counts = done.request_counts
        assert (done.status, counts.total, counts.completed, counts.failed) == ("completed", 160, 144, 16), done
        with client(made) as api:
            output, errors = lines_of(api, done.output_file_id), lines_of(api, done.error_file_id)
        assert names(output) == [f"line-{at}" for at in range(160) if at % 10 != 9]
        assert names(errors) == [f"line-{at}" for at in range(160) if at % 10 == 9]
        assert len({one["id"] for one in output + errors}) == 160
        left = {file.suffix for file in (made.data / "jobs").iterdir()} - {""}
        assert left == {".part", ".file", ".batch"}, left


def test_a_file_is_there_after_kill_9_as_it_was_sent_and_goes_when_it_is_deleted():
    with node(model=False) as made:
        text = "".join(json.dumps(line(at, user="x" * 1000)) + "\n" for at in range(3000)).encode()
        with client(made) as api:
            file = api.files.create(
                file=("many.jsonl", io.BytesIO(text)), purpose="batch",
                expires_after={"anchor": "created_at", "seconds": 7200},
            )
            assert (file.bytes, file.filename, file.status) == (len(text), "many.jsonl", "processed") and len(text) > 3 << 20
            assert file.expires_at - file.created_at == 7200
        made.kill()
        made.up()
        with client(made) as api:
            assert api.files.content(file.id).read() == text
            assert api.files.retrieve(file.id).bytes == len(text)
            assert api.files.delete(file.id).deleted
            for gone in [api.files.retrieve, api.files.content, api.files.delete]:
                with pytest.raises(openai.NotFoundError) as refused:
                    gone(file.id)
                assert refused.value.body["hither_code"] == "E0426"
        assert [one.name for one in (made.data / "jobs").iterdir()] == ["reserve"]


def test_wrong_lines_are_named_and_nothing_is_asked():
    with node(model=False) as made, client(made) as api:
        batch = begun(api, [line(0), "nonsense", line(1, url="/v1/embeddings"), line(0), line(2, stream=True)])
        done = ended(made, batch)
        assert done.status == "failed" and done.failed_at and not done.output_file_id, done
        assert [(fault.line, fault.code) for fault in done.errors.data] == [
            (2, "invalid_json_line"), (3, "mismatched_url"), (4, "duplicate_custom_id"), (5, "unsupported_stream"),
        ]
        assert CANARY not in done.errors.to_json() and made.json("jobs", "ls")["data"] == []
        for more, param in [
            ({"window": "soon"}, "completion_window"), ({"metadata": {"a": "x" * 5000}}, "metadata"),
        ]:
            with pytest.raises(openai.BadRequestError) as refused:
                begun(api, [line(0)], **more)
            assert refused.value.param == param
        with pytest.raises(openai.BadRequestError) as refused:
            api.files.create(file=("a.jsonl", b"{}\n"), purpose="assistants")
        assert refused.value.param == "purpose"


def test_a_batch_is_taken_back_or_expires_and_all_its_lines_are_there():
    with node('[models]\npull = "manual"\n', model=False) as made, client(made) as api:
        for window, end in [("24h", "cancelled"), ("2s", "expired")]:
            batch = begun(api, [line(at) for at in range(3)], window=window)
            wait_for("its lines wait", lambda: api.batches.retrieve(batch.id).status != "validating")
            with pytest.raises(openai.ConflictError) as refused:
                api.files.delete(batch.input_file_id)
            assert refused.value.body["hither_code"] == "E0427"
            if end == "cancelled":
                assert api.batches.cancel(batch.id).status in ("cancelling", "cancelled")
            done = ended(made, batch)
            assert done.status == end and done.request_counts.failed == 3 and not done.output_file_id, done
            errors = lines_of(api, done.error_file_id)
            assert names(errors) == ["line-0", "line-1", "line-2"]
            assert {one["error"]["code"] for one in errors} == {f"batch_{end}"}
            with pytest.raises(openai.ConflictError) as refused:
                api.batches.cancel(batch.id)
            assert refused.value.body["hither_code"] == "E0429"
            api.files.delete(batch.input_file_id)


def test_apps_do_not_see_each_others_files_and_batches():
    with node('[models]\npull = "manual"\n', model=False) as made:
        keys = [made.json("apps", "add", name)["key"] for name in ["ship", "shore"]]
        with client(made, keys[0]) as ship, client(made, keys[1]) as shore:
            batch = begun(ship, [line(0)])
            assert list(shore.files.list()) == [] and list(shore.batches.list()) == []
            for call in [
                lambda: shore.files.retrieve(batch.input_file_id),
                lambda: shore.files.content(batch.input_file_id),
                lambda: shore.files.delete(batch.input_file_id),
                lambda: shore.batches.retrieve(batch.id),
                lambda: shore.batches.cancel(batch.id),
                lambda: shore.batches.create(
                    input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
                ),
            ]:
                with pytest.raises(openai.NotFoundError):
                    call()
            assert ship.batches.retrieve(batch.id).id == batch.id
            assert json.loads(made.get("/v1/jobs")[1])["data"] == []


def test_a_full_store_is_507_and_takes_files_again_when_one_is_deleted():
    with node("[jobs]\nmax_mb = 4\napp_share = 50\n", model=False) as made, client(made) as api:
        def send(size):
            return api.files.create(file=("a.jsonl", b"x" * size), purpose="batch")

        kept = send(1_500_000)
        with pytest.raises(openai.InternalServerError) as refused:
            send(1_500_000)
        assert refused.value.status_code == 507 and refused.value.body["hither_code"] == "E0520", refused.value
        parts = [file for file in (made.data / "jobs").iterdir() if file.suffix == ".part"]
        assert len(parts) == 2, "what came of the refused file is gone"
        api.files.delete(kept.id)
        assert send(1_500_000).bytes == 1_500_000


def test_a_full_disk_takes_no_file_and_leaves_nothing_of_it_and_the_node_lives_on():
    with contextlib.closing(Node("munich", EEA)) as made:
        made.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        # Files lie beside jobs.
        made.up_with_small_disk("jobs", 4)
        add(made)
        with client(made) as api:
            # Twice: had the first left its parts there, the small file would not fit.
            for _ in range(2):
                with pytest.raises(openai.InternalServerError) as refused:
                    api.files.create(file=("large.jsonl", b"x" * (6 << 20)), purpose="batch")
                assert refused.value.status_code == 507, refused.value
                assert refused.value.body["hither_code"] == "E0521" and refused.value.body["help"], refused.value.body
                assert list(api.files.list()) == []
                kept = api.files.create(file=("small.jsonl", b"x" * (2 << 20)), purpose="batch")
                assert api.files.content(kept.id).read() == b"x" * (2 << 20)
                api.files.delete(kept.id)
            assert ended(made, begun(api, [line(0)])).request_counts.completed == 1


def background(api, **more):
    return api.responses.create(
        model=CHAT, input=f"Say one. {CANARY}", max_output_tokens=16, temperature=0, background=True, **more
    )


def test_a_response_in_the_background_is_answered_though_the_node_is_killed_before():
    with node('[models]\npull = "manual"\n', model=False) as made:
        with client(made) as api:
            begun = background(api, store=True, instructions="Be brief.", metadata={"note": "seven"})
            assert begun.status in ("queued", "in_progress") and begun.background and begun.id.startswith("resp_")
            other = background(api)
            assert other.id != begun.id
        made.kill()
        made.up()
        with client(made) as api:
            waits = api.responses.retrieve(begun.id)
            assert waits.status in ("queued", "in_progress") and waits.metadata == {"note": "seven"}
            assert waits.instructions == "Be brief." and waits.output == [] and waits.error is None
            assert api.responses.cancel(other.id).status == "cancelled"
            assert api.responses.retrieve(other.id).status == "cancelled"
            add(made)

            def look():
                seen = api.responses.retrieve(begun.id)
                return seen if seen.status not in ("queued", "in_progress") else None

            done = wait_for("it is answered", look, 120)
            assert done.status in ("completed", "incomplete") and done.id == begun.id, done
            assert done.output_text and done.usage.output_tokens > 0 and done.metadata == {"note": "seven"}
            assert done.created_at == begun.created_at and done.background
            assert api.responses.cancel(begun.id).status == done.status, "one that ended stays as it is"
            api.responses.delete(begun.id)
            with pytest.raises(openai.NotFoundError) as refused:
                api.responses.retrieve(begun.id)
            assert refused.value.body["hither_code"] == "E0408"
            for wrong, param in [({"store": False}, "store"), ({"stream": True}, "stream")]:
                with pytest.raises(openai.BadRequestError) as refused:
                    background(api, **wrong)
                assert refused.value.param == param


def test_a_response_in_the_background_is_seen_by_its_app_alone_and_fails_at_its_deadline():
    with node('[models]\npull = "manual"\n', model=False) as made:
        keys = [made.json("apps", "add", name)["key"] for name in ["ship", "shore"]]
        with client(made, keys[0]) as ship, client(made, keys[1]) as shore:
            begun = background(ship, extra_headers={"x-hither-deadline": "3"})
            for call in [shore.responses.retrieve, shore.responses.cancel, shore.responses.delete]:
                with pytest.raises(openai.NotFoundError):
                    call(begun.id)

            def look():
                seen = ship.responses.retrieve(begun.id)
                return seen if seen.status == "failed" else None

            failed = wait_for("its deadline passes", look)
            assert "deadline" in failed.error.message and failed.output == [], failed


def test_data_that_may_not_be_kept_are_refused_by_law():
    with node(model=False) as made:
        for data_class in ["special", "secret"]:
            with client(made, **{"x-hither-class": data_class}) as api, pytest.raises(openai.APIStatusError) as refused:
                sent(api, [line(0)])
            assert refused.value.status_code == 451 and refused.value.body["hither_code"] == "E0305"
        assert [one.name for one in (made.data / "jobs").iterdir()] == ["reserve"]
        # A batch cannot say less of its lines than their file said.
        with client(made, **{"x-hither-class": "personal"}) as personal, client(made, **{"x-hither-class": "internal"}) as api:
            file = sent(personal, [line(0)])
            asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            with pytest.raises(openai.BadRequestError) as refused:
                api.batches.create(**asked)
            assert refused.value.body["hither_code"] == "E0303"
            assert personal.batches.create(**asked).status == "validating"


def test_nothing_of_a_batch_is_readable_in_the_data_directory():
    with node() as made:
        with client(made) as api:
            done = ended(made, begun(api, [line(0), line(1)], metadata={"note": CANARY}))
            assert done.status == "completed" and done.metadata == {"note": CANARY}
            waits = begun(api, [line(2, model="nobody-has-it")])
            wait_for("it was tried", lambda: any(job.get("last") for job in made.json("jobs", "ls")["data"]))
            assert api.batches.retrieve(waits.id).status == "in_progress"
        made.kill()
        looked = set()
        for folder, _, files in os.walk(made.data):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        text = file.read()
                    assert CANARY.encode() not in text and b"line-0" not in text, path
                    looked.add(os.path.splitext(name)[1])
        assert {".part", ".file", ".batch", ".job"} <= looked, looked
