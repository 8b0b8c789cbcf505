"""Real nodes on machines out of network namespaces: a few rows of the lab and a small mesh, as `cargo xtask` plays them.

A machine that lets no such network be made fails here, and says what is missing. `HITHER_WITHOUT_LAB=1` goes without."""

import os
import subprocess

import pytest

from mesh import HITHER, ROOT

WITHOUT = "HITHER_WITHOUT_LAB"


def xtask(*words):
    """Runs a chore and gives what it said."""
    if os.environ.get(WITHOUT):
        pytest.skip(f"{WITHOUT} is set: nothing was played on this machine")
    command = ["cargo", "run", "--release", "--locked", "--quiet", "--package", "xtask", "--", *words, "--hither", HITHER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    said = done.stdout + done.stderr
    assert done.returncode == 0, (
        f"{' '.join(words)} failed. `scripts/setup test` installs what the lab needs; where the system lets no namespaces or "
        f"TUN devices be made, {WITHOUT}=1 goes without.\n{said}"
    )
    return said


@pytest.mark.parametrize("row", ["4", "J1"])
def test_a_row_of_the_lab_holds_and_fails_when_it_is_broken(row):
    """A site that is cut off goes on and is found again; a member that is started again serves as before."""
    assert f"row-{row}: held" in xtask("lab", "--quick", "--row", row)
    assert f"row-{row}-broken: did not hold" in xtask("lab", "--quick", "--broken", "--row", row)


def test_nodes_that_die_and_come_back_leave_no_ghosts():
    said = xtask("mesh", "--quick", "--part", "churn")
    ghosts = next(line for line in said.splitlines() if "showed a ghost" in line)
    assert "| met |" in ghosts, said
