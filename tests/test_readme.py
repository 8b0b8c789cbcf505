"""What the README tells people to type exists."""

import re
import subprocess

from mesh import HITHER, ROOT

README = (ROOT / "README.md").read_text()


def typed():
    """The commands of the shell blocks, without what follows a #."""
    for block in re.findall(r"```sh\n(.*?)```", README, re.S):
        for line in block.splitlines():
            command = line.split("  #")[0].strip()
            if command:
                yield command.split()


def test_each_command_of_the_readme_is_known():
    commands = list(typed())
    assert len(commands) > 8
    for words in commands:
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), words
            continue
        assert words[0] == "hither", words
        names = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
        # Of two words the second may be an argument: `run MODEL`.
        helped = [subprocess.run([HITHER, *names[:n], "--help"], capture_output=True).returncode for n in (2, 1)]
        assert 0 in helped, words


def test_each_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 3
    for link in links:
        assert (ROOT / link).exists(), link
