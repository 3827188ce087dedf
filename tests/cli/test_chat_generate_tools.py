"""The commands chat, generate and tools: refusals answer without torch, and the worker takes over from there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autotrain.cli import main

COMMAND = (sys.executable, "-m", "autotrain")


def run(*arguments: str, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


class HandedOver(Exception):
    """Stands for the process that would have become the worker."""


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the worker would have been started with."""
    seen: dict[str, Any] = {}

    def execve(program: str, command: list[str], environment: dict[str, str]) -> None:
        seen.update(program=program, command=command, environment=environment)
        raise HandedOver

    monkeypatch.setattr(os, "execve", execve)
    return seen


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "my-run"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/name"}')
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_missing_folder_gets_the_nearest_run_named(
    adapter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(adapter.parent)
    assert "no folder my-rum; did you mean my-run?" in refusal(capsys, "chat", "my-rum")
    assert "did you mean" in refusal(capsys, "chat", str(adapter.parent / "my_run"))


def test_a_folder_that_is_neither_run_nor_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "neither a run nor a model" in refusal(capsys, "chat", str(tmp_path))


def test_an_unfinished_run_says_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "training_params.json").write_text("{}")
    assert "--config YOUR_CONFIG --resume" in refusal(capsys, "chat", str(tmp_path))


