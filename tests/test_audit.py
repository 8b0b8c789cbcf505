"""Reports for auditors, of ledgers that running nodes wrote: read by a program, a spreadsheet and a person with a browser."""

import csv
import datetime
import html.parser
import io
import json
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from mesh import EEA, HITHER, ROOT, chat, two_sites, wait_for

PAGE = (ROOT / "docs/sovereignty.md").read_text()
AUDITORS = '[[permit]]\nid = "auditors"\naction = ["export"]\norigin = ["EEA"]\ntarget = ["DE"]\n'
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


def report(*args, check=True):
    """Types the command, without a node."""
    done = subprocess.run([HITHER, *map(str, args)], capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def ledgers():
    """The ledgers of munich and paris: munich asked paris, was refused what must stay, and they ended."""
    with two_sites() as (munich, paris):
        stub = paris.data / "assistant.stub"
        stub.write_text("hither-stub 1\nprefill_us=0 token_us=100 length=4\n")
        paris.run("models", "add", stub, "--name", "assistant")
        wait_for("munich knows it", lambda: any(
            held["stage"] == "ready" for seen in munich.view()["nodes"] for held in seen["models"]
        ))
        for _ in range(3):
            assert chat(munich, model="assistant")[0] == 200
        status, _, _ = chat(munich, model="assistant", headers={"x-hither-class": "secret"})
        assert status in (403, 451), status
        for node in (munich, paris):
            node.signal(signal.SIGTERM)
            assert node.process.wait(60) == 0
        yield munich.data / "ledger", paris.data / "ledger"


def verifier():
    """The auditor's program, as `make verifier` leaves it."""
    return next(pathlib.Path(HITHER).parent.parent.glob("*-linux-*/release/hither-ledger-verify"))


def tables(*args):
    return json.loads(report("--json", "audit", "report", *args).stdout)["tables"]


def test_what_left_is_told_with_the_rule_and_what_stayed_with_the_reason(ledgers):
    munich, paris = ledgers
    both = tables(*ledgers)
    sent = [row for row in both["transfers"] if row["with"] == "request"]
    assert [(row["from"], row["to"], row["site"], row["link"]) for row in sent] == [("DE-BY", "FR", "paris", "cross-border")]
    assert sent[0]["operator"] == "acme"
    # Who may be asked whether the other end is of the same operator, and who can compel it.
    met = {(row["site"], row["operator"], row["link"]) for row in tables(munich)["members"] if row["what"] == "member.join"}
    assert met == {("paris", "acme", "cross-border")}, both["members"]
    assert {row["operator"] for row in both["ledgers"]} == {"acme"}
    recipients = {row["recipients"] for row in tables(munich, "--gdpr-art30")["processing"] if row["app"] != "canary"}
    assert "paris (FR, acme, cross-border)" in recipients, recipients
    assert sent[0]["transfers"] == "3" and int(sent[0]["bytes"]) > 0 and sent[0]["rule"] != "not known"
    answers = [row for row in both["transfers"] if row["with"] == "answer"]
    assert [(row["from"], row["to"], row["rule"]) for row in answers] == [("FR", "DE-BY", sent[0]["rule"])]
    assert {(row["from"], row["to"]) for row in both["first"]} == {("DE", "FR"), ("FR", "DE")}
    refused = [(row["by"], row["class"], row["asked_from"]) for row in both["refusals"] if row["app"] != "canary"]
    assert refused == [("the law", "secret", "an app here")], both["refusals"]
    assert {row["by"] for row in both["refusals"] if row["app"] == "canary"} <= {"the law, as a test"}, both["refusals"]
    assert sum(int(row["elsewhere"]) for row in both["requests"]) == 3
    assert {row["site"] for row in both["ledgers"]} == {"munich", "paris"}
    assert {row["what"] for row in both["law"]} >= {"config.start"}
    # What munich says alone is what both say of it.
    assert [row for row in tables(munich)["transfers"]] == sent
    # Nothing happened in another year.
    assert not any(tables(munich, "--to", "2020")[name] for name in ("transfers", "requests", "refusals", "law"))
    today = datetime.datetime.now(datetime.timezone.utc)
    assert tables(munich, "--from", today.year, "--to", today.year + 1)["transfers"] == sent


def test_a_report_begins_with_what_its_numbers_come_to(ledgers):
    both = json.loads(report("--json", "audit", "report", *ledgers).stdout)["lead"][0]
    for said in ["4 requests of apps entered", "0 were answered by the node at which they entered, 3 by another place, 1 refused or failed",
                 "3 requests left their country, for FR (3).", "3 answers left their country, for DE (3).",
                 "Nothing with data of class special or secret crossed a border. No record was lost."]:
        assert said in both, both
    quiet = json.loads(report("--json", "audit", "report", ledgers[0], "--to", "2020").stdout)["lead"][0]
    assert "no request of an app entered. No request left its country." in quiet, quiet


def test_the_first_transfer_to_a_country_is_on_the_record_once(ledgers):
    for ledger, left, to in zip(ledgers, ("DE", "FR"), ("FR", "DE")):
        # Two segments, if it was midnight.
        segments = [*sorted(ledger.glob("ledger-*.jsonl")), ledger / "ledger.jsonl"]
        records = [json.loads(line) for file in segments for line in file.read_text().splitlines()]
        kinds = [record["kind"] for record in records]
        first = [record for record in records if record["kind"] == "first_transfer"]
        assert [(record["left"], record["to"]) for record in first] == [(left, to)]
        # It is there before the payload may leave: three requests, three answers.
        leaves = [number for number, kind in enumerate(kinds) if kind in ("egress.intent", "ingress.accept")]
        assert len(leaves) == 3 and kinds.index("first_transfer") < leaves[0]


def test_a_sample_can_be_drawn_again(ledgers):
    one, again = (tables(*ledgers, "--sample", 2, "--seed", 7)["sample"] for _ in range(2))
    assert one == again and len({row["request"] for row in one}) == 2
    # Three that were answered and one that was refused; what no app asked is none of them.
    drawn = tables(*ledgers, "--sample", 100)["sample"]
    assert len({row["request"] for row in drawn}) == 4 and not any(row["app"] == "canary" for row in drawn), drawn


def test_the_register_of_transfers_opens_in_a_spreadsheet(ledgers, tmp_path):
    file = tmp_path / "transfers.csv"
    report("audit", "report", *ledgers, "--transfers", "--table", "transfers", "--out", file)
    rows = list(csv.DictReader(io.StringIO(file.read_text(), newline="")))
    assert [(row["from"], row["to"], row["with"]) for row in rows] == [("DE-BY", "FR", "request"), ("FR", "DE-BY", "answer")]
    refused = report("audit", "report", *ledgers, "--format", "csv", check=False)
    assert refused.returncode == 2 and "E0808" in refused.stderr and "--table NAME" in refused.stderr


class Words(html.parser.HTMLParser):
    """The words of a page, and what it would fetch or run."""

    def __init__(self):
        super().__init__()
        self.words, self.foreign = "", []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "img", "link", "iframe") or any(name in ("src", "href") for name, _ in attrs):
            self.foreign.append(tag)

    def handle_data(self, data):
        self.words += data + " "


