"""What a prompt says around a problem."""

from __future__ import annotations

_PAPER_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
_PAPER_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'
_BOXED_AFTER = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."

TEMPLATES = {
    "paper": _PAPER_BEFORE + "{problem}" + _PAPER_AFTER,
    "boxed": "{problem}" + _BOXED_AFTER.replace("{}", "{{}}"),
    "none": "{problem}",
}


def get_template(template: str) -> str:
    r"""Return the template of a name, or the text itself where it holds `{problem}`.

    "paper" is the prompt of DAPO-Math-17k, which the paper's runs used; "boxed" the one that Qwen2.5-Math and
    DeepSeek-R1 recommend.

    Raises:
        ValueError: neither a name nor a text that can be filled in.

    >>> from bandpo.data.templates import get_template
    >>> get_template("boxed").format(problem="1 + 1?")
    '1 + 1?\n\nPlease reason step by step, and put your final answer within \\boxed{}.'
    """
    if template in TEMPLATES:
        return TEMPLATES[template]
    try:
        if template.format(problem="x") != template.format(problem="y"):
            return template
    except (LookupError, ValueError):
        pass
    raise ValueError(
        f"template={template!r}: expected {', '.join(TEMPLATES)}, or a text with {{problem}} (other braces doubled)"
    )


def without_template(text: str) -> str:
    """Return a problem without the words of the known templates, which copies of DAPO-Math-17k have in rows.

    >>> from bandpo.data.templates import get_template, without_template
    >>> without_template(get_template("paper").format(problem="1 + 1?"))
    '1 + 1?'
    """
    return text.strip().removeprefix(_PAPER_BEFORE).removesuffix(_PAPER_AFTER).removesuffix(_BOXED_AFTER).strip()
