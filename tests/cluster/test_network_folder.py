"""Two machines, whose clocks are an hour apart, share a results folder on a network file system; one loses its power.

Each is a set of namespaces (machine.py), with its own client of a GlusterFS server, or of SFTP by sshfs, which keeps
attributes and listings for 20 seconds. Needs root and the Debian packages glusterfs-server, sshfs and faketime.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pabench.store.store import Store

from ..stress import SUITE, command, lasting
from .machine import NAMESPACES, SFTP_SERVER

MACHINE = Path(__file__).with_name("machine.py")
MISSING = [
    tool
    for tool in ("unshare", "glusterfsd", "glusterfs", "sshfs", "faketime", SFTP_SERVER)
    if shutil.which(tool) is None
]
pytestmark = [
    pytest.mark.timeout(900),  # a minute until a silent machine counts as gone, and the work of two
    pytest.mark.cluster,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(
        not MISSING
        and (
            not Path("/dev/fuse").exists() or subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode != 0
        ),
        reason="this machine allows no namespaces or no file systems of users",
    ),
]
STUDY = SUITE.replace("SEEDS", "2").replace("EPOCHS", "40")
CELLS = 42
SERVER = """
volume disk
  type storage/posix
  option directory {folder}
end-volume
volume locks
  type features/locks
  subvolumes disk
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port {port}
  option auth.addr.locks.allow 127.0.0.1
  subvolumes locks
end-volume
"""
CLIENT = """
volume client
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume locks
end-volume
"""
PORT = 24199


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The records of one run on one machine."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "study.yaml").write_text(STUDY)
    subprocess.run(command(folder / "study.yaml", folder / "results"), check=True, stdout=subprocess.DEVNULL)
    return records(folder / "results")


@pytest.fixture(params=["glusterfs", "sshfs"])
def served(request, tmp_path):
    """The kind of file system, what a machine mounts, and the folder that is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    if request.param == "sshfs":
        yield request.param, folder, folder
        return
    for name, volume in (("server.vol", SERVER), ("client.vol", CLIENT)):
        (tmp_path / name).write_text(volume.format(folder=folder, port=PORT))
    told = [f"--volfile={tmp_path / 'server.vol'}", f"--log-file={tmp_path / 'server.log'}"]
    with subprocess.Popen(["glusterfsd", "--no-daemon", *told]) as server:
        yield request.param, tmp_path / "client.vol", folder
        server.kill()


class Machine:
    def __init__(self, name: str, kind: str, served: Path, tmp_path: Path, *before: str) -> None:
        mounted, self.output = tmp_path / name, tmp_path / f"{name}.txt"
        mounted.mkdir()
        (suite := tmp_path / "study.yaml").write_text(STUDY)
        call = [sys.executable, str(MACHINE), name, str(mounted), kind, str(served), *before]
        with self.output.open("w") as output:
            told = {"stdout": output, "stderr": subprocess.STDOUT}
            self.process = subprocess.Popen([*call, *command(suite, mounted / "results")], **told)

    def computed(self) -> int:
        """How many cells it has told to be done, of those that it computed."""
        lines = [line for line in self.output.read_text().splitlines() if f"/{CELLS}] " in line]
        return sum("another run" not in line for line in lines)


def records(folder: Path) -> dict[str, str]:
    return {key: lasting(record) for key, record in Store(folder).records().items()}


def test_two_machines_share_a_folder_and_one_goes_on_when_the_other_is_off(served, tmp_path, calm):
    kind, mounts, folder = served
    stays = Machine("stays", kind, mounts, tmp_path)
    goes = Machine("goes", kind, mounts, tmp_path, "faketime", "-f", "+1h")
    while min(stays.computed(), goes.computed()) < 2:
        assert goes.process.poll() is None, goes.output.read_text()
        time.sleep(0.2)
    goes.process.send_signal(signal.SIGKILL)
    goes.process.wait()
    assert stays.process.wait(timeout=600) == 0, stays.output.read_text()

    results = folder / "results"
    assert records(results) == calm
    left = [path.name for inner in ("claims", "runners", "quarantine") for path in (results / inner).iterdir()]
    assert [name for name in left if not name.startswith(".tmp-")] == []  # what it was writing when it lost its power
    if kind == "glusterfs":  # sshfs may show a claim as it was: a task is started again then, and finds its record
        told = stays.computed() + goes.computed()
        assert told in (CELLS, CELLS - 1)  # a cell may have ended and not been told when the power went
