"""A process killed while it saves leaves the last finished checkpoint, and the disk clean."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphrec_pt.training.checkpoint import latest, load_checkpoint, save_checkpoint, saved_steps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")

# One process imports torch and forks the victims, so that many can be killed in a few seconds.
START = """
import os, random, resource, signal, sys, time
from pathlib import Path
import torch
from graphrec_pt.training.checkpoint import latest, save_checkpoint
torch.set_num_threads(1)
folder = Path(sys.argv[1])
def save(step, size, keep=1):
    tensors = {"w": torch.full((size,), float(step))}
    save_checkpoint(folder, step, tensors, {"step": step}, keep=keep)
"""

# The k-th victim dies at the k-th thing it asks the system to do with a file, until one survives.
AT_EVERY_CALL = """
import shutil
def die_at(k):
    left = [k]
    def hook(event, arguments):
        if event in WATCHED and any(str(folder) in str(a) for a in arguments):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}
WATCHED |= {"shutil.rmtree"}
kept = folder.parent / "kept"
for step in (1, 2):
    save(step, 1000, keep=2)
shutil.copytree(folder, kept)
k = 0
while True:
    child = os.fork()
    if not child:
        die_at(k)
        save(3, 1000, keep=1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    shutil.copytree(folder, folder.parent / f"after-{k}")
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    k += 1
"""

IN_THE_DARK = """
draw = random.Random(0)
for victim in range(40):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        step = (latest(folder) or 0) + 1
        while True:
            save(step, draw.randrange(1, 300_000))
            os.write(write, b"%d\\n" % step)
            step += 1
    os.close(write)
    pipe = os.fdopen(read)
    told = [pipe.readline() for _ in range(victim % 3)]
    time.sleep(draw.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told += pipe.readlines()
    print(int(told[-1]) if told else 0, latest(folder) or 0, flush=True)
"""

FULL_DISK = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
save(1, 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(2, 1_000_000)
except ValueError as error:
    print(error)
"""


def run(code: str, folder: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START + code, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def check(folder: Path) -> int:
    """Load everything that is there and return the last step."""
    steps = saved_steps(folder)
    for step in steps:
        found = load_checkpoint(folder, step)
        assert found.state == {"step": step}
        assert bool((found.tensors["w"] == step).all())
    return steps[-1]


def test_killed_at_every_call(tmp_path: Path) -> None:
    run(AT_EVERY_CALL, str(tmp_path / "run"))
    after = sorted(tmp_path.glob("after-*"), key=lambda path: int(path.name.split("-")[1]))
    last = [check(folder) for folder in after]
    assert len(after) > 10
    assert last == sorted(last)  # once it is there it stays
    assert (last[0], last[-1]) == (2, 3)
    assert [path.name for path in after[-1].iterdir()] == ["step-00000003"]
    # What a killed one left goes with the next save.
    untidy = [folder for folder in after if list(folder.glob(".graphrec-*"))]
    assert untidy
    for folder in untidy:
        save_checkpoint(folder, 4, {"w": torch.full((3,), 4.0)}, {"step": 4}, keep=1)
        assert [path.name for path in folder.iterdir()] == ["step-00000004"]


def test_killed_in_the_dark(tmp_path: Path) -> None:
    for line in run(IN_THE_DARK, str(tmp_path)):
        told, found = map(int, line.split())
        assert found in (told, told + 1) or not told
    last = latest(tmp_path)
    assert last is not None
    assert check(tmp_path) == last
    assert last >= 39  # 40 victims lived for 0, 1, 2, 0, … saves at least


def test_a_full_disk(tmp_path: Path) -> None:
    (message,) = run(FULL_DISK, str(tmp_path))
    assert "expected a folder that can be written" in message
    assert check(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
