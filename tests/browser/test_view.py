"""The view alone, told what a kernel tells: accessible in every state, by keyboard, narrow, and discreet with secrets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import stage as staged
from tests.browser.stage import (
    DATABASE,
    LOOKS,
    WHO,
    answer,
    fail,
    faults,
    part,
    session,
    show,
    stage,
    tell,
    trouble,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=60_000)

OTHERS = "user-bob/postgresql-cnpg-204412"
UNREACHABLE = trouble(
    "ServerUnreachable", "https://apiserver.example cannot be reached.", "Connection refused."
)
NOT_LOGGED_IN = trouble("NotLoggedIn", "No configuration names a cluster.", "There is no kubeconfig.")
FORBIDDEN = trouble("Forbidden", "You may not list pods in user-carol.", "oidc-alice cannot list", "ask")
LOGGED_OUT: dict[str, Any] = {
    "platform": {"account": "https://x/account", "services": "https://x/my-services"},
    "sandbox": {"running": False, "server": ""},
}


@pytest.fixture(scope="module")
def pages(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Show the panel in one page, as if it had never been there; no test may leave an error.

    A page of its own would cost each test a second of processor time.
    """
    page = stage(browser)

    def leave() -> None:
        errors = page.errors[:]  # type: ignore[attr-defined]
        page.errors.clear()  # type: ignore[attr-defined]
        assert errors == []
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")

    def make(*, width: int = 1180, **shown: Any) -> Page:
        leave()
        page.mouse.move(0, 0)
        page.set_viewport_size({"width": width, "height": 1000})
        show(page, **shown)
        return page

    yield make
    leave()
    page.close()


def full(page: Page) -> None:
    tell(page, session())


def login(page: Page) -> None:
    full(page)
    page.get_by_text("Details", exact=True).click()
    page.get_by_role("button", name="Log in again").click()


def choose_in_menu(page: Page, thing: str, entry: str, more: str = "More actions for {}") -> None:
    """Open the menu of a thing, and choose an entry."""
    page.get_by_role("button", name=more.format(thing), exact=True).click()
    page.get_by_role("menuitem", name=entry).click()


def open_share(page: Page) -> None:
    choose_in_menu(page, DATABASE.rpartition("/")[2], f"Share {DATABASE}")


def share(page: Page) -> None:
    full(page)
    open_share(page)
    answer(page, "list_schemas", ["enquete", "public", "a schema with blanks"])
    page.get_by_label("Colleagues").fill("bob carol")
    page.get_by_role("button", name="Preview").click()
    answer(page, "preview_share", staged.PLAN)


def service_share(page: Page) -> None:
    front = {"type": "ClusterIP", "created": 1, "ports": [[80, "http"], [443, "https"]]}
    shares = {
        f"share/svc/front/{name}": staged.share(name, time.time() + 86_400, access="network")
        | {"database": "svc/front", "scope": "443"}
        for name in ("bob", "erin")
    }
    told = session() | {"service/front": front} | shares
    tell(page, told | {"platform": told["platform"] | {"groups": "team-"}})
    choose_in_menu(page, "front", "Share user-alice/svc/front")
    page.get_by_label("Colleagues").fill("bob carol")
    page.get_by_label("443 https").check()
    page.get_by_role("button", name="Preview").click()
    answer(page, "preview_service_share", staged.SERVICE_PLAN)


def tables(page: Page) -> None:
    full(page)
    page.get_by_role("button", name=f"Tables of {DATABASE}").click()
    answer(page, "list_tables", staged.TABLES)
    page.get_by_role("button", name="communes").click()
    answer(page, "describe_table", staged.COLUMNS)


def busy(page: Page) -> None:
    full(page)
    page.get_by_role("button", name="Forward port 8888 http of jupyter-python-417342-0").click()
    page.get_by_role("button", name="Stop the forward to user-alice/svc/mon-api").click()
    fail(
        page,
        "stop_forward",
        trouble("TunnelLost", "The tunnel ended.", "cut", "%forward svc/x", "ForwardError"),
    )
    page.get_by_role("button", name="Revoke the share of postgresql-cnpg-951239 with bob").click()


def end_panel(page: Page) -> None:
    full(page)
    page.evaluate("window.end()")
    staged.wait_until_drawn(page)


STATES: dict[str, Callable[[Page], None]] = {
    "loading": lambda _: None,
    "full": full,
    "busy": busy,
    "empty": lambda page: tell(page, LOGGED_OUT | LOOKS | {"who": WHO | {"ends": None}}),
    "not logged in": lambda page: tell(page, LOGGED_OUT | {"source/who": NOT_LOGGED_IN}),
    "unreachable": lambda page: tell(page, LOGGED_OUT | {"source/who": UNREACHABLE}),
    "forbidden": lambda page: tell(
        page, LOGGED_OUT | LOOKS | {"who": WHO | {"ends": 1}, "source/pods": FORBIDDEN}
    ),
    "log in": login,
    "share": share,
    "share of a service": service_share,
    "tables": tables,
    "ended": end_panel,
}


