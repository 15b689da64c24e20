"""Words that say nothing of a picture, and those of dates, money and advertising, by language."""
# ruff: noqa: RUF001  (Cyrillic letters that look Latin are just what belongs here)
# fmt: off

BOILERPLATE: dict[str, tuple[str, ...]] = {
    "en": (
        "logos", "banners", "icons", "favicons", "headers", "footers", "buttons", "arrows",
        "avatars", "thumb", "thumbnails", "screenshots", "badge", "emblem", "symbol", "loader",
        "spinner", "separator", "divider", "bullet", "watermark", "sponsored", "thumbnail image",
        "photo by", "image source", "social icon", "logo", "logotype", "banner", "header", "footer",
        "icon", "favicon", "photo", "photos", "image", "images", "img", "pic", "pics", "picture",
        "pictures", "untitled", "thumbnail", "advertisement", "advert", "ad", "ads", "avatar",
        "loading", "spacer", "blank", "alt", "placeholder", "default", "no image", "no photo",
        "image not available", "untitled image", "screenshot", "screen shot", "profile",
        "profile picture", "profile photo", "user", "cover", "cover image", "featured image",
        "main image", "background", "slide", "slider", "gallery", "preview", "button", "arrow",
        "next", "previous", "prev", "close", "menu", "search", "share", "facebook", "twitter",
        "instagram", "youtube", "telegram", "whatsapp", "linkedin", "pinterest", "tiktok", "google",
        "google play", "app store", "rss", "email", "read more", "click here", "click to enlarge",
        "enlarge image", "home", "homepage", "top", "captcha", "qr code", "barcode", "play",
        "play video", "video", "caption", "image alt", "alt text", "null", "undefined", "none",
        "site logo", "company logo", "new", "sale", "pixel", "tracking pixel", "counter", "map",
        "flag", "star", "rating", "emoji", "smiley",
    ),
    "ar": (
        "شعارات", "الشعارات", "بانرات", "بنر", "إعلانات", "الإعلان", "ايقونات", "أيقونات",
        "الأيقونة", "رمز", "أيقونة القائمة", "شعار الشركة", "الصور", "صور متنوعة", "صورة توضيحية",
        "صورة تعبيرية", "صورة أرشيفية", "صورة افتراضية", "صورة مصغرة", "صورة شخصية", "صورة العرض",
        "معرض الصور", "انستغرام", "تيليجرام", "واتساب", "ملاحظة", "تنبيه", "تحذير", "مثال", "نصيحة",
        "شعار", "الشعار", "شعار الموقع", "لوجو", "بانر", "إعلان", "اعلان", "أيقونة", "ايقونة",
        "صورة", "صور", "الصورة", "بدون عنوان", "صورة رمزية", "الصورة الرمزية", "جاري التحميل",
        "جار التحميل", "جارٍ التحميل", "لا توجد صورة", "صورة المقال", "صورة الخبر", "صورة الغلاف",
        "صورة الملف الشخصي", "لقطة شاشة", "خلفية", "القائمة", "بحث", "إغلاق", "التالي", "السابق",
        "مشاركة", "فيسبوك", "تويتر", "يوتيوب", "الرئيسية", "اقرأ المزيد", "تكبير الصورة", "فيديو",
    ),
    "cs": (
        "loga", "logu", "logem", "logotyp", "bannery", "banneru", "bannerem", "ikony", "ikonu",
        "ikonou", "ikonky", "fotografii", "fotek", "obrázku", "obrázkem", "obrázků", "tlačítko",
        "šipka", "odznak", "piktogram", "symbol", "miniatura", "patička", "záhlaví", "zápatí",
        "ilustrace", "foto k článku", "náhledový obrázek", "zástupný obrázek", "facebook",
        "instagram", "vyhledávání", "předcházející", "následující", "nahoru", "poznámka",
        "varování", "výstraha", "upozornění", "příklad", "volby", "logo", "banner", "ikona",
        "ikonka", "foto", "fotka", "fotky", "fotografie", "obrázek", "obrázky", "obr", "bez názvu",
        "bez popisku", "reklama", "inzerce", "avatar", "načítání", "načítám", "prázdný",
        "snímek obrazovky", "náhled", "ilustrační foto", "ilustrační obrázek",
        "ilustrační fotografie", "profilový obrázek", "profilová fotka", "hlavní obrázek",
        "úvodní foto", "pozadí", "zavřít", "další", "předchozí", "hledat", "sdílet", "domů",
        "titulní obrázek", "zvětšit obrázek", "více", "číst dále", "galerie", "fotogalerie",
        "hlavička", "video", "mapa",
    ),
    "hu": (
        "logók", "logót", "logója", "logóval", "logónk", "logotípus", "bannerek", "bannert",
        "ikonok", "ikont", "ikonja", "ikonnal", "fotók", "fotót", "képet", "képe", "embléma",
        "gomb", "nyíl", "jelvény", "piktogram", "bélyegkép", "lábléc", "kezdőlap",
        "alapértelmezett kép", "helykitöltő", "helykitöltő kép", "indexkép", "illusztrációk",
        "nyitókép", "facebook", "instagram", "megjegyzés", "figyelmeztetés", "figyelem", "példa",
        "tipp", "logó", "logo", "banner", "ikon", "fotó", "fénykép", "kép", "képek", "névtelen",
        "cím nélkül", "hirdetés", "reklám", "avatar", "avatár", "betöltés", "töltés", "üres",
        "képernyőkép", "képernyőfotó", "illusztráció", "illusztrációs kép", "képünk illusztráció",
        "profilkép", "borítókép", "kiemelt kép", "fejléc", "háttér", "bezárás", "következő",
        "előző", "keresés", "megosztás", "tovább", "galéria", "kép nagyítása", "nincs kép",
        "főoldal", "videó", "térkép",
    ),
    "ko": (
        "로고들", "심볼", "엠블럼", "버튼", "화살표", "배너들", "아이콘들", "미리보기", "파비콘",
        "인스타그램", "텔레그램", "블로그", "구글", "유튜브 채널", "이미지 준비중",
        "이미지 준비 중", "상세이미지", "워터마크", "말풍선", "구분선", "더 보기", "위로", "참고",
        "주의", "경고", "예제", "예시", "로고", "배너", "아이콘", "사진", "이미지", "그림",
        "제목 없음", "무제", "광고", "아바타", "로딩", "로딩중", "로딩 중", "빈 이미지", "스크린샷",
        "화면 캡처", "캡처", "프로필", "프로필 사진", "프로필 이미지", "대표이미지", "대표 이미지",
        "상품이미지", "상품 이미지", "본문 이미지", "썸네일", "첨부이미지", "첨부 이미지",
        "기본 이미지", "이미지 없음", "사진 없음", "자료사진", "배경", "배경 이미지", "닫기",
        "메뉴", "검색", "공유", "공유하기", "이전", "다음", "홈", "더보기", "확대보기",
        "이미지 확대", "크게보기", "페이스북", "트위터", "유튜브", "카카오톡", "네이버", "동영상",
        "지도",
    ),
    "ru": (
        "логотипа", "логотипу", "логотипом", "логотипы", "логотипов", "баннеры", "баннера",
        "баннером", "иконки", "иконку", "иконок", "иконкой", "значки", "значка", "эмблема",
        "символ", "пиктограмма", "кнопка", "стрелка", "картинку", "картинок", "изображений",
        "рисунки", "иллюстрация", "иллюстрации", "заставка", "заглушка", "аватара", "подвал",
        "водяной знак", "рекламный баннер", "изображение отсутствует", "ютуб", "инстаграм", "пред",
        "след", "далее", "наверх", "вверх", "начало", "примечание", "подсказка", "пример",
        "результат", "внимание", "предупреждение", "параметры", "настройки", "логотип", "лого",
        "баннер", "иконка", "значок", "фото", "фотография", "фотографии", "картинка", "картинки",
        "изображение", "изображения", "рисунок", "рис", "без названия", "без имени", "реклама",
        "аватар", "аватарка", "загрузка", "идёт загрузка", "идет загрузка", "пусто", "скриншот",
        "снимок экрана", "превью", "миниатюра", "обложка", "нет фото", "нет изображения",
        "фото профиля", "главное фото", "фон", "шапка", "шапка сайта", "логотип сайта", "закрыть",
        "меню", "поиск", "поделиться", "вперёд", "вперед", "назад", "главная", "подробнее",
        "увеличить", "увеличить фото", "фотогалерея", "галерея", "видео", "карта", "вконтакте",
        "одноклассники", "телеграм", "счётчик", "счетчик", "иллюстративное фото",
    ),
    "sr": (
        "логои", "логоа", "логотипа", "банери", "банера", "иконице", "иконицу", "фотографије",
        "фотографију", "слику", "слика уз текст", "амблем", "симбол", "дугме", "стрелица",
        "заглавље", "подножје", "инстаграм", "фејсбук", "твитер", "јутјуб", "сличица", "logoi",
        "logoa", "logotipa", "baneri", "banera", "ikonice", "ikonicu", "fotografije", "fotografiju",
        "sliku", "slika uz tekst", "amblem", "simbol", "dugme", "strelica", "zaglavlje", "podnožje",
        "fejsbuk", "tviter", "jutjub", "sličica", "ikona", "претходна", "следећа", "нагоре",
        "напомена", "упозорење", "пример", "савет", "prethodna", "sledeća", "nagore", "napomena",
        "upozorenje", "primer", "savet", "лого", "логотип", "банер", "иконица", "икона", "фото",
        "фотографија", "слика", "слике", "без наслова", "без назива", "реклама", "оглас", "аватар",
        "учитавање", "учитава се", "празно", "снимак екрана", "илустрација", "насловна слика",
        "насловна фотографија", "профилна слика", "позадина", "затвори", "мени", "претрага",
        "подели", "следеће", "претходно", "почетна", "опширније", "галерија", "фото галерија",
        "видео", "мапа", "logo", "logotip", "baner", "ikonica", "foto", "fotografija", "slika",
        "slike", "bez naslova", "bez naziva", "reklama", "oglas", "učitavanje", "učitava se",
        "prazno", "snimak ekrana", "ilustracija", "naslovna slika", "naslovna fotografija",
        "profilna slika", "pozadina", "zatvori", "meni", "pretraga", "podeli", "sledeće",
        "prethodno", "početna", "opširnije", "galerija", "foto galerija", "mapa",
        "foto ilustracija",
    ),
    "th": (
        "โลโก", "ตราสัญลักษณ์", "แบนเนอร์โฆษณา", "ปุ่ม", "ลูกศร", "สัญลักษณ์", "รูปย่อ", "ภาพย่อ",
        "ภาพขนาดย่อ", "ไอคอนเมนู", "ยูทูบ", "ทวิตเตอร์", "อินสตาแกรม", "รูปถ่าย", "รูปประจำตัว",
        "ภาพพื้นหลัง", "ภาพจาก", "เครดิตภาพ", "หมายเหตุ", "คำเตือน", "ตัวอย่าง", "โลโก้",
        "แบนเนอร์", "ไอคอน", "รูป", "รูปภาพ", "ภาพ", "ภาพถ่าย", "ไม่มีชื่อ", "โฆษณา", "อวาตาร์",
        "อวตาร", "กำลังโหลด", "โหลด", "ว่าง", "ว่างเปล่า", "ภาพหน้าจอ", "ภาพประกอบ", "รูปประกอบ",
        "ภาพปก", "รูปปก", "รูปโปรไฟล์", "ภาพโปรไฟล์", "โปรไฟล์", "พื้นหลัง", "ไม่มีรูป",
        "ไม่มีรูปภาพ", "ปิด", "เมนู", "ค้นหา", "แชร์", "ถัดไป", "ก่อนหน้า", "หน้าแรก", "อ่านต่อ",
        "ดูเพิ่มเติม", "คลิกเพื่อขยาย", "แกลเลอรี", "วิดีโอ", "แผนที่", "เฟซบุ๊ก", "ไลน์",
        "ภาพตัวอย่าง",
    ),
    "vi": (
        "lôgô", "logo công ty", "banner quảng cáo", "icon", "nút", "mũi tên", "hình thu nhỏ",
        "ảnh thu nhỏ", "ảnh đại diện mặc định", "hình mặc định", "ảnh mặc định", "huy hiệu",
        "ký hiệu", "facebook", "zalo", "ảnh bài viết", "hình bài viết", "ảnh tư liệu",
        "ảnh internet", "nguồn ảnh", "hình ảnh minh họa", "hình ảnh minh hoạ",
        "ảnh chỉ có tính minh họa", "tiếp", "ghi chú", "lưu ý", "cảnh báo", "ví dụ", "mẹo",
        "biểu trưng", "logo", "banner", "biểu ngữ", "biểu tượng", "ảnh", "hình", "hình ảnh",
        "bức ảnh", "không có tiêu đề", "không tiêu đề", "chưa có tên", "quảng cáo", "ảnh đại diện",
        "hình đại diện", "đang tải", "trống", "ảnh chụp màn hình", "ảnh minh họa", "ảnh minh hoạ",
        "hình minh họa", "hình minh hoạ", "ảnh bìa", "hình nền", "ảnh nền", "chưa có ảnh",
        "không có ảnh", "đóng", "menu", "tìm kiếm", "chia sẻ", "tiếp theo", "trước", "trang chủ",
        "xem thêm", "đọc tiếp", "thư viện ảnh", "video", "bản đồ", "ảnh sản phẩm", "hình sản phẩm",
    ),
}
"""Phrases, in lower case, that say nothing of a picture when they are the whole text."""

