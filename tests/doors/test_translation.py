"""That every word of the console can be translated, and that its pages hold when it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import translation
from django.utils.translation import trans_real

from sagas import clock
from sagas.operations.catalogue import OPERATIONS
from sagas.operations.drafting import draft
from sagas.operations.holding import hold
from sagas.operations.performing import perform
from sagas.operations.selection import Selection
from tests.doors.pages import Page

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="of words a database knows nothing"),
]

TOOLS = ("xgettext", "msgen", "msgfmt")
LETTERS = re.compile("[A-Za-z]{3}")
NO_WORDS = re.compile(
    # Names that programs gave, JSON, Mermaid and the errors of participants.
    r"[\w.:]*[_.:\d][\w.:-]*|[{\[].*|flowchart .*"
    r"|([\da-f]{8}-([\da-f]{4}-){3}[\da-f]{4})?[\da-f]{8}"  # An id, even one without digits.
    r"|\S*(RetryLater|OutcomeUnknown)\b.*|the bank is closed|no answer",
    re.DOTALL,
)
NAMES = {"book", "pay", "ask", "decision", "root", "olga", "code", "inventory", "payments", "carrier"}
NOT_OURS = {"Filter", "Order id:"}
"""What Django calls so in this language too, and a field of the test's own."""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    """A folder with a catalogue in which each translation is the text itself in angle quotes."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"GNU gettext is not installed ({', '.join(missing)}): apt-get install gettext")
    home: Path = tmp_path_factory.mktemp("translation") / "sagas"
    package = Path(__file__).resolve().parents[2] / "sagas"
    shutil.copytree(package, home, ignore=shutil.ignore_patterns("__pycache__", "static"))
    (home / "locale").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        call_command("makemessages", locale=["de"], verbosity=0)  # Raises where a text cannot be extracted.
    texts = home / "locale/de/LC_MESSAGES/django.po"
    _run("msgen", "--no-wrap", "-o", texts, texts)
    quoted = re.sub(r'^(msgstr(?:\[\d\])?) "(.+)"$', r'\1 "«\2»"', texts.read_text(), flags=re.MULTILINE)
    texts.write_text(quoted)
    _run("msgfmt", "--check-format", "-o", texts.with_suffix(".mo"), texts)
    return home / "locale"


def _run(*command: str | Path) -> None:
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "warning" not in told.stderr, told.stderr


@pytest.fixture
def translated(catalogue, settings):
    """The language that this catalogue stands for, while the test runs."""
    settings.LOCALE_PATHS = [str(catalogue)]
    trans_real._translations.clear()  # type: ignore[attr-defined]
    with translation.override("de"):
        yield
    trans_real._translations.clear()  # type: ignore[attr-defined]


@pytest.fixture
def addresses(sagas, root) -> list[str]:
    """Every kind of page, each with something to tell."""
    failed, unknown, _done = sagas.failed(), sagas.unknown(), sagas.completed()
    undecided = sagas.undecided()
    perform(sagas.pending().pk, "suspend", by=None, reason="olga")
    hold(definition="samples.trip", by=root, reason="olga")
    batch = draft("retry", Selection(ids=(failed.pk, undecided.pk)), by=root)
    models = ("saga", "sagastep", "historyentry", "sagabatch", "hold", "worker", "outboxmessage")
    return [
        "/admin/sagas/saga/?tab=all",
        "/admin/sagas/saga/?tab=stuck",
        *(reverse(f"admin:sagas_{model}_changelist") for model in models),
        *(reverse("admin:sagas_saga_change", args=[saga.pk]) for saga in (failed, unknown, undecided)),
        *(reverse("admin:sagas_saga_operate", args=[failed.pk, operation]) for operation in OPERATIONS),
        reverse("admin:sagas_saga_operate", args=[unknown.pk, "resolve"]),
        reverse("admin:sagas_sagabatch_change", args=[batch.pk]),
        reverse("admin:sagas_saga_dashboard"),
        reverse("admin:sagas_hold_hold"),
    ]


def texts_of(client, url: str) -> set[str]:
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    response.content = response.content.partition(b'id="content-main"')[2]  # Around it are other apps' names.
    return {" ".join(text.split()) for text in Page(response).texts}


def is_untranslated(text: str) -> bool:
    """Say whether words of a text stand there as they were written, of which none is a name."""
    if "«" in text or not LETTERS.search(text):
        return False
    words = [word for word in re.split(r"[\s|,]+", text) if LETTERS.search(word)]
    return not NO_WORDS.fullmatch(text) and not all(w in NAMES or NO_WORDS.fullmatch(w) for w in words)


def test_every_word_of_ours_can_be_translated(admin, addresses, translated):
    found = {url: {text for text in texts_of(admin, url) if is_untranslated(text)} for url in addresses}
    with translation.override("en"):  # What Django says itself is another word there.
        left = set().union(*(found[url] & texts_of(admin, url) for url in addresses))
    assert left <= NOT_OURS


def test_from_right_to_left_and_in_another_time_zone(admin, sagas, settings):
    saga = sagas.failed()
    settings.TIME_ZONE = "Asia/Kathmandu"
    at = clock.database_now("default").astimezone(ZoneInfo("Asia/Kathmandu"))
    with translation.override("ar"):
        for url in (
            "/admin/sagas/saga/?tab=all",
            reverse("admin:sagas_saga_change", args=[saga.pk]),
            reverse("admin:sagas_saga_operate", args=[saga.pk, "retry"]),
            reverse("admin:sagas_saga_dashboard"),
        ):
            page = Page(admin.get(url))
            [html] = page.all("html")
            assert (html["lang"], html["dir"]) == ("ar", "rtl"), url
            assert page.refused == [], url
            for _tag, attributes in page.elements:
                for name in ("x", "y", "width", "height"):
                    assert re.fullmatch(r"([0-9.]+(rem)?)?", attributes.get(name) or ""), (url, attributes)
        page = Page(admin.get(reverse("admin:sagas_saga_change", args=[saga.pk])))
    assert any(at.strftime("%Y-%m-%d %H:") in text for text in page.texts)
