"""A ledger's disk that is full at any moment: nothing leaves without a record, the record is whole, and what it lacks is counted.

`HITHER_FULL=200` fills it so often; a dozen times is for every day. Now and then the node is killed while the disk is full, in the
middle of a group if that can be had, and is started and killed again before there is room. The seed is printed, and `HITHER_SEED`
draws the same again.
"""

import collections
import concurrent.futures
import contextlib
import errno
import http.client
import json
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error

from mesh import EEA, ROOT, Node, wait_for

FULL = int(os.environ.get("HITHER_FULL", "12"))
PAGE = os.sysconf("SC_PAGE_SIZE")
# More than is written between two times that it is full.
ROOM = 1 << 20
# What is offered and then refused keeps a slot for a second: there are always more.
STUB = "hither-stub 1\nkind=infer prefill_us=200 slots=10000 context={context}\n"
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}]}
# As long as the machine may hang: what is asked here is where an answer came from, and not when.
PATIENT = {"x-hither-timeout-ms": "60000"}

# Kills a node with part of a group in its ledger. The node gets what is left of the processor that this runs on: whenever this looks,
# the node stands still, and what is seen of a group is all that will ever be there of it. If none is seen, it is killed all the same.
KILL_IN_A_GROUP = """
import contextlib, os, sys, time
file, pid = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
here = {min(os.sched_getaffinity(0))}
os.sched_setaffinity(0, here)
for thread in map(int, os.listdir(f"/proc/{pid}/task")):
    with contextlib.suppress(ProcessLookupError):
        os.sched_setaffinity(thread, here)
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
least = os.fstat(file).st_size
for _ in range(2_000):
    time.sleep(0.00005)
    size = os.fstat(file).st_size
    if size > least:
        break
    least = size
os.kill(pid, 9)
"""

Answer = collections.namedtuple("Answer", "model status code by request asked got")


def ask(node, disk, model="far"):
    asked = disk.time
    status, headers, _ = node.post(f"/v2/models/{model}/infer", BODY, PATIENT)
    said = [headers.get(f"x-hither-{name}") for name in ("code", "served-by", "request")]
    return Answer(model, status, *said, asked, disk.time)


def is_refused(answer):
    return (answer.status, answer.code) == (503, "E0505")


class Disk:
    """A small disk in the place of a folder, which only a keeper and whoever it lets in see. It outlives who is killed there."""

    def __init__(self, folder, megabytes):
        folder.mkdir()
        mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "{folder}" && echo there && exec cat'
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
        self.keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"there\n"
        self.folder = pathlib.Path(f"/proc/{self.keeper.pid}/root{folder}")
        self.within = [
            "nsenter", f"--target={self.keeper.pid}", "--user", "--mount", "--preserve-credentials", f"--wd={folder.parent}",
        ]
        self.filler = open(self.folder / "filler", "wb", buffering=0)
        # Odd while it is full, or about to be; each time has a number of its own.
        self.time = 0
        self.leave(ROOM)

    def fill(self, pages=0):
        """Takes everything but some pages, within which a group is torn: where, the length of the ledger says."""
        self.time += self.time % 2 == 0
        self.leave(pages * PAGE)

    def free(self):
        self.leave(ROOM)
        self.time += self.time % 2 == 1

    def leave(self, room):
        while True:
            there, seen = os.fstat(self.filler.fileno()).st_size, os.statvfs(self.folder)
            size = there + seen.f_bavail * seen.f_frsize - room
            if size <= there:
                return self.filler.truncate(size)
            try:
                return os.posix_fallocate(self.filler.fileno(), there, size - there)
            except OSError as error:
                # The node took some of it meanwhile.
                assert error.errno == errno.ENOSPC, error

    def kill_in_a_group(self, process):
        words = [sys.executable, "-ISc", KILL_IN_A_GROUP, self.folder / "ledger.jsonl", str(process.pid)]
        subprocess.run(words, check=True, timeout=60)

    def close(self):
        self.filler.close()
        self.keeper.communicate(timeout=60)


