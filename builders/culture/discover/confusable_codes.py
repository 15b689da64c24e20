"""The names by which the index lists the languages that are taken for one of the eight."""

ISO_639_3 = {
    "ba": "bak", "be": "bel", "bg": "bul", "bs": "bos", "cv": "chv", "et": "est", "fa": "fas",
    "fi": "fin", "hr": "hrv", "ig": "ibo", "is": "isl", "ja": "jpn", "kk": "kaz", "ky": "kir",
    "lo": "lao", "mk": "mkd", "mn": "mon", "pl": "pol", "ps": "pus", "ro": "ron", "sd": "snd",
    "sk": "slk", "sl": "slv", "sr": "srp", "tg": "tgk", "tt": "tat", "ug": "uig", "uk": "ukr",
    "ur": "urd", "yo": "yor", "zh": "zho",
}  # fmt: skip
"""ISO 639-3 by ISO 639-1 (SIL code tables), for `Language.confusable`."""


def listed_as(code: str) -> str:
    """Return the ISO 639-3 code that `content_languages` has for a code of `confusable`."""
    return ISO_639_3.get(code, code)
