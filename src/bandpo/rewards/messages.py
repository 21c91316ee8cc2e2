"""What a completion says: text as it is, or the assistant's last words in a conversation."""

from __future__ import annotations

from typing import Any


def content_text(content: Any) -> str:
    """Return the text of a chat message's content: itself, or its text parts one after another.

    Parts of other types, such as images, have no text and are left out; no content (None) is the empty text.

    Raises:
        TypeError: neither text, nor a list of parts, nor None.

    >>> from bandpo.rewards.messages import content_text
    >>> content_text([{"type": "text", "text": "1 + "}, {"type": "image"}, {"type": "text", "text": "1?"}])
    '1 + 1?'
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part_text(part) for part in content)
    raise TypeError(f"content={content!r:.60}: expected text or a list of parts")


def completion_text(completion: Any) -> str:
    """Return the text of a completion: itself, or the content of the assistant's last message.

    What a tool or the user says after it is not the model's answer and is not read; a conversation in which the
    assistant says nothing is the empty text. A message without a role counts as the assistant's where it is the only
    one.

    Raises:
        TypeError: neither text nor chat messages.

    >>> from bandpo.rewards.messages import completion_text
    >>> completion_text([{"role": "assistant", "content": "four"}, {"role": "tool", "content": "five"}])
    'four'
    """
    if isinstance(completion, str):
        return completion
    if not (isinstance(completion, list) and all(isinstance(message, dict) for message in completion)):
        raise TypeError(f"completion={completion!r:.60}: expected text or chat messages")
    if len(completion) == 1 and completion[0].get("role") is None:
        return content_text(completion[0].get("content"))
    said = [message.get("content") for message in completion if message.get("role") == "assistant"]
    return content_text(said[-1]) if said else ""


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    is_text = isinstance(part, dict) and part.get("type", "text") in ("text", None)
    return (part.get("text") or "") if is_text else ""
