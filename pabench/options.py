"""The command line of `pabench run`, as data and as text."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The command line of `run`."""

    suite: str
    output: Path | None = None
    jobs: int | None = None
    device: str = "auto"
    engine: str = "processes"
    only: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()
    retry: bool = False
    yes: bool = False
    allow_env_drift: bool = False
    banks: tuple[Path, ...] = ()

    def command(self) -> str:
        """The command line that runs, or resumes, the same."""
        words = ["pabench", "run", self.suite]
        for flag, values in (
            ("--set", self.overrides),
            ("--only", self.only),
            ("--plugin", self.plugins),
            ("--bank", self.banks),
        ):
            for value in values:
                words += [flag, str(value)]
        if self.output:
            words += ["-o", str(self.output)]
        if self.device != "auto":
            words += ["--device", self.device]
        if self.jobs:
            words += ["-j", str(self.jobs)]
        if self.retry:
            words += ["--retry", "failed"]
        if self.allow_env_drift:
            words += ["--allow-env-drift"]
        return shlex.join(words)
