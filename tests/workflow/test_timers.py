"""Timers of Snakemake do not delay its end, however it ends."""

import subprocess
import sys

import pytest

from tests.workflow.conftest import ROOT

RULES = (ROOT / "workflow/rules/common.smk").read_text()
TIMERS = RULES[RULES.index("def cancel_timers") : RULES.index("# ---- resources")]


@pytest.mark.parametrize("end", ["pass", "raise RuntimeError", "raise KeyboardInterrupt", "raise SystemExit(1)"])
def test_no_end_waits_for_a_timer(end):
    code = f"import threading\n{TIMERS}\nthreading.Timer(60, print, ['waited']).start()\n{end}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "waited" not in ended.stdout
    assert (ended.returncode == 0) == (end == "pass")


def test_the_timer_of_a_running_main_thread_is_left():
    code = f"import threading\n{TIMERS}\ntimer = threading.Timer(0.1, print, ['waited'])\ntimer.start()\ntimer.join()"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "waited\n"
