"""What is told of a record, which is all that most of the page sees of it."""

from __future__ import annotations

import math

import pytest

from pabench.report.told import _BY_PART, NOTHING, NUMBERS, POINTS, TEXTS, Examined, Teller

from ..synthetic import CRITERIA, ENVIRONMENT, cells, failed, record

ONE, OTHER = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=2)[1::2]


def test_numbers_stand_where_the_frame_looks_for_them():
    made = record(ONE, logits={"effective_weights": 7})

    told = dict(zip(NUMBERS, Teller().told(made).numbers, strict=True))

    assert [f"{path[-1]}" for path in NUMBERS.values()] == [name for _, names in _BY_PART for name in names]
    assert (told["top1"], told["weights_on_paths"]) == (made["result"]["top1"], 7)
    assert told["gradient_norm_after"] == made["receipt"]["gradient_norm"]["after"]
    assert (told["wall_seconds"], math.isnan(told["training_top1"])) == (66.0, True)


def test_a_mask_is_told_as_the_weights_that_are_left_of_each_layer():
    made = record(ONE)

    told = Teller().told(made)

    assert list(told.kept) == [layer["kept"] for layer in made["receipt"]["layers"]]
    assert told.layers[0] == ("conv1.weight", 432)  # 16 * 3 * 3 * 3


@pytest.mark.parametrize(("kept", "expected"), [(12.5, 12.5), (None, math.nan), (2**70, 2.0**70)])
def test_weights_that_are_no_count_cost_no_other_record(kept, expected):
    """As a record of other hands may have them."""
    made = record(ONE)
    made["receipt"]["layers"][0]["kept"] = kept

    assert Teller().told(made).kept[0] == pytest.approx(expected, nan_ok=True)


def curved(loss, top1):
    made = record(ONE)
    made["result"]["curve"] = {"loss": loss, "top1": top1}
    return Teller().told(made)


def test_a_curve_has_nan_where_a_training_had_no_number():
    told = curved([2.25, None, 0.5], [10.0, 20.0, 30.0])

    assert told.epochs == (0, 1, 2)
    assert list(told.loss) == pytest.approx([2.25, math.nan, 0.5], nan_ok=True)
    assert list(told.top1) == [10.0, 20.0, 30.0]


def test_of_a_long_curve_some_epochs_are_told_from_the_first_to_the_last():
    told = curved([float(epoch) for epoch in range(160)], [epoch / 2 for epoch in range(160)])

    assert (told.epochs[0], told.epochs[-1], len(told.epochs)) == (0, 159, POINTS)
    assert list(told.loss) == list(told.epochs)
    assert list(told.top1) == [epoch / 2 for epoch in told.epochs]


def test_of_curves_that_are_not_equally_long_the_last_accuracy_is_told():
    told = curved([3.0, 2.0, 1.0], [10.0, 20.0])

    assert (list(told.loss), list(told.top1)) == ([3.0, 2.0, 1.0], [20.0])


def test_what_many_records_share_is_one_object():
    teller = Teller()

    first, second = teller.told(record(ONE)), teller.told(record(OTHER, environment=dict(ENVIRONMENT)))

    assert first.environment is second.environment
    assert first.layers is second.layers
    assert first.pairing != second.pairing  # of another seed


def test_a_failed_record_tells_why_and_has_no_numbers():
    told = Teller().told(failed(ONE))

    assert dict(zip(TEXTS, told.texts, strict=True))["message"] == "epoch 3: the loss is nan; lower recipe.lr"
    assert told.traceback.endswith("DivergedError: epoch 3: the loss is nan")
    assert math.isnan(told.numbers[0])
    assert not told.loss


def test_of_an_old_record_the_last_layer_tells_how_many_classes_there_are():
    assert Teller().told(record(ONE)).tested == Examined(10.0, 10)
    assert Teller().told(failed(ONE, receipt=None)).tested is None


def test_nothing_is_what_a_cell_without_a_record_tells():
    assert (NOTHING.status, set(NOTHING.texts), NOTHING.tested) == ("missing", {""}, None)
    assert all(map(math.isnan, NOTHING.numbers))
