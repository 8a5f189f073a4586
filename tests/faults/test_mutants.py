"""Faults planted in penstock: `make mutants` storms over each of them; here the quickest."""

import pytest

from mutants import MUTANTS, storm


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_of_each_fault_is_still_there(mutant):
    assert mutant.texts()


def test_there_are_enough():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12


def test_a_planted_fault_is_caught():
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "delays are not kept")
    assert storm(mutant).broken["early"]
