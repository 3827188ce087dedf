"""What passes between the driver and the workers on a Ray cluster, without Ray."""

import pytest

from autotrain.errors import ConfigError
from autotrain.trainers.clm.cluster.conduct import Crew
from autotrain.trainers.clm.cluster.connect import check_room, choose_crew, travelling
from autotrain.trainers.clm.cluster.desk import Began, Desk, Ended, Said
from autotrain.trainers.clm.cluster.driver import outcome
from autotrain.trainers.clm.cluster.files import Piece
from autotrain.training.ending import Ending

TWO = Crew(2, {"CPU": 1.0}, 0)


def ending(rank: int, code: int, reason: str = "", *, is_own: bool = True) -> Ending:
    return Ending(rank, 0, code, reason, is_own, float(rank))


def test_news_are_taken_once_and_in_order() -> None:
    desk = Desk()
    assert desk.begin() == 0
    desk.put(0, [Said("a", False), Piece("f", b"12345", True, True)])
    assert desk.put(0, [Ended(0, ending(1, 2))]).num_bytes == 5
    taken, _ = desk.take()
    assert [type(one) for one in taken] == [Began, Said, Piece, Ended]
    assert desk.take() == ([], False)
    assert desk.put(0, []).num_bytes == 0


def test_each_worker_hears_what_is_asked_and_how_the_others_of_its_start_ended() -> None:
    desk = Desk()
    desk.begin()
    desk.put(0, [Ended(0, ending(0, 1))])
    assert desk.begin() == 1
    assert desk.ask(2) == 2
    desk.ask(15)
    answer = desk.put(1, [Ended(1, ending(0, 130))])
    assert (answer.asked, answer.codes) == (2, (130,))  # the first signal counts; the first start's code doesn't


def test_files_go_to_the_leader_when_it_wants_them() -> None:
    desk = Desk()
    desk.want_files()
    assert desk.take() == ([], True)
    piece = Piece("f", b"1", True, True)
    assert desk.send([piece], is_all=False) == 1
    assert desk.fetch() == ([piece], False)
    desk.send([], is_all=True)
    assert desk.fetch() == ([], True)


def test_the_reason_is_that_of_the_worker_that_failed_by_itself() -> None:
    endings = {0: [ending(0, 1, "another failed", is_own=False), ending(1, 2, "bad row")]}
    assert outcome(endings, {}, [], TWO) == (2, "bad row", False)


def test_only_the_last_start_counts() -> None:
    endings = {0: [ending(0, 1, "broke")], 1: [ending(0, 0), ending(1, 0)]}
    assert outcome(endings, {}, [], TWO) == (0, "", False)


def test_a_worker_that_said_nothing_is_named() -> None:
    endings = {0: [ending(0, 1, "process 1 was lost", is_own=False)]}
    code, reason, _ = outcome(endings, {1: "ActorDiedError: it was killed"}, [], TWO)
    assert code == 1
    assert reason.startswith("worker 1 of the Ray cluster was lost (ActorDiedError: it was killed)")


def test_a_worker_alone_has_told_its_reason_itself() -> None:
    assert outcome({0: [ending(0, 2, "bad row")]}, {}, [], Crew(1, {}, 0)) == (2, "bad row", True)


def test_secrets_and_settings_travel_and_paths_do_not() -> None:
    variables = {"HF_TOKEN": "x", "WANDB_API_KEY": "y", "HF_HOME": "/home/me", "PATH": "/bin", "AUTOTRAIN_HOME": "/home/me"}
    assert travelling(variables) == {"HF_TOKEN": "x", "WANDB_API_KEY": "y"}


def test_without_a_number_of_devices_there_is_a_worker_for_each_gpu() -> None:
    assert choose_crew(None, {}, 0, {"CPU": 64.0, "GPU": 8.0}) == Crew(8, {"CPU": 1.0, "GPU": 1.0}, 0)
    assert choose_crew(None, {}, 0, {"CPU": 64.0}) == Crew(1, {"CPU": 1.0}, 0)
    assert choose_crew(3, {"GPU": 0.0, "CPU": 2.0}, 1, {"CPU": 8.0, "GPU": 8.0}) == Crew(3, {"CPU": 2.0}, 1)


def test_a_worker_has_one_gpu_or_none() -> None:
    with pytest.raises(ConfigError, match=r"GPU=0\.5"):
        choose_crew(2, {"GPU": 0.5}, 0, {"GPU": 1.0})


def test_this_machine_does_not_grow() -> None:
    crew = Crew(4, {"CPU": 1.0, "GPU": 1.0}, 0)
    with pytest.raises(ConfigError, match=r"4 workers need 4 GPU \(it has 2\)"):
        check_room(crew, {"CPU": 8.0, "GPU": 2.0}, may_grow=False)
    check_room(crew, {"CPU": 8.0, "GPU": 2.0}, may_grow=True)
