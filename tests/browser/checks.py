"""What must be true of the page on each screen: JavaScript that looks at it as a reader does, and what is wrong in sentences."""

from __future__ import annotations

from pathlib import Path

from tests.browser.driver import Browser, Screen

SCREENS = (
    Screen("phone", 390, 844),
    Screen("phone", 390, 844, "dark"),
    Screen("small phone", 320, 568),
    Screen("wide", 1280, 800),
    Screen("wide", 1280, 800, "dark"),
    Screen("paper", 794, 1123, media="print"),
)
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true;"
# Everything that is on the screen and has text of its own.
LEAVES = """
const shown = one => one.checkVisibility() && !one.closest('caption, .hidden, head');
const own = one => [...one.childNodes].some(child => child.nodeType === 3 && child.data.trim());
const leaves = [...document.querySelectorAll('body *')].filter(one => shown(one) && own(one));
const said = one => one.tagName.toLowerCase() + ' ' + one.textContent.trim().slice(0, 60);
"""
SCROLLS = (
    "return document.documentElement.scrollWidth > innerWidth ? [`${document.documentElement.scrollWidth} px`] : []"
)
CUT = (
    LEAVES
    + """
return leaves.filter(one => {
  const range = document.createRange(); range.selectNodeContents(one);
  return [...range.getClientRects()].some(box => box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5)
    || (!one.ownerSVGElement && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline');
}).map(said)
"""
)
OVERLAPS = (
    LEAVES
    + """
const meet = (a, b) =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
const apart = (one, other) => !one.contains(other) && !other.contains(one);
const blocks = leaves.filter(one => !one.ownerSVGElement && getComputedStyle(one).display !== 'inline');
const ticks = [...document.querySelectorAll('.timeline svg text')].filter(shown);
const found = [];
for (const [many, near] of [[blocks, 12], [ticks, 2]]) {
  const boxes = many.map(one => [one, one.getBoundingClientRect()]);
  boxes.forEach(([one, box], at) => boxes.slice(at + 1, at + near).forEach(([other, its]) => {
    if (apart(one, other) && meet(box, its)) found.push(said(one) + ' / ' + said(other));
  }));
}
return found
"""
)
# WCAG 2: relative luminance, 4.5 for text, 3 for large text (24 px, or 18.66 px bold).
CONTRAST = (
    LEAVES
    + """
const parts = colour => { const found = colour.match(/[\\d.]+/g).map(Number); return found.length > 3 ? found : [...found, 1]; };
const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(one => (one /= 255) <= .03928 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4);
  return .2126 * x + .7152 * y + .0722 * z; };
const ground = one => { for (; one; one = one.parentElement) { const found = parts(getComputedStyle(one).backgroundColor);
  if (found[3] === 1) return found; } return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1]; };
return leaves.map(one => {
  const style = getComputedStyle(one), size = parseFloat(style.fontSize);
  const colour = parts(one.ownerSVGElement ? style.fill : style.color);
  const [a, b] = [light(colour), light(ground(one))].sort((x, y) => y - x);
  const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
  return [said(one), (a + .05) / (b + .05), large ? 3 : 4.5];
}).filter(([, found, least]) => found < least).map(([words, found]) => `${found.toFixed(2)} ${words}`)
"""
)
SMALL = LEAVES + "return leaves.filter(one => parseFloat(getComputedStyle(one).fontSize) < 12).map(said)"
# Colours of bars that touch, or lie on the card: 3 is for what must be seen to understand (WCAG 2, 1.4.11).
BARS = """
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(one => (one /= 255) <= .03928 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4);
  return .2126 * x + .7152 * y + .0722 * z; };
const section = document.querySelector('section'); if (!section) return [];
const card = light(parts(getComputedStyle(section).backgroundColor));
const kinds = {};
for (const one of document.querySelectorAll('.timeline rect')) kinds[one.getAttribute('class')] = light(parts(getComputedStyle(one).fill));
return Object.entries(kinds).filter(([, it]) => (Math.max(it, card) + .05) / (Math.min(it, card) + .05) < 3).map(([kind]) => kind)
"""
NAMELESS = """
const named = one => one.getAttribute('aria-label') || one.querySelector('title');
const pictures = [...document.querySelectorAll('svg[role=img]')].filter(one => !named(one)).map(() => 'a picture without a name');
const others = [...document.querySelectorAll('svg:not([role]):not([aria-hidden])')];
const unmarked = others.filter(one => !one.ownerSVGElement).map(() => 'an unmarked picture');
const tables = [...document.querySelectorAll('table')].filter(one => !one.caption).map(() => 'a table without a caption');
const levels = [...document.querySelectorAll('h1, h2, h3')].map(one => +one.tagName[1]);
const jumps = levels.some((one, at) => at && one > levels[at - 1] + 1) || levels[0] !== 1 ? ['headings skip a level'] : [];
return [...pictures, ...unmarked, ...tables, ...jumps, ...(document.documentElement.lang ? [] : ['no language'])]
"""
SCRIPTS = "return [...document.querySelectorAll('script, [onload], [onclick], [onerror], iframe, object')].map(one => one.tagName)"
QUESTIONS = (
    ("it scrolls sideways", SCROLLS),
    ("text is cut off or leaves the screen", CUT),
    ("texts lie on each other", OVERLAPS),
    ("text has too little contrast", CONTRAST),
    ("text is smaller than 12 px", SMALL),
    ("bars can't be told from the card", BARS),
    ("something has no name for a screen reader", NAMELESS),
    ("something could run", SCRIPTS),
)
LOADS, SAYS = "it loads something", "the console says something"
ALL = frozenset((*(what for what, _ in QUESTIONS), LOADS, SAYS))
MOST_SAID = 5


def wrong(browser: Browser, page: Path, screen: Screen) -> dict[str, list[str]]:
    """What is wrong, and where, with all that can be unfolded open; nothing: all is well."""
    browser.open(page, screen)
    if screen.media != "print":
        browser.run(OPEN_ALL)
    found = {what: list(map(str, hits)) for what, script in QUESTIONS if (hits := browser.run(script))}
    asked, said = browser.requests()
    own = page.resolve().as_uri()
    loaded = [address for address in asked if address != own and not address.startswith(("data:", "chrome:"))]
    return found | ({LOADS: loaded} if loaded else {}) | ({SAYS: said} if said else {})


def sentence(what: str, hits: list[str]) -> str:
    more = f" and {len(hits) - MOST_SAID} more" if len(hits) > MOST_SAID else ""
    return f"{what}: {'; '.join(hits[:MOST_SAID])}{more}"
