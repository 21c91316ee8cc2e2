"""Prompts: text, or chat messages whose content is text or a list of parts."""

from __future__ import annotations

from typing import Any

from bandpo.data.references import described
from bandpo.rewards.messages import content_text

_TEXT = "text"


def check_prompt(prompt: Any, name: str = "prompt") -> None:
    """Raise ValueError, with what is wrong, at a prompt that cannot be given to a language model.

    Fine are text that is not blank, and a list of messages with a role each, of which one at least says something:
    text, or parts of type "text". An assistant's message may have no content where it calls tools.

    Args:
        prompt: what a data set has.
        name: of its column, for the error.

    >>> from bandpo.data.messages import check_prompt
    >>> check_prompt([{"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]}])
    """
    if prompt is None:
        raise ValueError(f"{name} is missing (null)")
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ValueError(f"{name} is empty")
        return
    if not isinstance(prompt, list):
        raise ValueError(f"{name} is {described(prompt)}: expected text or chat messages")
    if not prompt:
        raise ValueError(f"{name} is an empty list of messages")
    for number, message in enumerate(prompt):
        _check_message(f"message {number} of the {name}", message)
    if not any(content_text(message.get("content")).strip() for message in prompt):
        raise ValueError(f"{name} is a chat without a word in it")


def plain_messages(prompt: Any) -> Any:
    """Return a prompt with the text parts of each message joined to one text, as chat templates for text need it.

    >>> from bandpo.data.messages import plain_messages
    >>> plain_messages([{"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]}])
    [{'role': 'user', 'content': '1 + 1?'}]
    """
    if isinstance(prompt, str) or not any(isinstance(message.get("content"), list) for message in prompt):
        return prompt
    return [
        {**message, "content": content_text(message["content"])} if message.get("content") is not None else message
        for message in prompt
    ]


def user_text(prompt: Any) -> str:
    """Return the text of a prompt: itself, or what the user said last.

    >>> from bandpo.data.messages import user_text
    >>> user_text([{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 1?"}])
    '1 + 1?'
    """
    if isinstance(prompt, str):
        return prompt
    contents = [message.get("content") for message in prompt if message.get("role") == "user"]
    return content_text(contents[-1]) if contents else ""


def _check_message(which: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise ValueError(f"{which} is {described(message)}: expected role and content")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise ValueError(f"{which} has no role: expected user, system or assistant")
    if content is None and not message.get("tool_calls"):
        raise ValueError(f"{which} has no content")
    if not (content is None or isinstance(content, (str, list))):
        raise ValueError(f"{which}'s content is {described(content)}: expected text or a list of parts")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != _TEXT or not isinstance(part.get(_TEXT), str):
            raise ValueError(f"{which} has a part that is no text, {described(part)}: expected parts of type 'text'")
