"""The data of a new run in a real browser: what is taken, refused, recognised and left out."""

import json
from typing import Any

from wizard import FAQ, WAIT, drop, go_on, open_data_step


def test_a_file_that_lies_about_its_type_is_refused_and_a_good_one_is_taken_after_it(with_model: Any, visits: Any):
    page = open_data_step(visits(with_model))
    drop(page, "table.csv", b"%PDF-1.7 ...")
    alert = page.locator(".at-file [role=alert]")
    alert.wait_for()
    assert alert.inner_text().startswith("This is a PDF")
    go_on(page)
    page.get_by_text("Choose the data first").wait_for()
    drop(page, "../../../outside.csv", FAQ.encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    assert [file for file in with_model.root.rglob("*outside*")] == []
    page.get_by_text("outside.csv").first.wait_for()


def test_another_file_that_is_dropped_while_the_first_is_looked_into_is_the_one_that_counts(with_model: Any, visits: Any):
    page = open_data_step(visits(with_model))
    drop(page, "first.csv", FAQ.encode())
    page.locator(".at-file-card", has_text="first.csv").wait_for()
    drop(page, "second.csv", FAQ.replace("Question,Answer", "Prompt,Reply").encode())
    page.locator(".at-file-card", has_text="second.csv").wait_for()
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    page.wait_for_function("document.getElementById('text_column')?.value === 'Reply'")


def test_rows_that_hold_html_are_text_and_one_broken_row_is_left_out_by_name(with_model: Any, visits: Any):
    visit = visits(with_model)
    page = open_data_step(visit)
    evil = '<img src=x onerror="document.title=1">'
    rows = [json.dumps({"prompt": evil, "completion": f"<b>{evil}</b>"})] * 12
    rows[5] = rows[5][:20]
    drop(page, "rows.jsonl", "\n".join(rows).encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    assert evil in page.locator(".at-example").first.inner_text()
    page.get_by_role("tab").nth(1).click()
    page.wait_for_selector(".at-tokens")
    assert page.locator(".at-example img, .at-tokens img, .at-tokens b").count() == 0
    page.locator(".at-verdict summary").click()
    assert "rows.jsonl:6" in page.locator(".at-verdict").inner_text()
    assert page.is_checked("#skip-bad-rows")
    assert visit.errors == []


def test_some_rows_of_a_longer_file_are_kept_unless_all_are_wanted(with_model: Any, visits: Any):
    page = open_data_step(visits(with_model))
    rows = [
        {"instruction": "Tell it.", "input": f"tale {number}", "output": f"This is tale {number}."} for number in range(100)
    ]
    drop(page, "long.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    assert "“instruction”, “input”, “output”" in page.locator(".at-verdict").inner_text()
    page.get_by_text("10 rows of your file are kept").wait_for()
    page.get_by_role("button", name="As config.yaml").click()
    assert "valid_split: valid" in page.locator("#written").inner_text()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Train on all rows").click()
    page.get_by_text("10 rows of your file are kept").wait_for(state="detached")
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    page.get_by_role("button", name="As config.yaml").click()
    assert "valid_split" not in page.locator("#written").inner_text()


def test_data_for_another_task_offer_that_task(with_model: Any, visits: Any):
    page = open_data_step(visits(with_model))
    rows = [{"prompt": f"Say {number}", "chosen": f"{number}", "rejected": "no"} for number in range(20)]
    drop(page, "pairs.jsonl", "\n".join(map(json.dumps, rows)).encode())
    page.get_by_role("button", name="Switch to: Prefer better answers").click(timeout=WAIT)
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    assert page.input_value("#rejected_text_column") == "rejected"
    page.get_by_role("tab").nth(1).click()
    page.wait_for_selector(".at-tokens .at-token-on")
    assert page.locator(".at-tokens").first.locator(".at-token-part").count() == 3
