"""Hostile names and texts of events: the page shows them as text and runs nothing."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.api.services import Services
from sinks.page.routes import POLICY
from sinks.page.urls import item_path, queue_path
from sinks.store.store import Store
from tests.support.html import Element, read
from tests.support.sample_view import HOSTILE, NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

CORPUS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</textarea></title></style><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    'a" onfocus=alert(1) autofocus x="',
    "`onclick=alert(1)`",
    "<!--<script>",
    "]]><script>alert(1)</script>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "\u202eevil\u2028line\u200b",
    "..%2f..%2f/../?#&=+%00",
    "<a href=https://evil.test>x</a>",
    "${alert(1)} <% %> #{x}",
]
PATHS = (
    "/",
    "/queues/support",
    "/queues/support?view=aggregate",
    "/queues/support?criterion=tone",
    "/queues/support/items",
    "/queues/support/items/i1",
    "/glossary",
)
TAGS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "svg", "defs", "pattern", "rect", "path", "symbol",
    "div", "aside", "nav", "ul", "li", "small", "span", "p", "main", "header", "ol", "h1", "h2", "h3", "b", "form",
    "time", "button", "section", "footer", "dl", "dt", "dd", "line", "circle", "text", "g", "table", "caption", "thead",
    "tr", "th", "td", "tbody", "abbr", "details", "summary", "fieldset", "legend", "label", "input", "article", "br",
    "select", "option", "clippath", "use", "blockquote", "i", "code",
    "bdi", "mark",
}  # fmt: skip


def facts_of(text: str) -> list[Fact]:
    """A comparison with this text as every name and text."""
    return [
        Annotation(
            at=NOW_MS - 9, id="a", queue=text, item=text, criterion=text, annotator=text, stars=1, explanation=text,
            expected=text, url=text,
        ),
        Annotation(at=NOW_MS - 9, id="b", queue=text, item=text, criterion=text, annotator="second", stars=5),
        Evaluation(
            at=NOW_MS - 5, id="e", item=text, metric=text, judge=text, score=0.9, threshold=0.5, passed=True,
            reason=text,
        ),
        Evaluation(at=NOW_MS - 9, id="f", item=text, metric=text, judge="old", score=0.9, threshold=0.5, passed=True),
    ]  # fmt: skip


def harmless(page: Element) -> None:
    """Fail when a page has a tag, an attribute or an address that its templates do not have."""
    for element in page.walk():
        assert not element.tag or element.tag in TAGS, element.tag
        for name in element.attributes:
            assert not name.startswith("on"), (element.tag, name)
            assert name not in ("style", "srcdoc", "formaction"), (element.tag, name)
        for name in ("href", "src", "action"):
            if (address := element.attributes.get(name)) is not None:
                assert address.startswith(("/", "#", "https://t.test/", "https://x.test/")), address
                assert not address.startswith("//"), address
    (script,) = page.all("script")
    assert (script.text, script.attributes["src"][:8]) == ("", "/static/")
    assert page.all("style") == []


def inside(page: Element) -> list[str]:
    """Addresses of the view itself that a page links to."""
    links = [element.attributes["href"] for element in page.all("a") + page.all("link")]
    return [link.partition("#")[0] for link in links if link.startswith("/")]


async def test_a_name_never_turns_the_words_around_it(store: Store, tmp_path: Path) -> None:
    name = "\u202eelpoep erehw"
    fill(
        store, [*facts_of(name), Annotation(at=NOW_MS, id="c", queue=name, item="i", criterion="\u202eother", stars=5)]
    )
    async with connected(view_of(store, tmp_path)) as client:
        start, queue = "/?q=", queue_path(name)
        items = f"{queue}/items?outcome=tp,fn,tn,fp"
        for path in (start, queue, f"{queue}?view=aggregate", items, item_path(name, name)):
            page = read((await client.get(path)).text)
            assert name in page.text
            for element in page.walk():
                texts = [child for child in element.children if isinstance(child, str) and "\u202e" in child]
                isolated = [re.sub("\u2068[^\u2068\u2069]*\u2069", "", text) for text in texts]
                if "\u202e" in "".join(isolated) and element.tag != "title":
                    assert element.text.strip() in (name, "\u202eother"), (path, element.tag, element.text)


@pytest.mark.row(13)
@pytest.mark.parametrize("text", CORPUS)
async def test_hostile_texts_are_only_shown_as_text(store: Store, tmp_path: Path, text: str) -> None:
    fill(store, facts_of(text))
    async with connected(view_of(store, tmp_path)) as client:
        seen: set[str] = set()
        due = ["/"]
        while due:
            path = due.pop()
            if path in seen or len(seen) > 40:
                continue
            seen.add(path)
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text[:300])
            if answer.headers["content-type"].startswith("text/html"):
                page = read(answer.text)
                harmless(page)
                due += inside(page)
        items = [path for path in seen if urlsplit(path).path.endswith("/items")]
        assert items
        shown = read((await client.get(next(path for path in items if "outcome=tp%2Cfn%2Ctn%2Cfp" in path))).text)
        assert text in [quote.text for quote in shown.all("blockquote")]
        assert any(text in element.text for element in shown.all("p", class_="judge"))


@pytest.mark.parametrize(
    "path", ["/", "/queues/support", "/queues/support/items", "/queues/none", "/queues/support/items.csv"]
)
async def test_every_reply_has_a_content_security_policy(services: Services, path: str) -> None:
    async with connected(services) as client:
        answer = await client.get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_static_files_are_cached_for_ever_under_their_hash(services: Services) -> None:
    async with connected(services) as client:
        page = read((await client.get("/")).text)
        files = {
            element.attributes.get("src") or element.attributes["href"]
            for element in page.all("script") + page.all("link")
        }
        assert len(files) == 3
        for path in files:
            answer = await client.get(path)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
            other = path.replace(".", ".0", 1)
            assert (await client.get(other)).status_code == 404


async def test_errors_are_pages(services: Services) -> None:
    async with connected(services) as client:
        for path, status in (
            ("/queues/nobody", 404),
            ("/queues/nobody/items", 404),
            ("/queues/nobody/items.csv", 404),
            ("/queues/%ff", 400),
            ("/queues/support?window=1y", 400),
            ("/queues/support/items?outcome=wrong", 400),
            ("/queues/support/items?page=0", 400),
            ("/?sort=luck", 400),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
            harmless(read(answer.text))


async def test_a_page_has_every_id_once_and_names_no_other(services: Services) -> None:
    async with connected(services) as client:
        for path in (
            "/",
            "/queues/support",
            "/queues/support?view=aggregate",
            "/queues/support/items",
            "/queues/support?criterion=tone",
        ):
            page = read((await client.get(path)).text)
            ids = [element.attributes["id"] for element in page.walk() if "id" in element.attributes]
            assert len(set(ids)) == len(ids)
            for element in page.walk():
                for name in ("aria-describedby", "aria-labelledby", "for"):
                    assert element.attributes.get(name, ids[0]) in ids, (path, element.attributes)
                if element.attributes.get("href", "").startswith("#"):
                    assert element.attributes["href"][1:] in ids


async def test_no_link_is_dead(services: Services) -> None:
    """Followed from the start page, every link of every page answers."""
    async with connected(services) as client:
        seen: set[str] = set()
        due = ["/"]
        while due:
            path = due.pop(0).partition("#")[0]
            if path in seen:
                continue
            seen.add(path)
            answer = await client.get(path)
            assert answer.status_code == 200, path
            if answer.headers["content-type"].startswith("text/html") and len(seen) < 200:
                due += inside(read(answer.text))
    for route in (queue_path(HOSTILE), queue_path("support", "/items"), queue_path(HOSTILE, "/items.csv")):
        assert any(path.startswith(route) for path in seen), route


@pytest.mark.parametrize("name", [".", "..", "~.", "~~..", "~", "...", "~a"])
async def test_names_that_clients_take_for_directories_are_reached(store: Store, tmp_path: Path, name: str) -> None:
    others = [each for each in (".", "..", "~.", "~..", "~~.") if each != name]
    fill(store, [fact for each in (name, *others) for fact in facts_of(each)])
    async with connected(view_of(store, tmp_path)) as client:
        start = read((await client.get("/")).text)
        (link,) = (each for each in start.one("tbody").all("a") if each.words == name)
        path = link.attributes["href"]
        # A browser must ignore it.
        assert httpx.URL("http://localhost").join(path).raw_path.decode() == path
        assert path.rpartition("/")[2].lower() not in {".", "..", "%2e", "%2e%2e", ".%2e", "%2e."}
        page = read((await client.get(path)).text)
        assert page.one("h1").words == name
        assert (await client.get(f"{path}/items")).status_code == 200
        document = (await client.get(f"/api/v1{path}")).json()
    assert document["queue"] == name
