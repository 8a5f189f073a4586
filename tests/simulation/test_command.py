"""The command: a line per hundred seeds, and for a failure all that is needed to look into it."""

from __future__ import annotations

from click.testing import CliRunner

from penstock.engines.memory_holdings import Holdings
from penstock.testing.simulation.__main__ import main


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_seeds_that_hold_end_with_a_summary():
    done = run("--seeds", "3", "--start", "5")
    assert done.exit_code == 0
    assert done.stdout.startswith("memory: 3 seeds in ")
    assert " 0 failed; " in done.stdout


def test_one_seed_shows_its_history():
    done = run("--seed", "7")
    assert done.exit_code == 0
    assert "publish m1" in done.stdout
    assert "seed 7: every promise held" in done.stdout


def test_a_failing_seed_says_how_to_replay_it(monkeypatch):
    monkeypatch.setattr(Holdings, "_hand_back", lambda self, holding, *_: None)
    done = run("--seeds", "2")
    assert done.exit_code == 1
    assert "seed 0 fails after" in done.stderr
    assert "the last steps:" in done.stderr
    assert "-m penstock.testing.simulation --broker memory --seed 0" in done.stderr
    assert run("--seed", "0").exit_code == 1


def test_an_unknown_broker_is_refused():
    assert run("--broker", "nowhere").exit_code == 2
