"""Records that the law does not want kept any longer: a running node deletes them, and everybody who reads is told."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess

import old_records
from mesh import EEA, HITHER, ROOT, Node, wait_for
from old_records import ago, denied, first_transfer, left, started

VERIFIER = ROOT / "scripts" / "verify-ledger"
AUDITOR = pathlib.Path(HITHER).with_name("hither-ledger-verify")

# The policy of the site: a year for what comes from India.
POLICY = EEA + "\n[retention]\ndefault = 184\nIN = 366\n"


def typed(*args, code=0):
    """Types a command; gives what it says."""
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_a_node_deletes_what_is_too_old_and_says_so_everywhere(tmp_path):
    with contextlib.closing(Node("munich", POLICY)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        old_records.write(munich.data, [
            [denied(400), denied(400, "IN")],   # both periods are over
            [denied(300), denied(300, "IN")],   # only that of one of its two origins
            [denied(200), denied(200)],         # over
            [denied(100)],                      # young
        ])
        ledger = munich.data / "ledger"
        files = sorted(path.name for path in ledger.iterdir())
        first, second, third, fourth = (f"ledger-{number:020}" for number in (0, 2, 4, 6))
        kept = tmp_path / "kept"
        shutil.copy(ledger / "checkpoint", kept)
        assert "7 records, unchanged and signed" in typed(VERIFIER, ledger)

        looked = munich.json("ledger", "prune", "--dry-run")
        assert [(gone["first"], gone["count"], gone["days"]) for gone in looked["expired"]] == [(0, 2, 366), (4, 2, 184)]
        assert "the longest period" in munich.run("ledger", "prune", "--dry-run").stdout
        assert sorted(path.name for path in ledger.iterdir()) == files, "looking changes nothing"

        munich.up()
        wait_for("both are gone", lambda: not any((ledger / f"{name}.jsonl").exists() for name in (first, third)))
        assert (ledger / f"{second}.jsonl").exists() and (ledger / f"{fourth}.jsonl").exists()
        assert "secret" not in (ledger / f"{first}.hashes").read_text()
        running = munich.run("ledger", "prune", check=False)
        assert running.returncode == 1 and "E0811" in running.stderr and "by itself" in running.stderr, running.stderr
        assert not [text for text in munich.view()["warnings"] if "audit-damaged" in str(text)]
        munich.signal(signal.SIGTERM)
        assert munich.process.wait(60) == 0

        whole = munich.json("ledger", "verify", ledger)
        assert [(gone["first"], gone["count"], gone["days"]) for gone in whole["deleted"]] == [(0, 2, 366), (4, 2, 184)]
        assert whole["deleted"][0]["origins"] == ["DE", "DE-BY", "IN"] and whole["kinds"]["retention.delete"] == 2
        shown = munich.json("ledger", "show", ledger)
        assert shown["deleted"] == 4 and [record["seq"] for record in shown["records"]][:3] == [2, 3, 6]
        assert "were deleted by retention" in munich.run("ledger", "show", ledger).stdout
        report = json.loads(typed(HITHER, "--json", "audit", "report", ledger))
        assert any("Deleted by retention" in text and "records 0 to 1" in text for text in report["lead"]), report["lead"]

        assert f"{whole['signed']} records, unchanged and signed" in typed(VERIFIER, ledger)
        told = typed(VERIFIER, ledger)
        assert "records 0 to 1 were deleted" in told and "records 4 to 5 were deleted" in told
        if AUDITOR.exists():
            told = typed(AUDITOR, "--since", kept, ledger)
            assert "the 7 records of the checkpoint kept are there, unchanged, but for those deleted" in told

        # The same without a record of it is damage, for everybody.
        for name, changed in damaged(ledger, tmp_path):
            assert "verify-ledger:" in typed(VERIFIER, changed, code=1), name
            assert "E0801" in typed(HITHER, "ledger", "verify", changed, code=1), name
        shutil.move(ledger / f"{second}.jsonl", tmp_path / "taken")
        munich.up()
        assert [text for text in munich.view()["warnings"] if "audit-damaged" in str(text)], "it was not noticed"


def damaged(ledger, tmp_path):
    """Copies of a ledger, each with another file that is missing or changed."""
    for path in sorted(ledger.glob("ledger*.*s*")):
        for what in ("missing", "changed", "cut"):
            copy = tmp_path / f"{path.name}-{what}"
            shutil.copytree(ledger, copy)
            data = bytearray(path.read_bytes())
            if what == "missing":
                (copy / path.name).unlink()
            elif what == "changed":
                data[len(data) // 2] ^= 1
                (copy / path.name).write_bytes(data)
            else:
                (copy / path.name).write_bytes(data[: len(data) // 2])
            yield copy.name, copy


def test_a_node_that_does_not_run_can_be_pruned_by_hand(tmp_path):
    with contextlib.closing(Node("munich", POLICY)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        old_records.write(munich.data, [[denied(200)], [denied(100)]])
        ledger = munich.data / "ledger"
        said = munich.run("ledger", "prune").stdout
        assert "1 records in 1 closed segments were deleted; 1 segments stay" in said, said
        assert not (ledger / "ledger-00000000000000000000.jsonl").exists()
        assert "3 records, unchanged and signed" in typed(VERIFIER, ledger)
        assert munich.json("ledger", "prune")["expired"] == []


def test_when_data_first_went_to_a_country_is_known_after_its_records_are_deleted(tmp_path):
    with contextlib.closing(Node("munich", POLICY)) as munich:
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        lists = {"kind": "bloc.change", "ts": ago(300), "mono_ms": 1, "policy": "b3:" + "00" * 32, "day": ago(300)[:10],
                 "count": 1, "lists": ["-our-adequate/US"]}
        old = [started(300), lists, first_transfer(300, "VN"), *left(300, "VN"), *left(299, "KR")]
        old_records.write(munich.data, [old, [*left(100, "VN"), *left(100, "KR"), first_transfer(90, "FR"), *left(90, "FR")]])
        ledger = munich.data / "ledger"
        oldest = json.loads((ledger / "ledger-00000000000000000000.jsonl").read_text().splitlines()[3])["ts"]
        said = lambda: {row["to"]: (row["when"], row["known_by"]) for row in
                        json.loads(typed(HITHER, "--json", "audit", "report", ledger))["tables"]["first"]}
        whole = said()
        assert whole["VN"] == (oldest, "the transfer itself") and not any("before" in when for when, _ in whole.values())
        munich.run("ledger", "prune")
        stays = (ledger / "ledger-00000000000000000000.hashes").read_text().splitlines()
        assert [json.loads(line)["kind"] for line in stays if line.startswith("{")] == ["config.start", "bloc.change", "first_transfer"]
        # Vietnam counts sixty days from it: it must not move to what happens to be left.
        pruned = said()
        assert pruned["VN"] == (oldest, "first_transfer")
        # Of Korea nobody wrote that it was the first, and what was older is gone.
        assert pruned["KR"][0].startswith("on or before ") and pruned["KR"][0].endswith(whole_of(ledger, "KR")), pruned
        assert pruned["FR"] == (whole["FR"][0], "first_transfer")
        assert "records, unchanged and signed" in typed(VERIFIER, ledger)
        typed(HITHER, "audit", "report", ledger, "--transfers", "--out", tmp_path / "register.html")
        assert f"on or before <span>{pruned['KR'][0][13:23]}</span> " in (tmp_path / "register.html").read_text()


def whole_of(ledger, country):
    """When payload was permitted to leave for a country, by the oldest record that is there."""
    lines = [line for path in sorted(ledger.glob("*.jsonl")) for line in path.read_text().splitlines()]
    records = [json.loads(line) for line in lines]
    return next(record["ts"] for record in records if record["kind"] == "egress.intent" and record["place"]["jur"] == country)
