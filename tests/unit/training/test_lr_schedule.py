import pytest

from entr.training.lr_schedule import CyclicSchedule


def test_learning_rate_restarts_at_every_cycle():
    schedule = CyclicSchedule((0.1, 1.0), (1, 2, 4))
    assert schedule(0) == pytest.approx([0.1, 1])
    assert schedule(0.5 / 7) == pytest.approx([0.05, 0.5])
    assert schedule(1 / 7 - 1e-9) == pytest.approx([0, 0], abs=1e-6)
    assert schedule(1 / 7 + 1e-9) == pytest.approx([0.1, 1])
    assert schedule(2 / 7) == pytest.approx([0.05, 0.5])
    assert schedule(1) == pytest.approx([0, 0])
    for count in range(1, 60):
        equal = CyclicSchedule((1.0,), (1,) * count)
        starts = [float(equal(cycle / count)[0]) for cycle in range(count)]
        assert starts == pytest.approx([1] * count)


def test_learning_rate_may_be_linear_between_two_factors():
    schedule = CyclicSchedule((0.1, 1.0), (2, 2), (1, 2), "linear")
    assert schedule(0) == pytest.approx([0.1, 1])
    assert schedule(0.25) == pytest.approx([0.15, 1.5])
    assert schedule(0.75) == pytest.approx([0.15, 1.5])
    assert schedule(1) == pytest.approx([0.2, 2])
