"""Models on their way between real nodes."""

import contextlib
import pathlib
import random
import signal
import subprocess
import time

from mesh import EEA, HITHER, LANGUAGE_MODEL, Node, chat, size_of, wait_for

NAME = "smollm2-135m"


@contextlib.contextmanager
def mesh(*names):
    """Sites that know each other and a model, which only the first has."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in names]
        first, *others = nodes
        first.run("init", "--site", names[0], "--jurisdiction", "DE", "--operator", "acme")
        first.up()
        for node in others:
            ticket = first.json("invite", "--site", node.name, "--jurisdiction", "FR")["ticket"]
            node.up().run("join", ticket)
        first.run("models", "add", LANGUAGE_MODEL, "--name", NAME)
        for node in others:
            wait_for(f"{node.name} knows the model", lambda node=node: stage(node) is not None)
        yield nodes


def stage(node):
    """How far the model is at a node; `None` if it is not known there."""
    view = node.view()
    if all(model["name"] != NAME for model in view["models"]):
        return None
    return next((model["stage"] for model in view["nodes"][0]["models"] if model["name"] == NAME), "absent")


def is_here(node):
    return stage(node) not in (None, "absent", "wanted", "fetching")


def chunks_sent(node):
    """Bytes that went over the wire as chunks, words about them included."""
    line = 'hither_wire_bytes_total{kind="chunks",direction="sent"} '
    said = node.get("/metrics")[1].decode().splitlines()
    return next(int(text.removeprefix(line)) for text in said if text.startswith(line))


def test_whoever_fetches_a_model_gives_it_at_the_same_time():
    size = LANGUAGE_MODEL.stat().st_size
    with mesh("munich", "paris", "lyon", "nantes") as (munich, *others):
        for node in others:
            node.run("models", "pull", NAME)
        for node in others:
            wait_for(f"{node.name} has the model", lambda node=node: is_here(node), 120)
        by_holder, by_others = chunks_sent(munich), sum(chunks_sent(node) for node in others)
        assert by_holder >= size, "somebody had to give each chunk once"
        assert by_holder + by_others >= 3 * size, "three copies came"
        assert by_others >= size // 2, f"{by_others} of {3 * size} bytes came from those who fetched it themselves"
        wait_for("the model answers", lambda: chat(others[-1])[0] == 200, 120)


def test_a_node_that_is_killed_while_it_fetches_goes_on_where_it_was():
    chance = random.Random(7)
    with mesh("munich", "paris") as (_, paris):
        for _ in range(4):
            paris.run("models", "pull", NAME)
            least = chance.random()
            with contextlib.suppress(AssertionError):
                wait_for("some of it is here", lambda least=least: came(paris) >= least or is_here(paris), 5)
            paris.kill()
            paris.up()
            wait_for("the model is known", lambda: stage(paris) is not None)
        if not is_here(paris):
            paris.run("models", "pull", NAME)
        wait_for("the model is here", lambda: is_here(paris), 120)
        wait_for("the model answers", lambda: chat(paris)[0] == 200, 120)


def test_a_disk_that_fills_up_on_the_way_keeps_what_is_good_and_goes_on_when_there_is_room():
    megabytes = LANGUAGE_MODEL.stat().st_size // 10**6 + 8
    with contextlib.ExitStack() as stack:
        munich, paris = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"]]
        munich.run("init", "--site", "munich", "--jurisdiction", "DE", "--operator", "acme")
        munich.up()
        munich.run("models", "add", LANGUAGE_MODEL, "--name", NAME)
        paris.up_with_small_disk("models", megabytes)
        paris.run("join", munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"])
        wait_for("paris knows the model", lambda: stage(paris) is not None)
        # The disk as the process sees it.
        disk = pathlib.Path(f"/proc/{paris.process.pid}/root{paris.data}/models")
        filler = disk / "filler"
        blocks = lambda: sum(path.stat().st_blocks * 512 for path in disk.glob("partial/*.data"))
        pull = subprocess.Popen(
            [HITHER, "--data", paris.data, "models", "pull", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Looked at without a pause: the file comes within a second.
        until = time.monotonic() + 60
        while blocks() < 4 << 20:
            assert time.monotonic() < until, "nothing of the file comes"
        paris.signal(signal.SIGSTOP)
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass
        good = blocks()
        assert good < LANGUAGE_MODEL.stat().st_size * 9 // 10, "it was all here before the disk was full"
        paris.signal(signal.SIGCONT)
        pull.wait(60)
        wait_for("paris says why", lambda: any("no room on the disk" in text for text in paris.view()["warnings"]))
        assert not is_here(paris)
        assert chat(paris)[0] == 200, "the other answers all the same"
        before = received(paris)
        filler.unlink()
        paris.run("models", "pull", NAME)
        wait_for("the model is here", lambda: is_here(paris), 120)
        again = received(paris) - before
        assert again < LANGUAGE_MODEL.stat().st_size * 11 // 10 - good // 2, f"{again} bytes came again, {good} were here"
        whole, = disk.glob("complete/*.data")
        assert whole.read_bytes() == LANGUAGE_MODEL.read_bytes()


def received(node):
    """Bytes that came over the wire as chunks."""
    line = 'hither_wire_bytes_total{kind="chunks",direction="received"} '
    said = node.get("/metrics")[1].decode().splitlines()
    return next(int(text.removeprefix(line)) for text in said if text.startswith(line))


def came(node):
    """The part of the file that is on the disk of a node, roughly."""
    halves = (node.data / "models/partial").glob("*.data")
    return sum(size_of(path) for path in halves) / LANGUAGE_MODEL.stat().st_size
