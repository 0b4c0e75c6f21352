"""Runs a command on what looks like another machine: its own host name, processes, mounts and network file system.

    python tests/cluster/machine.py NAME FOLDER glusterfs|sshfs SERVED COMMAND...

FOLDER is where the machine mounts what is SERVED: for glusterfs the file that describes its client, for sshfs a folder,
which a server of this machine alone serves over SFTP. SIGKILL ends all of it at once, as a power cut does. Needs root.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
NAMESPACES = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]


def main() -> int:
    if sys.argv[1] != "inside":
        os.execvp(NAMESPACES[0], [*NAMESPACES, sys.executable, __file__, "inside", *sys.argv[1:]])
    name, folder, kind, served, *command = sys.argv[2:]
    socket.sethostname(name)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], check=True)
    if kind == "glusterfs":
        subprocess.run(["glusterfs", f"--volfile={served}", f"--log-file={folder}.log", folder], check=True)
    else:
        ours, theirs = socket.socketpair()
        subprocess.Popen([SFTP_SERVER], stdin=theirs, stdout=theirs)
        subprocess.Popen(["sshfs", f":{served}", folder, "-f", "-o", "passive"], stdin=ours, stdout=ours)
    until = time.monotonic() + 60
    while not os.path.ismount(folder):
        assert time.monotonic() < until, f"{kind} is not mounted"
        time.sleep(0.1)
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
