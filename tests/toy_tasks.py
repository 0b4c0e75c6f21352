"""Tasks without torch for the engine tests; children import them by name."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from pabench.errors import ExhaustedError
from pabench.store.store import Store


def touch(payload, report):
    """Leaves a file, the result of a toy."""
    Path(payload["file"]).write_text(str(os.getpid()))


def progress(payload, report):
    for epoch in range(payload["epochs"]):
        report({"epoch": epoch + 1})


def kill_itself(payload, report):
    """By `signal`, in the first `times` attempts."""
    path = Path(payload["file"])
    attempts = int(path.read_text()) if path.exists() else 0
    path.write_text(str(attempts + 1))
    if attempts < payload["times"]:
        os.kill(os.getpid(), payload["signal"])


def exit_at_once(payload, report):
    os._exit(payload["code"])


def need_all_memory(payload, report):
    """Says when it runs and whether it is alone; the first time it is not, memory is out."""
    report({"alone": payload["alone"], "began": time.monotonic()})
    time.sleep(0.2)
    if not payload["alone"]:
        raise ExhaustedError("CUDA out of memory")
    report({"ended": time.monotonic()})


def fail(payload, report):
    raise ValueError("no such layer")


def leave(payload, report):
    sys.exit(0)


def hang(payload, report):
    """Says its process ids, its own and that of a child of its own, then waits for ever."""
    if payload.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(["sleep", "600"])
    report({"pids": [os.getpid(), grandchild.pid]})
    while True:
        time.sleep(600)


def hold_the_interpreter(payload, report):
    """Native code that never releases the interpreter lock: no Python thread runs any more."""
    report({"pids": [os.getpid()]})
    re.match("(a+)+$", "a" * 60 + "b")


def finish_on_term(payload, report):
    """What a training does that is asked to stop: it finishes in order."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    report({"ready": True})
    asked.wait(60)


def leave_a_thread(payload, report):
    threading.Thread(target=time.sleep, args=(600,)).start()


def leave_a_process(payload, report):
    report({"pids": [subprocess.Popen(["sleep", "600"]).pid]})


def tell_surroundings(payload, report):
    report(
        {
            "session": os.getsid(0) == os.getpid(),
            "threads": os.environ["OMP_NUM_THREADS"],
            "main": getattr(sys.modules["__main__"], "__file__", None),
            "torch": "torch" in sys.modules,
        }
    )


def count_page_faults(payload, report):
    """Of a block of 64 MB, the second time that it is asked for; then what is still held without it, in bytes."""
    bytearray(64 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 * 2**20)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    held = [_resident()]
    ctypes.CDLL(None).malloc_trim(0)
    report({"faults": faults, "held": [*held, _resident()]})


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def leave_a_daemon(payload, report):
    """A grandchild in a session of its own without a file of its parent's; then the task ends as `then` says."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            os.closerange(0, 256)
            time.sleep(600)
        os._exit(0)
    report({"pids": [int(os.read(reading, 32)), os.getpid()]})
    if payload["then"] == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif payload["then"] == "exit":
        os._exit(0)
    elif payload["then"] == "die":
        os.kill(os.getpid(), signal.SIGSEGV)


def speak(payload, report):
    """On both streams, from Python and from what it starts."""
    print("from Python", flush=True)
    subprocess.run(["sh", "-c", "echo from a shell >&2; printf '\\033[31mred\\000'"], check=True)


def sign(payload, report):
    """A line in a file that many append to, for each time it is run."""
    with open(payload["file"], "a") as file:
        file.write(payload["line"] + "\n")


def hang_once(payload, report):
    """The first time it waits for ever; then it leaves its file as `touch` does."""
    first = Path(payload["file"] + ".begun")
    if not first.exists():
        first.touch()
        hang(payload, report)
    touch(payload, report)


def cell(payload, report):
    """A cell of a study: it says that it begins, and whether its record is there already; then it leaves its record.

    `killed` ones are, the first time.
    """
    store, key = Store(payload["store"]), payload["key"]
    began = Path(payload["began"]) / key
    first = not began.exists()
    with open(began, "a") as file:
        file.write(f"{os.getpid()} {'twice' if store.get('records', key) else 'once'}\n")
    if payload["killed"] and first:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(payload["seconds"])
    store.commit("records", key, {"key": key, "status": "ok"})


def tell_payload(payload, report):
    report(payload)


def hold_a_gpu(payload, report):
    """Says which GPU it sees, and from when to when."""
    began = time.monotonic()
    time.sleep(0.5)
    report({"sees": os.environ["CUDA_VISIBLE_DEVICES"], "span": [began, time.monotonic()]})


def resume(payload, report):
    """The first time it is asked to end, and writes a checkpoint; the second time it finds that, and is done."""
    checkpoint = Path(payload["file"])
    if checkpoint.exists():
        return
    signal.signal(signal.SIGTERM, lambda *_: (checkpoint.write_text("epoch 3"), os._exit(0)))
    while True:
        time.sleep(1)
