"""Entries of the catalog that end: what has ended is refused where it ran a moment ago, a newer entry lets it be used again,
and an older one that somebody tells once more does not come back."""

import contextlib
import shutil

import pytest

from mesh import EEA, Node, wait_for

ECHO = "hither-stub 1\nkind=infer slots=4 length={length}\n"


@pytest.fixture
def sites():
    """Munich and paris, which may publish, and lyon, which may not."""
    with contextlib.ExitStack() as stack:
        munich, paris, lyon = (
            stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris", "lyon"]
        )
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        for node, roles in [(paris, "serve,request,publish"), (lyon, "serve,request")]:
            ticket = munich.json("invite", "--site", node.name, "--jurisdiction", "FR", "--roles", roles)["ticket"]
            node.up().run("join", ticket)
        yield munich, paris, lyon


def add(node, name, *options, length=10):
    path = node.data / f"{name}.stub"
    path.write_text(ECHO.format(length=length))
    return node.json("models", "add", path, "--name", name, *options)


def entry(node, name="fraud"):
    return next((model for model in node.view()["models"] if model["name"] == name), None)


def revision(node):
    return (entry(node) or {}).get("revision")


def stage(node, name="fraud"):
    return next((model["stage"] for model in node.view()["nodes"][0]["models"] if model["name"] == name), None)


