"""What a run in the cloud makes, uploads and costs, in words: for --dry-run by a table, at the start by the hub's prices."""

from collections.abc import Sequence
from dataclasses import dataclass

from autotrain.cloud.hardware import PRICES_DATE, hardware_of, hourly_price, is_space
from autotrain.cloud.hours import Hours
from autotrain.hub.sizes import size_text


@dataclass(frozen=True)
class Upload:
    """Something that is uploaded: what it is, and its bytes."""

    what: str
    num_bytes: int


@dataclass(frozen=True)
class Bill:
    """created: what is made, a line each.  max_hours: the bound of the training, None for none.

    hours: how long it takes, None for what ends when its owner ends it.  unbounded: what is said then instead.
    """

    backend: str
    created: Sequence[str]
    uploads: Sequence[Upload]
    secrets: Sequence[str]
    max_hours: float | None
    hours: Hours | None = None
    unbounded: str = ""

    def text(self, price: float | None = None, *, is_live: bool = False) -> str:
        """All of it, with `price` in USD per hour if `is_live`, else with the price of the dated table."""
        price = price if is_live else hourly_price(self.backend)
        lines = ["would create", *(f"  {line}" for line in self.created), "would upload"]
        lines += [f"  {one.what} ({size_text(one.num_bytes)})" for one in self.uploads]
        lines += [f"would hand over as secrets: {', '.join(self.secrets)}"]
        said = "as the hub says now" if is_live else f"as of {PRICES_DATE}; at the start the hub is asked"
        return "\n".join([*lines, f"would be billed: {self.cost(price)} ({said})", *self._duration(price)])

    def cost(self, price: float | None) -> str:
        """What `price`, USD per hour or None if unknown, comes to."""
        hardware = hardware_of(self.backend)
        what = f"{hardware.name} ({hardware.description})"
        when = "while the Space starts and runs" if is_space(self.backend) else "while the Job starts and runs"
        if price is None:
            return f"{what} at an unknown price, {when}"
        if price == 0:
            return f"{what} costs nothing per hour, but docker Spaces on it need a paid plan of the hub"
        rate = f"{what} at {price:.2f} USD per hour {when}"
        if self.max_hours is None:
            return f"{rate}; {self.unbounded or 'max_hours would bound it'}"
        bound = price * self.max_hours
        return (
            f"{rate}; training stops after {self.max_hours:g} hours (max_hours), {bound:.2f} USD, to which starting, "
            "loading and uploading come"
        )

    def _duration(self, price: float | None) -> list[str]:
        """A line on how long it takes, and what that costs, or none."""
        if self.hours is None:
            return []
        about, why = self.hours.about, self.hours.why
        if about is None:
            return [f"would take: an unknown time: {why}"]
        bound = self.max_hours if self.max_hours is not None and self.max_hours < about else None
        cost = "" if price is None else f", about {price * (bound or about):,.2f} USD"
        if bound is not None:
            return [
                f"would take: about {_rounded(about)} hours, but max_hours stops it after {bound:g}{cost}; assumed: {why}"
            ]
        return [f"would take: about {_rounded(about)} hours{cost}; assumed: {why}"]


def _rounded(number: float) -> str:
    """Two digits of a rough figure, without an exponent."""
    return f"{number:.2g}" if number < 100 else f"{float(f'{number:.2g}'):,.0f}"
