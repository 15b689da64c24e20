"""The languages: one entry each, complete; adding a ninth language is adding one entry."""
# ruff: noqa: RUF001  (Cyrillic letters that look Latin are just what belongs here)

from collections.abc import Iterable
from dataclasses import dataclass

from mella.errors import unknown_name


@dataclass(frozen=True)
class Language:
    """What mella knows of a language.

    Attributes:
        code: ISO 639-1, the name used everywhere in mella.
        name: In English.
        native_name: In the language.
        scripts: ISO 15924 codes, the preferred one first.
        rtl: Whether it is written from right to left.
        domains: Country-code top-level domains, ASCII and internationalised (punycode), of the
            countries where this is what is mostly written. Evidence, not proof: much of `.ae` is
            in English, of `.ma` in French. A domain belongs to one language at most.
        crawl_code: ISO 639-3, as in the Common Crawl columnar index (`content_languages`).
        nllb_codes: FLORES-200 code to ask for, for each script in the order of `scripts`. The code
            ends in the script of what comes back: where that is another one (NLLB writes Serbian
            only in Cyrillic), the translation is still to be transliterated.
        madlad_code: Target token of MADLAD-400, without `<2` and `>`.
        confusable: Languages that identification takes for this one, or that come nearest to it:
            ISO 639-1 codes, ISO 639-3 where there is none.
        segmenter: How words are found: "regex", "kiwi", "newmm" or "syllable".
        stemmer: Snowball algorithm, or None where there is none.
        culture_prompts: Questions, in the language, that a native alt-text answers. Each is in one
            script, any of the language: a text is asked about in its own, where there are such.
        linguistics_prompts: Requests, in the language, that a thick description answers; scripts as
            above.
    """

    code: str
    name: str
    native_name: str
    scripts: tuple[str, ...]
    rtl: bool
    domains: tuple[str, ...]
    crawl_code: str
    nllb_codes: tuple[str, ...]
    madlad_code: str
    confusable: tuple[str, ...]
    segmenter: str
    stemmer: str | None
    culture_prompts: tuple[str, ...]
    linguistics_prompts: tuple[str, ...]