COMPANIONS: dict[str, tuple[str, ...]] = {
    "en": (
        "of", "the", "our", "your", "my", "site", "website", "web", "company", "page", "official",
        "small", "large", "mobile", "desktop", "link", "to", "for", "social", "media", "article",
    ),
    "ar": (
        "الموقع", "موقع", "الشركة", "شركة", "الصفحة", "صفحة", "المتجر", "الرسمي", "رسمي", "على",
        "في", "من", "إلى", "رابط", "جديد", "جديدة", "صغيرة", "كبيرة", "المقال", "الخبر", "المنتج",
        "رقم",
    ),
    "cs": (
        "společnosti", "firmy", "webu", "stránky", "stránek", "obchodu", "naše", "náš", "odkaz",
        "na", "pro", "k", "článku", "produktu", "nové", "malé", "velké", "malá", "velká", "č",
        "číslo", "oficiální", "partnera",
    ),
    "hu": (
        "a", "az", "cég", "cégünk", "céges", "oldal", "oldalon", "weboldal", "honlap", "vállalat",
        "új", "kis", "nagy", "cikk", "cikkhez", "termék", "termékhez", "hivatalos", "link", "hír",
    ),
    "ko": (
        "회사", "기업", "사이트", "홈페이지", "공식", "상세", "본문", "상품", "제품", "메인",
        "상단", "하단", "모바일", "링크", "바로가기", "관련", "기사", "뉴스", "첨부", "작은", "큰",
        "의", "용",
    ),
    "ru": (
        "сайта", "сайт", "компании", "фирмы", "магазина", "страницы", "наш", "наша", "на", "для",
        "к", "с", "новый", "новая", "новое", "маленькая", "маленькое", "большая", "большое",
        "статье", "статьи", "новости", "товара", "продукта", "официальный", "ссылка", "номер",
    ),
    "sr": (
        "сајта", "сајт", "компаније", "фирме", "странице", "наш", "наша", "на", "за", "уз", "текст",
        "вести", "званични", "чланак", "производа", "број", "sajta", "sajt", "kompanije", "firme",
        "stranice", "naš", "naša", "na", "za", "uz", "tekst", "vesti", "zvanični", "članak",
        "proizvoda", "broj",
    ),
    "th": (
        "บริษัท", "เว็บไซต์", "เว็บ", "หน้า", "ของ", "สำหรับ", "สินค้า", "ผลิตภัณฑ์", "บทความ",
        "ข่าว", "ใหม่", "ขนาดเล็ก", "ขนาดใหญ่", "หลัก", "ลิงก์", "ที่",
    ),
    "vi": (
        "công", "ty", "trang", "web", "website", "của", "cho", "sản", "phẩm", "bài", "viết",
        "chính", "thức", "số", "tin", "tức",
    ),
}
"""Words that add nothing to a phrase of `BOILERPLATE`: of the site, for an article, new, number."""

