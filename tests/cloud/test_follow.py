"""Following from the terminal: what is shown, how it ends, and that nothing goes on costing."""

from collections.abc import Iterator

import pytest

from autotrain.backends.base import Outcome
from autotrain.cloud.follow import follow
from autotrain.cloud.report import FAILED, FINISHED, STOPPED, End, end_line
from autotrain.cloud.service import CloudState
from autotrain.errors import HubError

JOB = "me/autotrain-run"


class Machine:
    """A service of lines and states; the last state stays."""

    def __init__(self, lines: list[str | Exception], stages: list[str], detail: str = "") -> None:
        self.lines, self.stages, self.detail, self.stopped = lines, stages, detail, False

    def state(self, job_id: str) -> CloudState:
        stage = "stopped" if self.stopped else self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        is_on = stage.endswith(" and on")
        return CloudState(stage.removesuffix(" and on"), self.detail, "https://hub/spaces/me/autotrain-run", is_on)

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        for line in self.lines:
            if isinstance(line, BaseException):
                raise line
            yield line

    def stop(self, job_id: str) -> None:
        self.stopped = True

    def remove(self, job_id: str) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "end", [End(FINISHED, 0, url="https://hub/me/run"), End(FAILED, 2, "no rows left"), End(STOPPED, 0, "max_hours")]
)
def test_the_exit_code_is_the_machines(end: End, capsys: pytest.CaptureFixture[str]):
    machine = Machine(["step 1/2  loss 2.0", end_line(end), "never shown"], ["running", "stopped"])
    followed = follow(machine, JOB, "7", settle_seconds=5)
    assert (followed.exit_code, followed.reason) == (end.exit_code, end.reason)
    assert capsys.readouterr().out == "step 1/2  loss 2.0\n" and not machine.stopped


def test_one_that_has_told_its_end_is_waited_for_until_it_is_off():
    machine = Machine([end_line(End(FINISHED, 0))], ["finished and on", "finished and on", "finished"])
    assert follow(machine, JOB, "7", settle_seconds=30).exit_code == 0 and not machine.stopped
    assert machine.stages == ["finished"]


@pytest.mark.parametrize("stage", ["running", "finished and on"])
def test_a_machine_that_stays_on_is_switched_off(stage: str):
    """Regression: one that had told its end passed for off, and cost what it cost."""
    machine = Machine([end_line(End(FINISHED, 0))], [stage])
    assert follow(machine, JOB, "7", settle_seconds=0.1).exit_code == 0 and machine.stopped


@pytest.mark.parametrize("stage", ["running", "failed and on"])
def test_a_failed_one_may_be_left_on(stage: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAUSE_ON_FAILURE", "0")
    machine = Machine([end_line(End(FAILED, 1, "why"))], [stage])
    assert follow(machine, JOB, "7", settle_seconds=0.1).exit_code == 1 and not machine.stopped
    finished = Machine([end_line(End(FINISHED, 0))], ["running"])
    follow(finished, JOB, "7", settle_seconds=0.1)
    assert finished.stopped


@pytest.mark.parametrize(("stage", "code"), [("finished", 0), ("failed", 1), ("stopped", 1), ("gone", 1)])
def test_without_a_last_line_the_service_tells(stage: str, code: int):
    followed = follow(Machine(["Building"], [stage], "its image couldn't be built"), JOB, "7", settle_seconds=1)
    assert followed.exit_code == code
    assert ("its image couldn't be built" in followed.reason) == (code != 0)


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]):
    from autotrain import log

    log.start_logging()
    machine = Machine(["step 1", KeyboardInterrupt()], ["running"])
    assert follow(machine, JOB, "7").exit_code is None and not machine.stopped
    said = capsys.readouterr().err
    assert "autotrain runs logs -f 7" in said and "autotrain runs stop 7" in said
    assert "goes on without us at me/autotrain-run, and costs until it ends" in said


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), HubError("the hub can't be reached")])
def test_how_it_ended_is_known_though_the_machine_isnt_seen_to_switch_off(
    problem: BaseException, capsys: pytest.CaptureFixture[str]
):
    from autotrain import log

    class Silent(Machine):
        def state(self, job_id: str) -> CloudState:
            raise problem

    log.start_logging()
    followed = follow(Silent([end_line(End(FAILED, 2, "no rows left"))], ["running"]), JOB, "7")
    assert (followed.exit_code, followed.reason) == (2, "no rows left")
    assert "may not have switched itself off yet" in capsys.readouterr().err


def test_a_hub_out_of_reach_is_no_end_of_the_run():
    followed = follow(Machine([HubError("the hub can't be reached")], ["running"]), JOB, "7")
    assert followed.exit_code is None and "can't be reached" in followed.reason
    assert Outcome(JOB, followed.exit_code, followed.reason).code_for_shell == 2  # nobody saw it succeed
    assert Outcome(JOB, None).code_for_shell == 0
