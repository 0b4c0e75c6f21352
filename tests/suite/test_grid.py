"""A suite becomes cells: how many, in which order, which of them, and in which blocks."""

import itertools
import time
import tracemalloc
from dataclasses import replace

import pytest

from pabench.errors import SuiteError
from pabench.parameters import ParameterError
from pabench.suite import grid, suite
from pabench.suite.cell import Cell
from pabench.suite.specs import PLAIN, Augment, CriterionSpec, DatasetSpec, ModelSpec, Recipe, TrainSpec

TEXT = """\
protocol: pai-v1
datasets: [digits, {name: parquet, title: cifar10}]
models: [resnet20, {name: vgg, args: {width: 8}}]
criteria:
  - snip
  - {name: synflow, steps: 100}
sparsities: [0, 0.9, 0.98]
seeds: 2
recipe: {epochs: 3}
"""


class Resolve:
    missing: dict[str, str] = {}
    """Fills in what plugins would, and remembers every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def dataset(self, entry):
        self.calls.append(entry.name)
        return DatasetSpec(entry.name, entry.params, entry.path, fingerprint=entry.name)

    def model(self, entry, dataset):
        self.calls.append(f"{entry.name} on {dataset.name}")
        return ModelSpec(entry.name, entry.args, entry.stem)

    def criterion(self, entry):
        self.calls.append(entry.name)
        if "stepz" in entry.params:
            raise ParameterError(entry.name, [("stepz", "unknown parameter")])
        if entry.name == "snp":
            raise SuiteError("no criterion named 'snp'; did you mean 'snip'?")
        precision = "float32" if entry.name == "snip" else "float64"
        return CriterionSpec(entry.name, entry.params, {"steps": 1, **entry.params}, precision=precision)

    def train(self, entry):
        return PLAIN if entry.name == "plain" else TrainSpec(entry.name, entry.params, {"drop": 0.3, **entry.params}, 1)

    def recipe(self, recipe, dataset):
        self.calls.append(f"recipe for {dataset.name}")
        return recipe.build(augment=Augment(flip=dataset.name == "parquet"), precision="float32")


def cells(text: str = TEXT) -> list[Cell]:
    return list(grid.cells(suite.parse(text, "s.yaml"), Resolve()))


def blocks(found: list[Cell]) -> list[list[Cell]]:
    """The cells of each block, if they stand together."""
    return [list(group) for _, group in itertools.groupby(found, key=lambda cell: cell.block)]


def test_a_study_is_seeds_then_datasets_models_dense_criteria_and_sparsities():
    titles = [cell.title for cell in cells()]

    assert len(titles) == grid.count(suite.parse(TEXT, "s.yaml")) == 2 * 2 * 2 * (1 + 2 * 2)
    assert titles[:6] == [
        "digits / resnet20 / dense / seed 0",
        "digits / resnet20 / snip 0.9 / seed 0",
        "digits / resnet20 / snip 0.98 / seed 0",
        "digits / resnet20 / synflow (steps=100) 0.9 / seed 0",
        "digits / resnet20 / synflow (steps=100) 0.98 / seed 0",
        "digits / vgg (width=8) / dense / seed 0",
    ]
    assert titles[10] == "cifar10 / resnet20 / dense / seed 0"
    assert titles[20] == "digits / resnet20 / dense / seed 1"


def test_the_ablations_of_a_block_follow_its_plain_cells():
    text = TEXT.replace("seeds: 2", "seeds: 2\nablations: [shuffle, invert]")

    found = cells(text)

    # in each of 2 * 2 * 2 blocks: the dense network, and two criteria at two sparsities in three ways
    assert len(found) == grid.count(suite.parse(text, "s.yaml")) == 8 * (1 + 2 * 2 * 3)
    assert [cell.title for cell in found[4:7]] == [
        "digits / resnet20 / synflow (steps=100) 0.98 / seed 0",
        "digits / resnet20 / snip 0.9 / shuffle / seed 0",
        "digits / resnet20 / snip 0.98 / shuffle / seed 0",
    ]
    assert [len(block) for block in blocks(found)] == [13] * 8
    assert [cell for cell in found if not cell.ablation] == cells()


def test_only_takes_ablations_and_plain_cells_apart():
    found = cells(TEXT.replace("seeds: 2", "seeds: 2\nablations: [shuffle, invert]"))

    assert {cell.ablation for cell in grid.select(found, ["criterion=snip"])} == {"", "shuffle", "invert"}
    assert {cell.ablation for cell in grid.select(found, ["ablation=shuffle"])} == {"shuffle"}
    assert grid.select(found, ["ablation=none"]) == cells()
    with pytest.raises(SuiteError, match=r"--only ablation=reinit: no cell has it; .*known: invert, none, shuffle"):
        grid.select(found, ["ablation=reinit"])


def test_without_sparsity_0_there_is_no_dense_baseline():
    text = TEXT.replace("[0, 0.9", "[0.9")

    assert grid.count(suite.parse(text, "s.yaml")) == len(cells(text)) == 2 * 2 * 2 * 4
    assert all(cell.criterion for cell in cells(text))


def test_only_sparsity_0_leaves_the_baselines():
    assert [cell.title for cell in cells(TEXT.replace(", 0.9, 0.98]", "]").replace("seeds: 2", "seeds: [5]"))][:2] == [
        "digits / resnet20 / dense / seed 5",
        "digits / vgg (width=8) / dense / seed 5",
    ]


def test_a_cell_carries_the_recipe_and_scoring_of_the_suite():
    first, *_, last = cells(TEXT + "scoring: {dtype: float32, degenerate: refuse, batch: 16}\n")

    assert first.recipe == Recipe(epochs=3, precision="float32", compact=True)
    assert last.recipe.augment == Augment(flip=True)  # parquet's own
    assert (last.scoring.dtype, last.scoring.degenerate, last.scoring.batch) == ("float32", "refuse", 16)
    assert last.protocol == "pai-v1"


def test_each_criterion_is_scored_in_what_it_needs_unless_the_suite_says_otherwise():
    """Dense cells score nothing, and have float64 in their keys as when that was the default."""

    def chosen(text):
        found = cells(text)
        return {(c.criterion.name if c.criterion else "dense", c.scoring.dtype, c.scoring.because) for c in found}

    needed = {("dense", "float64", "dense"), ("snip", "float32", "criterion"), ("synflow", "float64", "criterion")}
    assert chosen(TEXT) == chosen(TEXT + "scoring: {dtype: auto}\n") == needed
    stated = TEXT + "scoring: {dtype: float64}\n"
    assert chosen(stated) == {("dense", "float64", ""), ("snip", "float64", ""), ("synflow", "float64", "")}
    of = [{c.title: c.key for c in cells(text)} for text in (TEXT, stated)]
    assert {title.split(" / ")[2] for title in of[0] if of[0][title] != of[1][title]} == {"snip 0.9", "snip 0.98"}


def test_everything_is_resolved_once_before_the_first_cell():
    resolve = Resolve()

    made = grid.cells(suite.parse(TEXT, "s.yaml"), resolve)

    called = [
        *("snip", "synflow", "digits", "parquet"),
        *("resnet20 on digits", "vgg on digits", "recipe for digits"),
        *("resnet20 on parquet", "vgg on parquet", "recipe for parquet"),
    ]
    assert resolve.calls == called
    list(made)
    assert resolve.calls == called


def test_a_billion_cells_are_counted_within_a_second_and_begun_within_200_mb():
    huge = suite.parse(TEXT.replace("seeds: 2", "seeds: 50000000"), "s.yaml")
    tracemalloc.start()
    start = time.perf_counter()

    assert grid.count(huge) == 50_000_000 * 2 * 2 * 5 == 10**9
    begun = list(itertools.islice(grid.cells(huge, Resolve()), 21))

    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    assert begun[20].seed == 1


def test_invalid_entries_are_all_told_with_their_places():
    text = TEXT.replace("- snip", "- snp").replace("steps: 100", "stepz: 100")

    with pytest.raises(SuiteError) as caught:
        cells(text)

    assert str(caught.value).split("\n") == [
        "s.yaml:5:5: criteria.0: no criterion named 'snp'; did you mean 'snip'?",
        "s.yaml:6:21: criteria.1.stepz: unknown parameter",
    ]


def test_two_spellings_of_one_criterion_are_refused():
    with pytest.raises(SuiteError, match=r"s\.yaml:6:5: criteria\.1: the same as snip once defaults are filled in"):
        cells(TEXT.replace("{name: synflow, steps: 100}", "{name: snip, steps: 1}"))


def test_only_takes_a_title_with_a_comma_whole_and_without_what_was_added_to_it():
    datasets = {
        "cifar10": DatasetSpec("parquet", {"title": "CIFAR-10"}, coding="JPEG"),
        "digits": DatasetSpec("digits"),
    }
    every = [replace(cell, dataset=datasets[cell.dataset.label]) for cell in cells()]

    labels = {c.dataset.label for c in grid.select(every, ["dataset=CIFAR-10, JPEG-coded"])}
    assert labels == {c.dataset.label for c in grid.select(every, ["dataset=CIFAR-10"])} == {"CIFAR-10, JPEG-coded"}
    assert len(grid.select(every, ["dataset=CIFAR-10,digits"])) == len(every)


@pytest.mark.parametrize("title", ["digits", "Digits!"])
def test_two_datasets_whose_titles_sound_alike_are_refused(title):
    with pytest.raises(SuiteError, match=rf"s\.yaml:2:20: datasets\.1: .* two things '{title}'; give it a title"):
        cells(TEXT.replace("title: cifar10", f"title: {title}"))


@pytest.mark.parametrize(
    ("only", "titles"),
    [
        (
            ["criterion=synflow,dense", "sparsity=0,0.90", "model=vgg", "dataset=cifar10", "seed=1"],
            ["cifar10 / vgg (width=8) / dense / seed 1", "cifar10 / vgg (width=8) / synflow (steps=100) 0.9 / seed 1"],
        ),
        (
            ["criterion=synflow (steps=100)", "sparsity=0.98", "model=vgg (width=8)", "dataset=parquet", "seed=0"],
            ["cifar10 / vgg (width=8) / synflow (steps=100) 0.98 / seed 0"],
        ),
        (
            ["criterion=snip", "sparsity=0.9", "sparsity=0.98", "model=resnet20", "dataset=digits", "seed=0"],
            ["digits / resnet20 / snip 0.9 / seed 0", "digits / resnet20 / snip 0.98 / seed 0"],
        ),
    ],
)
def test_only_picks_by_name_or_label(only, titles):
    assert [cell.title for cell in grid.select(cells(), only)] == titles


def test_a_label_with_a_comma_inside_is_one_value():
    text = TEXT.replace("steps: 100", "steps: 100, bn: eval")

    picked = grid.select(cells(text), ["criterion=synflow (steps=100, bn=eval),snip"])

    assert len(picked) == 2 * 2 * 2 * 4


def test_parameters_of_a_label_may_stand_in_any_order():
    text = TEXT.replace("steps: 100", "steps: 100, bn: eval")

    assert grid.select(cells(text), ["criterion=synflow (bn=eval, steps=100)"]) == grid.select(
        cells(text), ["criterion=synflow (steps=100, bn=eval)"]
    )


def test_a_criterion_leaves_the_dense_cells_out():
    assert len(grid.select(cells(), ["criterion=snip"])) == 2 * 2 * 2 * 2


def test_nothing_to_pick_by_leaves_every_cell():
    assert grid.select(cells(), []) == cells()


@pytest.mark.parametrize(
    ("only", "told"),
    [
        ("criterion=snp", "--only criterion=snp: no cell has it; did you mean 'snip'? known: dense, snip, synflow"),
        ("criterion=snip,synflw", "--only criterion=synflw: no cell has it; did you mean 'synflow'?"),
        ("sparsity=0.95", "--only sparsity=0.95: no cell has it; did you mean '0.9'? known: 0, 0.9, 0.98"),
        ("seed=2", "--only seed=2: no cell has it; known: 0, 1"),
        ("criteron=snip", "--only criteron=snip: no key 'criteron'; did you mean 'criterion'?"),
        ("criterion", "--only criterion: expected KEY=VALUE"),
    ],
)
def test_an_only_that_matches_nothing_names_what_exists(only, told):
    with pytest.raises(SuiteError) as caught:
        grid.select(cells(), [only])

    assert str(caught.value).startswith(told)


def test_onlys_that_exclude_each_other_are_told():
    with pytest.raises(SuiteError, match=r"no cell is left by --only criterion=dense --only sparsity=0\.9;"):
        grid.select(cells(), ["criterion=dense", "sparsity=0.9"])


def test_blocks_hold_the_cells_of_one_dataset_model_and_seed():
    grouped = blocks(cells())

    assert [len(block) for block in grouped] == [5] * 8
    assert grouped[3][0].title == "cifar10 / vgg (width=8) / dense / seed 0"
    assert all(cell.criterion is None for cell in (block[0] for block in grouped))


def test_what_is_included_makes_other_cells_in_whatever_order_it_is_named():
    def keys(include: str) -> list[str]:
        return [cell.key for cell in cells(f"{TEXT}\nscoring: {{include: {include}}}\n")]

    assert keys("[recurrent, attention]") == keys("[attention, recurrent]")
    assert keys("[]") == [cell.key for cell in cells()]
    assert not set(keys("[attention]")) & set(keys("[]"))


TRAINED = TEXT.replace("seeds:", "train: [plain, {name: rigl, drop: 0.5}]\nseeds:")


def test_each_training_has_cells_of_its_own_whose_masks_are_those_of_the_plain_ones():
    found, plain = cells(TRAINED), cells()

    assert [cell for cell in found if cell.train.is_plain] == plain
    others = [cell for cell in found if not cell.train.is_plain]
    assert {cell.train.label for cell in others} == {"rigl (drop=0.5)"}
    assert len(others) == sum(cell.criterion is not None for cell in plain)  # dense is trained plainly alone
    assert {cell.pruning_key for cell in others} == {cell.pruning_key for cell in plain if cell.criterion}
    assert not {cell.key for cell in others} & {cell.key for cell in plain}
    assert grid.count(suite.parse(TRAINED, "s.yaml")) == len(found)


def test_a_single_training_needs_no_list_and_leaves_dense_as_it_is():
    found = cells(TRAINED.replace("[plain, {name: rigl, drop: 0.5}]", "{name: rigl, drop: 0.5}"))
    assert [cell for cell in cells(TRAINED) if not cell.train.is_plain or cell.criterion is None] == found


def test_parameters_of_a_training_are_in_the_key_defaults_included():
    keys = {
        text: {cell.key for cell in cells(TRAINED.replace("drop: 0.5", text)) if not cell.train.is_plain}
        for text in ("drop: 0.5", "drop: 0.4", "drop: 0.3", "every: 9")
    }
    assert not set.intersection(*keys.values())
    bare = cells(TRAINED.replace("{name: rigl, drop: 0.5}", "rigl"))
    assert {cell.key for cell in bare if not cell.train.is_plain} == keys["drop: 0.3"]


def test_a_training_is_picked_by_its_name_or_label():
    found = cells(TRAINED)
    for value in ("rigl", "rigl (drop=0.5)"):
        assert {cell.train.name for cell in grid.select(found, [f"train={value}"])} == {"rigl"}
    assert all(cell.train.is_plain for cell in grid.select(found, ["train=plain"]))


def test_a_training_that_is_named_twice_is_refused_where_it_stands():
    with pytest.raises(SuiteError, match=r"s.yaml:\d+:\d+: train.1: the same as train.0; remove one"):
        suite.parse(TRAINED.replace("[plain, {name: rigl, drop: 0.5}]", "[rigl, rigl]"), "s.yaml")