ORDERS = (
    "buy", "buy now", "shop now", "order now", "купить", "куплю", "заказать", "закажите", "купите",
    "koupit", "kupte", "objednat", "objednejte", "vásárlás", "vásárolj", "vásároljon", "rendelés",
    "rendelj", "rendeljen", "megrendelés", "kupiti", "kupite", "kupi", "poručite", "poruči",
    "naručite", "поручите", "поручи", "наручите", "đặt hàng", "đặt mua", "mua ngay", "mua online",
    "สั่งซื้อ", "สั่งจอง", "구매하기", "바로구매", "주문하기", "예약하기", "구매대행", "اشتري",
    "اشتر الآن", "شراء", "اطلب الآن", "اطلبي", "احجز الآن",
)
"""Words that call on a reader to buy, in lower case."""

BARGAINS = (
    "cheap", "discount", "sale", "free shipping", "best price", "lowest price", "недорого",
    "дешево", "дёшево", "скидки", "скидкой", "скидка", "акция", "распродажа", "с доставкой",
    "по низкой цене", "по низким ценам", "по выгодной цене", "цена", "интернет-магазине", "levně",
    "sleva", "slevy", "slevou", "výprodej", "doprava zdarma", "e-shop", "eshop", "za nejlepší cenu",
    "nejlevnější", "olcsó", "olcsón", "akció", "akciós", "kedvezmény", "kedvezménnyel",
    "ingyenes szállítás", "webshop", "webáruház", "jeftino", "povoljno", "popust", "popustom",
    "akcija", "rasprodaja", "besplatna dostava", "јефтино", "повољно", "попуст", "попустом",
    "акција", "распродаја", "бесплатна достава", "giá rẻ", "giảm giá", "khuyến mãi", "giá tốt",
    "miễn phí vận chuyển", "ราคาถูก", "ลดราคา", "โปรโมชั่น", "ส่งฟรี", "ราคาพิเศษ", "최저가",
    "할인", "무료배송", "특가", "세일", "رخيص", "رخيصة", "خصم", "خصومات", "تخفيضات", "توصيل مجاني",
    "بأفضل سعر", "بأقل سعر", "أفضل الأسعار",
)
"""Words that praise the price, in lower case."""

