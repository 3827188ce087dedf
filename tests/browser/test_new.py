"""A new run in a real browser: from a dropped file to an answer beside the base model's, and what can go wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from files_here import files_with
from harness import PHONE, serving
from keyboard import tab_to
from made_runs import make_run
from wizard import FAQ, ROWS, WAIT, at_step, drop, go_on, open_data_step, open_settings_step

from autotrain.trainers.clm.params import LLMTrainingParams

STEPS = 6
START = {"en": "Start training", "zh": "开始训练"}
FINISHED = {"en": "Finished", "zh": "已完成"}
TRY = {"en": "Try it", "zh": "试用"}
MESSAGE = {"en": "Your message", "zh": "您的消息"}
AGAIN = {"en": "Ask again", "zh": "再问一次"}
SETTINGS = {"en": ("How it answers", "Temperature", "Longest answer"), "zh": ("回答方式", "温度", "最长回答")}
WHO = {"en": ("After training", "Before training"), "zh": ("训练后", "训练前")}
# Keeps each text that an answer shows while it grows, by whose it is.
WATCH_ANSWERS = """() => {
  window.grown = {};
  const look = () => document.querySelectorAll(".at-chat-answer").forEach((one) => {
    const texts = (window.grown[one.querySelector("h3").innerText] ??= new Set());
    texts.add(one.querySelector(".at-chat-text").innerText);
  });
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def ask(page: Any, language: str) -> None:
    """Both models answer, and their answers grow word by word before they are whole."""
    page.locator("summary", has_text=SETTINGS[language][0]).click()
    for label, value in zip(SETTINGS[language][1:], ("1.2", "300"), strict=True):  # a tiny model says little else
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Tab")
    page.wait_for_timeout(600)  # until what was typed has arrived
    page.evaluate(WATCH_ANSWERS)
    page.get_by_label(MESSAGE[language], exact=True).fill("What is red?")
    page.keyboard.press("Enter")
    again = page.get_by_role("button", name=AGAIN[language])
    for left in (2, 1, 0):
        again.wait_for(timeout=WAIT)
        steps = {who: steps_shown(page, who) for who in WHO[language]}
        if all(count > 1 for count in steps.values()) or not left:
            break
        page.evaluate("window.grown = {}")  # a server that stood still for a second shows the end of it alone
        again.click()
        again.wait_for(state="detached")
    assert all(count > 1 for count in steps.values()), steps


def steps_shown(page: Any, who: str) -> int:
    """How often an answer was seen on its way to what it is now."""
    article = page.locator("article", has=page.get_by_role("heading", name=who))
    answer = article.locator(".at-chat-text").inner_text()
    assert answer, who
    grown = page.evaluate("(who) => [...(window.grown[who] ?? [])]", who)
    return len([text for text in grown if text and answer.startswith(text)])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_from_a_dropped_file_to_an_answer_beside_the_base_models_with_hardly_a_decision(
    with_model: Any, visits: Any, language: str
):
    visit = visits(with_model, language)
    page = open_data_step(visit, language)
    drop(page, "常见问题 FAQ.csv", FAQ.encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    assert (page.input_value("#prompt_text_column"), page.input_value("#text_column")) == ("Question", "Answer")
    assert page.locator(".at-turn-assistant").first.inner_text().endswith("A colour.")
    page.get_by_role("tab").nth(1).click()
    page.wait_for_selector(".at-tokens .at-token-on")
    learnt = "".join(page.locator(".at-tokens").first.locator(".at-token-on").all_inner_texts())
    assert learnt.startswith("A colour.") and "What is red" not in learnt
    go_on(page, language)
    at_step(page, 4)
    page.locator("input[name=preset][value=fast]").check()
    page.wait_for_function("document.getElementById('epochs').value === '1'")
    go_on(page, language)
    at_step(page, 5)
    go_on(page, language)
    at_step(page, 6)
    page.wait_for_selector(".at-facts >> nth=1", timeout=WAIT)
    assert "18" in page.locator(".at-facts").nth(1).inner_text()
    assert page.input_value("#project_name") == "faq-sft"
    page.get_by_role("button", name=START[language]).click()
    page.wait_for_url("**/run/*", timeout=WAIT)
    page.locator("[data-stage=finished]").get_by_text(FINISHED[language]).wait_for(timeout=WAIT)
    page.get_by_role("button", name=TRY[language]).click(timeout=WAIT)
    page.wait_for_url("**/chat?run=*", timeout=WAIT)
    visit.alive()
    ask(page, language)
    said = json.loads((with_model.workspace / "faq-sft" / "training_params.json").read_text())
    assert (said["text_column"], said["epochs"], said["chat_template"]) == ("Answer", 1, "tokenizer")
    assert visit.errors == [] and visit.strangers() == []
    page.goto(f"{with_model.address}/new")
    at_step(page, 1)  # the draft is used up


def test_a_value_that_is_wrong_is_said_beside_its_field_and_nothing_goes_on(with_model: Any, visits: Any):
    page = open_settings_step(visits(with_model))
    page.fill("#lr", "fast")
    page.press("#lr", "Tab")
    error = page.locator("#lr-error")
    page.wait_for_function("document.getElementById('lr-error').innerText !== ''")
    assert error.inner_text() == "This must be a number."
    assert page.get_attribute("#lr", "aria-invalid") == "true"
    assert "lr-error" in page.get_attribute("#lr", "aria-describedby")
    page.fill("#epochs", "0")
    go_on(page)
    page.wait_for_function("document.getElementById('epochs-error').innerText !== ''")
    page.wait_for_function("['lr', 'epochs'].includes(document.activeElement.id)")
    at_step(page, 4)
    page.fill("#epochs", "2")
    page.fill("#lr", "0.001")
    page.press("#lr", "Tab")
    page.wait_for_function("document.getElementById('lr-error').innerText === ''")
    go_on(page)
    at_step(page, 5)


def test_json_shows_what_was_changed_and_says_where_it_is_broken(with_model: Any, visits: Any):
    page = open_settings_step(visits(with_model))
    page.fill("#epochs", "5")
    page.press("#epochs", "Tab")
    page.locator("input[name=view][value=json]").check()
    page.wait_for_selector("#settings-json")
    assert json.loads(page.input_value("#settings-json"))["epochs"] == 5
    page.fill("#settings-json", '{"epochs": 2,\n "lr" 1}')
    page.press("#settings-json", "Tab")
    page.wait_for_function("document.getElementById('settings-json-error').innerText.includes('line 2')")
    page.fill("#settings-json", '{"data_path": "/etc"}')
    go_on(page)
    page.wait_for_function("document.getElementById('settings-json-error').innerText.includes('data_path')")
    at_step(page, 4)
    page.fill("#settings-json", '{"nodes": 2}')  # the page starts runs on one machine
    go_on(page)
    page.wait_for_function("document.getElementById('settings-json-error').innerText.includes('nodes')")
    at_step(page, 4)
    page.fill("#settings-json", '{"epochs": 2, "learning_rate": 1}')
    page.press("#settings-json", "Tab")
    page.wait_for_function("document.getElementById('settings-json-error').innerText.includes('lr')")
    page.fill("#settings-json", '{"epochs": 2}')
    page.press("#settings-json", "Tab")
    page.wait_for_function("document.getElementById('settings-json-error').innerText === ''")
    page.get_by_role("button", name="As config.yaml").click()
    written = page.locator("#written").inner_text()
    assert "epochs: 2" in written and "task: llm-sft" in written and "faq" not in written


def test_what_was_typed_survives_a_reload_and_a_restart(with_model: Any, visits: Any):
    page = open_settings_step(visits(with_model))
    page.fill("#epochs", "7")
    page.press("#epochs", "Tab")
    page.get_by_text("Changed by you").wait_for()
    page.reload()
    at_step(page, 4)
    assert page.input_value("#epochs") == "7"
    page.evaluate("window.isOld = true")
    with_model.kill()
    with_model.start()
    page.wait_for_function("!window.isOld")  # an open page comes again by itself
    at_step(page, 4)
    assert page.input_value("#epochs") == "7"
    page.get_by_role("button", name="Data").click()
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    page.get_by_text("faq.csv").first.wait_for()


def test_a_path_that_climbs_out_is_no_model(with_model: Any, visits: Any):
    page = visits(with_model).open("/new")
    go_on(page)
    at_step(page, 2)
    page.fill("#model", "../../../etc")
    page.press("#model", "Tab")
    go_on(page)
    page.wait_for_function("document.getElementById('model-error').innerText !== ''")
    at_step(page, 2)


def test_starting_over_is_asked_first(with_model: Any, visits: Any):
    page = open_data_step(visits(with_model))
    page.get_by_role("button", name="Start over").click()
    question = page.get_by_role("alertdialog").filter(has_text="Start over?")
    question.get_by_role("button", name="Back").click()
    question.wait_for(state="hidden")
    at_step(page, 3)
    page.get_by_role("button", name="Start over").click()
    question.get_by_role("button", name="Start over").click()
    at_step(page, 1)


def test_a_card_can_be_chosen_again_after_another_name_was_typed(with_model: Any, visits: Any):
    """A card that still looked chosen couldn't be, and the name that can't be had stayed."""
    page = visits(with_model).open("/new")
    go_on(page)
    at_step(page, 2)
    page.locator("label", has_text="tiny").get_by_role("radio").check()
    page.wait_for_function("document.getElementById('model').value.endsWith('tiny')")
    page.fill("#model", "nosuch/model")
    go_on(page)
    page.wait_for_function("document.getElementById('model-error').innerText !== ''")
    assert page.locator("#model-here input:checked").count() == 0
    page.locator("label", has_text="tiny").click()
    page.wait_for_function("document.getElementById('model').value.endsWith('tiny')")
    go_on(page)
    at_step(page, 3)


def press_next(page: Any, step: int) -> None:
    """By keyboard; the step that comes takes the focus, a moment after it is drawn."""
    tab_to(page, ".at-next")
    page.keyboard.press("Enter")
    at_step(page, step)
    page.wait_for_function("document.activeElement.id === 'step'")


def test_by_keyboard_alone(with_model: Any, visits: Any, tmp_path: Path):
    (tmp_path / "faq.csv").write_text(FAQ)
    page = visits(with_model).open("/new")
    page.on("filechooser", lambda _: None)  # from now on the browser passes them on; asked for with the key it is too late
    at_step(page, 1)
    for step in (1, 2):
        if step == 2:
            tab_to(page, "input[name=model-here]")
            while not page.evaluate("document.activeElement.closest('label').innerText.includes('tiny')"):
                page.keyboard.press("ArrowDown")
        press_next(page, step + 1)
    tab_to(page, "#file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "faq.csv")
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    page.evaluate("document.getElementById('step').focus()")
    for step in (3, 4, 5):
        press_next(page, step + 1)
    tab_to(page, ".at-start")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run/*", timeout=WAIT)


@pytest.mark.parametrize(("dark", "size"), [(False, None), (True, PHONE)])
def test_every_step_fits_and_has_no_serious_fault(with_model: Any, visits: Any, dark: bool, size: dict[str, int] | None):
    visit = visits(with_model, dark=dark, **({"size": size} if size else {}))
    page = open_data_step(visit)
    drop(page, "faq.csv", FAQ.encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    page.get_by_role("tab").nth(1).click()
    page.wait_for_selector(".at-tokens")
    for step in range(3, STEPS + 1):
        at_step(page, step)
        if step == 4:
            page.locator("input[name=view][value=all]").check()
            page.wait_for_selector("#optimizer")
        if step == STEPS:
            page.wait_for_selector(".at-facts >> nth=1", timeout=WAIT)
        assert visit.faults() == [], step
        assert visit.overflow() <= 0, step
        if step < STEPS:
            go_on(page)
    for step in (2, 1):
        page.locator(f".at-steps li:nth-child({step}) button").click()
        at_step(page, step)
        assert visit.faults() == [], step
        assert visit.overflow() <= 0, step


def test_a_rented_machine_has_a_price_that_has_to_be_agreed_to(hub: Any, tmp_path: Path, tiny_model: Path, visits: Any):
    hub.add_user("nils", token="hf_nilsnilsnils", can_pay=True)
    hub.add_repo("model", "nils/tiny", files={file.name: file.read_bytes() for file in tiny_model.iterdir()})
    with serving(tmp_path, HF_TOKEN="hf_nilsnilsnils", HF_HUB_OFFLINE="0") as server:
        page = visits(server).open("/new")
        go_on(page)
        at_step(page, 2)
        page.fill("#hub-search", "tiny")
        page.press("#hub-search", "Enter")
        page.locator("label", has_text="nils/tiny").get_by_role("radio").check(timeout=WAIT)
        page.wait_for_function("document.getElementById('model').value === 'nils/tiny'")
        go_on(page)
        at_step(page, 3)
        drop(page, "faq.csv", FAQ.encode())
        page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
        for step in (4, 5):
            go_on(page)
            at_step(page, step)
        page.locator("input[name=place][value='jobs-']").check()
        page.wait_for_selector("#machine")
        assert "0.40 USD an hour" in page.locator("#machine option:checked").inner_text()
        go_on(page)
        at_step(page, 6)
        page.get_by_role("button", name="Start training").click()
        page.wait_for_function("document.getElementById('price-error').innerText !== ''")
        assert hub.jobs == {}
        page.check("#price")
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url("**/run/*", timeout=WAIT)
        for _ in range(600):
            if hub.jobs:
                break
            page.wait_for_timeout(100)
        assert [job.flavor for job in hub.jobs.values()] == ["t4-small"]
        assert files_with(tmp_path, b"hf_nilsnilsnils") == []
        assert "hf_nilsnilsnils" not in page.content()


def test_a_run_is_run_again_with_changes_under_a_free_name(with_model: Any, visits: Any):
    (with_model.workspace / "data.jsonl").write_text(
        "".join(json.dumps({"prompt": question, "completion": answer}) + "\n" for question, answer in ROWS)
    )
    model, data = str(with_model.workspace / "tiny"), str(with_model.workspace / "data.jsonl")
    made = make_run(with_model, "first")
    said = LLMTrainingParams(
        trainer="sft", model=model, data_path=data, project_name="first", lr=0.0123, epochs=2, chat_template="tokenizer"
    )
    said.save(made.folder)
    page = visits(with_model).open(f"/new?from={made.number}")
    at_step(page, 4)
    page.wait_for_selector("#optimizer")
    assert (page.input_value("#lr"), page.input_value("#epochs")) == ("0.0123", "2")
    page.wait_for_function("!location.search.includes('from=')", timeout=WAIT)
    page.fill("#epochs", "1")
    page.press("#epochs", "Tab")
    page.get_by_text("Changed by you").wait_for()
    for step in (5, 6):
        go_on(page)
        at_step(page, step)
    assert page.input_value("#project_name") == "first-2"
    page.wait_for_selector(".at-facts >> nth=1", timeout=WAIT)
    page.fill("#project_name", "first")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_function("document.getElementById('project_name-error').innerText.includes('already')")
    page.fill("#project_name", "second")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/run/*", timeout=WAIT)


def test_a_run_that_isnt_there_begins_an_empty_draft(with_model: Any, visits: Any):
    page = visits(with_model).open("/new?from=../../etc")
    at_step(page, 1)
    assert page.get_by_role("alert").first.inner_text().startswith("That run")
