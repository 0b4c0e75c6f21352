"""Only what compares stands together, and where results of several studies are of one cell, readers are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.leaderboard.boards import Badge, Published, boards, of_each_network, of_one_training, on_all, together
from pabench.leaderboard.verification.sampling import row
from pabench.report import frame
from pabench.suite.specs import CriterionSpec, DatasetSpec, TrainSpec

from .. import synthetic


def published(cells, slug="one", *, badges=None, **changes):
    """A study of synthetic records; `changes` are of every record."""
    records = {cell.key: synthetic.record(cell, **changes) for cell in cells}
    study = frame.study(synthetic.manifest(cells, slug), records)
    return Published(slug, f"Study {slug}", "d" * 64, study, badges or {})


def grid(*names, **options):
    criteria = [synthetic.CRITERIA.get(name) or CriterionSpec(name, version=1) for name in names]
    return synthetic.cells(criteria, models=options.pop("models", ("resnet20",)), **options)


def test_two_studies_of_one_block_share_a_board_and_a_common_cell_counts_once():
    (only,) = boards([published(grid("random", "snip"), "one"), published(grid("random", "mine"), "two")])

    # 3 seeds of dense + 3 criteria at 3 sparsities; dense and random of both studies are the same cells
    assert len(only.frame) == 3 + 3 * 3 * 3
    assert sorted(set(only.frame["criterion"])) == ["dense", "mine", "random", "snip"]
    assert only.studies["random"] == ["one", "two"]
    assert only.remarks == ["two has 12 cells that other studies have, too: with equal accuracies."]


def test_one_content_is_one_dataset_whatever_its_studies_call_it_and_what_one_knows_of_it_is_told():
    """A study of before looked at no coding, and its board would be called by the name of whole pictures."""

    def of(*names, **dataset):
        spec = DatasetSpec("parquet", {"title": dataset.pop("title")}, fingerprint="e" * 64, **dataset)
        return [replace(cell, dataset=spec) for cell in grid(*names)]

    before = published(of("random", "snip", title="cifar10"), "one")
    after = published(of("random", "mine", title="Ten kinds of pictures", coding="JPEG"), "two")

    (only,) = boards([before, after])

    assert only.title == "cifar10, JPEG-coded · resnet20"
    assert only.slug.startswith("cifar10-jpeg-coded-resnet20-")
    assert only.remarks[0] == "two calls the dataset Ten kinds of pictures; its content is the same."
    assert list(only.board.strata) == ["cifar10, JPEG-coded · resnet20"]
    assert only.board.blocks == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: replace(c, recipe=replace(c.recipe, epochs=2)), "recipe epochs 160 here, 2 there"),
        (lambda c: replace(c, dataset=replace(c.dataset, fingerprint="0" * 64)), "dataset content ffffffffffff here"),
        (lambda c: replace(c, scoring=replace(c.scoring, dtype="float32")), "scores in float64 here, float32 there"),
        (
            lambda c: replace(c, scoring=replace(c.scoring, include=("attention",))),
            "prunable besides none here, attention there",
        ),
        (
            lambda c: replace(c, scoring=replace(c.scoring, batch=16)),
            "scoring images at once none here, 16 there",
        ),
        (lambda c: replace(c, protocol="pai-v2"), "protocol pai-v1 here, pai-v2 there"),
        (lambda c: replace(c, seed=c.seed + 10), "no seed in common"),
    ],
)
def test_what_does_not_compare_is_on_another_board_which_says_why(change, why):
    one = published(grid("random", "snip"), "one")
    other = published([change(cell) for cell in grid("random", "mine")], "two")

    first, second = boards([one, other])
    ((apart, told),) = first.apart
    assert apart is second
    assert why in told
    assert first.slug != second.slug


def test_other_sparsities_are_another_board():
    first, other = boards([published(grid("random"), "one"), published(grid("random", sparsities=(0.8, 0.95)), "two")])

    assert first.apart[0][1] == "sparsities 0.8, 0.95, 0.99 here, 0.8, 0.95 there"
    assert (first.suffix, other.suffix) == ("3 sparsities", "2 sparsities")


def test_boards_of_as_many_sparsities_are_told_apart_by_which_they_are():
    few, other = (published(grid("random", sparsities=s), name) for s, name in (((0.8, 0.95), "a"), ((0.9, 0.98), "b")))

    found = boards([few, other, published(grid("random"), "all")])

    assert [one.suffix for one in found] == ["80 and 95 %", "90 and 98 %", "3 sparsities"]


def test_boards_of_one_title_are_told_apart_by_what_differs_in_their_recipes():
    slow = [replace(c, recipe=replace(c.recipe, lr=0.02)) for c in grid("random")]
    few = published(grid("random", sparsities=(0.8, 0.95)), "few")

    found = boards([published(grid("random"), "one"), published(slow, "slow"), few])

    assert [one.suffix for one in found] == [
        "learning rate 0.1, 3 sparsities",
        "learning rate 0.02, 3 sparsities",
        "learning rate 0.1, 2 sparsities",
    ]


def test_the_same_seeds_with_other_weights_are_another_board():
    """Another version of torch draws other weights: nothing is paired, whatever the seeds are called."""
    pairing = {"weights": "0" * 64, "order": "1" * 64, "augmentation": "2" * 64, "scoring_batch": ""}
    first, _ = boards([published(grid("random"), "one"), published(grid("mine"), "two", pairing=pairing)])

    assert first.suffix == first.slug[-8:]
    assert first.apart[0][1] == "the same seeds gave other weights, order, augmentation, so that nothing is paired"


def test_two_criteria_of_one_name_are_two_rows():
    edited = replace(synthetic.CRITERIA["snip"], source="e" * 64)
    one = published(grid("random", "snip"), "one")
    other = published(synthetic.cells([edited], models=("resnet20",)), "two")

    (only,) = boards([one, other])
    assert set(only.frame["criterion"]) == {"dense", "random", "snip", "snip · two"}


def test_runs_of_one_cell_that_differ_are_said_and_the_first_is_shown():
    cells = grid("random")
    one = published(cells, "one")
    records = {c.key: synthetic.record(c) for c in cells}
    key = next(c.key for c in cells if c.criterion)
    records[key]["result"]["top1"] += 1
    other = replace(one, slug="two", study=frame.study(synthetic.manifest(cells, "two"), records))

    (only,) = boards([one, other])
    dispute = "another accuracy than in one, by up to 1.00 points"
    told = f"1 of them with {dispute}; what was checked further is shown, else the first"
    assert only.remarks == [f"two has 12 cells that other studies have, too: {told}."]
    assert only.disputed == [f"two has 1 cell with {dispute}"]
    assert float(only.frame.set_index("key")["top1"][key]) == one.study.records[key]["result"]["top1"]


def test_a_copy_with_other_numbers_does_not_replace_what_was_verified_whatever_comes_first():
    cells = grid("random", "snip")
    (known,) = {row(c) for c in cells if c.criterion and c.criterion.name == "snip"}
    records = {c.key: synthetic.record(c) for c in cells}
    for record in records.values():
        record["result"]["top1"] = 99.0
    copy = replace(published(cells, "aaa"), study=frame.study(synthetic.manifest(cells, "aaa"), records))
    honest = published(cells, "honest", badges={known: Badge(1, "masks re-derived")})

    (only,) = boards([copy, honest])
    shown = only.frame.groupby("criterion")["study"].unique().map(list).to_dict()
    # dense has no row of its own: it is of the study that was checked further
    assert shown == {"dense": ["honest"], "snip": ["honest"], "random": ["aaa"]}
    (told,) = only.disputed
    assert told.startswith("honest has 21 cells with another accuracy than in aaa, by up to")

    (without,) = boards([replace(copy, rejected="rejected at level 4"), published(cells, "honest")])
    assert set(without.frame["study"]) == {"honest"}
    assert without.frame["top1"].max() < 99


def test_a_finished_cell_is_shown_before_one_that_failed_elsewhere():
    """snip failed in one (9 cells) and finished in two, dense and random are equal: 21 cells of both, none is lost."""
    cells = grid("random", "snip")
    records = {
        c.key: (synthetic.failed if c.criterion and c.criterion.name == "snip" else synthetic.record)(c) for c in cells
    }
    one = replace(published(cells, "one"), study=frame.study(synthetic.manifest(cells, "one"), records))
    two = published(cells, "two")

    for order in ([one, two], [two, one]):
        (only,) = boards(order)
        assert len(only.frame) == 21
        assert set(only.frame["status"]) == {"ok"}
        snip = only.frame[only.frame["criterion"] == "snip"]
        assert snip["study"].tolist() == ["two"] * 9
        told = "9 of them finished in one study alone, which is shown"
        assert only.remarks == [f"{order[1].slug} has 21 cells that other studies have, too: {told}."]


def badge_of(*studies: Published) -> Badge:
    (only,) = boards(studies)
    return only.badges["snip"]


def test_a_row_has_the_least_badge_of_the_studies_whose_results_it_shows():
    everything = grid("random", "snip")
    of_one_seed, more = [c for c in everything if not c.seed], grid("random", "snip", seeds=4)
    (known,) = {row(c) for c in everything if c.criterion and c.criterion.name == "snip"}
    again = {known: Badge(2, "trained again")}

    # of two, which was checked further, one seed is shown, and the others of one
    both = badge_of(published(everything, "one"), published(of_one_seed, "two", badges=again))
    assert both == Badge(0, f"one: {Badge().detail}; two: trained again")
    # of two, which has nine of its cells from one, the fourth seed alone is shown
    both = badge_of(published(everything, "one", badges=again), published(more, "two"))
    assert both == Badge(0, f"one: trained again; two: {Badge().detail}")
    assert badge_of(published(everything, "one", badges=again), published(of_one_seed, "two")) == again[known]


def test_another_environment_is_named():
    other = published(grid("mine"), "two", environment={**synthetic.ENVIRONMENT, "device": "cuda: Example 9"})
    (only,) = boards([published(grid("random"), "one"), other])

    assert "two ran with torch 2.14.1, cuda: Example 9" in only.remarks[-1]


def test_all_boards_together_hold_the_criteria_that_are_on_each():
    found = boards([published(grid("random", "snip", "mine")), published(grid("random", "snip", models=("vgg",)), "b")])

    assert on_all(found) == ["random", "snip"]
    assert set(together(found)["criterion"]) == {"random", "snip"}


def test_of_boards_of_one_network_that_with_the_most_seeds_is_taken_together_with_others():
    wide = [grid("random", "snip"), grid("random", "snip", models=("vgg",))]
    other_recipe = [replace(cell, recipe=replace(cell.recipe, lr=0.01)) for cell in grid("random", "snip", seeds=4)]
    first, vgg, more = boards([published(wide[0], "a"), published(wide[1], "b"), published(other_recipe, "c")])

    assert [first.board.blocks, vgg.board.blocks, more.board.blocks] == [3, 3, 4]
    assert of_each_network([first, vgg, more]) == [more, vgg]
    assert of_each_network([first, vgg]) == [first, vgg]


RIGL = TrainSpec("rigl", {}, {"drop": 0.3, "every": 100, "until": 0.75, "layers": "kept"}, 1)


def test_each_training_has_a_board_of_its_own_with_the_dense_baseline_and_means_are_of_plain_ones():
    plain = grid("random", "snip")
    rigl = [replace(cell, train=RIGL) for cell in plain if cell.criterion]
    one, other = boards([published([*plain, *rigl])])

    assert [board.title for board in (one, other)] == ["cifar10 · resnet20", "cifar10 · resnet20 · rigl"]
    assert set(one.frame["key"]) == {cell.key for cell in plain}
    assert set(other.frame["key"]) == {cell.key for cell in rigl} | {cell.key for cell in plain if not cell.criterion}
    assert one.dense == other.dense
    assert one.board.shared == other.board.shared == 3
    assert one.apart == other.apart == []  # their titles tell them apart
    assert one.slug != other.slug
    assert of_one_training([one, other]) == [one]
    assert of_one_training([other]) == [other]


def test_a_study_of_another_training_alone_is_not_on_the_board_of_plain_ones():
    plain = grid("random", "snip")
    rigl = [replace(cell, train=RIGL) if cell.criterion else cell for cell in plain]
    one, other = boards([published(plain, "one"), published(rigl, "two")])
    assert (one.studies["snip"], other.studies["snip"]) == (["one"], ["two"])