DATE_WORDS: dict[str, tuple[str, ...]] = {
    "en": (
        "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep",
        "sept", "oct", "nov", "dec", "st", "nd", "rd", "th", "am", "pm",
    ),
    "ar": (
        "يناير", "فبراير", "مارس", "أبريل", "ابريل", "إبريل", "مايو", "يونيو", "يوليو", "أغسطس",
        "اغسطس", "سبتمبر", "أكتوبر", "اكتوبر", "نوفمبر", "ديسمبر", "كانون", "الثاني", "الأول",
        "شباط", "آذار", "نيسان", "أيار", "حزيران", "تموز", "آب", "أيلول", "تشرين", "جانفي", "فيفري",
        "أفريل", "ماي", "جوان", "جويلية", "أوت", "م", "هـ", "ص",
    ),
    "cs": (
        "leden", "únor", "březen", "duben", "květen", "červen", "červenec", "srpen", "září",
        "říjen", "listopad", "prosinec", "ledna", "února", "března", "dubna", "května", "června",
        "července", "srpna", "října", "listopadu", "prosince", "v", "hod",
    ),
    "hu": (
        "január", "február", "március", "április", "május", "június", "július", "augusztus",
        "szeptember", "október", "november", "december", "febr", "márc", "ápr", "máj", "jún", "júl",
        "szept", "okt",
    ),
    "ko": (
        "년", "월", "일", "시", "분", "오전", "오후",
    ),
    "ru": (
        "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября",
        "октября", "ноября", "декабря", "январь", "февраль", "март", "апрель", "май", "июнь",
        "июль", "август", "сентябрь", "октябрь", "ноябрь", "декабрь", "г", "гг", "год", "года", "в",
    ),
    "sr": (
        "јануар", "фебруар", "март", "април", "мај", "јун", "јул", "август", "септембар", "октобар",
        "новембар", "децембар", "године", "год", "у", "januar", "februar", "mart", "april", "maj",
        "jun", "jul", "avgust", "septembar", "oktobar", "novembar", "decembar", "godine", "god",
        "u",
    ),
    "th": (
        "มกราคม", "กุมภาพันธ์", "มีนาคม", "เมษายน", "พฤษภาคม", "มิถุนายน", "กรกฎาคม", "สิงหาคม",
        "กันยายน", "ตุลาคม", "พฤศจิกายน", "ธันวาคม", "ม.ค", "ก.พ", "มี.ค", "เม.ย", "พ.ค", "มิ.ย",
        "ก.ค", "ส.ค", "ก.ย", "ต.ค", "พ.ย", "ธ.ค", "พ.ศ", "ค.ศ", "วันที่", "น",
    ),
    "vi": (
        "ngày", "tháng", "năm", "giờ", "phút",
    ),
}
"""Names of months and what else stands in a written date, in lower case."""

CURRENCIES = (
    "$", "€", "£", "¥", "₩", "฿", "₫", "₽", "usd", "eur", "gbp", "czk", "kč", "kc", ",-", "huf",
    "ft", "forint", "rub", "руб", "рублей", "р", "rsd", "din", "dinara", "рсд", "дин", "динара",
    "thb", "บาท", "vnd", "vnđ", "đ", "đồng", "krw", "원", "만원", "sar", "aed", "egp", "ريال",
    "درهم", "جنيه", "دينار", "د.إ", "ر.س", "ج.م", "د.ج", "ل.ل",
)
"""Signs and words of the money of the countries of the eight languages, in lower case."""
