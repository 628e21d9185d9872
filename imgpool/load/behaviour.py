"""The kinds of clients: how each takes a no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """`listens`: stops sending when the answer is there before the body has gone out, as browsers and curl do.

    `tries` is how often an image is offered in all; between tries it waits for as long as Retry-After says
    (`obeys_retry_after`) or not at all. `patience_s` is how long it waits for an answer. `bytes_per_s` is the speed of
    its line; None: as fast as it goes.
    """

    name: str
    what: str
    listens: bool = True
    obeys_retry_after: bool = True
    tries: int = 4
    patience_s: float = 60.0
    bytes_per_s: int | None = None


POLITE = Behaviour("polite", "waits as long as Retry-After says, then tries again")
IMPATIENT = Behaviour("impatient", "tries again at once, hangs up after 5 s", obeys_retry_after=False, patience_s=5.0)
RUDE = Behaviour("rude", "sends the whole body whatever the answer, tries again at once", False, False)
SLOW = Behaviour("slow", "polite, on a line of 64 KiB/s", bytes_per_s=64 * 1024, patience_s=300.0)
ONCE = Behaviour("once", "tries once", tries=1)

BEHAVIOURS = {each.name: each for each in (POLITE, IMPATIENT, RUDE, SLOW, ONCE)}
