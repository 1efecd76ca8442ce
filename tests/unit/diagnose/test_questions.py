"""The questions in docs/questions.md are answered by the command, and have its own output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.diagnose.write_questions import PAGE, answer, files, page

RIGHT = {
    "crash-loop-after-a-clean-exit": r"ended with code 0.*back-off 1 min 20 s.*a Job or CronJob: pods of ReplicationController updater",
    "evicted-and-completed": r"Evicted \(evicted-disk\).*ReplicaSet web-6c9f7d5b8 creates another pod.*used only 4Ki",
    "exit-137-without-oom": r"SIGKILL \(exit code 137\) without an OOM kill: most likely its liveness or startup probe failed",
    "image-for-another-processor": r"no variant for this node's processor",
    "key-of-a-secret": r"needs key network of Secret kube-system/hcloud.*the kubelet then continues",
    "oomkilled-after-a-drain": r"asked to stop \(SIGTERM, exit code 143\)",
    "oomkilled-with-exit-code-0": r"ended with code 0; the runtime says OOMKilled too.*ReplicaSet web-6c9f7d5b8 creates another pod",
    "out-of-memory-by-the-hundred": r"9\.3Gi requested, 18\.9Gi of 23\.3Gi used.*let the scheduler choose",
    "pending-with-free-memory": r"3 of 12 nodes have too little memory.*the sum of requests on a node, not its usage",
    "user-with-a-name": r"the user name nobody instead of a number.*numeric USER",
}


def test_the_page_has_the_commands_own_output() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.unit.diagnose.write_questions"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_each_question_has_its_right_answer(path: Path) -> None:
    assert re.search(RIGHT[path.stem], answer(path), re.DOTALL)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_memory_is_not_blamed_where_no_limit_was_reached(path: Path) -> None:
    assert "raise the limit" not in answer(path)


def test_there_are_ten_questions_each_from_another_issue() -> None:
    links = [path.read_text(encoding="utf-8").splitlines()[1] for path in files()]
    assert len(set(links)) == len(links) == len(RIGHT) == 10
    assert all(re.fullmatch(r"# https://github\.com/[\w.-]+/[\w.-]+/issues/\d+", link) for link in links)
