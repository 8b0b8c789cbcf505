"""Jobs: handed in, kept through kill -9, answered once, given up at their deadline, refused when the disk is full."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import urllib.error
import urllib.request

from mesh import CANARY, EEA, LANGUAGE_MODEL, ROOT, Node, wait_for
from test_budgets import PUBLIC
from test_endpoints import US, WORDS, Server, lives, section

GOLDEN = json.loads((ROOT / "models/fraud.golden.json").read_text())
DECISION = {
    "inputs": [{"name": "input", "shape": [1, 12], "datatype": "FP32", "data": GOLDEN["input"][0]}],
}


@contextlib.contextmanager
def node(config="", policy=EEA):
    """A node without models, not started yet."""
    with contextlib.closing(Node("munich", policy, config=config)) as made:
        made.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        yield made


def add(made, name="fraud"):
    file = LANGUAGE_MODEL if name == "smollm2-135m" else ROOT / f"models/{name}.onnx"
    made.run("models", "add", file, "--name", name, "--licence", "Apache-2.0")


def decision(seconds=600, at=0, model="fraud", **more):
    body = {**DECISION, "id": f"{CANARY}-{at}"}
    return {"deadline_s": seconds, "request": {"url": f"/v2/models/{model}/infer", "body": body}, **more}


def question(text, seconds=600, tokens=16):
    body = {
        "model": "smollm2-135m", "messages": [{"role": "user", "content": f"{text} {CANARY}"}],
        "max_tokens": tokens, "temperature": 0,
    }
    return {"deadline_s": seconds, "request": {"url": "/v1/chat/completions", "body": body}}


def submit(made, job, headers=None, status=202):
    found, headers, answer = made.post("/v1/jobs", job, headers)
    assert found == status, answer
    if status == 202:
        assert headers["location"] == f"/v1/jobs/{answer['id']}"
    return answer


def show(made, job):
    status, body = made.get(f"/v1/jobs/{job['id']}")
    assert status == 200, body
    return json.loads(body)


def ended(made, job, seconds=60):
    def look():
        seen = show(made, job)
        return seen if seen["status"] not in ("queued", "running") else None

    return wait_for(f"job {job['id']} ends", look, seconds)


def listed(made):
    return json.loads(made.get("/v1/jobs?limit=1000")[1])["data"]


def files(made):
    """The files of jobs, without the space that is set aside."""
    return sorted(file.name for file in (made.data / "jobs").iterdir() if file.name != "reserve")


def delete(made, job):
    request = urllib.request.Request(f"{made.url}/v1/jobs/{job['id']}", method="DELETE")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_job_survives_kill_9_right_after_it_was_accepted_and_is_answered_once():
    with node() as made:
        made.up()
        add(made)
        for at in range(5):
            job = submit(made, decision(at=at))
            made.kill()
            made.up()
            done = ended(made, job)
            assert done["status"] == "done" and done["served_by"] == "munich", done
            result = made.get(f"/v1/jobs/{job['id']}/result")
            assert result[0] == 200 and json.loads(result[1]) == done["response"]["body"], result
            assert json.loads(result[1])["id"] == f"{CANARY}-{at}"
            assert [seen["id"] for seen in listed(made)].count(job["id"]) == 1
        names = files(made)
        assert len(names) == 5 and all(name.endswith(".end") for name in names), names


def test_every_path_of_a_model_can_be_asked_by_a_job():
    says = [{"role": "user", "content": f"Name a colour. {CANARY}"}]
    model = "smollm2-135m"
    asked = {
        "/v1/completions": {"model": model, "prompt": CANARY, "max_tokens": 4},
        "/v1/responses": {"model": model, "input": CANARY, "max_output_tokens": 16, "store": False},
        "/v1/embeddings": {"model": model, "input": CANARY},
        "/api/chat": {"model": model, "messages": says, "stream": False, "options": {"num_predict": 4}},
        "/api/generate": {"model": model, "prompt": CANARY, "stream": False, "options": {"num_predict": 4}},
        "/api/embed": {"model": model, "input": CANARY},
    }
    with node() as made:
        made.up()
        # Handed in before anybody has the model: one is tried, and all wait for it.
        jobs = {url: submit(made, {"deadline_s": 600, "request": {"url": url, "body": body}}) for url, body in asked.items()}
        tried = lambda: [last for job in jobs.values() if (last := show(made, job).get("last"))]
        assert {last["code"] for last in wait_for("one was tried", tried)} == {"E0401"}
        assert {show(made, job)["status"] for job in jobs.values()} == {"queued"}
        add(made, model)
        texts = {}
        for url, job in jobs.items():
            done = ended(made, job)
            assert done["status"] == "done", (url, done)
            texts[url] = done["response"]["body"]
        assert texts["/v1/responses"]["status"] in ("completed", "incomplete")
        assert texts["/api/chat"]["message"]["role"] == "assistant" and texts["/api/chat"]["done"]
        assert texts["/api/generate"]["done"] and texts["/v1/completions"]["choices"]
        assert texts["/api/embed"]["embeddings"] and texts["/v1/embeddings"]["data"]


def test_every_accepted_job_is_answered_once_though_the_node_is_killed_while_it_takes_and_runs_them():
    with node() as made:
        made.up()
        add(made)
        accepted = []
        for round_of in range(4):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                tries = [pool.submit(attempt, made, f"{round_of}-{at}") for at in range(40)]
                wait_for("some are accepted", lambda: sum(one.done() for one in tries) > 5 + 7 * round_of)
                made.process.send_signal(signal.SIGKILL)
                accepted += [taken for one in tries if (taken := one.result())]
            made.process.wait()
            made.up()
        assert len(accepted) > 20
        for key, job in accepted:
            done = ended(made, job)
            assert done["status"] == "done", done
            # The same again, as a client does that heard nothing of it.
            again = submit(made, decision(at=key), {"Idempotency-Key": key}, status=200)
            assert (again["id"], again["joined"]) == (job["id"], True)
        wait_for("all that is there has ended", lambda: all(seen["status"] == "done" for seen in listed(made)))
        assert files(made) == sorted(seen["id"].replace("-", "") + ".end" for seen in listed(made))


def attempt(made, key):
    try:
        status, _, answer = made.post("/v1/jobs", decision(at=key), {"Idempotency-Key": key}, timeout=30)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return (key, answer) if status == 202 else None


def test_a_job_waits_for_its_model_and_runs_when_it_is_added():
    with node() as made:
        made.up()
        job = submit(made, question("Name a colour."))
        waiting = wait_for("it was tried", lambda: (seen := show(made, job))["attempts"] >= 1 and seen.get("last") and seen)
        assert waiting["status"] in ("queued", "running"), waiting
        assert (waiting["last"]["status"], waiting["last"]["code"]) == (404, "E0401"), waiting
        add(made, "smollm2-135m")
        done = ended(made, job)
        assert done["status"] == "done", done
        body = done["response"]["body"]
        assert body["object"] == "chat.completion" and body["choices"][0]["message"]["content"], body
        assert done["rule"] and done["request"], done
        explained = made.json("explain", done["request"])
        assert explained["request"]["model"] == "smollm2-135m"


def test_a_deadline_that_passes_ends_a_job_and_says_so():
    with node() as made:
        made.up()
        job = submit(made, decision(seconds=2, model="nobody-has-it"))
        done = ended(made, job, 30)
        assert done["status"] == "expired" and done["problem"]["code"] == "E0523", done
        assert "nobody-has-it" in done["problem"]["message"], done
        status, body = made.get(f"/v1/jobs/{job['id']}/result")
        assert status == 504 and json.loads(body)["code"] == "E0523", body
        # While the node is down, too.
        job = submit(made, decision(seconds=3, model="nobody-has-it"))
        made.kill()
        made.up()
        assert ended(made, job, 30)["status"] == "expired"
        for wrong in [{}, {"deadline_s": 0}, {"deadline": "2020-01-01T00:00:00Z"}, {"deadline_s": 10**9}]:
            body = {"request": decision()["request"], **wrong}
            answer = submit(made, body, status=400)
            assert answer["param"] == "deadline" and answer["help"], answer


def test_the_same_key_is_the_same_job_and_another_body_is_refused():
    with node() as made:
        made.up()
        add(made)
        key = {"Idempotency-Key": "order-7"}
        first = submit(made, decision(at=1), key)
        again = submit(made, decision(at=1), key, status=200)
        assert (again["id"], again["joined"]) == (first["id"], True)
        other = submit(made, decision(at=2), key, status=422)
        assert other["code"] == "E0423" and first["id"] in other["detail"], other
        ended(made, first)
        made.kill()
        made.up()
        assert submit(made, decision(at=1), key, status=200)["status"] == "done"
        assert submit(made, decision(at=1), {"Idempotency-Key": "order-8"})["id"] != first["id"]
        # Without a key, the submission is its own key.
        unnamed = submit(made, decision(at=3))
        assert submit(made, decision(at=3), status=200)["id"] == unnamed["id"]


def test_jobs_are_taken_back_and_deleted_and_the_command_line_shows_them():
    with node() as made:
        made.up()
        job = submit(made, decision(model="nobody-has-it", metadata={"note": CANARY}))
        assert show(made, job)["metadata"] == {"note": CANARY}
        shown = made.json("jobs", "show", job["id"])
        assert (shown["id"], shown["app"], shown["model"]) == (job["id"], "anonymous", "nobody-has-it")
        assert CANARY not in json.dumps(shown), "operators see no content"
        text = made.run("jobs", "ls").stdout
        assert job["id"] in text and "nobody-has-it" in text, text
        assert delete(made, job) == 409
        assert made.json("jobs", "cancel", job["id"])["status"] == "cancelled"
        assert show(made, job)["status"] == "cancelled"
        again = made.run("jobs", "cancel", job["id"], check=False)
        assert again.returncode == 1 and "E0422" in again.stderr, again.stderr
        assert delete(made, job) == 204
        assert made.json("jobs", "ls")["data"] == []
        unknown = made.run("jobs", "show", job["id"], check=False)
        assert unknown.returncode == 1 and "E0420" in unknown.stderr, unknown.stderr


def test_data_that_may_not_be_kept_are_refused_by_law():
    with node() as made:
        made.up()
        for data_class in ["special", "secret"]:
            answer = submit(made, decision(), {"x-hither-class": data_class}, status=451)
            assert answer["code"] == "E0305" and "enqueue" in answer["detail"], answer
        assert files(made) == []


MAY_REST = EEA + """
[[permit]]
id = "care-rests-at-home"
action = ["enqueue"]
class = ["special"]
purpose = ["care"]
target = ["DE-BY"]
"""
NOTHING_RESTS = EEA + """
[[forbid]]
id = "nothing-rests"
action = ["enqueue"]
class = ["special", "personal"]
"""


def test_the_law_says_what_may_rest_on_the_disk_when_it_comes_and_at_each_try():
    with node(policy=MAY_REST) as made:
        made.up()
        care = {"x-hither-class": "special", "x-hither-purpose": "care"}
        refused = submit(made, decision(), {"x-hither-class": "special"}, status=451)
        assert refused["code"] == "E0305" and refused["rule"] == "care-rests-at-home", refused
        job = submit(made, question("waits"), care)
        assert (job["class"], job["status"]) == ("special", "queued"), job
        wait_for("it was tried", lambda: show(made, job).get("last"))
        forbidding = made.data / "next.toml"
        forbidding.write_text(NOTHING_RESTS)
        made.run("policy", "apply", forbidding)
        failed = ended(made, job, 30)
        assert (failed["status"], failed["problem"]["code"]) == ("failed", "E0305"), failed
        assert "nothing-rests" in failed["problem"]["message"], failed
        answer = submit(made, decision(), {"x-hither-class": "personal"}, status=451)
        assert answer["rule"] == "nothing-rests", answer
        submit(made, decision(), {"x-hither-class": "internal"})


def test_nothing_of_a_job_is_readable_in_the_data_directory():
    with node() as made:
        made.up()
        add(made)
        done = submit(made, decision(at="done", metadata={"note": CANARY}))
        ended(made, done)
        waiting = submit(made, question("waits"))
        wait_for("it was tried", lambda: show(made, waiting).get("last"))
        made.kill()
        looked = 0
        for folder, _, files in os.walk(made.data):
            for name in files:
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue  # the socket
                with open(path, "rb") as file:
                    assert CANARY.encode() not in file.read(), path
                looked += 1
        assert {".end", ".job", ".run"} <= {file.suffix for file in (made.data / "jobs").iterdir()}
        assert looked > 8
        assert (made.data / "jobs.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_job_is_put_aside_with_a_warning_and_the_others_run():
    with node() as made:
        made.up()
        hit, other = submit(made, decision(at=1)), submit(made, decision(at=2))
        made.kill()
        path = made.data / "jobs" / (hit["id"].replace("-", "") + ".job")
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        made.up()
        add(made)
        assert ended(made, other)["status"] == "done"
        warnings = made.view()["warnings"]
        assert any(path.name in text and "damaged" in text for text in warnings), warnings
        assert made.get(f"/v1/jobs/{hit['id']}")[0] == 404
        assert path.with_name(path.name + ".damaged").read_bytes() == bytes(damaged)


def test_a_full_disk_takes_no_job_and_says_so_and_the_accepted_ones_are_answered():
    with node() as made:
        made.up_with_small_disk("jobs", 2)
        accepted, refused = [], None
        for at in range(40):
            text = "x" * 60_000
            status, _, answer = made.post("/v1/jobs", {**decision(at=at), "metadata": {"at": at}, **padded(text, at)})
            if status != 202:
                refused = (status, answer)
                break
            accepted.append(answer)
        assert refused and refused[0] == 507 and refused[1]["code"] == "E0521", refused
        assert refused[1]["help"] and len(accepted) > 5
        assert {job["id"] for job in listed(made)} == {job["id"] for job in accepted}
        first = accepted[0]
        for job in accepted[-2:]:
            assert made.post(f"/v1/jobs/{job['id']}/cancel", {})[0] == 200
        add(made)
        for job in accepted[:-2]:
            assert ended(made, job, 120)["status"] == "done", show(made, job)
        assert json.loads(made.get(f"/v1/jobs/{first['id']}/result")[1])["id"].startswith(CANARY)


def padded(text, at):
    """A request that is large by its id, which the answer repeats."""
    return {"request": {"url": "/v2/models/fraud/infer", "body": {**DECISION, "id": f"{CANARY}-{at}-{text}"}}}


def test_a_full_store_is_507_until_something_is_deleted():
    with node('[models]\npull = "manual"\n[jobs]\nmax = 4\napp_share = 100\n') as made:
        made.up()
        jobs = [submit(made, decision(at=at, model="nobody-has-it")) for at in range(4)]
        answer = submit(made, decision(at=9, model="nobody-has-it"), status=507)
        assert answer["code"] == "E0520" and "4 jobs" in answer["detail"], answer
        assert made.post(f"/v1/jobs/{jobs[0]['id']}/cancel", {})[0] == 200
        assert submit(made, decision(at=9, model="nobody-has-it"))["status"] == "queued"
        wrong = Node("wrong", EEA, config="[jobs]\napp_share = 0\n")
        with contextlib.closing(wrong):
            refused = wrong.run("up", "--api", "127.0.0.1:0", check=False)
            assert refused.returncode != 0 and "app_share" in refused.stderr, refused.stderr


def test_a_file_of_jobs_goes_where_it_belongs_as_far_as_the_law_permits(tmp_path):
    lines = [
        {"custom_id": f"line-{at}", "method": "POST", "url": "/v1/chat/completions", "body": {
            "model": "assistant", "messages": [{"role": "user", "content": f"A colour? {at}"}], "max_tokens": 5,
        }} for at in range(4)
    ]
    file = tmp_path / "lines.jsonl"
    file.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n")
    with contextlib.closing(Server()) as server:
        config = '[models]\npull = "manual"\n' + section("cloud", server.port, US + 'first_for = ["nightly"]\n')
        with contextlib.closing(Node("munich", PUBLIC, config=config)) as made:
            made.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
            made.up()
            stub = made.data / "assistant.stub"
            stub.write_text("hither-stub 1\nprefill_us=0 token_us=100 length=4 slots=4\n")
            made.run("models", "add", stub, "--name", "assistant")
            wait_for("it answers here", lambda: made.get("/v2/models/assistant/ready")[0] == 200)
            # What the mesh publishes under the name is what the server is known to have, a moment later.
            held = lambda at: {model["digest"] for node in made.view()["nodes"] if node["member"]["site"] == at
                               for model in node["models"]}
            wait_for("the server is there", lambda: lives(made, "cloud") and held("munich") <= held("cloud"))

            def outcome(*options):
                done = made.json("jobs", "submit", file, *options)
                jobs = [ended(made, job) for job in done["jobs"]]
                assert {job["status"] for job in jobs} == {"done"} and len(jobs) == 4, jobs
                assert [job["metadata"]["custom_id"] for job in jobs] == [line["custom_id"] for line in lines]
                return done["met"], {job["served_by"] for job in jobs}, jobs

            # This node has room, so they stay; public ones that belong to the cloud go there; what is no public data may not.
            assert outcome("--class", "public")[:2] == (0, {"munich"})
            met, places, jobs = outcome("--class", "public", "--to", "cloud")
            assert (met, places) == (0, {"cloud"})
            assert "".join(WORDS) in json.dumps(jobs[0]["response"]["body"]) and jobs[0]["rule"] == "cloud-for-public"
            assert len([path for path, *_ in server.http.asked if "completions" in path]) == 4
            assert outcome("--class", "personal", "--to", "cloud")[:2] == (0, {"munich"})
            # The same file again is the same jobs.
            assert outcome("--class", "public", "--to", "cloud")[:2] == (4, {"cloud"})
            assert len([path for path, *_ in server.http.asked if "completions" in path]) == 4
            assert "4 jobs, 4 of them known already" in made.run("jobs", "submit", file, "--class", "public").stdout
            # What an app in `first_for` asks goes there by itself.
            key = made.json("apps", "add", "nightly", "--class", "public")["key"]
            status, headers, _ = made.post(
                "/v1/chat/completions", lines[0]["body"], {"authorization": f"Bearer {key}", "x-hither-class": "public"}
            )
            assert status == 200 and headers["x-hither-served-by"] == "cloud", headers
            # A line that is wrong is named, and those before it are jobs.
            file.write_text(json.dumps(lines[0]) + "\n{\"url\": 3}\n")
            wrong = made.run("jobs", "submit", file, check=False)
            assert wrong.returncode == 2 and f"{file}:2:" in wrong.stderr and "1 lines before it" in wrong.stderr, wrong.stderr
            file.write_text(json.dumps({**lines[0], "url": "/v1/fine_tuning/jobs"}) + "\n")
            wrong = made.run("jobs", "submit", file, "--to", "cloud", check=False)
            assert wrong.returncode == 1 and f"{file}:1: refused" in wrong.stderr, wrong.stderr