class Book:
    """What a ledger has signed: read line by line, each once."""

    def __init__(self, folder):
        self.folder, self.records, self.file, self.offset = folder, 0, 0, 0
        # By request, attempt, origin and target: bytes.
        self.intents, self.accepted = {}, {}
        self.kinds, self.dropped = collections.Counter(), collections.Counter()

    def read(self):
        signed = int((self.folder / "checkpoint").read_text().splitlines()[1])
        files = [*sorted(self.folder.glob("ledger-*.jsonl")), self.folder / "ledger.jsonl"]
        while self.records < signed:
            with open(files[self.file], "rb") as lines:
                lines.seek(self.offset)
                while self.records < signed and (line := lines.readline()):
                    self.take(json.loads(line))
                    self.offset += len(line)
            if self.records < signed:
                self.file, self.offset = self.file + 1, 0
        return self

    def take(self, record):
        assert record["seq"] == self.records, "a record is missing"
        self.records += 1
        kind = record["kind"]
        self.kinds[kind] += 1
        if kind == "egress.intent":
            self.intents[record["req"], record["attempt"], record["node"], record["place"]["node"]] = record["bytes_out"]
        elif kind == "ingress.accept":
            self.accepted[record["req"], record["attempt"], record["place"]["node"], record["node"]] = record["bytes_in"]
        elif kind == "gap":
            assert record["dropped"] == sum(record["kinds"].values()) > 0, record
            self.dropped.update(record["kinds"])


class Askers:
    """Threads that ask one thing after the other until they are told to end, or the node is gone."""

    def __init__(self, node, disk, answers):
        self.node, self.disk, self.answers, self.going = node, disk, answers, True
        self.threads = [threading.Thread(target=self.go, args=(model,), daemon=True) for model in ["far"] * 4 + ["near"]]
        for thread in self.threads:
            thread.start()

    def go(self, model):
        with contextlib.suppress(OSError, urllib.error.URLError, http.client.HTTPException, ValueError):
            while self.going:
                self.answers.put(ask(self.node, self.disk, model))

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()


class Play:
    """munich has what paris asks for; paris has a small disk for its ledger."""

    def __init__(self, munich, paris, disk, draw):
        self.munich, self.paris, self.disk, self.draw = munich, paris, disk, draw
        self.came, self.left = Book(munich.data / "ledger"), Book(disk.folder)
        self.answers, self.answered, self.refused, self.counted = queue.Queue(), set(), 0, 0
        self.kills = 0

    def hear(self, answer):
        """Whether an answer is one that may be given."""
        if answer.model == "near":
            assert (answer.status, answer.by) == (200, "paris"), f"what is answered here waits for no disk: {answer}"
        elif answer.status == 200:
            assert answer.by == "munich", answer
            self.answered.add(answer.request)
        else:
            assert is_refused(answer), answer
            assert answer.asked % 2 == 1 or answer.asked != answer.got, f"there was room all the time: {answer}"
            self.refused += 1
        return answer

    def next(self):
        for _ in range(120):
            with contextlib.suppress(queue.Empty):
                return self.hear(self.answers.get(timeout=1))
            assert self.paris.process.poll() is None, f"paris ended:\n{self.paris.tail()}"
        raise AssertionError("nobody is answered")

    def until(self, count, is_one):
        """Hears answers until some of a kind came."""
        while count:
            count -= is_one(self.next())

    def until_refused(self, count):
        """Hears answers until some were refused in a row. What room is found in between is taken."""
        left = count
        while left:
            answer = self.next()
            if answer.model == "far" and not is_refused(answer):
                self.disk.fill()
                left = count
            left -= is_refused(answer)

    def full_once(self):
        """The disk is full at some moment, for a while."""
        draw, disk = self.draw, self.disk
        askers = self.askers()
        self.until(draw.randrange(1, 40), lambda answer: answer.model == "far")
        disk.fill(draw.randrange(4))
        self.until(draw.randrange(1, 20), is_refused)
        disk.fill()
        # Most of the time not for long; who counts what is refused has to count far.
        self.until_refused(draw.choice([1, 10, 100, 1000]))
        self.until(1, lambda answer: answer.model == "near" and answer.asked == answer.got == disk.time)
        if draw.random() < 0.4:
            askers = self.killed(askers)
        disk.free()
        askers = askers or self.started()
        self.until(draw.randrange(1, 10), lambda answer: answer.by == "munich" and answer.asked == disk.time)
        askers.end()
        self.hear_the_rest()

    def killed(self, askers):
        """Kills it, and again as often as it is started before there is room. Gives who asks the last one, if it still runs."""
        while True:
            assert self.paris.process.poll() is None, self.paris.tail()
            if self.draw.random() < 0.8:
                self.disk.kill_in_a_group(self.paris.process)
            self.paris.kill()
            assert self.paris.process.wait(60) == -signal.SIGKILL
            self.kills += 1
            askers.end()
            self.hear_the_rest()
            if self.draw.random() < 0.3:
                return None
            askers = self.started()
            self.until_refused(self.draw.randrange(1, 20))
            if self.draw.random() < 0.3:
                return askers

    def started(self):
        self.paris.up(self.disk.within)
        wait_for("munich is known again", self.reaches)
        return self.askers()

    def reaches(self):
        """Whether paris sees munich, be it to be told that nothing leaves."""
        answer = ask(self.paris, self.disk)
        return self.hear(answer) if answer.status == 200 or is_refused(answer) else None

    def askers(self):
        return Askers(self.paris, self.disk, self.answers)

    def hear_the_rest(self):
        while not self.answers.empty():
            self.next()

    def look(self):
        """What must hold at any time, by both ledgers."""
        for node in [self.munich, self.paris]:
            assert node.process.poll() is None, node.tail()
        # What waits to be written is before this one.
        assert self.hear(ask(self.paris, self.disk)).status == 200
        self.compare()
        dropped = self.left.dropped["egress.intent"] - self.counted
        assert dropped >= self.refused, f"{self.refused} were refused, and gaps count {dropped}"
        self.refused, self.counted = 0, self.counted + dropped
        for book in [self.came, self.left]:
            self.munich.run("ledger", "verify", book.folder)

    def compare(self):
        # First what came, then what was signed before it left.
        accepted, intents = self.came.read().accepted, self.left.read().intents
        for key, came in accepted.items():
            assert intents.get(key) == came, f"{key}: {came} bytes came, and {intents.get(key)} were to leave"
        missing = self.answered - {request for request, *_ in intents}
        assert not missing, missing

    def end(self):
        for node in [self.munich, self.paris]:
            node.signal(signal.SIGTERM)
            assert node.process.wait(60) == 0, node.tail()
        self.compare()
        # Where it is searched for what was sent.
        shutil.copytree(self.disk.folder, self.paris.data / "copy", ignore=shutil.ignore_patterns("filler"))
        for folder in [self.munich.data / "ledger", self.paris.data / "copy"]:
            self.munich.run("ledger", "verify", folder)
            script(folder)


