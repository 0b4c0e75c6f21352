"""What the study says: the first thing on the page, with what a reader must know before trusting it."""

from __future__ import annotations

from collections.abc import Iterator

from pabench.report.conclusion import conclusion
from pabench.report.evidence import silences
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.outcomes import FAILED, collapses, failures
from pabench.store.record import SOFTWARE
from pabench.store.verdict import tally
from pabench.suite.ablations import INAPPLICABLE
from pabench.words import count, plain

from .protocol import unpaired


class Overview(Section):
    """The conclusion in sentences, and what is wrong with the data."""

    name = "overview"
    title = "Answer"
    order = 10
    boards = True

    def render(self, study: Study) -> str | None:
        said = conclusion(study)
        return self.fill(
            "overview.html.j2",
            found=said.found,
            limits=said.limits,
            detects=said.detects,
            evidence=said.evidence,
            silent=bool(silences(study)),
            warnings=_warnings(study),
        )


def _warnings(study: Study) -> list[str]:
    frame = study.frame
    found = [f"{plain(note)}." for note in study.manifest.get("notes", ())]
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
        if (rows["outcome"] == FAILED).any():
            failed = failures(rows)
            rate = f"{failed} blocks, {failed.limits}" if failed.count else "blocks of which other cells are missing"
            yield f"{name}: failed by itself in {rate}: it is called neither better nor worse."
        if (fell := collapses(rows)).count:
            yield f"{name}: {fell} cells collapsed to chance; the leaderboard has the rates."
