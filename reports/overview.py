"""What was run, when, on what, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from pabench.report.detection import could_detect
from pabench.report.frame import pruned, reference_lines
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.outcomes import collapses, failures
from pabench.store.record import SOFTWARE
from pabench.store.verdict import tally
from pabench.suite.ablations import INAPPLICABLE
from pabench.suite.cell import STATUSES
from pabench.words import count, environment_text, percent, plain, tallied

from .evidence import silences
from .protocol import unpaired


class Overview(Section):
    """Counts of cells by what became of them, and what a reader must know before trusting the rest."""

    name = "overview"
    title = "Overview"
    order = 10

    def render(self, study: Study) -> str | None:
        frame = study.frame
        counts = {status: int((frame["status"] == status).sum()) for status in STATUSES}
        return self.fill(
            "overview.html.j2",
            total=len(frame),
            counts=counts,
            flagged=tally(frame["flags"]),
            detects=could_detect(study.plain),
            facts=_facts(study),
            warnings=_warnings(study),
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


def _warnings(study: Study) -> list[str]:
    frame = study.frame
    found = silences(study)
    if missing := int((frame["status"] == "missing").sum()):
        found.append(f"{count(missing, 'cell')} not finished: means and comparisons rest on the others.")
    useless = (frame["status"] == "skipped") & (frame["kind"] == INAPPLICABLE)
    if bad := int((frame["status"].isin(["failed", "skipped"]) & ~useless).sum()):
        found.append(f"{count(bad, 'cell')} failed or skipped; the table of all cells says why.")
    plain_or_ablation = frame["criterion"].where(frame["ablation"] == "", "ablation " + frame["ablation"])
    counts = {name: tally(rows["flags"]) for name, rows in frame.groupby(plain_or_ablation, sort=False)}
    found += [f"{name}: {flagged}." for name, flagged in counts.items() if flagged]
    found += _outcomes(study)
    for name, rows in frame[frame["source"] != ""].groupby("criterion", sort=False):
        if rows["source"].nunique() > 1:
            found.append(f"{name}: masks come from {rows['source'].nunique()} versions of the criterion's source file.")
    versions = {tuple(str(told.environment.get(v)) for v in SOFTWARE) for told in study.told.values()}
    if len(versions) > 1:
        found.append("Cells were computed with different software versions.")
    if frame.loc[frame["device"] != "", "device"].nunique() > 1:
        found.append("Cells were computed on different hardware: times do not compare.")
    found += unpaired(study)
    if study.strays:
        found.append(f"{count(len(study.strays), 'record')} of no cell of the study in the folder: left out.")
    return found


def _outcomes(study: Study) -> Iterator[str]:
    """Which criteria failed by themselves, and which collapsed to chance, how often."""
    for name, rows in study.plain.groupby("criterion", sort=False):
        if (failed := failures(rows)).count:
            rate = f"{failed} blocks, {failed.limits}"
            yield f"{name}: failed by itself in {rate}: it is called neither better nor worse."
        if (fell := collapses(rows)).count:
            yield f"{name}: {fell} cells collapsed to chance; the leaderboard has the rates."