@pytest.mark.parametrize(("view", "title"), [
    ((), "What the ledgers say"),
    (("--transfers",), "Register of transfers to other countries"),
    (("--gdpr-art30",), "Record of processing (GDPR, Article 30)"),
    (("--ai-act-12",), "Events of AI systems (EU AI Act, Article 12)"),
])
def test_each_report_is_a_page_that_prints(ledgers, tmp_path, view, title):
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    report("audit", "report", *ledgers, *view, "--sample", 1, "--out", page)
    words = Words()
    words.feed(page.read_text())
    assert title in words.words and "What this does not prove" in words.words and not words.foreign
    assert "E0" not in report("audit", "report", *ledgers, *view).stderr
    subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
         "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )
    assert pdf.read_bytes().startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) >= 1


def test_each_use_has_its_start_and_its_end(ledgers):
    munich, paris = ledgers
    uses = tables(munich, "--ai-act-12")["uses"]
    assert [row["ended"] for row in uses] == ["answered"] * 3 + ["refused or failed"] and tables(paris, "--ai-act-12")["uses"] == []
    for row in uses:
        start, end = (datetime.datetime.fromisoformat(row[at]) for at in ("start", "end"))
        assert datetime.timedelta(0) <= end - start < datetime.timedelta(seconds=30), row
    assert {(row["app"], row["model"], row["class"]) for row in uses[:3]} and len({row["request"] for row in uses}) == 4
    assert {row["by"] for row in uses} == {uses[0]["by"], ""} and uses[0]["by"] not in ("here", ""), uses


def test_nothing_is_reported_of_a_ledger_that_was_changed(ledgers, tmp_path):
    copy = tmp_path / "ledger"
    shutil.copytree(ledgers[0], copy)
    lines = copy / "ledger.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b'"bytes_out":', b'"bytes_out":1', 1))
    out = tmp_path / "report.html"
    refused = report("audit", "report", copy, "--out", out, check=False)
    assert refused.returncode == 1 and "E0801" in refused.stderr and not out.exists(), refused.stderr


def test_a_period_without_a_moment_is_refused(ledgers):
    for args in [("--from", "2026-12", "--to", "2026-11"), ("--from", "yesterday")]:
        refused = report("audit", "report", *ledgers, *args, check=False)
        assert refused.returncode == 2 and "2026-11" in refused.stderr, refused.stderr


def test_what_the_page_for_auditors_types_can_be_typed(ledgers, tmp_path):
    for site, ledger in zip(("munich", "paris"), ledgers):
        shutil.copytree(ledger, tmp_path / site)
    shutil.copy(ledgers[0] / "checkpoint", tmp_path / "checkpoint-of-january")
    (tmp_path / "policy.toml").write_text(EEA + AUDITORS)
    typed = [line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()]
    assert len(typed) >= 6
    for line in typed:
        program, *args = shlex.split(line, comments=True)
        program = {"hither": HITHER, "hither-ledger-verify": verifier()}[program]
        done = subprocess.run([program, *args], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_auditors_program_needs_nothing_of_the_machine(ledgers, tmp_path):
    # Nothing but the program and the ledger is to be seen where it runs, and there is no network.
    shutil.copy(verifier(), tmp_path / "verify")
    shutil.copytree(ledgers[0], tmp_path / "ledger")
    alone = ["unshare", "--map-root-user", "--net", "chroot", tmp_path, "/verify", "/ledger"]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "ok /ledger" in done.stdout, done.stderr
    lines = tmp_path / "ledger" / "ledger.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b"secret", b"public", 1))
    done = subprocess.run(alone, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "FAILED /ledger" in done.stderr, done.stdout
