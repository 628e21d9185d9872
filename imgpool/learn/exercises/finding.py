"""What a check says: findings, and the verdict that they make together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `text` says what is right, or what is missing."""

    right: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that was looked at, in order."""

    findings: tuple[Finding, ...]

    @property
    def solved(self) -> bool:
        """True when nothing is missing."""
        return bool(self.findings) and all(finding.right for finding in self.findings)


def say(right: bool, good: str, bad: str) -> Finding:
    """Return a finding with the text that fits."""
    return Finding(right, good if right else bad)
