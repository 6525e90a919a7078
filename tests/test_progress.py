"""The display: bars on a terminal, plain lines elsewhere."""

import io

from rich.console import Console

from orchestrator.progress import Display


def shown(terminal: bool) -> str:
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=terminal, width=120)) as display:
        stage = display.stage("ask", 200, "replies")
        for _ in range(20):
            stage.advance(10, "lab-coupled-warm")
        display.say("serve: starting [lab]")
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "ask: 200 replies to do"
    assert len(lines) == 12
    assert "ask: 20/200 replies" in lines[1]
    assert "left lab-coupled-warm" in lines[1]
    assert "ask: 200/200 replies" in lines[-2]
    assert "done in" in lines[-2]
    assert lines[-1] == "serve: starting [lab]"
    assert "\x1b" not in "".join(lines)


def test_a_bar_with_rate_and_time_on_a_terminal() -> None:
    out = shown(terminal=True)
    assert "\x1b[" in out
    assert "200/200" in out
    assert "replies/s" in out
    assert "lab-coupled-warm" in out
    assert "serve: starting [lab]" in out
