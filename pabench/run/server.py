"""What a process imports first that is to end with the one that started it.

That is the process of a run's report, and the server of worker processes while it still loads the rest: once it serves,
it ends by itself when the runner is gone, and so do its children (`pabench.run.worker`).
"""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