# The sentences of each state in English and in French, and the button of its next step.
SAID: dict[str, tuple[dict[str, Any] | None, tuple[str, str], tuple[str, str]]] = {
    "silent": (None, ("The kernel has not answered yet.", "Le noyau n'a pas encore répondu."), ("", "")),
    "empty": (
        LOGGED_OUT | LOOKS | {"who": WHO | {"ends": None}},
        ("Forwards none", "Redirections aucune"),
        ("Start the sandbox", "Démarrer le bac à sable"),
    ),
    "not logged in": (
        LOGGED_OUT | {"source/who": NOT_LOGGED_IN},
        (
            "Welcome",
            "Bienvenue",
        ),
        ("I have an account", "J'ai un compte"),
    ),
    "token expired": (
        LOGGED_OUT
        | {"source/who": trouble("TokenExpired", "The token has expired.", "It ended an hour ago.")},
        ("Log in again with a fresh script", "Reconnectez-vous avec un nouveau script"),
        ("Log in", "Se connecter"),
    ),
    "configuration": (
        LOGGED_OUT
        | {"source/who": trouble("KubeconfigInvalid", "The file is no kubeconfig.", "Line 3: no YAML.")},
        ("Fix the file, or log in again.", "Corrigez le fichier, ou reconnectez-vous."),
        ("Log in", "Se connecter"),
    ),
    "unreachable": (
        LOGGED_OUT | {"source/who": UNREACHABLE},
        ("Check the network or the VPN.", "Vérifiez le réseau ou le VPN."),
        ("Try again", "Réessayer"),
    ),
    "certificate": (
        LOGGED_OUT
        | {"source/who": trouble("CertificateNotTrusted", "The certificate is not trusted.", "self-signed")},
        ("Specify the cluster's certificate", "%k8s_login FILE --ca CA.pem"),
        ("Try again", "Réessayer"),
    ),
    "forbidden": (
        LOGGED_OUT | LOOKS | {"who": WHO | {"ends": 1}, "source/pods": FORBIDDEN},
        ("Ask the owner of the namespace for the permission", "Demandez ce droit au propriétaire"),
        ("Switch to another namespace", "Changer d'espace de noms"),
    ),
    "reconnecting": (
        session(),
        ("reconnecting", "reconnexion"),
        (
            f"Stop the forward to {DATABASE.replace('user-alice/', 'user-alice/svc/')}-rw",
            f"Arrêter la redirection vers {DATABASE.replace('user-alice/', 'user-alice/svc/')}-rw",
        ),
    ),
}


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1180), ("fr", "dark", 236)])
def test_each_state_has_its_sentence_and_its_next_step(
    pages: Callable[..., Page], language: str, theme: str, width: int
) -> None:
    """A picture of each is kept: wide in English and light, as narrow as it gets in French and dark."""
    place = staged.ROOT / "build" / "screenshots"
    place.mkdir(parents=True, exist_ok=True)
    page = pages(language=language, theme=theme, width=width)
    for name, (facts, sentences, steps) in SAID.items():
        if facts is not None:
            tell(page, facts)
        at = ["en", "fr"].index(language)
        expect(page.locator("#panel")).to_contain_text(sentences[at])
        if steps[at]:
            expect(page.get_by_role("button", name=steps[at], exact=True).first).to_be_enabled()
        page.screenshot(path=place / f"view-{name.replace(' ', '-')}-{language}-{theme}.png")
    end_panel(page)
    expect(page.get_by_role("alert")).to_contain_text(
        ["Run the cell again", "Exécutez de nouveau la cellule"][at]
    )
    page.screenshot(path=place / f"view-ended-{language}-{theme}.png")


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("state", ["token expired", "configuration"])
def test_lost_login_is_no_error(pages: Callable[..., Page], language: str, state: str) -> None:
    """It says what happened and the way out; the reason, with its paths, is folded."""
    page = pages(language=language)
    shown, _sentences, steps = SAID[state]
    assert shown is not None
    tell(page, shown)
    title = {
        "token expired": ("Your login has ended", "Votre connexion a expiré"),
        "configuration": ("Your login cannot be read", "Votre configuration est illisible"),
    }[state][["en", "fr"].index(language)]
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    assert page.get_by_role("alert").count() == 0
    assert page.locator("[class*=tone-bad], .jp-SSPCloudPanel-bad").count() == 0
    reason = page.get_by_text(shown["source/who"]["what"])
    expect(reason).to_be_hidden()
    page.get_by_text({"en": "Why do I see this?", "fr": "Pourquoi"}[language]).click()
    expect(reason).to_be_visible()
    page.get_by_role("button", name=steps[["en", "fr"].index(language)], exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.wide)])
def test_sandbox_is_reset_after_a_question(pages: Callable[..., Page], theme: str) -> None:
    page = pages(theme=theme, width=590)
    tell(page, LOGGED_OUT | LOOKS | {"who": WHO, "sandbox": {"running": False, "server": "", "keeps": True}})
    expect(page.locator("#panel")).to_contain_text("It keeps your earlier work.")
    reset = page.get_by_role("button", name="Reset the sandbox")
    reset.click()
    keep = page.get_by_role("button", name="Keep", exact=True)
    expect(keep).to_be_focused()
    keep.click()
    expect(reset).to_be_focused()
    reset.click()
    assert faults(page) == []
    page.screenshot(path=staged.ROOT / "build" / "screenshots" / f"view-reset-{theme}.png", full_page=True)
    assert "reset_sandbox" not in page.evaluate("window.sent.map(order => order.do)")
    page.get_by_role("button", name="Discard everything").click()
    assert page.evaluate("window.sent.at(-1).do") == "reset_sandbox"
    expect(reset).to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize("theme", ["light", "dark", "dark-high-contrast"])