def script(folder):
    done = subprocess.run([ROOT / "scripts/verify-ledger", folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def play(draw):
    with contextlib.ExitStack() as stack:
        munich, paris = [stack.enter_context(contextlib.closing(Node(name, EEA))) for name in ["munich", "paris"]]
        disk = stack.enter_context(contextlib.closing(Disk(paris.data / "ledger", 4 + FULL // 2)))
        munich.run("init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme")
        munich.up()
        paris.up(disk.within)
        paris.run("join", munich.json("invite", "--site", "paris", "--jurisdiction", "FR")["ticket"])
        for context, (node, model) in enumerate([(munich, "far"), (paris, "near")], 5000):
            stub = node.data / f"{model}.stub"
            stub.write_text(STUB.format(context=context))
            node.run("models", "add", stub, "--name", model)
        made = Play(munich, paris, disk, draw)
        wait_for("paris answers itself", lambda: ask(paris, disk, "near").status == 200)
        wait_for("munich answers for paris", made.reaches)
        yield made
        made.end()


def test_nothing_leaves_without_a_record_whenever_the_disk_is_full_and_the_record_counts_what_it_lacks():
    seed = int(os.environ.get("HITHER_SEED") or random.randrange(1 << 32))
    print(f"HITHER_SEED={seed}")
    with play(random.Random(seed)) as made:
        for time in range(FULL):
            made.full_once()
            made.look()
            if time % 10 == 9:
                script(made.disk.folder)
    left, came = made.left, made.came
    print(f"{made.kills} kills; {dict(left.kinds)}; dropped {dict(left.dropped)}; {len(came.accepted)} came")


def test_what_is_refused_is_refused_a_thousand_times_and_the_node_lives_on():
    with play(random.Random(1)) as made:
        for _ in range(20):
            assert made.hear(ask(made.paris, made.disk)).status == 200
        made.disk.fill()
        wait_for("nothing leaves", lambda: is_refused(made.hear(ask(made.paris, made.disk))) or made.disk.fill())
        # It says nothing of itself meanwhile, and after a while it is not asked.
        made.munich.signal(signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda _: ask(made.paris, made.disk).status, range(1000))
            assert set(answers) == {503}, made.paris.tail()
        made.munich.signal(signal.SIGCONT)
        made.disk.free()
        wait_for("data leave again", lambda: ask(made.paris, made.disk).status == 200)
        made.look()
