"""A page with the keyboard alone: where the Tab key leads, whether one sees it, and whether nothing was left out."""

from itertools import pairwise
from typing import Any

# What a hand with a mouse could use: shown, not switched off, and of some radio buttons the one that Tab leads to.
_CONTROLS = """() => [...document.querySelectorAll(
  "a[href], button, input, select, textarea, summary, [tabindex='0'], [role=switch], [role=checkbox], [role=slider]"
)].filter((one) => {
  const box = one.getBoundingClientRect();
  const isShown = box.width > 0 && box.height > 0 && one.checkVisibility({visibilityProperty: true});
  const isOff = one.disabled || one.closest("[aria-disabled=true], [aria-hidden=true], [inert]");
  const isPartOfOne = one.parentElement.closest("[role=switch], [role=checkbox], [role=slider]");
  const group = one.type === "radio" ? [...document.querySelectorAll(`input[type=radio][name="${one.name}"]`)] : [];
  const isOther = group.some((other) => other.checked) && !one.checked;
  return isShown && !isOff && !isPartOfOne && !isOther;
})"""
_NAMES = """(one) => (one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText || one.id || one.tagName)
  .trim().split("\\n")[0]"""
_LOOK = f"""async () => {{
  await new Promise((go) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(go)), 50));
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const frame = one.closest(".q-field--outlined")?.querySelector(".q-field__control");
  const border = frame && getComputedStyle(frame, "::after");
  const accent = getComputedStyle(document.body).getPropertyValue("--q-primary");
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = accent;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  const isOutlined = style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2;
  const isFramed = border && parseFloat(border.borderTopWidth) >= 2 && border.borderTopColor === colour;
  return {{
    name: ({_NAMES})(one),
    place: window.controls.indexOf(one),
    isBody: one === document.body,
    isSeen: Boolean(isOutlined || isFramed),
    isInView: box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
    left: box.left + scrollX, top: box.top + scrollY, bottom: box.bottom + scrollY,
  }};
}}"""
_MOST = 150


def tab_to(page: Any, selector: str) -> None:
    """By the Tab key alone."""
    for _ in range(_MOST):
        if page.evaluate("(selector) => !!document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key doesn't lead to {selector}")


def tab_to_name(page: Any, name: str) -> None:
    """The same, to what is called `name`."""
    for _ in range(_MOST):
        if page.evaluate(f"(name) => ({_NAMES})(document.activeElement) === name", name):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key doesn't lead to {name!r}")


def walk(page: Any) -> list[str]:
    """Press Tab from the top of the page to its end; the names of all that it leads to.

    Fails unless that is every control, in the order of reading, each of them in view and seen to be where one is.
    """
    page.evaluate(f"() => {{ window.controls = ({_CONTROLS})(); document.activeElement.blur(); scrollTo(0, 0); }}")
    names = page.evaluate(f"() => window.controls.map({_NAMES})")
    reached: list[dict[str, Any]] = []
    for _ in range(_MOST):
        page.keyboard.press("Tab")
        look = page.evaluate(_LOOK)
        if look["isBody"] or (reached and look["place"] == reached[0]["place"]):
            break
        reached.append(look)
    places = [one["place"] for one in reached]
    said = [one["name"] for one in reached]
    never_reached = [name for place, name in enumerate(names) if place not in places]
    not_seen = [one["name"] for one in reached if not one["isSeen"]]
    out_of_view = [one["name"] for one in reached if not one["isInView"]]
    assert not never_reached, f"the Tab key doesn't lead to {never_reached}"
    assert not not_seen, f"one doesn't see where one is at {not_seen}"
    assert not out_of_view, f"out of view: {out_of_view}"
    assert places == sorted(places), said
    for before, after in pairwise(reached):
        is_back = after["bottom"] <= before["top"] and after["left"] <= before["left"]
        assert not is_back, (before["name"], after["name"])
    return said
