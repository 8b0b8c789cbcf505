"""Training is handed over to a cloud: within the law for both that happens to the data there, masked, on the record before, once."""

import contextlib
import http.server
import io
import json
import re
import threading

import openai
import pytest

import canary
from mesh import CANARY, EEA, wait_for
from test_endpoints import Quiet, lives, node

MAIL = "max.power@example.org"


class Trainer(http.server.BaseHTTPRequestHandler):
    """A small server of OpenAI's API that takes files and trains for ever, or does what `mode` says."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def answer(self, status, value, cut=False):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if cut else body)
        self.close_connection |= cut

    def no(self, status, text):
        self.answer(status, {"error": {"message": text}})

    def job(self, **more):
        return {"id": "ftjob-there", "object": "fine_tuning.job", "status": "running", "fine_tuned_model": None, **more}

    def do_GET(self):
        if self.path == "/v1/models":
            return self.answer(200, {"object": "list", "data": []})
        self.server.looked.append(self.path)
        if self.path != "/v1/fine_tuning/jobs/ftjob-there":
            return self.no(404, "no such job")
        if self.server.mode == "done":
            return self.answer(200, self.job(
                status="succeeded", fine_tuned_model="ft:big-1:mine", trained_tokens=77, finished_at=1_800_000_000,
            ))
        return self.answer(200, self.job())

    def do_DELETE(self):
        self.server.deleted.append(self.path)
        self.answer(200, {"deleted": True})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.taken.append((self.path, dict(self.headers), body))
        mode = self.server.mode
        if self.path == "/v1/files":
            if mode == "hold":
                self.server.held.set()
                self.server.go_on.wait(60)
            if mode == "no file":
                return self.no(400, "this file is not for me")
            return self.answer(200, {"id": "file-there", "object": "file", "purpose": "fine-tune"}, cut=mode == "cut file")
        if self.path == "/v1/fine_tuning/jobs":
            if mode == "no job":
                return self.no(400, "this model cannot be trained")
            return self.answer(200, self.job(status="queued"), cut=mode == "cut job")
        if self.path == "/v1/fine_tuning/jobs/ftjob-there/cancel":
            return self.answer(200, self.job(status="cancelled"))
        return self.no(404, "nothing here")


class Server:
    """It, in this process."""

    def __init__(self):
        self.http = Quiet(("127.0.0.1", 0), Trainer)
        self.http.mode, self.http.taken, self.http.looked, self.http.deleted = "well", [], [], []
        self.http.held, self.http.go_on = threading.Event(), threading.Event()
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def paths(self):
        return [path for path, *_ in self.http.taken]

    def close(self):
        self.http.go_on.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    with contextlib.closing(Server()) as server:
        yield server


PLACE = 'jurisdiction = "US"\noperator = "example"\n'


def section(port, more=""):
    return (
        f'[endpoint.cloud]\nurl = "http://127.0.0.1:{port}/v1"\ntrains = {{ assistant = "big-1-ft-base" }}\n{PLACE}{more}'
    )


def permit(name, *actions, more=""):
    listed = ", ".join(f'"{action}"' for action in actions)
    return f'[[permit]]\nid = "{name}"\naction = [{listed}]\nclass = ["public", "internal"]\ntarget = ["US"]\n{more}'


WORK, REST = permit("to-work-on", "infer"), permit("to-rest", "enqueue")


@contextlib.contextmanager
def cloud(server, law=WORK + REST, more=""):
    """A node whose cloud trains, under a law that permits what is said."""
    with node(section(server.port, more), policy=EEA + law) as munich:
        wait_for("the cloud is there", lambda: lives(munich, "cloud"))
        yield munich


def chats(count=3, text="A colour?", mark=CANARY):
    one = {"messages": [{"role": "user", "content": f"{text} {mark}"}, {"role": "assistant", "content": "Blue."}]}
    return [json.dumps(one)] * count


def lines(server):
    """What came as a file, line by line."""
    [(_, headers, body)] = [taken for taken in server.http.taken if taken[0] == "/v1/files"]
    boundary = re.search(r"boundary=(\S+)", headers["content-type"]).group(1).encode()
    _, purpose, file, _ = body.split(b"--" + boundary)
    assert purpose.endswith(b'name="purpose"\r\n\r\nfine-tune\r\n'), purpose
    return [json.loads(line) for line in file.split(b"\r\n\r\n", 1)[1].split(b"\n") if line.strip()]


def records(munich, kind):
    return [record for record in munich.json("ledger", "show", munich.data / "ledger")["records"] if record["kind"] == kind]


def client(munich, **headers):
    return openai.OpenAI(base_url=munich.url + "/v1", api_key="none", max_retries=0, timeout=60, default_headers=headers)


def sent(api, content):
    text = "\n".join(content) + "\n"
    return api.files.create(file=("chats.jsonl", io.BytesIO(text.encode())), purpose="fine-tune")


def handed(api, content=None, **more):
    return api.fine_tuning.jobs.create(model="assistant", training_file=sent(api, content or chats()).id, **more)


def handed_once_it_may(api, content=None):
    """The same to a server that fell silent a moment ago, and is left alone until it shows life."""
    def hand():
        with contextlib.suppress(openai.InternalServerError):
            return handed(api, content)
    return wait_for("it is handed over", hand)


# What a test writes into a file of its own: those are searched, too.
PLAIN = chats(mark="please")


def denials(munich):
    return [record for record in records(munich, "deny") if record["app"] != "canary"]


def file_of(folder, content):
    path = folder / "chats.jsonl"
    path.write_text("\n".join(content) + "\n")
    return path


def test_openais_client_hands_over_looks_and_takes_back(server):
    with cloud(server) as munich, client(munich) as api:
        file = sent(api, chats())
        assert (file.purpose, file.status) == ("fine-tune", "processed")
        assert [one.id for one in api.files.list(purpose="fine-tune")] == [file.id]
        job = api.fine_tuning.jobs.create(model="assistant", training_file=file.id, suffix="mine", seed=3)
        assert (job.object, job.status, job.model, job.training_file) == ("fine_tuning.job", "queued", "assistant", file.id)
        place = job.hither
        assert (place["endpoint"], place["training"], place["file"]) == ("cloud", "ftjob-there", "file-there")
        assert (place["rule"], place["class"], place["examples"]) == ("to-work-on", "internal", 3)
        assert server.paths() == ["/v1/files", "/v1/fine_tuning/jobs"]
        assert lines(server) == [json.loads(line) for line in chats()]
        assert json.loads(server.http.taken[1][2]) == {
            "model": "big-1-ft-base", "training_file": "file-there", "suffix": "mine", "seed": 3,
        }
        assert api.fine_tuning.jobs.retrieve(job.id).status == "running"
        server.http.mode = "done"
        done = api.fine_tuning.jobs.retrieve(job.id)
        assert (done.status, done.fine_tuned_model, done.trained_tokens) == ("succeeded", "ft:big-1:mine", 77)
        server.http.mode = "well"
        assert api.fine_tuning.jobs.cancel(job.id).status == "cancelled"
        assert [one.id for one in api.fine_tuning.jobs.list()] == [job.id]
        with pytest.raises(openai.NotFoundError):
            api.fine_tuning.jobs.retrieve("ftjob-" + "0" * 32)
        # Both permits are on the record, before and in one place.
        [intent] = records(munich, "egress.intent")
        [settled] = wait_for("it is settled", lambda: records(munich, "egress.settled"))
        assert (intent["rule"], intent["rests"], intent["place"]["site"]) == ("to-work-on", "to-rest", "cloud")
        assert intent["bytes_out"] == settled["bytes_out"] == place["bytes"] > 0
        assert intent["seq"] < settled["seq"] and settled["outcome"] == "answered"
        assert munich.run("ledger", "verify", munich.data / "ledger").returncode == 0
        # A start later it is still known.
        munich.kill()
        munich.up()
        with client(munich) as later:
            assert [one.id for one in later.fine_tuning.jobs.list()] == [job.id]


@pytest.mark.parametrize("law", ["", WORK, REST, WORK + permit("to-rest", "enqueue", more='apps = ["other"]\n')])
def test_without_a_permit_for_both_no_byte_leaves_and_the_ledger_says_so(server, law, tmp_path):
    with cloud(server, law) as munich:
        with client(munich) as api, pytest.raises(openai.APIStatusError) as refused:
            handed(api)
        error = refused.value.body
        assert (refused.value.status_code, error["code"]) == (451, "E0301"), error
        assert "enqueue" in json.dumps(error["help"]), error
        assert server.paths() == [] and records(munich, "egress.intent") == []
        [denied] = wait_for("it is on the record", lambda: denials(munich))
        assert (denied["model"], denied["considered"]) == ("assistant", 1)
        explained = munich.run("explain", error["request"]).stdout
        told = "cloud: denied, to rest there (enqueue)" if law.startswith(WORK) else "cloud: denied, no rule permits"
        assert told in explained, explained
        failed = munich.run("jobs", "train", file_of(tmp_path, PLAIN), "--model", "assistant", check=False)
        assert failed.returncode == 3 and "E0301" in failed.stderr, failed
        assert munich.json("jobs", "trainings")["data"] == [], "what never left is on no list"


def test_a_forbid_of_either_beats_the_permits_and_a_class_above_is_not_handed_over(server):
    forbid = '[[forbid]]\nid = "no-rest-abroad"\naction = ["enqueue"]\ntarget = ["US"]\n'
    with cloud(server, WORK + REST + forbid) as munich, client(munich) as api:
        with pytest.raises(openai.APIStatusError) as refused:
            handed(api)
        assert refused.value.body["rule"] == "no-rest-abroad", refused.value.body
        [denied] = wait_for("it is on the record", lambda: denials(munich))
        assert denied["rule"] == "no-rest-abroad"
        for name in ("special", "secret"):
            with client(munich, **{"x-hither-class": name}) as other, pytest.raises(openai.APIStatusError) as refused:
                handed(other)
            assert (refused.value.status_code, refused.value.body["code"]) == (451, "E0305")
        # The class of the file holds for what is made of it.
        with client(munich, **{"x-hither-class": "personal"}) as other:
            file = sent(other, chats())
        with pytest.raises(openai.BadRequestError, match="only be tightened"):
            api.fine_tuning.jobs.create(model="assistant", training_file=file.id)
        assert server.paths() == []


def test_special_data_are_handed_over_where_rules_let_them_rest_here_and_there(server):
    def special(permit):
        return permit.replace('["public", "internal"]', '["special"]')
    here = '[[permit]]\nid = "to-keep"\naction = ["enqueue"]\nclass = ["special"]\ntarget = ["DE"]\n'
    work, rest = special(WORK), special(REST)
    with cloud(server, work + rest + here) as munich, client(munich, **{"x-hither-class": "special"}) as api:
        job = handed(api)
        [intent] = records(munich, "egress.intent")
        assert (intent["class"], intent["rule"], intent["rests"]) == ("special", "to-work-on", "to-rest"), job
    with cloud(server, work + here) as munich, client(munich, **{"x-hither-class": "special"}) as api:
        with pytest.raises(openai.APIStatusError) as refused:
            handed(api)
        assert (refused.value.status_code, refused.value.body["code"]) == (451, "E0301"), refused.value.body


def test_the_purpose_counts_for_both(server, tmp_path):
    care = 'purpose = ["care"]\n'
    law = permit("to-work-on", "infer", more=care) + permit("to-rest", "enqueue", more=care)
    with cloud(server, law) as munich:
        file = file_of(tmp_path, PLAIN)
        failed = munich.run("jobs", "train", file, "--model", "assistant", "--purpose", "sales", check=False)
        assert failed.returncode == 3 and server.paths() == [], failed
        done = munich.run("jobs", "train", file, "--model", "assistant", "--purpose", "care", "--class", "internal").stdout
        assert "is handed over: 3 examples" in done and "ftjob-there" in done and "to-work-on" in done, done


def test_every_text_of_every_line_is_masked_before_it_leaves_and_only_counts_are_on_the_record(server):
    content = chats(2) + [json.dumps({"messages": [
        {"role": "system", "content": f"You write to {MAIL}."},
        {"role": "user", "content": [{"type": "text", "text": f"Mail {MAIL} and sue@example.org"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {
            "name": "send", "arguments": json.dumps({"to": MAIL, "card": 4111111111111111}),
        }}]},
    ]})]
    with cloud(server, more="[endpoint.cloud.filter]\n") as munich, client(munich) as api:
        raw = api.fine_tuning.jobs.with_raw_response.create(
            model="assistant", training_file=sent(api, content).id, suffix="x",
        )
        assert raw.headers["x-hither-masked"] == "email=4,card=1", dict(raw.headers)
        whole = json.dumps(lines(server))
        assert "example.org" not in whole and "4111" not in whole and "[EMAIL_2]" in whole, whole
        arguments = lines(server)[2]["messages"][2]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == {"to": "[EMAIL_1]", "card": "[CARD_1]"}
        assert lines(server)[:2] == [json.loads(line) for line in chats(2)], "the others are as they were"
        [found] = records(munich, "egress.filtered")
        [intent] = records(munich, "egress.intent")
        assert (found["decision"], found["found"]) == ("mask", {"card": 1, "email": 4}) and found["seq"] < intent["seq"]
        assert not canary.search(munich.data, MAIL)[0]


def test_a_filter_that_blocks_lets_no_line_leave(server):
    with cloud(server, more='[endpoint.cloud.filter]\naction = "block"\n') as munich, client(munich) as api:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            handed(api, [*chats(), *chats(1, f"Mail {MAIL}")])
        assert refused.value.body["code"] == "E0306" and "email=1" in refused.value.body["message"], refused.value.body
        assert server.paths() == []
        assert [record["decision"] for record in records(munich, "egress.filtered")] == ["block"]


def test_a_line_that_is_no_example_is_named_and_nothing_leaves(server, tmp_path):
    with cloud(server) as munich:
        content = [*PLAIN, '{"messages": [{"role": "user", "content": "secret-word"}]}']
        failed = munich.run("jobs", "train", file_of(tmp_path, content), "--model", "assistant", check=False)
        assert failed.returncode == 1 and "line 4: no message is the assistant's" in failed.stderr, failed.stderr
        assert "secret-word" not in failed.stderr and server.paths() == []
        with client(munich) as api:
            assert list(api.files.list()) == [], "the command keeps no file at the node"


def test_what_was_handed_over_is_not_sent_twice(server, tmp_path):
    with cloud(server) as munich, client(munich) as api:
        first = handed(api, PLAIN)
        assert handed(api, PLAIN).id == first.id, "an impatient client meets its training"
        file = file_of(tmp_path, PLAIN)
        again = munich.run("jobs", "train", file, "--model", "assistant").stdout
        assert "was handed over before" in again and first.id in again, again
        assert server.paths() == ["/v1/files", "/v1/fine_tuning/jobs"]
        shown = munich.run("jobs", "show", first.id).stdout
        assert "running" in shown and "ftjob-there" in shown and "to-work-on" in shown, shown
        assert munich.json("jobs", "cancel", first.id)["status"] == "cancelled"
        assert "is handed over: 3 examples" in munich.run("jobs", "train", file, "--model", "assistant").stdout
        assert len(server.paths()) == 5
        assert len(munich.json("jobs", "trainings")["data"]) == 2


def test_half_a_hand_over_says_what_lies_there_and_is_not_doubled(server):
    with cloud(server) as munich, client(munich) as api:
        # The file was taken, and a training refused: its file is deleted there again.
        server.http.mode = "no job"
        with pytest.raises(openai.BadRequestError, match="this model cannot be trained.*nothing of it is kept at endpoint cloud"):
            handed(api)
        assert server.http.deleted == ["/v1/files/file-there"]
        # The file was taken, and nobody knows whether a training began.
        server.http.mode = "cut job"
        with pytest.raises(openai.APIStatusError, match="it lies at endpoint cloud as file file-there") as failed:
            handed(api)
        cancel = next(text for text in failed.value.body["help"] if "jobs cancel" in text)
        half = re.search(r"ftjob-[0-9a-f]{32}", cancel).group()
        server.http.mode, before = "well", len(server.paths())
        with pytest.raises(openai.ConflictError, match="file-there"):
            handed(api)
        assert len(server.paths()) == before, "nothing is sent again"
        assert api.fine_tuning.jobs.retrieve(half).status == "failed"
        assert api.fine_tuning.jobs.cancel(half).status == "cancelled"
        assert server.http.deleted == ["/v1/files/file-there"] * 2
        assert handed_once_it_may(api).status == "queued"
        # The file may be there or not.
        server.http.mode = "cut file"
        with pytest.raises(openai.APIStatusError, match="whether a file of it lies there is not known"):
            handed(api, chats(4))
        # It said no to the file: nothing is there, and nothing is remembered.
        server.http.mode, known = "no file", len(api.fine_tuning.jobs.list().data)
        with pytest.raises(openai.BadRequestError, match="this file is not for me"):
            handed_once_it_may(api, chats(5))
        assert len(api.fine_tuning.jobs.list().data) == known
        wait_for("all are settled", lambda: len(records(munich, "egress.intent")) == len(records(munich, "egress.settled")))


def test_the_intent_is_durable_before_the_first_byte_and_a_killed_node_remembers(server):
    with cloud(server) as munich:
        server.http.mode = "hold"
        failures = []

        def hand():
            with client(munich) as api:
                try:
                    handed(api)
                except openai.OpenAIError as error:
                    failures.append(error)

        asking = threading.Thread(target=hand)
        asking.start()
        assert server.http.held.wait(60)
        munich.kill()
        asking.join(60)
        assert failures and server.paths() == ["/v1/files"]
        [intent] = records(munich, "egress.intent")
        assert intent["rests"] == "to-rest"
        server.http.mode = "well"
        server.http.go_on.set()
        munich.up()
        wait_for("the cloud is there", lambda: lives(munich, "cloud"))
        with client(munich) as api:
            [left] = api.fine_tuning.jobs.list().data
            assert left.status == "failed" and "the node ended" in left.error.message, left
            with pytest.raises(openai.ConflictError, match="whether a file of it lies there is not known"):
                handed(api)
            assert server.paths() == ["/v1/files"]
            api.fine_tuning.jobs.cancel(left.id)
            assert handed(api).status == "queued"


def test_apps_that_may_not_go_there_and_a_spent_budget_keep_it_here(server):
    with cloud(server, more='apps = ["press"]\n') as munich, client(munich) as api:
        with pytest.raises(openai.NotFoundError) as refused:
            handed(api)
        assert refused.value.body["hither_code"] == "E0412" and "trains" in json.dumps(refused.value.body["help"])
        with pytest.raises(openai.NotFoundError, match="elsewhere is no server"):
            api.fine_tuning.jobs.create(
                model="assistant", training_file=sent(api, chats()).id, extra_headers={"x-hither-prefer": "elsewhere"},
            )
        assert server.paths() == []
    with contextlib.closing(Server()) as other, cloud(other, more='[egress]\napps_mb_per_day = { "*" = 0 }\n') as munich:
        with client(munich) as api, pytest.raises(openai.RateLimitError) as refused:
            handed(api)
        assert refused.value.body["hither_code"] == "E0511" and other.paths() == [], refused.value.body
