"""Rounds that look at a new batch each: what FORCE, Iterative SNIP and GraSP-It share in their authors' code."""

from dataclasses import dataclass, replace

from pabench.plugins import ScoreContext, ScoreCriterion


@dataclass(frozen=True, kw_only=True)
class FreshBatches(ScoreCriterion):
    """A score by a batch that is the same in all rounds, or by one of its own in each (`fresh_batches`)."""

    fresh_batches: bool = False
    """A disjoint batch of `examples_per_class` for each round; where fewer are given they are used in turn."""

    @property
    def exempt(self) -> dict[str, str]:  # type: ignore[override]
        return {"batch splitting": "a round looks at one batch, not at all halves"} if self.fresh_batches else {}

    def batch_count(self) -> int:
        return self.steps if self.fresh_batches else 1

    def declines(self, ctx: ScoreContext) -> str:
        halved = self.fresh_batches and self.batch_split == "class-halves"
        return "a round's own batch is scored whole; give batch_split: whole, or fresh_batches: false" if halved else ""

    def of_round(self, ctx: ScoreContext) -> ScoreContext:
        """The context with the batches that this round looks at."""
        own = ctx.round % len(ctx.batches)
        return replace(ctx, batches=ctx.batches[own : own + 1]) if self.fresh_batches else ctx
