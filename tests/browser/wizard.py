"""Going through the steps of a new run, as a hand does it."""

from typing import Any

WAIT = 240_000
ROWS = [("What is red?", "A colour."), ("What is two?", "A number."), ("What is a fox?", "An animal.")] * 6
FAQ = "".join(f"{question},{answer}\n" for question, answer in [("Question", "Answer"), *ROWS])
NEXT = {"en": "Next", "zh": "下一步"}


def go_on(page: Any, language: str = "en") -> None:
    page.get_by_role("button", name=NEXT[language], exact=True).click()


def at_step(page: Any, number: int) -> None:
    page.wait_for_selector(f".at-steps li:nth-child({number}) button[aria-current=step]", timeout=WAIT)


def drop(page: Any, name: str, body: bytes) -> None:
    """As a hand would drop it, from outside the browser."""
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        [name, list(body)],
    )
    page.dispatch_event(".at-file", "drop", {"dataTransfer": transfer})


def open_data_step(visit: Any, language: str = "en") -> Any:
    """With the tiny model chosen."""
    page = visit.open("/new")
    at_step(page, 1)
    go_on(page, language)
    at_step(page, 2)
    page.locator("label", has_text="tiny").get_by_role("radio").check()
    go_on(page, language)
    at_step(page, 3)
    return page


def open_settings_step(visit: Any, language: str = "en") -> Any:
    page = open_data_step(visit, language)
    drop(page, "faq.csv", FAQ.encode())
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    go_on(page, language)
    at_step(page, 4)
    return page