def test_bad_prompts_and_outputs_are_refused_before_anything_is_loaded(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    assert "no file" in refusal(capsys, "generate", str(adapter), "--prompts", str(prompts))
    prompts.write_text("")
    assert "is empty" in refusal(capsys, "generate", str(adapter), "--prompts", str(prompts))
    prompts.write_text("hello\n")
    output = tmp_path / "answers.jsonl"
    output.write_text("precious")
    shown = refusal(capsys, "generate", str(adapter), "--prompts", str(prompts), "--output", str(output))
    assert "--overwrite" in shown
    assert output.read_text() == "precious"


def test_the_merge_tool_refuses_what_it_cannot_do(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = ("tools", "merge-llm-adapter", "--adapter-path")
    assert "--output-folder is needed" in refusal(capsys, *tool, str(adapter))
    output = ("--output-folder", str(tmp_path / "out"))
    assert "--repo has no effect without --push-to-hub" in refusal(capsys, *tool, str(adapter), *output, "--repo", "a/b")
    assert "isn't an empty folder" in refusal(capsys, *tool, str(adapter), "--output-folder", str(tmp_path))
    missing = refusal(capsys, *tool, str(tmp_path / "my-ran"), "--output-folder", str(tmp_path / "out"))
    assert "did you mean" in missing
    (tmp_path / "merged" / "adapter").mkdir(parents=True)
    (tmp_path / "merged" / "adapter" / "adapter_config.json").write_text("{}")
    assert "merged already" in refusal(capsys, *tool, str(tmp_path / "merged"), "--output-folder", str(tmp_path / "out"))


def test_tools_alone_prints_help_and_returns_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools"]) == 1
    assert "merge-llm-adapter" in capsys.readouterr().out


@pytest.mark.parametrize("dash", ["-", "_"])
def test_the_merge_tool_takes_both_spellings_and_keeps_the_token_out_of_argv(
    adapter: Path, tmp_path: Path, handed: dict[str, Any], dash: str
) -> None:
    options = {
        "adapter-path": str(adapter),
        "base-model-path": "owner/name",
        "output-folder": str(tmp_path / "out"),
        "pad-to-multiple-of": "8",
        "token": "hf_averysecrettoken",
    }
    flags = [part for name, value in options.items() for part in (f"--{name.replace('-', dash)}", value)]
    with pytest.raises(HandedOver):
        main(["tools", "merge-llm-adapter", *flags])
    assert "hf_averysecrettoken" not in " ".join(handed["command"])
    assert handed["environment"]["HF_TOKEN"] == "hf_averysecrettoken"
    assert handed["command"][1:6] == ["-P", "-m", "autotrain.trainers.clm", "generate", "merge"]
    assert json.loads(handed["command"][6])["pad_to_multiple_of"] == 8


def test_hub_ids_and_embedded_models_are_left_to_the_worker(
    handed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("owner/name", "gpt2"):
        with pytest.raises(HandedOver):
            main(["chat", name, "--temperature", "0.7"])
        assert json.loads(handed["command"][6])["temperature"] == 0.7


@pytest.mark.parametrize("flags", [["--temperature", "-1"], ["--max-new-tokens", "0"], ["--top-p", "2"]])
def test_values_out_of_range_are_refused(adapter: Path, capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    assert flags[0] in refusal(capsys, "chat", str(adapter), *flags)


def test_refusals_do_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from autotrain.cli import main; import autotrain.cli.chat, autotrain.cli.generate, autotrain.cli.tools;"
        "main(['chat', './nothing']); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_generate_answers_a_file_of_prompts(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Say red 1 times.\nSay blue 1 times.\n")
    flags = ("--prompts", "prompts.txt", "--output", "answers.jsonl", "--max-new-tokens", "4", "--system", "Be brief.")
    result = run("generate", str(tiny_model), *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["Say red 1 times.", "Say blue 1 times."]
    assert all(set(row) == {"prompt", "answer"} for row in rows)
    assert result.stdout == ""


def test_generate_writes_json_lines_only_to_stdout(tiny_model: Path, tmp_path: Path) -> None:
    result = run("generate", str(tiny_model), "--prompt", "hello", "--max-new-tokens", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["prompt"] == "hello"


def test_generate_is_readable_on_a_terminal(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Say [red] 1 times.\nSay blue 1 times.\n")
    terminal, theirs = os.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "80", "TERM": "dumb"}
    command = [*COMMAND, "generate", str(tiny_model), "--prompts", "prompts.txt", "--max-new-tokens", "2"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(terminal, 4096):
                shown += part
        except OSError:  # how Linux says that the other side was closed
            pass
    os.close(terminal)
    lines = shown.decode().splitlines()
    assert process.returncode == 0
    assert [line.split()[0] for line in lines if line.split()][:3] == ["1", "asked", "answer"]
    assert any("Say [red] 1 times." in line for line in lines)
    assert "{" not in lines[0]


def test_blocks_show_what_both_models_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from autotrain.output.answers import answer_writer

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    answer_writer(None, 1)({"prompt": prompt, "answer": "Hello.", "base_answer": "Good day to you"})
    words = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert words == [
        ["asked", "system:", "Be", "brief."],
        ["user:", "Hi"],
        ["base", "Good", "day", "to", "you"],
        ["tuned", "Hello."],
    ]


def test_chat_through_a_pipe_answers_line_by_line(tiny_model: Path, tmp_path: Path) -> None:
    result = run("chat", str(tiny_model), "--max-new-tokens", "3", cwd=tmp_path, text="hello\n/reset\nhello\n/quit\nnever\n")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    again = run("chat", str(tiny_model), "--max-new-tokens", "3", cwd=tmp_path, text="hello\n")
    assert result.stdout == again.stdout * 2  # the conversation began anew: the same question, the same answer


def test_the_workers_refusal_is_one_message_with_exit_code_2(tiny_model: Path, tmp_path: Path) -> None:
    result = run("chat", str(tiny_model), "--base", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr


def test_ctrl_c_leaves_the_chat_without_a_traceback(tiny_model: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [*COMMAND, "chat", str(tiny_model), "--max-new-tokens", "2"],
        cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin and process.stderr
    process.stdin.write("hello\n/reset\n")
    process.stdin.flush()
    while "begins anew" not in process.stderr.readline():  # an answer was given, and no other one is on its way
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)  # before its input is closed, which ends a chat, too
    _, shown = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in shown


def test_the_merge_tool_makes_a_model_that_generate_takes(tiny_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear")).save_pretrained(
        tmp_path / "run"
    )
    flags = ("--adapter-path", "run", "--output-folder", "merged")
    result = run("tools", "merge-llm-adapter", *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "autotrain chat merged" in result.stderr
    answered = run("generate", "merged", "--prompt", "hello", "--max-new-tokens", "2", cwd=tmp_path)
    assert answered.returncode == 0, answered.stderr