def test_axe_finds_nothing_serious_in_any_state(pages: Callable[..., Page], theme: str) -> None:
    # What a theme changes is its colours: a few states show them all.
    page = pages(theme=theme)
    for name in STATES if theme == "light" else ("full", "busy", "not logged in", "share"):
        STATES[name](page)
        assert faults(page) == [], name
        page.keyboard.press("Escape")  # a dialog that the state has opened


@pytest.mark.parametrize("width", [236, pytest.param(590, marks=pytest.mark.wide)])
def test_narrow_or_zoomed_page_cuts_nothing(pages: Callable[..., Page], width: int) -> None:
    """236 px hold a panel of 220; 590 px are a page of 1180 at 200 %."""
    page = None
    for name, language in (
        ("full", "fr"),
        ("busy", "en"),
        ("log in", "en"),
        ("share", "en"),
        ("tables", "en"),
    ):
        if page is None or name == "busy":
            page = pages(width=width, language=language)
        STATES[name](page)
        wide = page.evaluate(
            """() => [...document.querySelectorAll('#panel, #panel *')].filter(each => {
                const style = getComputedStyle(each);
                const hidden = style.clipPath !== 'none' || style.position === 'absolute' || each.closest('pre');
                return !hidden && style.textOverflow !== 'ellipsis' && each.clientWidth && each.scrollWidth > each.clientWidth + 1
                    && style.overflowX !== 'auto' && style.display !== 'inline';
            }).map(each => `${each.className}: ${each.textContent.slice(0, 60)}`)"""
        )
        assert wide[:5] == [], (name, language)
        assert faults(page) == [], (name, language)
        page.keyboard.press("Escape")


