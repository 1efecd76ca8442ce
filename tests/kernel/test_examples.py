"""What docs/examples.md says of notebook, Job and build: who dies, who lives on, what restarts. With the label, and without.

Label, limit, restart policy, user, environment and scripts are the files' own. The images can't be pulled here: Python, make and gcc
are the host's, and Jupyter's server and a hungry compiler have stand-ins in tests/lab/standins/.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import examples
from tests.kernel.examples import TOO_MUCH_MIB, Lab, free_port, log
from tests.lab.boot import REPO
from tests.lab.examples import load
from tests.lab.pages import page
from tests.lab.spec import Folder, Instance

STANDINS = Folder("/standins", str(REPO / "tests" / "lab" / "standins"))
POOL = """
import concurrent.futures, mmap, multiprocessing

def eat(mib):
    mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)

"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from examples.lab(tmp_path_factory.mktemp("node"))


# ---------------------------------------------------------------------------------------------------------- notebook


def open_notebooks(lab: Lab, work: Path, port: str, name: str, mode: str | None) -> tuple[Instance, str]:
    """A server with two kernels. PID 1 is a shell that waits for it, as tini does in the image; and what is too much for it."""
    example = load("notebook.yaml", work)
    argv = ("sh", "-c", "python3 /standins/notebook.py & wait $!")
    instance = lab.run(example.pod(name, mode=mode, argv=argv, env={"PORT": port}, folders=(STANDINS,)))
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    return instance, str(2 * example.limit_mib)


@examples.kernel_may_take_two
def test_a_notebooks_kernel_dies_alone_and_a_server_that_ends_by_itself_stays_ended(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    instance, too_much = open_notebooks(lab, tmp_path, port, "notebook", "as written")
    before = json.loads(page(port, "/")[1])
    page(port, f"/first?{too_much}", method="POST")
    lab.wait(instance.pod, lambda: json.loads(page(port, "/")[1])["first"][1] == 1)
    after = json.loads(page(port, "/")[1])
    assert (after["server"], after["second"]) == (before["server"], before["second"])
    assert after["first"][0] != before["first"][0]
    assert "The container kept running (mode single)." in lab.told("ProcessOOMKilled", instance.pod)
    assert lab.kills(instance.pod, "single") == 1

    page(port, "/shutdown", method="POST")
    lab.ended(instance)
    assert instance.exit_code == 0
    assert lab.phase(instance.pod) == "Succeeded", "restartPolicy OnFailure"
    assert lab.starts(instance.pod) == [instance]


def test_without_the_label_the_notebooks_server_dies_with_all_kernels(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    instance, too_much = open_notebooks(lab, tmp_path, port, "notebook-plain", None)
    page(port, f"/first?{too_much}", method="POST")
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: len(lab.starts(instance.pod)) == 2 and page(port, "/")[0] == 200)
    kernels = json.loads(page(port, "/")[1])
    assert [kernels["first"][1], kernels["second"][1]] == [0, 0], "all new"
    lab.told("ContainerOOMKilled", instance.pod)
    lab.delete(instance.pod)


# --------------------------------------------------------------------------------------------------------------- Job


def two_starts_of_the_job(lab: Lab, work: Path, name: str, mode: str | None) -> tuple[list[Instance], set[str]]:
    """The second of three shards is too large. The first two starts of the container, and what is done after them."""
    example = load("job.yaml", work)
    pod = example.pod(name, mode=mode, runtime="runc", env={"SHARDS": f"a:40 b:{TOO_MUCH_MIB} c:40"})
    lab.run(pod)
    lab.wait(pod, lambda: len(lab.starts(pod)) > 1 and not lab.starts(pod)[1].running)
    # Whether PID 1, which has a small shard left and then gives up, outlives the kill by half a second is chance.
    lab.told("ContainerOOMKilled", pod, or_else="ProcessOOMKilled" if mode else "")
    done = {file.name.partition(":")[0] for file in example.folder("done").iterdir()}
    lab.delete(pod)
    return lab.starts(pod)[:2], done


@examples.kernel_may_take_two
def test_a_jobs_shard_that_is_too_large_dies_alone_and_the_others_are_done(lab: Lab, tmp_path: Path) -> None:
    (first, second), done = two_starts_of_the_job(lab, tmp_path, "batch", "as written")
    assert done == {"a", "c"}
    assert [first.exit_code, second.exit_code] == [1, 1], "PID 1 said what is left, and was started again for it"
    assert f"shard b:{TOO_MUCH_MIB}: killed" in log(first)
    assert [i.events["oom_kill"] for i in (first, second)] == [1, 1]


def test_without_the_label_the_job_never_gets_past_that_shard(lab: Lab, tmp_path: Path) -> None:
    (first, second), done = two_starts_of_the_job(lab, tmp_path, "batch-plain", None)
    assert done == {"a"}
    assert [first.exit_code, second.exit_code] == [137, 137]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("executor", "concurrent.futures.ProcessPoolExecutor(2).submit(eat, %d).result(6)", "BrokenProcessPool"),
        ("pool", "multiprocessing.Pool(2).apply_async(eat, [%d]).get(6)", "TimeoutError"),
    ],
)
def test_of_pythons_pools_one_says_that_a_worker_was_killed_and_the_other_waits_for_ever(
    lab: Lab, tmp_path: Path, name: str, code: str, said: str
) -> None:
    """One of the half-dead pods of docs/explanation/what-single-costs.md. Six seconds stand for ever: to die takes one."""
    pod = load("job.yaml", tmp_path).pod(name, argv=("python3", "-c", POOL + code % TOO_MUCH_MIB))
    instance = lab.run(pod)
    lab.ended(instance)
    assert instance.events["oom_kill"] == 1
    assert re.search(rf"^[\w.]*{said}\b", log(instance), re.MULTILINE), log(instance)
    lab.delete(pod)


# ------------------------------------------------------------------------------------------------------------- build


def build(lab: Lab, work: Path, name: str, mode: str | None) -> tuple[Instance, Path]:
    """Real make and real gcc, whose compilers hold 110 MiB each, six at once, until one is killed; and what is to come of it."""
    example = load("ci-build.yaml", work)
    env = {"CFLAGS": "-wrapper python3,-S,/standins/hungry.py", "MIB": "110"}
    instance = lab.run(example.pod(name, mode=mode, env=env, folders=(STANDINS,)))
    lab.ended(instance)
    lab.told(
        "ContainerOOMKilled", instance.pod, or_else="ProcessOOMKilled" if mode else ""
    )  # make, too, may end at once
    return instance, example.folder("build") / "app"


def test_a_build_loses_compilers_and_is_finished_all_the_same(lab: Lab, tmp_path: Path) -> None:
    instance, app = build(lab, tmp_path, "ci-build", "as written")
    assert instance.exit_code == 0, log(instance)
    assert instance.events["oom_kill"] >= 1
    assert instance.events["oom_group_kill"] == 0
    assert lab.kills(instance.pod, "single") == instance.events["oom_kill"]
    assert "Killed" in log(instance)
    assert subprocess.run([app], check=False).returncode == 0


def test_without_the_label_the_build_is_lost_and_not_tried_again(lab: Lab, tmp_path: Path) -> None:
    instance, app = build(lab, tmp_path, "ci-build-plain", None)
    assert instance.exit_code == 137
    assert not app.exists()
    assert lab.phase(instance.pod) == "Failed", "restartPolicy Never"
    assert lab.starts(instance.pod) == [instance]