_BUILT_IN = (
    Language(
        code="ar",
        name="Arabic",
        native_name="العربية",
        scripts=("Arab",),
        rtl=True,
        # Of the countries where Arabic is what is mostly written. Without Djibouti, the Comoros and
        # Somalia: French and Somali there, and `.so` is sold to all the world.
        domains=(
            *("ae", "bh", "dz", "eg", "iq", "jo", "kw", "lb", "ly", "ma", "mr"),
            *("om", "ps", "qa", "sa", "sd", "sy", "tn", "ye"),
            "xn--lgbbat1ad8j",  # Algeria
            "xn--mgb9awbf",  # Oman
            "xn--mgbaam7a8h",  # United Arab Emirates
            "xn--mgbah1a3hjkrd",  # Mauritania
            "xn--mgbayh7gpa",  # Jordan
            "xn--mgbc0a9azcg",  # Morocco
            "xn--mgbcpq6gpa1a",  # Bahrain
            "xn--mgberp4a5d4ar",  # Saudi Arabia
            "xn--mgbpl2fh",  # Sudan
            "xn--mgbtx2b",  # Iraq
            "xn--ogbpf8fl",  # Syria
            "xn--pgbs0dh",  # Tunisia
            "xn--wgbh1c",  # Egypt
            "xn--wgbl6a",  # Qatar
            "xn--ygbi2ammx",  # Palestine
        ),
        crawl_code="ara",
        nllb_codes=("arb_Arab",),
        madlad_code="ar",
        confusable=("fa", "ur", "ps", "sd", "ug", "ckb"),
        segmenter="regex",
        stemmer="arabic",
        culture_prompts=(
            "ماذا يظهر في هذه الصورة؟",
            "ما الذي تراه في الصورة؟",
            "مَن أو ما الذي يظهر في هذه الصورة؟",
            "ماذا يُسمّى هذا عندنا؟",
            "ما التعليق القصير المناسب لهذه الصورة؟",
        ),
        linguistics_prompts=(
            "صف هذه الصورة بالتفصيل.",
            "اكتب وصفًا مفصّلًا لكل ما يظهر في الصورة.",
            "صف الصورة وصفًا دقيقًا: الموضوع الرئيسي والخلفية والألوان والأجواء.",
            "قدّم وصفًا شاملًا للصورة، من موضوعها الرئيسي إلى أصغر تفاصيلها.",
            "صف هذه الصورة، واذكر ما تدل عليه من مكان وثقافة.",
        ),
    ),
    Language(
        code="cs",
        name="Czech",
        native_name="čeština",
        scripts=("Latn",),
        rtl=False,
        domains=("cz",),
        crawl_code="ces",
        nllb_codes=("ces_Latn",),
        madlad_code="cs",
        confusable=("sk", "sl", "hr", "bs", "pl"),
        segmenter="regex",
        stemmer="czech",
        culture_prompts=(
            "Co je na tomto obrázku?",
            "Co zachycuje tento snímek?",
            "Kdo nebo co je na obrázku?",
            "Jak se tomu, co je na obrázku, u nás říká?",
            "Jaký krátký popisek se k tomuto obrázku hodí?",
        ),
        linguistics_prompts=(
            "Podrobně popište tento obrázek.",
            "Co nejpodrobněji popište vše, co je na obrázku vidět.",
            "Napište podrobný popis této scény: hlavní motiv, pozadí, barvy a atmosféru.",
            "Popište obrázek od hlavního motivu až po nejmenší detaily.",
            "Popište tento obrázek a uveďte i to, co vypovídá o místě a kultuře.",
        ),
    ),
    Language(
        code="hu",
        name="Hungarian",
        native_name="magyar",
        scripts=("Latn",),
        rtl=False,
        domains=("hu",),
        crawl_code="hun",
        nllb_codes=("hun_Latn",),
        madlad_code="hu",
        confusable=("sk", "ro", "et", "fi", "is"),
        segmenter="regex",
        stemmer="hungarian",
        culture_prompts=(
            "Mi látható ezen a képen?",
            "Mit ábrázol ez a kép?",
            "Ki vagy mi szerepel a képen?",
            "Hogyan nevezik nálunk azt, ami a képen látható?",
            "Milyen rövid képaláírás illik ehhez a képhez?",
        ),
        linguistics_prompts=(
            "Írja le részletesen ezt a képet.",
            "Mutassa be a lehető legrészletesebben mindazt, ami a képen látható.",
            "Írjon részletes leírást a jelenetről: fő téma, háttér, színek, hangulat.",
            "Írja le a képet a fő témától a legapróbb részletekig.",
            "Írja le ezt a képet, és térjen ki arra is, mit árul el a helyszínről és a kultúráról.",
        ),
    ),
    Language(
        code="ko",
        name="Korean",
        native_name="한국어",
        scripts=("Hang",),
        rtl=False,
        # Without `.kp`: a few dozen state sites, with another spelling and editions for abroad.
        domains=("kr", "xn--3e0b707e"),
        crawl_code="kor",
        nllb_codes=("kor_Hang",),
        madlad_code="ko",
        confusable=("ja", "zh"),
        segmenter="kiwi",
        stemmer=None,
        culture_prompts=(
            "이 사진에는 무엇이 보이나요?",
            "이 이미지는 무엇을 보여 주나요?",
            "사진 속에는 누가 또는 무엇이 있나요?",
            "사진에 보이는 것을 우리는 뭐라고 부르나요?",
            "이 사진에 어울리는 짧은 설명은 무엇인가요?",
        ),
        linguistics_prompts=(
            "이 사진을 자세히 설명해 주세요.",
            "사진에 보이는 모든 것을 가능한 한 자세히 묘사해 주세요.",
            "주요 대상과 배경, 색감, 분위기를 포함하여 이 장면을 상세하게 묘사해 주세요.",
            "중심이 되는 대상부터 작은 세부까지 이 이미지를 차례로 설명해 주세요.",
            "장소와 문화를 짐작하게 하는 단서까지 포함하여 이 사진을 설명해 주세요.",
        ),
    ),
    Language(
        code="ru",
        name="Russian",
        native_name="русский",
        scripts=("Cyrl",),
        rtl=False,
        # The sites of Belarus and Kazakhstan too are mostly in Russian (87 and 84 %, W3Techs 2013);
        # their Cyrillic domains are not counted, having been made for the national languages.
        domains=("ru", "su", "by", "kz", "xn--p1ai"),
        crawl_code="rus",
        nllb_codes=("rus_Cyrl",),
        madlad_code="ru",
        confusable=("uk", "be", "bg", "mk", "sr", "kk", "ky", "tg", "mn", "tt", "ba", "cv"),
        segmenter="regex",
        stemmer="russian",
        culture_prompts=(
            "Что изображено на этой картинке?",
            "Что мы видим на этом снимке?",
            "Кто или что на этом изображении?",
            "Как у нас называют то, что здесь показано?",
            "Какая короткая подпись подойдёт к этому изображению?",
        ),
        linguistics_prompts=(
            "Подробно опишите это изображение.",
            "Опишите как можно подробнее всё, что видно на снимке.",
            "Составьте подробное описание сцены: главный объект, фон, цвета и настроение.",
            "Опишите изображение от главного до мельчайших деталей.",
            "Опишите этот снимок и расскажите, что он говорит о месте и культуре.",
        ),
    ),
    Language(
        code="sr",
        name="Serbian",
        native_name="српски",
        scripts=("Cyrl", "Latn"),
        rtl=False,
        domains=("rs", "xn--90a3ac"),
        crawl_code="srp",
        nllb_codes=("srp_Cyrl", "srp_Cyrl"),
        madlad_code="sr",
        confusable=("hr", "bs", "mk", "bg", "sl"),
        segmenter="regex",
        stemmer="serbian",
        culture_prompts=(
            "Шта је приказано на овој слици?",
            "Шта видите на овој фотографији?",
            "Ко или шта се види на слици?",
            "Како се код нас зове ово што је на слици?",
            "Који кратак опис одговара овој слици?",
            "Šta je prikazano na ovoj slici?",
            "Šta vidite na ovoj fotografiji?",
            "Ko ili šta se vidi na slici?",
            "Kako se kod nas zove ovo što je na slici?",
            "Koji kratak opis odgovara ovoj slici?",
        ),
        linguistics_prompts=(
            "Детаљно опишите ову слику.",
            "Опишите што подробније све што се види на слици.",
            "Напишите детаљан опис призора: главни мотив, позадину, боје и атмосферу.",
            "Опишите слику од главног мотива до најситнијих детаља.",
            "Опишите ову слику и наведите шта она говори о месту и култури.",
            "Detaljno opišite ovu sliku.",
            "Opišite što podrobnije sve što se vidi na slici.",
            "Napišite detaljan opis prizora: glavni motiv, pozadinu, boje i atmosferu.",
            "Opišite sliku od glavnog motiva do najsitnijih detalja.",
            "Opišite ovu sliku i navedite šta ona govori o mestu i kulturi.",
        ),
    ),
    Language(
        code="th",
        name="Thai",
        native_name="ไทย",
        scripts=("Thai",),
        rtl=False,
        domains=("th", "xn--o3cw4h"),
        crawl_code="tha",
        nllb_codes=("tha_Thai",),
        madlad_code="th",
        confusable=("lo",),
        segmenter="newmm",
        stemmer=None,
        culture_prompts=(
            "ในภาพนี้มีอะไร",
            "ภาพนี้เป็นภาพอะไร",
            "ใครหรืออะไรอยู่ในภาพนี้",
            "คนไทยเรียกสิ่งที่อยู่ในภาพนี้ว่าอะไร",
            "คำบรรยายสั้น ๆ ที่เหมาะกับภาพนี้คืออะไร",
        ),
        linguistics_prompts=(
            "อธิบายภาพนี้อย่างละเอียด",
            "บรรยายทุกสิ่งที่เห็นในภาพให้ละเอียดที่สุด",
            "เขียนคำบรรยายภาพนี้อย่างละเอียด ทั้งสิ่งสำคัญในภาพ พื้นหลัง สีสัน และบรรยากาศ",
            "บรรยายภาพนี้ตั้งแต่จุดเด่นของภาพไปจนถึงรายละเอียดเล็ก ๆ น้อย ๆ",
            "บรรยายภาพนี้ พร้อมบอกว่าภาพสะท้อนสถานที่และวัฒนธรรมอย่างไร",
        ),
    ),
    Language(
        code="vi",
        name="Vietnamese",
        native_name="Tiếng Việt",
        scripts=("Latn",),
        rtl=False,
        domains=("vn",),
        crawl_code="vie",
        nllb_codes=("vie_Latn",),
        madlad_code="vi",
        confusable=("ig", "yo"),
        segmenter="syllable",
        stemmer=None,
        culture_prompts=(
            "Trong ảnh này có gì?",
            "Bức hình này chụp gì?",
            "Ai hoặc cái gì xuất hiện trong ảnh?",
            "Người Việt gọi thứ trong ảnh này là gì?",
            "Chú thích ngắn nào phù hợp với bức ảnh này?",
        ),
        linguistics_prompts=(
            "Hãy mô tả chi tiết bức ảnh này.",
            "Hãy mô tả thật chi tiết mọi thứ nhìn thấy trong ảnh.",
            "Hãy viết một đoạn mô tả chi tiết: chủ thể chính, hậu cảnh, màu sắc và không khí.",
            "Hãy tả bức ảnh từ chủ thể chính đến những chi tiết nhỏ nhất.",
            "Hãy mô tả bức ảnh và cho biết nó nói lên điều gì về nơi chốn và văn hóa.",
        ),
    ),
)

_languages = {language.code: language for language in _BUILT_IN}


def languages() -> dict[str, Language]:
    """Return every known language by its code, in alphabetical order."""
    return dict(sorted(_languages.items()))


def get_language(code: str) -> Language:
    """Return the entry of a language.

    Raises:
        UnknownNameError: No such language; the message lists the known ones.
    """
    if code not in _languages:
        raise unknown_name("language", code, _languages)
    return _languages[code]


def register_language(language: Language) -> None:
    """Add a language, or replace the entry with the same code."""
    _languages[language.code] = language


def resolve_languages(lang: str | Iterable[str]) -> tuple[Language, ...]:
    """Return the entries for a code, several codes, or "all", without repeats, in order.

    Raises:
        UnknownNameError: A code is unknown, or none was given.
    """
    if lang == "all":
        return tuple(languages().values())
    codes = [lang] if isinstance(lang, str) else list(lang)
    if not codes:
        raise unknown_name("language", "(none)", _languages)
    return tuple(get_language(code) for code in dict.fromkeys(codes))
