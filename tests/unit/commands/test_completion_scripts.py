"""The completion scripts, by the shells that read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.commands.arguments import COMMANDS, SHELLS
from agent.commands.parsers import parser
from agent.commands.talk import completion


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_names_every_command_and_can_be_read_by_its_shell(shell: str, tmp_path: Path) -> None:
    script = completion(parser(), shell)
    assert all(name in script for name in COMMANDS)
    assert "--selector" in script
    assert "--event-budget-pod" in script, "of run"
    file = tmp_path / "completion"
    file.write_text(script)
    found = shutil.which(shell)
    if found is None:
        pytest.fail(f"{shell} is missing: apt-get install {shell}")
    subprocess.run([found, "-n", str(file)], check=True)


def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(completion(parser(), "bash"))
    cases = {"oomward hi": "history", "oomward ps --sort-by us": "usage", "oomward history --si": "--since"}
    for typed, wanted in cases.items():
        words = typed.split()
        array = " ".join(f"'{word}'" for word in words)
        line = f"source {tmp_path}/completion; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE='{typed}'; "
        line += "COMP_POINT=${#COMP_LINE}; f=$(complete -p oomward | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f oomward; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert wanted in done.stdout.split(), (typed, done.stdout, done.stderr)