def ask(node, name="fraud"):
    """How a request ends: its status, and the code of its error if it has one."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [2.5]}
    status, headers, _ = node.post(f"/v2/models/{name}/infer", {"inputs": [tensor]})
    return status, headers["x-hither-code"]


def hold(publisher, *others):
    """A model that some nodes have, and all of them answer."""
    assert add(publisher, "fraud")["revision"] == 0
    for node in others:
        wait_for(f"{node.name} knows it", lambda node=node: entry(node))
        node.run("models", "pull", "fraud")
    for node in (publisher, *others):
        wait_for(f"it is ready at {node.name}", lambda node=node: stage(node) == "ready")
        assert ask(node) == (200, None)


def test_what_has_ended_is_refused_everywhere_until_it_is_published_again(sites):
    munich, paris, lyon = sites
    hold(munich, paris)
    said = munich.run("models", "publish", "fraud", "--valid-for", "2s").stdout
    assert "revision 1, and ends at" in said, said
    for node in sites:
        wait_for(f"it has ended at {node.name}", lambda node=node: entry(node)["expired"])
        assert ask(node) == (410, "E0411")
        assert node.get("/v2/models/fraud/ready")[0] != 200
        for words in [["models", "pull", "fraud"], ["models", "rollout", "fraud", "fraud"]]:
            refused = node.run(*words, check=False)
            # Whoever may not publish hears that first.
            expected = "E0445" if node is lyon and "rollout" in words else "E0411"
            assert refused.returncode == 1 and expected in refused.stderr, refused.stderr
    refused = munich.run("models", "pull", "fraud", check=False).stderr
    assert "ended" in refused and "hither models publish fraud --valid-for 90d" in refused
    assert all(stage(node) == "stored" for node in (munich, paris)), "the engines are closed, and the files kept"
    listed = paris.run("models", "ls").stdout
    assert "not used" in listed and "its entry in the catalog has expired" in listed, listed
    assert "revision 1, expired" in paris.run("models", "show", "fraud").stdout
    assert any("hither models publish fraud" in warning for warning in paris.view()["warnings"])
    # A node that is started anew does not open it, either.
    paris.kill()
    paris.up()
    assert (ask(paris), stage(paris)) == ((410, "E0411"), "stored")

    refused = lyon.run("models", "publish", "fraud", "--no-end", check=False)
    assert refused.returncode == 1 and "E0445" in refused.stderr and "role publish" in refused.stderr
    assert "E0401" in paris.run("models", "publish", "nothing", "--no-end", check=False).stderr
    refused = paris.run("models", "publish", "fraud", check=False)
    assert refused.returncode == 1 and "E0411" in refused.stderr, "what has ended needs another end"
    words = ["--valid-for", "1d", "--no-end"]
    assert paris.run("models", "publish", "fraud", *words, check=False).returncode == 2, "only one of the two"

    # Any member that may publish gives it another end.
    paris.run("models", "publish", "fraud", "--valid-for", "90d")
    for node in (munich, paris):
        wait_for(f"it is ready again at {node.name}", lambda node=node: stage(node) == "ready")
        assert ask(node) == (200, None)
    assert "expires in 89 days" in munich.run("models", "ls").stdout
    lyon.run("models", "pull", "fraud")
    wait_for("lyon has it", lambda: stage(lyon) == "ready")
    munich.run("models", "publish", "fraud", "--no-end")
    for node in sites:
        wait_for(f"{node.name} knows that it has no end", lambda node=node: "expires_unix_ms" not in entry(node))
    assert {(entry(node)["revision"], entry(node)["publisher"]) for node in sites} == {
        (3, munich.view()["me"]["node"])
    }
    assert "no end" in lyon.run("models", "show", "fraud").stdout


def test_an_older_entry_that_is_told_again_does_not_come_back(sites):
    munich, paris, lyon = sites
    hold(munich, paris)
    kept = paris.data / "catalog.kept"
    shutil.copy(paris.data / "catalog", kept)
    munich.run("models", "publish", "fraud", "--valid-for", "2s")
    wait_for("it has ended at paris", lambda: entry(paris)["expired"])
    paris.kill()
    munich.kill()
    # Paris comes back with what it knew before, and tells lyon so, which knows better.
    shutil.copy(kept, paris.data / "catalog")
    paris.up()
    wait_for("paris has heard of the newer entry", lambda: revision(paris) == 1)
    assert revision(lyon) == 1 and entry(lyon)["expired"]
    wait_for("paris has left it", lambda: ask(paris) == (410, "E0411"))
    munich.up()
    wait_for("munich sees paris", lambda: all(node["presence"] != "gone" for node in munich.view()["nodes"]))
    assert [revision(node) for node in sites] == [1, 1, 1]
    assert ask(munich) == (410, "E0411")


def test_a_model_is_added_with_an_end_and_may_be_added_again_with_another(sites):
    munich, paris, _ = sites
    added = add(munich, "fraud", "--valid-for", "1h")
    assert (added["revision"], added["expired"], added["signed_by"]) == (0, False, "")
    assert add(munich, "fraud")["expires_unix_ms"] == added["expires_unix_ms"], "nothing was said of another end"
    again = add(munich, "fraud", "--valid-for", "2s")
    assert again["revision"] == 1
    wait_for("it has ended at paris", lambda: entry(paris) and entry(paris)["expired"])
    path = munich.data / "fraud.stub"
    refused = munich.run("models", "add", path, "--name", "fraud", check=False)
    assert refused.returncode == 1 and "E0411" in refused.stderr
    assert add(munich, "fraud", "--valid-for", "1h")["revision"] == 2
    wait_for("paris may use it again", lambda: not entry(paris)["expired"])
    refused = munich.run("models", "add", path, "--name", "other", "--valid-for", "1h", check=False)
    assert refused.returncode == 1 and "E0432" in refused.stderr
    for wrong in ["0s", "90", "200000d"]:
        refused = munich.run("models", "publish", "fraud", "--valid-for", wrong, check=False)
        assert refused.returncode != 0 and entry(munich)["revision"] == 2, refused.stderr


def orphaned(node):
    return [text for text in node.view()["warnings"] if text.startswith("orphaned")]


def test_a_model_outlives_the_membership_of_its_publisher(sites):
    munich, paris, lyon = sites
    hold(paris, munich)
    add(paris, "risk", length=12)
    add(paris, "fraud:2", length=13)
    paris.run("models", "rollout", "fraud", "fraud:2")
    for node in (munich, lyon):
        wait_for(f"{node.name} knows all", lambda node=node: entry(node, "risk") and node.view()["rollouts"])
    assert not any("orphaned" in warning for warning in munich.view()["warnings"])
    munich.run("member", "revoke", paris.view()["me"]["node"])
    for node in (munich, lyon):
        wait_for(f"{node.name} says so", lambda node=node: len(orphaned(node)) == 2)
        assert any("and so it is with 2 more" in text for text in orphaned(node)), orphaned(node)
        assert any("hither models rollout fraud fraud:2" in text for text in orphaned(node)), orphaned(node)
        assert ask(node) == (200, None), "what it published is used all the same"
    with contextlib.closing(Node("rome", EEA)) as rome:
        rome.up().run("join", munich.json("invite", "--site", "rome", "--jurisdiction", "IT")["ticket"])
        wait_for("rome sees all", lambda: len(rome.view()["nodes"]) == 3)
        # What is told after the join comes after what is told with it.
        add(munich, "other", length=11)
        wait_for("rome hears what others publish", lambda: entry(rome, "other"))
        assert entry(rome) is None and rome.view()["rollouts"] == []
        for name in ["fraud", "fraud:2"]:
            said = munich.run("models", "publish", name).stdout
            assert "revision 1, and has no end" in said, said
        munich.run("models", "rollout", "fraud", "fraud:2")
        # Whoever never heard of it and adds the same file takes it over as well.
        assert add(rome, "risk", length=12)["revision"] == 0
        wait_for("rome hears of all", lambda: revision(rome) == 1 and entry(rome, "fraud:2") and rome.view()["rollouts"])
        assert rome.view()["rollouts"][0]["state"] == "whole"
        keys = {node.name: node.view()["me"]["node"] for node in (munich, rome)}
        for node in (munich, lyon, rome):
            wait_for(f"{node.name} is content", lambda node=node: orphaned(node) == [])
            assert (revision(node), entry(node)["publisher"]) == (1, keys["munich"])
            assert entry(node, "risk")["publisher"] == keys["rome"]
        # Records are written together, a moment later.
        told = lambda: rome.run("ledger", "show", rome.data / "ledger").stdout.count("model.publish")
        wait_for("each entry is on the record", lambda: told() == 4)
