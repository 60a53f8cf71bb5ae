"""A replay as lines for a person, and what came of it. Only layout and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from dayshift.cli.gate_options import fold
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.runtime.history.replay import Failed, Step, Summary
from dayshift.runtime.history.write import when
from dayshift.surfaces import words

COLOURS = {
    VerdictKind.PASS: "green",
    VerdictKind.HOLD: "yellow",
    VerdictKind.FAIL: "bold red",
    VerdictKind.BLIND: "magenta",
}
INDENT = 10
LABEL = 9
EARLY_MOVES_SHOWN = 5
_NUMBERS = re.compile(r"\d[\d,.]*")


class Telling:
    """Tells one replay, look by look; a look that says nothing new is left out."""

    def __init__(
        self, console: Console, policy: GatePolicy, region: str, every: bool
    ) -> None:
        self.console = console
        self.policy = policy
        self.region = region
        self.every = every
        self._last: tuple[object, ...] | None = None
        self._skipped = 0
        self._over = 0

    def begin(self, notes: Iterable[tuple[str, str]]) -> None:
        """What is replayed, on which knowledge; then the heads of the columns."""
        for label, text in notes:
            self._labelled(label, text)
        self._labelled(
            "odds",
            f"worse: that {self.region} is worse than tolerated, turned back at "
            f"{self.policy.rollback_odds}:1; fine: that it is not, promoted at "
            f"{self.policy.promote_odds}:1",
        )
        self.console.print()
        head = _columns("UTC", "after", "share", "says", "worse", "fine", "errors")
        self.console.print(Text(head, "bold"))

    def step(self, step: Step) -> None:
        """One look, if it says something new."""
        verdict = step.verdict
        if self._over and not self.every:
            self._over += 1
            return
        news = (step.share_bp, verdict and verdict.kind, verdict and _kind(verdict.why))
        if not self.every and news == self._last:
            self._skipped += 1
            return
        self._last = news
        self._print(step)
        self._over += verdict is not None and verdict.kind is VerdictKind.FAIL

    def _print(self, step: Step) -> None:
        verdict = step.verdict
        share = words.short_share(step.share_bp)
        moment, after = _clock(step.at_ms), words.span(step.returning_ms)
        if verdict is None:
            self.console.print(_columns(moment, after, share, "–", "", "", "drained"))
            return
        line = _columns(
            moment,
            after,
            share,
            verdict.kind.value,
            _odds(verdict.rollback_mlog10),
            _odds(verdict.promote_mlog10),
            f"{verdict.errors:,}/{verdict.requests:,}",
        )
        text = Text(line)
        text.stylize(COLOURS[verdict.kind], *_span(line, verdict.kind.value))
        self.console.print(text)
        for sentence in _sentences(verdict):
            self._folded(sentence, INDENT)

    def end(self, summary: Summary) -> None:
        """What came of it, and what it would have spared."""
        if self._skipped:
            more = words.many(self._skipped, "look that says", "looks that say")
            self._folded(f"({more} nothing new: `--all` shows them)", 0)
        if self._over > 1 and not self.every:
            more = words.many(self._over - 1, "more look")
            text = f"({more} of what was recorded after that: `--all` shows them)"
            self._folded(text, 0)
        self.console.print()
        for label, text in _summary(summary, self.region):
            self._labelled(label, text)

    def _labelled(self, label: str, text: str) -> None:
        lines = fold(text, self.console.width - LABEL - 1)
        for number, line in enumerate(lines):
            shown = Text(f"{label if not number else '':<{LABEL}}", "bold")
            self.console.print(shown.append(line, "not bold"), soft_wrap=True)

    def _folded(self, text: str, indent: int) -> None:
        pad = " " * indent
        for line in fold(text, self.console.width - 1, pad, pad):
            self.console.print(Text(line, "dim"), soft_wrap=True)


def _columns(
    moment: str, after: str, share: str, kind: str, worse: str, fine: str, bad: str
) -> str:
    odds = f"{worse:>9} {fine:>9}"
    line = f"{moment:<9} {after:>12}  {share:>6}  {kind:<5} {odds}  {bad}"
    return line.rstrip()


def _span(line: str, word: str) -> tuple[int, int]:
    at = line.index(word)
    return at, at + len(word)


def _clock(at_ms: int) -> str:
    return when(at_ms)[11:19]


def _odds(mlog10: int) -> str:
    """Short enough for a column."""
    beyond = mlog10 > words.ODDS_MAX_MLOG10
    return "> 1 M:1" if beyond else words.odds(mlog10)


def _kind(why: str) -> str:
    """A reason without its numbers."""
    return _NUMBERS.sub("#", why)


def _sentences(verdict: Verdict) -> Iterator[str]:
    yield verdict.why
    if verdict.needs:
        wait = ""
        if verdict.wait_ms:
            wait = f"; about {words.span(verdict.wait_ms)} at this traffic"
        yield f"needs {verdict.needs}{wait}"


def _summary(summary: Summary, region: str) -> Iterator[tuple[str, str]]:
    began = f"the return began {when(summary.began_ms)}"
    lasted = words.span(summary.ended_ms - summary.began_ms)
    yield "looks", f"{summary.looks:,} in {lasted}; {began}"
    if summary.failed:
        yield "verdict", _failed(summary.failed, region)
    else:
        last = summary.last.value if summary.last else "nothing: no traffic returned"
        yield "verdict", f"never turned back; the last word is {last}"
    if summary.blind:
        yield "blind", words.many(summary.blind, "look") + " without fresh counts"
    for one in summary.passed:
        share = words.short_share(one.share_bp)
        after = words.span(one.returning_ms)
        yield "promotes", f"from {share} after {after} ({when(one.at_ms)})"
    if not summary.passed:
        yield "promotes", "never"
    for move in summary.moved_early[:EARLY_MOVES_SHOWN]:
        yield (
            "hint",
            f"the share went from {words.short_share(move.share_bp)} to "
            f"{words.short_share(move.to_bp)} after {words.span(move.returning_ms)}; "
            "the gate would not have let it yet",
        )


def _failed(failed: Failed, region: str) -> str:
    bad = "failed requests"
    if failed.bound_us:
        bad = f"answers slower than {words.took(failed.bound_us)}"
    return (
        f"turned back {words.span(failed.returning_ms)} after the return began "
        f"({when(failed.at_ms)}), at {words.short_share(failed.share_bp)} of the "
        f"traffic; until then {region} had given {failed.excess:,.0f} more {bad} than "
        f"at the others' rate. {failed.why}"
    )
