"""Views: what a training loop gets of a sample: raw, an (image, text) pair, or a conversation.

sample["text"]                        # วัดอรุณราชวราราม
pair(sample)                          # (image, text)
Chat().prompt_completion(sample)      # a question in Thai and the image; the text as the answer
Chat(seed=1, system="Be brief.").messages(sample)

A view is a pure function of one sample (a mapping with `image`, `text`, `key`, `lang`, `source`
and more): give it to a stream or to `datasets`' `.map`, send it to a worker, call it by hand.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from mella.errors import MellaError, UnknownNameError, unknown_name
from mella.languages import get_language
from mella.text import dominant_script

Sample = Mapping[str, Any]
View = Callable[[Sample], Any]
ViewName = Literal["raw", "pair", "messages", "prompt_completion"]
Prompts = Mapping[str, Sequence[str]] | Callable[[Sample], str]
"""Own prompts: some for each source ("culture", "linguistics"), or what to ask of a sample."""

# What tokenizers of vision-language models take for a token, not for text: a word in angle brackets
# (<image>, <|im_end|>, </s>, <IMG_CONTEXT>), and those of Mistral in square ones.
_TOKEN = re.compile(r"<(?=([^\s<>]{1,64}>))|\[(?=((?:/?INST|IMG(?:_BREAK|_END)?)\]))")
_CONTENT = ("image", "text", "images", "messages", "prompt", "completion")
"""Columns that a conversation replaces. A `text` beside it does harm: TRL's collator takes a row
that has one for plain text, and never looks at the conversation."""


class ViewError(MellaError, ValueError):
    """Options of a view that make no sense, or a sample that lacks what the view needs."""


def raw(sample: Sample) -> Sample:
    """Return the sample as it is, the same object."""
    return sample


def pair(sample: Sample) -> tuple[Any, str]:
    """Return (image, text), both as they are in the sample.

    A tuple is nothing that `datasets`' `.map` takes; that is for a stream, or by hand.

    Raises:
        ViewError: The sample has no image or no text.
    """
    return _value(sample, "image"), _value(sample, "text")


@dataclass(frozen=True, kw_only=True)
class Chat:
    """How a sample becomes a conversation: someone shows the image and asks, the text answers.

    `messages` and `prompt_completion` are the views. What is asked is one of the prompts that
    `mella.languages` has for the language and the source of the sample: those in the script of the
    text (`script` of the sample, or else the preferred one of the language), where there are some.

    Attributes:
        system: A system message to begin with.
        prompts: Instead of the built-in prompts: a mapping from source to one or more, or a
            function of the sample that returns the one. It must cover every source that is met.
        seed: Which prompt a sample gets is a function of the seed and its key alone: the same in
            every process and epoch, each prompt equally often. Another seed deals them out anew.
        keep: Columns to leave beside the conversation, such as `("key", "lang", "source")`.
        escape: True: the text goes through `escape_tokens`, and prompts may not hold such tokens.
            False: all is left as it is.

    Raises:
        ViewError: An option makes no sense; the message names it.
    """

    system: str | None = None
    prompts: Prompts | None = None
    seed: int = 0
    keep: tuple[str, ...] = ()
    escape: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise ViewError(f"keep is {self.keep!r}: give a tuple of columns, ({self.keep!r},).")
        for name in self.keep:
            if name in _CONTENT:
                raise ViewError(f"keep has {name!r}, which the conversation already holds.")
        if self.system is not None:
            self._check(self.system, "system")
        if isinstance(self.prompts, Mapping):
            for source, prompts in self.prompts.items():
                if isinstance(prompts, str) or not prompts:
                    raise ViewError(
                        f"prompts[{source!r}] is {prompts!r}: give a tuple of one or more prompts, "
                        "such as ('Describe the image.',)."
                    )
                for prompt in prompts:
                    self._check(prompt, f"prompts[{source!r}]")

    def messages(self, sample: Sample) -> dict[str, Any]:
        """Return the conversation as one list of messages.

        Returns:
            `{"messages": [user, assistant], "images": [image]}` and the columns to keep; with
            `system`, its message comes first. Contents are lists of parts, `{"type": "image"}` and
            `{"type": "text", "text": ...}`, as chat templates of transformers want them.

        Raises:
            UnknownNameError: No prompts are known for the language or the source.
            ViewError: The sample lacks a column that the view needs; a prompt holds a token.
        """
        asked, answered = self._turns(sample)
        return self._with_image({"messages": [*asked, *answered]}, sample)

    def prompt_completion(self, sample: Sample) -> dict[str, Any]:
        """Return the conversation cut in two, for a loss on the answer alone.

        Returns:
            `{"prompt": [user], "completion": [assistant], "images": [image]}` and the columns to
            keep; messages as in `messages`.

        Raises:
            UnknownNameError: No prompts are known for the language or the source.
            ViewError: The sample lacks a column that the view needs; a prompt holds a token.
        """
        asked, answered = self._turns(sample)
        return self._with_image({"prompt": asked, "completion": answered}, sample)

    def _turns(self, sample: Sample) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        text = _value(sample, "text")
        question = {"type": "text", "text": self._prompt(sample)}
        answer = {"type": "text", "text": escape_tokens(text) if self.escape else text}
        asked: list[dict[str, Any]] = []
        if self.system is not None:
            asked.append({"role": "system", "content": [{"type": "text", "text": self.system}]})
        asked.append({"role": "user", "content": [{"type": "image"}, question]})
        return asked, [{"role": "assistant", "content": [answer]}]

    def _with_image(self, conversation: dict[str, Any], sample: Sample) -> dict[str, Any]:
        conversation["images"] = [_value(sample, "image")]
        for name in self.keep:
            conversation[name] = _value(sample, name)
        return conversation

    def _prompt(self, sample: Sample) -> str:
        if callable(self.prompts):
            return self._check(self.prompts(sample), "What prompts() returned")
        source = _value(sample, "source")
        prompts: Sequence[str]
        if self.prompts is None:
            prompts = _own_prompts(_value(sample, "lang"), source, sample.get("script"))
        elif source in self.prompts:
            prompts = self.prompts[source]
        else:
            raise unknown_name("source in prompts", source, self.prompts)
        return prompts[_draw(self.seed, _value(sample, "key"), len(prompts))]

    def _check(self, prompt: str, name: str) -> str:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ViewError(f"{name} is {prompt!r}: give a text.")
        if self.escape and (token := _TOKEN.search(prompt)):
            raise ViewError(
                f"{name} is {prompt!r}: a model may take {token[0]}{token[1] or token[2]} for a "
                "token. Leave it out (the image has a part of its own), or, if it is meant, give "
                "escape=False."
            )
        return prompt


def escape_tokens(text: str) -> str:
    """Return the text with a space in all that a model may take for a token: "< image>".

    Web pages hold such strings, and templates paste texts in unescaped. A literal `<image>` makes
    LLaVA raise in the middle of training and Qwen train on an image that isn't there; `<|im_end|>`
    ends the answer early. A space is the least change: nothing is lost, and what comes out is plain
    text to every tokenizer. Escaping twice is the same as once.
    """
    return _TOKEN.sub(r"\g<0> ", text)


def resolve_view(view: "ViewName | View | None") -> View:
    """Return the view for a name or a function; None is `raw`.

    Raises:
        UnknownNameError: No such view; the message lists the known ones.
    """
    if view is None:
        return raw
    if callable(view):
        return view
    chat = Chat()
    known: dict[str, View] = {
        "raw": raw,
        "pair": pair,
        "messages": chat.messages,
        "prompt_completion": chat.prompt_completion,
    }
    if not isinstance(view, str) or view not in known:
        raise unknown_name("view", view, known)
    return known[view]


def _value(sample: Sample, name: str) -> Any:
    try:
        return sample[name]
    except KeyError:
        raise ViewError(
            f"The sample has no column {name!r}, which this view needs. "
            f"It has: {', '.join(sample)}. Load {name!r} too."
        ) from None


def _own_prompts(lang: str, source: str, script: str | None) -> tuple[str, ...]:
    """Return what `mella.languages` has to ask about a sample."""
    try:
        language = get_language(lang)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error} Add it with mella.register_language, in every process, or give Chat(prompts=)"
        ) from None
    by_source = {"culture": language.culture_prompts, "linguistics": language.linguistics_prompts}
    if source not in by_source:
        raise unknown_name("source", source, by_source)
    if not by_source[source]:
        raise ViewError(f"The language {lang!r} has no {source} prompts. Give Chat(prompts=...).")
    return _in_script(by_source[source], script or language.scripts[0])


@lru_cache(maxsize=256)
def _in_script(prompts: tuple[str, ...], script: str) -> tuple[str, ...]:
    """Return the prompts written in a script, or all where none is."""
    return tuple(one for one in prompts if dominant_script(one) == script) or prompts


def _draw(seed: int, key: str, count: int) -> int:
    """Return a number below `count`, evenly spread over keys, the same on every machine."""
    digest = hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