def test_everything_is_done_by_keyboard(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    reached = []
    for _ in range(120):
        page.keyboard.press("Tab")
        label = page.evaluate(
            "() => { const e = document.activeElement; return e === document.body ? '' : "
            "(e.getAttribute('aria-label') ?? e.textContent ?? '').trim() || e.name; }"
        )
        if label in reached[:1]:
            break
        reached.append(label)
    buttons = page.locator("#panel").locator("button:visible, a:visible, input:visible")
    assert len(reached) >= buttons.count()

    page.get_by_role("button", name="Switch to another namespace").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.activeElement.name") == "namespace"
    page.keyboard.type("projet-x")
    page.keyboard.press("Enter")
    assert page.evaluate("window.sent.at(-1)")["namespace"] == "projet-x"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Switch to another namespace"


def test_focus_and_typed_text_outlive_updates(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    page.get_by_role("button", name="Forward port 8888 http of jupyter-python-417342-0").focus()
    part(page, {"pod/another": staged.pod("Running", "good", 1, [[80, ""]]), "pod/train-7f9c": None})
    assert "8888" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    open_share(page)
    page.get_by_label("Colleagues").fill("bob")
    part(page, {"pod/a-third": staged.pod("Running", "good", 1, [])})
    assert page.get_by_label("Colleagues").input_value() == "bob"
    assert page.evaluate("document.activeElement.name") == "colleagues"


def test_click_counts_though_rows_change_under_it(
    pages: Callable[..., Page],
) -> None:
    page = pages()
    full(page)
    facts = staged.session()
    another = {
        "forward/0": facts["forward/1"] | {"target": "user-alice/svc/another", "reason": "a line more"}
    }
    above = {f"pod/a-new-one-{number}": staged.pod("Running", "good", 1, [[80, ""]]) for number in range(3)}
    for name, news, shown in (
        ("Stop the forward to user-alice/svc/mon-api", {"traffic/1": [1, 2, 3]}, ["3 open"]),
        (f"Connect to {OTHERS}", another, ["svc/another", "a line more"]),
        ("Forward port 8888 http of jupyter-python-417342-0", above, ["a-new-one-2"]),
        (f"Tables of {OTHERS}", {"source/databases": FORBIDDEN}, ["You may not list pods"]),
    ):
        button = page.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        place = button.bounding_box()
        assert place is not None
        page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        page.mouse.down()
        page.evaluate("() => { window.sent.length = 0; }")
        part(page, news)
        page.mouse.up()
        given = page.evaluate("window.sent.filter(each => each.do !== 'view')")
        assert len(given) == 1, name
        part(page, {f"command/{given[0]['key']}": {"id": given[0]["id"], "state": "done"}})
        for text in shown:
            expect(page.locator("#panel")).to_contain_text(text)


def test_a_port_is_forwarded_when_it_can_be_used(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    forward = staged.session()["forward/1"] | {
        "target": "user-alice/pod/jupyter-python-417342-0",
        "ports": [[18_888, 8888]],
    }
    part(page, {"forward/9": forward | {"state": "starting"}})
    expect(
        page.get_by_role("button", name="Forward port 8888 http of jupyter-python-417342-0")
    ).to_be_visible()
    for state in ("active", "reconnecting"):
        part(page, {"forward/9": forward | {"state": state}})
        label = "Port 8888 http of jupyter-python-417342-0 is forwarded"
        expect(page.get_by_role("button", name=label)).to_be_visible()


def test_traffic_redraws_its_numbers_only(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    row = page.get_by_role("list", name="Forwards").get_by_role("listitem").filter(has_text="svc/mon-api")
    expect(row).to_contain_text("2 open")
    row.evaluate(
        """row => new MutationObserver(changes => {
            const others = changes.map(({ target }) => target.nodeType === 1 ? target : target.parentElement)
                .filter(each => each !== row && !each?.closest('.jp-SSPCloudPanel-meta'));
            window.changed = [...(window.changed ?? []), ...others.map(each => each?.className)];
        }).observe(row, { childList: true, subtree: true, attributes: true, characterData: true })"""
    )
    part(page, {"traffic/1": [48_213, 99_582_912, 7]})
    expect(row).to_contain_text("7 open")
    assert page.evaluate("window.changed") == []
    part(page, {"forward/1": staged.session()["forward/1"] | {"reason": "why"}})
    expect(row).to_contain_text("why")


def test_long_list_grows_and_is_filtered(pages: Callable[..., Page]) -> None:
    page = pages()
    many = {f"pod/many-{number}": staged.pod("Running", "good", 1, [[80, ""]]) for number in range(300)}
    tell(page, staged.session() | many)
    rows = page.get_by_role("list", name="Pods").get_by_role("listitem")
    first = rows.count()
    page.locator("[data-more=pods]").click()
    expect(rows).to_have_count(2 * first)
    page.locator("[data-filter=pods]").fill("many-1")
    expect(rows.first).to_contain_text("many-1")
    expect(rows).to_have_count(first)


def test_two_hundred_shares_are_grouped_and_filtered(pages: Callable[..., Page]) -> None:
    page = pages(width=300)
    many = {
        f"share/postgresql-cnpg-951239/student{number:03}": staged.share(f"student{number:03}", 2**31)
        for number in range(200)
    }
    tell(page, staged.session() | many)
    section = page.locator("[data-section=shares]")
    expect(section.get_by_role("heading", level=4)).to_have_text("postgresql-cnpg-951239202Revoke all…")
    section.get_by_role("searchbox").fill("student19")
    expect(section.get_by_role("listitem")).to_have_count(10)
    scrolling = "() => [...document.querySelectorAll('#panel *')].filter(each => each.scrollHeight > each.clientHeight + 1 && getComputedStyle(each).overflowY === 'auto').length"
    assert page.evaluate(scrolling) == 0
    section.get_by_role("button", name="Revoke all shares of postgresql-cnpg-951239").click()
    expect(section.get_by_role("group")).to_contain_text("Revoke all 202 shares")
    section.get_by_role("button", name="Revoke all", exact=True).click()
    sent = page.evaluate("window.sent.at(-1)")
    assert (sent["do"], sent["database"]) == ("revoke_all", "postgresql-cnpg-951239")


def test_sections_fold_and_remember_it(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    fold = page.locator("[data-fold=pods]")
    expect(fold).to_have_text("Pods 5")
    fold.focus()
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("list", name="Pods")).to_have_count(0)
    page.reload()
    page.wait_for_function("window.ready")
    full(page)
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    expect(page.get_by_role("list", name="Pods")).to_be_visible()


def test_menu_is_used_by_keyboard(pages: Callable[..., Page]) -> None:
    page = pages(width=300)
    full(page)
    more = page.get_by_role("button", name="More actions for localhost:8000", exact=True)
    more.focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("menu")
    expect(menu).to_be_visible()
    box = menu.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 300
    expect(menu.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("menuitem", name="Copy as magic")).to_be_focused()
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.evaluate("window.sent.at(-1).do") == "restart_forward"


def test_every_width_shows_buttons_whole(pages: Callable[..., Page]) -> None:
    """One page is resized from 250 to 1,600 pixels, with a dialog and without."""
    page = pages(language="fr")
    full(page)
    widths = (250, 280, 320, 400, 480, 519, 521, 599, 601, 700, 859, 900, 1000, 1180, 1400, 1600)
    for opened in (False, True):
        if opened:
            page.get_by_role("button", name=f"Tables de {DATABASE}").click()
            answer(page, "list_tables", staged.TABLES)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            staged.wait_until_drawn(page)
            assert page.evaluate(CUT) == [], (opened, width)
    page.keyboard.press("Escape")
    touch = page.context.new_cdp_session(page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for width in (250, 280, 320, 340, 400):
        page.set_viewport_size({"width": width, "height": 900})
        staged.wait_until_drawn(page)
        assert page.evaluate(CUT) == [], ("touch", width)
    touch.detach()  # ends the emulation


CUT = """() => {
    const root = document.querySelector('dialog[open]') ?? document.querySelector('.jp-SSPCloudPanel');
    const box = root.getBoundingClientRect();
    const parts = ':is(button, a, input, select, th, td, [class$=meta], [class$=count], [class$=shape])';
    // Of a line that is long enough, only the detail at its end may be shortened; never a local address.
    const names = box.width < 400 ? [] : [...root.querySelectorAll('[data-section=forwards] [class$=name]')];
    return [...root.querySelectorAll(parts), ...names]
        .filter(each => each.checkVisibility({ contentVisibilityAuto: true }))
        .filter(each => {
            const at = each.getBoundingClientRect();
            const line = each.closest('[class$=title]')?.getBoundingClientRect() ?? box;
            return at.width && (at.left < box.left - 1 || at.right > Math.min(box.right, line.right) + 1
                || (each.scrollWidth > each.clientWidth + 1 && each.matches('button, th, td')));
        }).map(each => each.getAttribute('aria-label') ?? each.textContent);
}"""


@pytest.mark.parametrize("width", [250, 1180])
def test_empty_section_is_one_line(pages: Callable[..., Page], width: int) -> None:
    page = pages(width=width, language="fr")
    STATES["empty"](page)
    for name in ("shares", "forwards", "services", "pods"):
        box = page.locator(f"[data-section={name}]").bounding_box()
        assert box is not None
        assert box["height"] < 34, name
    fold = page.get_by_role("button", name="Redirections aucune", exact=True)
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_text("Cliquez sur un port pour le rediriger.")).to_be_visible()


def test_unknown_count_is_not_shown(pages: Callable[..., Page]) -> None:
    """Of pods that you may not list, the number is unknown; of a colleague's database, the state."""
    page = pages()
    tell(page, session() | {"source/pods": FORBIDDEN})
    expect(page.locator("[data-fold=pods]")).to_have_text("Pods")
    others = page.get_by_role("listitem").filter(has_text="postgresql-cnpg-204412")
    expect(others).not_to_contain_text("unknown")


@pytest.mark.parametrize("width", [250, 480, 1180])
def test_ages_of_pods_end_at_one_edge(pages: Callable[..., Page], width: int) -> None:
    page = pages(width=width)
    full(page)
    edges = page.get_by_title("Age").evaluate_all(
        "ages => ages.map(age => [age.closest('ul').ariaLabel, Math.round(age.getBoundingClientRect().right)].join())"
    )
    assert len(edges) == 8
    assert len({edge for edge in edges if edge.startswith("Pods")}) == 1


def test_forced_colours_keep_every_sign(pages: Callable[..., Page]) -> None:
    """Windows' high contrast draws no gradient, no shadow and no transparent border."""
    page = pages(width=600)
    page.emulate_media(forced_colors="active")
    busy(page)
    assert faults(page) == []
    expect(page.locator("[class$=caret]").first).to_have_css("border-left-color", "rgba(0, 0, 0, 0)")
    icons = page.locator("[class$=icons]:has([aria-expanded=true])")
    expect(icons).to_have_css("opacity", "1")
    expect(icons).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    page.get_by_role("button", name="More actions for localhost:8000", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem").first).to_have_css("outline-style", "solid")


def test_ended_panel_offers_no_switch(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    switch = page.get_by_role("button", name="Switch to another namespace")
    expect(switch).to_be_visible()
    page.evaluate("window.end()")
    expect(switch).to_have_count(0)


def test_welcome_offers_the_sandbox_once(pages: Callable[..., Page]) -> None:
    page = pages()
    STATES["not logged in"](page)
    expect(page.get_by_role("button", name="Try without one")).to_be_visible()
    expect(page.get_by_role("heading", name="Sandbox")).to_have_count(0)
    part(page, {"sandbox": {"running": False, "server": "", "keeps": True}})
    expect(page.get_by_role("heading", name="Sandbox")).to_be_visible()


def test_filter_renders_its_own_section_only(pages: Callable[..., Page]) -> None:
    page = pages()
    many = {f"pod/many-{number}": staged.pod("Running", "good", 1, [[80, ""]]) for number in range(100)}
    tell(page, session() | many)
    page.evaluate(
        """() => {
            window.touched = [];
            for (const section of document.querySelectorAll('[data-section]:not([data-section=pods])')) {
                const { get } = Object.getOwnPropertyDescriptor(Node.prototype, 'firstChild');
                const watched = function () { window.touched.push(section.dataset.section); return get.call(this); };
                Object.defineProperty(section, 'firstChild', { get: watched });
            }
        }"""
    )
    page.locator("[data-filter=pods]").fill("many-1")
    expect(page.get_by_role("list", name="Pods").get_by_role("listitem")).to_have_count(11)
    assert page.evaluate("window.touched") == []


def test_lost_comm_is_said(pages: Callable[..., Page]) -> None:
    """A kernel that another window restarted gets no message of this page: it is asked for its comms."""
    page = pages()
    full(page)
    comms = "ids => { window.model.widget_manager.kernel = { requestCommInfo: async () => ({ content: { comms: ids } }) }; }"
    page.evaluate(comms, {"the-panel": {}})
    stop = page.get_by_role("button", name="Stop the forward to user-alice/svc/mon-api")
    stop.click()
    page.get_by_text("The kernel has not answered yet.").wait_for()
    assert page.get_by_text("The kernel no longer has this panel").count() == 0
    page.evaluate(comms, {"another": {}})
    page.get_by_role("button", name="Forward port 8888 http of jupyter-python-417342-0").click()
    expect(page.get_by_role("alert")).to_contain_text("The kernel no longer has this panel")
    expect(stop).to_have_count(0)


def test_page_without_a_kernel_shows_what_was(pages: Callable[..., Page]) -> None:
    page = pages(kernel=False)
    expect(page.locator("#panel")).to_contain_text("This is what the panel showed.")
    expect(page.locator("#panel")).to_contain_text("oidc-alice in user-alice")
    assert faults(page) == []


def test_dialog_measures_itself(pages: Callable[..., Page]) -> None:
    """From a narrow panel in a wide window, a dialog is as wide as from any other."""
    page = pages()
    page.add_style_tag(content="#panel { width: 250px }")
    tables(page)
    assert page.get_by_role("columnheader", name="Rows").bounding_box()["height"] > 5  # type: ignore[index]
    assert page.get_by_role("dialog").bounding_box()["width"] > 600  # type: ignore[index]


def test_share_dialog_shows_what_changes(pages: Callable[..., Page]) -> None:
    page = pages()
    share(page)
    dialog = page.get_by_role("dialog")
    # Bob keeps his access, until another day; carol may only read, too.
    items = dialog.get_by_role("listitem")
    expect(items.filter(has_text="bob ·").locator("strong")).to_have_count(1)
    expect(items.filter(has_text="carol ·").locator("strong").first).to_have_text("read-write → read-only")
    expect(items.filter(has_text="carol ·").locator("strong").last).to_contain_text("→ ")
    expect(dialog.get_by_role("listitem").filter(has_text="⚠")).to_contain_text("Every user of the server")
    dialog.get_by_label("a month").check()
    expect(dialog.get_by_role("button", name="Share", exact=True)).to_have_attribute("aria-disabled", "true")
    dialog.get_by_label("until a date").first.check()
    dialog.locator("input[name=until]").fill("2030-01-31")
    page.get_by_role("button", name="Preview").click()
    sent = page.evaluate("window.sent.filter(each => each.do === 'preview_share').at(-1)")
    assert sent["duration"].endswith("h")


def test_connected_database_has_its_actions(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    row = (
        page.get_by_role("list", name="Databases")
        .get_by_role("listitem")
        .filter(has_text="used by %query_db")
    )
    expect(row).to_contain_text("connected")
    expect(row.get_by_role("button", name="New query")).to_be_attached()
    choose_in_menu(page, DATABASE.rpartition("/")[2], f"Disconnect from {DATABASE}")
    assert page.evaluate("window.sent.at(-1).do") == "disconnect"
    asleep = page.get_by_role("listitem").filter(has_text="postgresql-439617")
    link = asleep.get_by_role("link", name="Wake it up")
    expect(link).to_have_attribute("href", "https://datalab.sspcloud.fr/my-services")


def test_field_keeps_focus_when_a_table_appears_above(pages: Callable[..., Page]) -> None:
    page = pages()
    facts = staged.session()
    later = {key: value for key, value in facts.items() if key.startswith(("database/", "source/databases"))}
    tell(page, {key: value for key, value in facts.items() if key not in later})
    field = page.get_by_label("A colleague's database", exact=True)
    field.click()
    page.keyboard.type("user-bob/")
    part(page, later)
    expect(page.get_by_role("list", name="Databases")).to_be_visible()
    page.keyboard.type("postgres")
    part(page, dict.fromkeys(later))
    page.keyboard.type("ql")
    assert field.input_value() == "user-bob/postgresql"


def test_what_is_typed_outlives_its_section(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    field = page.get_by_label("A colleague's database", exact=True)
    field.click()
    page.keyboard.type("user-bob/postgres")
    page.keyboard.press("ArrowLeft")
    part(page, {"source/who": UNREACHABLE})
    expect(field).to_have_count(0)
    part(page, {"source/who": True})
    expect(field).to_be_focused()
    page.keyboard.type("!")
    assert field.input_value() == "user-bob/postgre!s"

    # A user who has moved on keeps the focus elsewhere, and finds the text.
    part(page, {"who": None, "source/who": None})
    page.evaluate("() => { const a = document.createElement('input'); document.body.append(a); a.focus(); }")
    part(page, {"who": WHO | {"ends": None}, "source/who": True})
    expect(field).to_have_value("user-bob/postgre!s")
    expect(field).not_to_be_focused()

    # The filter keeps its text.
    part(page, {f"pod/many-{number}": staged.pod("Running", "good", 1, []) for number in range(9)})
    page.locator("[data-filter=pods]").fill("mon")
    part(page, {"source/who": UNREACHABLE})
    part(page, {"source/who": True})
    expect(page.locator("[data-filter=pods]")).to_have_value("mon")


def test_a_pasted_script_leaves_the_page_at_once(pages: Callable[..., Page]) -> None:
    page = pages()
    tell(page, LOGGED_OUT | {"source/who": NOT_LOGGED_IN})
    page.get_by_role("button", name="I have an account").click()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData('text/plain', 'kubectl config --token=canary');
            document.querySelector('textarea').dispatchEvent(
                new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    orders = page.evaluate("window.sent.filter(each => each.do === 'log_in')")
    assert [order["script"] for order in orders] == ["kubectl config --token=canary"]
    everywhere = "() => document.documentElement.outerHTML + [...document.querySelectorAll('textarea, input')].map(e => e.value)"
    assert "canary" not in page.evaluate(everywhere)
    fail(
        page,
        "log_in",
        trouble("UsageProblem", "This is not a login script.", "", "copy it again", "SspcloudError"),
    )
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("This is not a login script.")
    page.locator("textarea").fill("kubectl config --token=canary")
    page.get_by_role("dialog").get_by_role("button", name="Log in").first.click()
    assert "canary" not in page.evaluate(everywhere)
    order = page.evaluate("window.sent.filter(each => each.do === 'log_in').at(-1)")
    part(page, {"command/log-in": {"id": order["id"], "state": "done"}})
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_chosen_file_goes_the_way_of_a_paste(pages: Callable[..., Page], tmp_path: Path) -> None:
    script = tmp_path / "config.sh"
    script.write_text("kubectl config --token=canary\n")
    page = pages()
    tell(page, LOGGED_OUT | {"source/who": NOT_LOGGED_IN})
    page.get_by_role("button", name="I have an account").click()
    page.get_by_text("Or choose the file").click()
    page.get_by_label("File").set_input_files(script)
    page.wait_for_function("window.sent.some(each => each.do === 'log_in')")
    orders = page.evaluate("window.sent.filter(each => each.do === 'log_in')")
    assert [order["script"] for order in orders] == ["kubectl config --token=canary"]
    assert not any("file" in order for order in orders)
    assert page.get_by_label("File").input_value() == ""


def test_a_share_is_made_of_what_was_previewed_only(pages: Callable[..., Page]) -> None:
    page = pages()
    share(page)
    make = page.get_by_role("dialog").get_by_role("button", name="Share", exact=True)
    expect(make).not_to_have_attribute("aria-disabled", "true")
    page.get_by_label("read-write").check()
    expect(make).to_have_attribute("aria-disabled", "true")
    make.click(force=True)
    assert page.evaluate("window.sent.filter(each => each.do === 'share')") == []
    page.get_by_role("button", name="Preview").click()
    answer(page, "preview_share", staged.PLAN | {"read_write": True})
    make.click()
    (order,) = page.evaluate("window.sent.filter(each => each.do === 'share')")
    assert (order["colleagues"], order["write"], order["duration"]) == ("bob carol", True, "7d")
    line = f"%connect_db {DATABASE}"
    answer(page, "share", {"granted": "bob may read it.", "line": line, "notes": []})
    expect(page.get_by_role("dialog")).to_contain_text(line)


def test_a_service_is_shared_as_previewed(pages: Callable[..., Page]) -> None:
    page = pages()
    service_share(page)
    dialog = page.get_by_role("dialog")
    preview = dialog.get_by_role("status")
    expect(preview).to_contain_text("may reach port 443 of svc/front")
    expect(preview.locator("strong")).to_contain_text("→")
    expect(preview.get_by_role("listitem").first).to_contain_text("⚠")
    expect(dialog).to_contain_text("or team-x for a group")
    make = dialog.get_by_role("button", name="Share", exact=True)
    page.get_by_label("a forward:").check()
    expect(make).to_have_attribute("aria-disabled", "true")
    page.get_by_label("the network:").check()
    make.click()
    sent = page.evaluate("window.sent.at(-1)")
    assert {name: sent[name] for name in ("do", "service", "port", "colleagues", "via", "duration")} == {
        "do": "share_service",
        "service": "user-alice/svc/front",
        "port": 443,
        "colleagues": "bob carol",
        "via": "network",
        "duration": "7d",
    }
    line = "%forward user-alice/svc/front 443"
    answer(page, "share_service", {"granted": staged.SERVICE_PLAN["granted"], "line": line, "notes": []})
    expect(dialog).to_contain_text(line)


def test_shares_of_services_are_listed_and_revoked(pages: Callable[..., Page]) -> None:
    page = pages()
    service_share(page)
    page.keyboard.press("Escape")
    shares = page.locator("[data-section=shares]")
    expect(shares.get_by_role("listitem").filter(has_text="erin")).to_contain_text("network · port 443")
    shares.get_by_role("button", name="Revoke the share of svc/front with erin").click()
    expect(shares.get_by_role("group")).to_contain_text("Open connections may continue")
    shares.get_by_role("group").get_by_role("button", name="Revoke", exact=True).click()
    sent = page.evaluate("window.sent.at(-1)")
    assert (sent["do"], sent["database"], sent["colleague"]) == ("revoke", "svc/front", "erin")


def test_schemas_are_ticked_or_typed_when_unknown(pages: Callable[..., Page]) -> None:
    page = pages(language="fr")
    full(page)
    choose_in_menu(page, DATABASE.rpartition("/")[2], f"Partager {DATABASE}", "Autres actions pour {}")
    dialog = page.get_by_role("dialog")
    answer(page, "list_schemas", ["enquete", "public", "a schema with blanks"])
    page.get_by_label("Collègues").fill("bob")
    preview = dialog.get_by_role("button", name="Aperçu")

    def get_asked() -> Any:
        preview.click()
        order = page.evaluate("window.sent.filter(each => each.do === 'preview_share').at(-1)")
        answer(page, "preview_share", staged.PLAN)
        return order["schemas"]

    assert get_asked() == "all"
    # By keyboard: the group's boxes follow upon each other.
    dialog.get_by_role("checkbox", name="enquete").focus()
    page.keyboard.press("Space")
    assert get_asked() == ["public", "a schema with blanks"]
    dialog.get_by_role("checkbox", name="enquete").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
    expect(dialog.get_by_role("alert")).to_contain_text("Cochez au moins un schéma.")
    expect(preview).to_have_attribute("aria-disabled", "true")
    assert faults(page) == []
    before = page.evaluate("window.sent.length")
    page.get_by_label("Collègues").press("Enter")
    assert page.evaluate("window.sent.length") == before, "nothing is asked for"
    dialog.get_by_role("checkbox", name="public").check()
    assert get_asked() == ["public"]

    # A database that cannot be asked: they are named.
    page = pages(language="fr")
    full(page)
    choose_in_menu(page, DATABASE.rpartition("/")[2], f"Partager {DATABASE}", "Autres actions pour {}")
    preview = page.get_by_role("dialog").get_by_role("button", name="Aperçu")
    order = page.evaluate("window.sent.filter(each => each.do === 'list_schemas').at(-1)")
    refused = trouble("CredentialsNotFound", "No credentials.", family="DatabaseError")
    part(page, {f"command/schemas {DATABASE}": {"id": order["id"], "state": "failed", "error": refused}})
    page.get_by_label("Schémas").fill("enquete, public")
    page.get_by_label("Collègues").fill("bob")
    assert get_asked() == ["enquete", "public"]


def test_select_goes_to_jupyterlab_or_the_clipboard(pages: Callable[..., Page]) -> None:
    page = pages()
    tables(page)
    page.evaluate(
        "() => document.addEventListener('sspcloud:insert-cell', event => "
        "{ window.inserted = event.detail.source; event.preventDefault(); }, { once: true })"
    )
    page.get_by_role("button", name="Insert SELECT into a new cell: enquete.communes").click()
    assert page.evaluate("window.inserted") == f"%%query_db\n{staged.COLUMNS['select']}"
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name=f"Tables of {DATABASE}").click()
    page.get_by_role("button", name="communes").click()
    page.get_by_role("button", name="Insert SELECT into a new cell: enquete.communes").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)


def test_log_and_events_of_a_pod_in_dialogs(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    pod = "jupyter-python-417342-0"
    choose_in_menu(page, pod, f"Logs of {pod}")
    lines = "".join(f"line {number}\n" for number in range(200))
    answer(page, "read_log", {"container": "main", "text": f"{lines}<script>window.hostile = 1</script>"})
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("pre")).to_contain_text("<script>")
    assert page.evaluate("window.hostile") is None
    log = dialog.get_by_role("group", name=f"Logs of {pod}")
    # The reversed column is at its end: the newest line is in sight.
    assert log.evaluate("box => [box.scrollTop, box.scrollHeight > box.clientHeight]") == [0, True]
    assert faults(page) == []
    dialog.get_by_role("button", name="Refresh").click()
    fail(page, "read_log", trouble("Forbidden", "You may not read logs.", "", "ask"))
    expect(dialog.get_by_role("alert")).to_contain_text("You may not read logs.")
    page.keyboard.press("Escape")
    choose_in_menu(page, pod, f"Events of {pod}")
    answer(page, "list_events", {"events": [["Warning", "BackOff", 3, 0, "Back-off"]], "all": 1})
    expect(dialog.get_by_role("rowheader")).to_contain_text("BackOff")
    assert faults(page) == []
    dialog.get_by_role("button", name=f"Insert cell: %k8s_describe pod {pod}").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)


def test_what_an_order_says_stands_beside_its_button(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    stop = page.get_by_role("button", name="Stop the forward to user-alice/svc/mon-api")
    stop.click()
    expect(stop).to_have_attribute("aria-busy", "true")
    stop.click(force=True)
    given = page.evaluate("window.sent.filter(each => each.do === 'stop_forward')")
    assert len(given) == 1, "pending: given once"
    choose_in_menu(page, "localhost:8000", "Restart the forward to user-alice/svc/mon-api")
    error = trouble("PortTaken", "Port 8000 is taken.", "by another program", "%forward :80", "ForwardError")
    fail(page, "restart_forward", error)
    part(page, {"forward/1": None, "traffic/1": None})
    expect(page.get_by_role("alert")).to_contain_text("Port 8000 is taken.")


def test_a_countdown_says_when_the_login_ends(pages: Callable[..., Page]) -> None:
    page = pages()
    full(page)
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text("login ends in 6h")).to_be_visible()
    part(page, {"who": WHO | {"ends": 1}})
    expect(page.get_by_text("the login has ended").first).to_be_visible()
