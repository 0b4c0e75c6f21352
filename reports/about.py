"""What was run, when, on what, and what became of it."""

from __future__ import annotations

from pabench.report.frame import pruned, reference_lines
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.store.record import SOFTWARE
from pabench.store.verdict import tally
from pabench.suite.cell import STATUSES
from pabench.suite.specs import PLAIN
from pabench.words import environment_text, percent, plain, tallied


class About(Section):
    """Counts of cells by what became of them, and the study's metadata."""

    name = "about"
    title = "About this run"
    order = 88
    seen = "all"

    def render(self, study: Study) -> str | None:
        frame = study.frame
        counts = {status: int((frame["status"] == status).sum()) for status in STATUSES}
        return self.fill(
            "about.html.j2",
            total=len(frame),
            counts=counts,
            flagged=tally(frame["flags"]),
            facts=_facts(study),
            suite=plain(study.manifest.get("suite", "")),
        )


def _facts(study: Study) -> list[tuple[str, str]]:
    frame, manifest = study.frame, study.manifest
    masked = pruned(frame)
    names, lines = masked["criterion"].unique(), reference_lines(frame)
    done = sorted(x for x in frame["created"] if x)
    devices = tallied(plain(one.get("device", "unknown")) for one in study.environments)
    software = tallied(environment_text(SOFTWARE, one) for one in study.environments)
    return [
        ("Datasets", ", ".join(frame["dataset"].unique())),
        ("Models", ", ".join(frame["model"].unique())),
        ("Criteria", ", ".join(name for name in names if name not in lines)),
        *([("Trainings", ", ".join(study.trainings))] if study.trainings not in ((), (PLAIN.name,)) else []),
        ("Ablations", ", ".join(name for name in frame["ablation"].unique() if name)),
        *([("Reference lines", ", ".join(name for name in names if name in lines))] if lines else []),
        ("Sparsities", ", ".join(percent(s) for s in sorted(masked["sparsity"].unique()))),
        ("Seeds", ", ".join(str(s) for s in sorted(frame["seed"].unique()))),
        ("Run", f"{_moment(done[0])} to {_moment(done[-1])} UTC" if done else "no cell is finished"),
        ("Hardware", "; ".join(devices)),
        ("Software", "; ".join(software)),
        ("Command", plain(manifest.get("command", ""))),
    ]


def _moment(stamp: str) -> str:
    return stamp[:16].replace("T", " ")
