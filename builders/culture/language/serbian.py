"""Tell Serbian in Latin letters from its twins by the few words in which they differ.

Serbian, Croatian and Bosnian are one language to every identifier once the letters are the same.
What differs is the old vowel jat, `e` in Serbian (ekavian: reka, deca, lepo) and `ije` or `je` in
the others (rijeka, djeca, lijepo), the names of the months, and some everyday words.
"""

import re

TWINS: dict[tuple[str, str], tuple[str, ...]] = {("sr", "Latn"): ("hr", "bs", "sh")}
"""By language and script: the languages that the text alone does not tell from it."""

# Beginnings of words. Written out rather than derived: `ije` alone proves nothing (nije, Srbije).
_EKAVIAN = (
    *(
        "bel[aeiou]",
        "ben[zs]inska",
        "cel[aeiou]",
        "cen[aeiou]",
        "ceo",
        "cvet",
        "cveć",
        "dec[aeiou]",
    ),
    *("deda", "dede", "delo", "delov", "det[ei]", "devoj", "dnevn", "fudbal", "gde", "hiljad"),
    *("hleb", "istorij", "lekov", "lep[aeiou]", "leto", "leta", "letnj", "levo", "mesec", "mesni"),
    *("mest[aou]", "mlek", "nedelj", "obaveš", "opštin", "ovde", "pesm", "pesn", "peva", "pobed"),
    *(
        "ponedelj",
        "porodic",
        "posle",
        "pozoriš",
        "predsed",
        "rec[ií]",
        "reč",
        "rek[aeou]",
        "sednic",
    ),
    *("sever", "sneg", "sneš", "sveć", "svetsk", "telo", "tela", "uvek", "vazduh", "vek"),
    *("ver[aeu]", "vernic", "vest[ i]", "vetar", "voz", "vreme", "zvezd", "železn"),
)
_IJEKAVIAN = (
    *("bijel", "bjel", "brijeg", "cijel", "cijen", "cjenik", "cvijet", "cvijeć", "cvjet", "dijet"),
    *(
        "djec",
        "djed",
        "djel",
        "djev",
        "djet",
        "gdje",
        "kazališ",
        "kolovoz",
        "kruh",
        "lijek",
        "lijep",
    ),
    *("lijev", "listopad", "ljepš", "ljepot", "ljet", "lipnj", "mjer", "mjesec", "mjest", "mlijek"),
    *("mliječ", "nedjelj", "nogomet", "obavijest", "općin", "otok", "ovdje", "ožujk", "pjesm"),
    *("pjesn", "pjev", "pobjed", "ponedjelj", "poslije", "povijest", "predsjed", "predsjedav"),
    *("prije", "prosinac", "prosinc", "proljeć", "riječ", "rijek", "rječ", "rujan", "rujn"),
    *("siječ", "sjedni", "sjever", "smijeh", "snijeg", "snijež", "snjež", "srpnj", "svibnj"),
    *("svijeć", "svijet", "svjets", "sveučiliš", "tijel", "tisuć", "tjed", "tjestenin", "travnj"),
    *("tvrtk", "uvijek", "uvjet", "veljač", "vijeć", "vijek", "vijest", "vjer", "vjet", "vrijed"),
    *("vrijem", "zrakoplov", "zvijezd", "zvjezd", "željez", "županij"),
)


def _beginning_with(stems: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(stems)})")


_SERBIAN = _beginning_with(_EKAVIAN)
_CROATIAN = _beginning_with(_IJEKAVIAN)


def leaning(text: str) -> str | None:
    """Return which of the twins a text in Latin letters leans to, by its telling words.

    Returns:
        "sr", "hr" (Croatian, Bosnian or Montenegrin: they share what is looked at), or None where
        nothing tells, or as much for one as for the other.
    """
    text = text.casefold()
    serbian, croatian = len(_SERBIAN.findall(text)), len(_CROATIAN.findall(text))
    if serbian == croatian:
        return None
    return "sr" if serbian > croatian else "hr"
