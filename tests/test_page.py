"""The page of a network, by clicking: a headless Chromium opens it, and nothing but the file itself may be asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Locator, Route, expect, sync_playwright
from playwright.sync_api import Page as Tab
from torch import nn

from skipseq import Residual, Sequential, add, cat, save
from skipseq.check.graph import Graph
from skipseq.views.page.colours import contrast
from skipseq.views.page.page import Page

from .random_networks import Network, networks
from .view_networks import NETWORKS, nested_unet, resnet, transformer, unet_plus_plus

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
)

# The browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("SKIPSEQ_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing = f"pages need a browser: install one of {', '.join(NAMES)}, or name it in SKIPSEQ_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@dataclass
class Opened:
    """What opens pages, and notes what they ask for and complain about."""

    browser: Browser
    folder: Path
    tabs: list[Tab] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __call__(self, page: Page, **context: Any) -> Tab:
        path = self.folder / f"page{len(self.tabs)}.html"
        page.save(path)
        tab = self.browser.new_context(**{"viewport": {"width": 1800, "height": 1000}, **context}).new_page()
        tab.set_default_timeout(10_000)
        self.tabs.append(tab)
        tab.route("**/*", self.answer)
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.goto(path.as_uri())
        return tab

    def answer(self, route: Route) -> None:
        if route.request.url.startswith(self.folder.as_uri()):
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens the page of a network; at the end, it must have asked for nothing, and nothing went wrong in it."""
    opened = Opened(browser, tmp_path)
    yield opened
    for tab in opened.tabs:
        tab.context.close()
    assert opened.asked == []
    assert opened.complaints == []


def page_of(example: tuple[Sequential, tuple[Any, ...]]) -> Page:
    net, inputs = example
    return net.page(*inputs)


def small() -> Sequential:
    return Sequential(
        ("first", nn.Conv2d(3, 8, 3, padding=1)), save("x1"),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 8, 2, 2), cat("x1"),
    )  # fmt: skip


def arc(tab: Tab, name: str) -> Locator:
    """A skip in the drawing."""
    return tab.locator(f'svg:not([hidden]) .arc[aria-label^="skip {name}, "]')


def box(tab: Tab, *positions: int) -> Locator:
    return tab.locator(f'svg:not([hidden]) .node[data-node="{" ".join(map(str, positions))}"]')


def marked(tab: Tab) -> set[str]:
    """The boxes that are marked, by their positions."""
    return {each.get_attribute("data-node") or "" for each in tab.locator(".node.on").all()}


def facts(tab: Tab) -> list[str]:
    """What the details tell, line by line."""
    return [re.sub(r"\s+", " ", text).strip() for text in tab.locator("#facts :is(h3, dt, dd)").all_inner_texts()]


def click_line(arrow: Locator) -> None:
    """Clicks an arrow on its line: the middle of the room that it takes is empty."""
    x, y = middle_of_line(arrow)
    arrow.page.mouse.click(x, y)


def middle_of_line(arrow: Locator) -> tuple[float, float]:
    where = arrow.locator(".edge").evaluate(
        "(line) => { const at = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());"
        " return [at.x, at.y]; }"
    )
    return where[0], where[1]


# Selecting and reading


def test_a_selected_skip_shows_its_ends_and_tells_about_itself(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    click_line(arc(tab, "x1"))
    assert marked(tab) == {"0 1", "15"}
    expect(arc(tab, "x1")).to_have_attribute("aria-pressed", "true")
    assert facts(tab) == [
        "Skip x1",
        "from", "net.encoder[1] nn.ReLU()",
        "to", "net.decoder[5] cat('x1')",
        "all readers", "net.encoder[3] nn.MaxPool2d(2)", "net.decoder[5] cat('x1')",
        "shape", "(N, 8, 64, 64)",
        "dtype", "float32",
        "size", "128.0 KiB (131,072 bytes) per sample",
        "lifetime", "given by operation 2 of 19, read last by operation 16: held for 14 operations",
        "share of the peak", "23% of 560.0 KiB at decoder.cat_1",
    ]  # fmt: skip
    for other in tab.locator(".node:not(.on)").all():
        expect(other).to_have_css("opacity", "0.22")
    for end in tab.locator(".node.on").all():
        expect(end).to_have_css("opacity", "1")
    tab.keyboard.press("Escape")
    assert marked(tab) == set()
    expect(arc(tab, "x1")).to_have_attribute("aria-pressed", "false")


def test_pointing_tells_for_a_while_and_a_click_keeps(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    box(tab, 18).click()
    assert facts(tab)[0] == "net[3] nn.Conv2d(8, 2, 1)"
    tab.mouse.move(*middle_of_line(arc(tab, "x2")))
    assert facts(tab)[0] == "Skip x2"
    assert {"2 3 4", "11"} < marked(tab)
    tab.mouse.move(5, 5)
    assert facts(tab)[0] == "net[3] nn.Conv2d(8, 2, 1)"


def test_a_box_tells_about_its_layers(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    box(tab, 0, 1).click()
    assert facts(tab) == [
        "net.encoder[0] nn.Conv2d(3, 8, 3, padding=1)",
        "path", "encoder.0",
        "runs", "operation 1 of 19",
        "takes", "input, (N, 3, 64, 64), 48.0 KiB",
        "gives", "encoder.0, (N, 8, 64, 64), 128.0 KiB",
        "parameters", "224",
        "multiply-adds", "884.7 k (884,736) per sample",
        "net.encoder[1] nn.ReLU()",
        "path", "encoder.1",
        "runs", "operation 2 of 19",
        "takes", "encoder.0, (N, 8, 64, 64), 128.0 KiB",
        "gives", "x1, (N, 8, 64, 64), 128.0 KiB",
    ]  # fmt: skip


def test_the_running_value_and_the_ends_tell_about_themselves(open_page: Opened) -> None:
    tab = open_page(small().page((2, 3, 16, 16)))
    tab.locator('.node[data-kind="input"]').click()
    assert facts(tab)[0] == "Input input"
    assert "held throughout, as an input: for all 4 operations" in facts(tab)
    tab.locator('.node[data-kind="output"]').click()
    assert "given by operation 4 of 4, it is a result: held for 1 operation" in facts(tab)
    tab.mouse.move(*middle_of_line(tab.locator(".arc:has(.edge.main)").last))
    assert facts(tab)[0].startswith("Running value")


def test_the_table_is_the_drawing_in_words(open_page: Opened) -> None:
    page = page_of(unet_plus_plus())
    tab = open_page(page)
    rows = tab.locator("#skips tbody tr")
    graph = page.summary.graph
    assert rows.count() == len(graph.skips) == 6
    rows.nth(4).click()
    assert marked(tab) == {"0", "12"}
    expect(rows.nth(4).get_by_role("button", name="x00")).to_have_attribute("aria-pressed", "true")
    rows.nth(1).get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert facts(tab)[:5] == [
        "Skip x00", "from", "net[0] nn.Conv2d(3, 4, 3, padding=1)", "to", "net[10] cat('x00', here)",
    ]  # fmt: skip
    expect(rows.nth(1).locator("td")).to_have_text([
        "net[0] nn.Conv2d(3, 4, 3, padding=1)", "net[10] cat('x00', here)", "12 operations",
        "(1, 4, 32, 32)", "16.0 KiB", "15%",
    ])  # fmt: skip


def test_a_page_without_shapes_tells_what_is_known(open_page: Opened) -> None:
    page = small().page()
    tab = open_page(page)
    click_line(arc(tab, "x1"))
    assert facts(tab) == [
        "Skip x1",
        "from", "net[0] nn.Conv2d(3, 8, 3, padding=1)",
        "to", "net[4] cat('x1')",
        "all readers", "net[2] nn.MaxPool2d(2)", "net[4] cat('x1')",
        "lifetime", "given by operation 1 of 4, read last by operation 4: held for 3 operations",
    ]  # fmt: skip
    expect(tab.get_by_text("page((1, 3, 64, 64))")).to_be_visible()


# Folding


@dataclass(frozen=True)
class Seen:
    """What is visible in a drawing: boxes and folded containers with their places, and the points of arrows."""

    boxes: dict[tuple[Any, ...], list[list[float]]]
    arrows: list[dict[str, Any]]


def look(tab: Tab) -> Seen:
    """What is visible, from places alone; arrows are told apart by the value that they carry."""
    found = tab.evaluate(
        """() => {
      const svg = document.querySelector('svg.skipseq:not([hidden])');
      const zoom = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      const visible = (each) => each.getBoundingClientRect().width > 0;
      const place = (each) => {
        const { x, y, width, height } = each.getBBox(), m = each.getCTM();
        return [x + m.e / m.a, y + m.f / m.d, x + m.e / m.a + width, y + m.f / m.d + height];
      };
      const points = (line) => Array.from({ length: 61 }, (_, k) => line.getPointAtLength((line.getTotalLength() * k) / 60))
        .map(({ x, y }) => [x, y]);
      const tip = (head) => head.getAttribute('d').match(/-?[\\d.]+/g).slice(0, 2).map(Number);
      return {
        nodes: [...svg.querySelectorAll('.node')].filter(visible)
          .map((each) => [each.dataset.node, each.dataset.value ?? null, place(each.querySelector('.box'))]),
        frames: [...svg.querySelectorAll('.frame.closed')].filter(visible)
          .map((each) => [Number(each.dataset.frame), place(each.querySelector('rect'))]),
        arrows: [...svg.querySelectorAll('.arc')].filter((each) => !each.classList.contains('gone'))
          .map((each) => ({ value: Number(each.querySelector('.edge').dataset.value),
            points: points(each.querySelector('.edge')), tip: tip(each.querySelector('.head')) })),
        labels: [...svg.querySelectorAll('.label')].filter(visible).map(place), zoom,
      };
    }"""
    )
    boxes: dict[tuple[Any, ...], list[list[float]]] = {}
    for positions, value, place in found["nodes"]:
        key = ("end", positions, int(value)) if value is not None else ("box", *map(int, positions.split()))
        boxes[key] = [place]
    for number, place in found["frames"]:
        boxes.setdefault(("frame", number), []).append(place)
    return Seen(boxes, found["arrows"])


def check_folded(graph: Graph, tab: Tab, folded: set[int]) -> Seen:
    """The visible arrows join the boxes and the folded containers that hold the two ends of their edges."""
    seen = look(tab)
    places = [place for each in seen.boxes.values() for place in each]
    for (a, b, c, d), (x, y, u, v) in combinations(places, 2):
        assert c <= x + 0.1 or u <= a + 0.1 or d <= y + 0.1 or v <= b + 0.1, "boxes lie beside each other"
    drawn = set()
    for arrow in seen.arrows:
        start, tip = (touched(seen, point) for point in (arrow["points"][0], arrow["tip"]))
        assert not any(inside(point, place) for point in arrow["points"] for place in places), arrow
        if start != tip:
            drawn.add((arrow["value"], start, tip))
        else:
            assert len(seen.boxes[start]) > 1, "only a container in several lines has arrows from itself to itself"
    assert drawn == meant(graph, seen, folded)
    ends = [(arrow["value"], point) for arrow in seen.arrows for point in (arrow["points"][0], arrow["tip"])]
    for (value, (x, y)), (other, (u, v)) in combinations(ends, 2):
        assert value == other or abs(x - u) + abs(y - v) > 3, "arrows of different values touch a box in different places"
    return seen


def touched(seen: Seen, point: list[float]) -> tuple[Any, ...]:
    found = [key for key, places in seen.boxes.items() if any(on_outline(point, place) for place in places)]
    assert len(found) == 1, (point, found)
    return found[0]


def on_outline(point: list[float], place: list[float]) -> bool:
    x, y = point
    left, top, right, bottom = place
    near = left - 0.7 <= x <= right + 0.7 and top - 0.7 <= y <= bottom + 0.7
    return near and not inside(point, place)


def inside(point: list[float], place: list[float]) -> bool:
    x, y = point
    left, top, right, bottom = place
    return left + 0.7 < x < right - 0.7 and top + 0.7 < y < bottom - 0.7


def meant(graph: Graph, seen: Seen, folded: set[int]) -> set[tuple[Any, ...]]:
    """The arrows that have to be seen."""

    def end(position: int, value: int) -> tuple[Any, ...]:
        if position in (-1, len(graph.nodes)):
            return ("end", str(position), value)
        around = [number for number in graph.nodes[position].frames if number in folded]
        if around:
            return ("frame", around[0])
        return next(key for key in seen.boxes if key[0] == "box" and position in key[1:])

    ends = {(edge.value, end(edge.giver, edge.value), end(edge.reader, edge.value)) for edge in graph.edges}
    return {each for each in ends if each[1] != each[2]}


def fold_button(tab: Tab, name: str) -> Locator:
    return tab.get_by_role("button", name=re.compile(f"^Container {re.escape(name)},"))


def test_a_container_folds_to_a_box_and_unfolds(open_page: Opened) -> None:
    page = page_of(nested_unet())
    tab = open_page(page)
    before = tab.locator("#stage").inner_html()
    expect(fold_button(tab, "encoder")).to_have_attribute("aria-expanded", "true")
    fold_button(tab, "encoder").click()
    expect(fold_button(tab, "encoder")).to_have_attribute("aria-expanded", "false")
    for hidden in (box(tab, 0, 1), box(tab, 5)):
        expect(hidden).not_to_be_visible()
    seen = check_folded(page.summary.graph, tab, {0})
    (encoder,) = seen.boxes["frame", 0]
    leaving = [arrow for arrow in seen.arrows if abs(arrow["points"][0][0] - encoder[2]) < 0.7]
    assert sorted(arrow["value"] for arrow in leaving) == [2, 5, 6, 6]
    assert encoder[2] - encoder[0] < 150, "it is narrower than it was"
    click_line(arc(tab, "x2"))
    expect(tab.locator(".frame.on")).to_have_attribute("data-frame", "0")
    assert marked(tab) == {"11"}
    tab.keyboard.press("Escape")
    tab.locator(".frame.closed rect").click(position={"x": 30, "y": 150})
    expect(fold_button(tab, "encoder")).to_have_attribute("aria-expanded", "true")
    tab.mouse.move(5, 5)
    assert strip(tab.locator("#stage").inner_html()) == strip(before)


def strip(html: str) -> str:
    """A drawing without what says where the focus is."""
    return re.sub(r' (tabindex="-?\d"|class="[^"]*")', "", html)


@pytest.mark.parametrize("name", NETWORKS)
def test_arrows_tell_the_wiring_however_containers_are_folded(open_page: Opened, name: str) -> None:
    page = page_of(NETWORKS[name]())
    graph = page.summary.graph
    tab = open_page(page)
    numbers = sorted({int(each.get_attribute("data-frame") or "") for each in tab.locator(".frame").all()})
    check_folded(graph, tab, set())
    folded: set[int] = set()
    for number in [*numbers[::2], *numbers[:1]]:
        # What is in a folded container has no button.
        if fold_button(tab, graph.frames[number].name).is_visible():
            fold_button(tab, graph.frames[number].name).click()
            folded ^= {number}
            check_folded(graph, tab, folded)


def test_arrows_tell_the_wiring_of_random_networks_however_they_are_folded(open_page: Opened) -> None:
    folds = []

    @given(networks(), st.data())
    @settings(max_examples=14)
    def check(network: Network, data: st.DataObject) -> None:
        page = network.net.page()
        graph = page.summary.graph
        if not graph.frames:
            return
        tab = open_page(page)
        drawn = {int(each.get_attribute("data-frame") or "") for each in tab.locator("svg:not([hidden]) .frame").all()}
        folded: set[int] = set()
        for number in data.draw(st.lists(st.sampled_from(sorted(drawn)), max_size=3)) if drawn else ():
            tab.evaluate("(number) => toggle(number)", number)
            folded ^= {number}
            folds.append(check_folded(graph, tab, folded))

    check()
    assert len(folds) > 5


def test_arrows_that_leave_a_folded_container_upwards_stay_apart(open_page: Opened) -> None:
    giver = Sequential(*(each for k in range(9) for each in (nn.Linear(4, 4), save(f"x{k}"))))
    page = Sequential(("giver", giver), nn.Tanh(), *(add(f"x{k}") for k in range(9))).page((2, 4))
    tab = open_page(page)
    check_folded(page.summary.graph, tab, set())
    fold_button(tab, "giver").click()
    seen = check_folded(page.summary.graph, tab, {0})
    ((_, top, _, _),) = seen.boxes["frame", 0]
    upwards = sorted(arrow["points"][0][0] for arrow in seen.arrows if abs(arrow["points"][0][1] - top) < 0.7)
    assert len(upwards) > 4, "this test is about arrows that leave at the top"
    assert all(right - left > 12 for left, right in pairwise(upwards))


def test_what_is_drawn_anew_looks_as_it_was_drawn(open_page: Opened) -> None:
    tab = open_page(page_of(resnet()))
    pairs = tab.evaluate(
        """() => views[0].picture.arrows.flatMap(({ points, thickness }, k) => {
      const size = 5 + thickness * 1.2, { drawn, tip } = views[0].arcs[k];
      return [[lineText(points, size), drawn], [headText(points, size), tip]];
    })"""
    )
    assert len(pairs) > 40
    for new, old in pairs:
        assert re.sub(r"[-\d.]+", "0", new) == re.sub(r"[-\d.]+", "0", old)
        assert [float(each) for each in re.findall(r"[-\d.]+", new)] == pytest.approx(
            [float(each) for each in re.findall(r"[-\d.]+", old)], abs=0.11
        )


def test_a_container_in_two_lines_and_containers_in_containers_fold(open_page: Opened) -> None:
    def stage(count: int) -> Sequential:
        return Sequential(
            *(Sequential(("body", Residual(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))), nn.ReLU()) for _ in range(count))
        )

    net = Sequential(("low", stage(6)), ("high", stage(2)), nn.Linear(8, 2))
    page = net.page((2, 8))
    graph = page.summary.graph
    tab = open_page(page)
    tab.get_by_role("button", name="Show every layer").click()
    pieces = tab.locator('svg:not([hidden]) .frame[data-frame="0"]').count()
    assert pieces > 1, "this test is about a container that does not fit in one line"
    numbers = {frame.name: k for k, frame in enumerate(graph.frames)}
    fold_button(tab, "low.1").click()
    check_folded(graph, tab, {numbers["low.1"]})
    fold_button(tab, "low").click()
    check_folded(graph, tab, {numbers["low"], numbers["low.1"]})
    assert not fold_button(tab, "low.1").is_visible()
    fold_button(tab, "high.1.body").click()
    check_folded(graph, tab, {numbers["low"], numbers["low.1"], numbers["high.1.body"]})
    fold_button(tab, "low").click()
    check_folded(graph, tab, {numbers["low.1"], numbers["high.1.body"]})
    tab.get_by_role("button", name="Unfold all").click()
    check_folded(graph, tab, set())
    tab.get_by_role("button", name="Fold all").click()
    check_folded(graph, tab, {numbers["low"], numbers["high"]})


def test_a_skip_that_is_hidden_in_a_folded_container_is_unfolded_when_it_is_selected(open_page: Opened) -> None:
    tab = open_page(page_of(resnet()))
    tab.get_by_role("button", name="Fold all").click()
    tab.get_by_role("button", name="block4.shortcut.1").click()
    assert facts(tab)[0] == "Skip block4.shortcut.1"
    expect(fold_button(tab, "block4")).to_have_attribute("aria-expanded", "true")
    expect(fold_button(tab, "block3")).to_have_attribute("aria-expanded", "false")
    assert len(marked(tab)) == 2


def test_layers_that_share_a_box_can_be_shown(open_page: Opened) -> None:
    page = page_of(transformer(6))
    graph = page.summary.graph
    tab = open_page(page)
    assert tab.locator("svg:not([hidden]) .node").count() < 15
    tab.locator('svg:not([hidden]) .node[data-kind="fold"]').click()
    tab.get_by_role("button", name="Show every layer").last.click()
    expect(tab.locator("svg:not([hidden])")).to_have_count(1)
    assert fold_button(tab, "layer6").is_visible()
    check_folded(graph, tab, set())
    tab.get_by_role("button", name="Show every layer").click()
    assert tab.locator("svg:not([hidden]) .node").count() < 15
    tab.locator("#skips tbody tr").last.click()
    assert facts(tab)[0] == "Skip layer6.attended"
    assert len(marked(tab)) == 2
    assert arc(tab, "layer6.attended").is_visible()


# Search


def test_search_finds_layers_labels_and_containers(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    field = tab.get_by_role("searchbox", name="Search")
    status = tab.locator("#found")
    field.fill("relu")
    expect(status).to_have_text("5 results")
    assert status.get_attribute("aria-live") == "polite"
    assert {each.get_attribute("data-node") for each in tab.locator(".node.match").all()} == {
        each.get_attribute("data-node") for each in tab.locator(".node").all() if "ReLU" in (each.text_content() or "")
    }
    field.fill("x2")
    expect(status).to_have_text(re.compile(r"^\d results$"))
    field.press("Enter")
    field.press("Enter")
    expect(status).to_have_text(
        re.compile(r"^2 of \d: skip x2, from net.encoder\[5\] nn.ReLU\(\) to net.decoder\[1\] cat\('x2'\)")
    )
    assert facts(tab)[0] == "Skip x2"
    field.press("Shift+Enter")
    expect(status).to_have_text(re.compile(r"^1 of \d: "))
    field.fill("nowhere")
    expect(status).to_have_text("no results")
    field.press("Enter")
    field.press("Escape")
    expect(status).to_have_text("")
    assert tab.locator(".match").count() == 0


def test_search_jumps_into_folded_containers(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    fold_button(tab, "decoder").click()
    tab.get_by_role("searchbox").fill("decoder.cat_0")
    tab.keyboard.press("Enter")
    expect(box(tab, 11)).to_be_visible()
    assert "path" in facts(tab)
    assert "decoder.cat_0" in facts(tab)


# Keyboard and screen reader


def test_all_can_be_done_with_the_keyboard_alone(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    tab.keyboard.press("/")
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.evaluate("Boolean(document.activeElement.item)"):
            break
    walked = []
    while not walked or walked[-1] != focused(tab):
        walked.append(focused(tab))
        assert has_visible_focus(tab)
        tab.keyboard.press("ArrowRight")
    kinds = [text.split(",")[0].split(";")[0] for text in walked]
    assert kinds[:5] == ["input N×3×64×64", "Container encoder", "Conv2d 3→8", "skip x1", "MaxPool2d ÷2"]
    assert kinds[-1] == "output N×2×64×64"
    assert len(walked) == tab.locator(".node").count() + 3 + 3
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    expect(fold_button(tab, "encoder")).to_have_attribute("aria-expanded", "false")
    tab.keyboard.press("ArrowRight")
    assert focused(tab).startswith("skip x1")
    tab.keyboard.press(" ")
    assert facts(tab)[0] == "Skip x1"
    expect(arc(tab, "x1")).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("Escape")
    expect(arc(tab, "x1")).to_have_attribute("aria-pressed", "false")
    tab.keyboard.press("Tab")
    assert not tab.evaluate("Boolean(document.activeElement.item)"), "the drawing is one stop"


def focused(tab: Tab) -> str:
    return str(tab.evaluate("document.activeElement.getAttribute('aria-label')"))


def has_visible_focus(tab: Tab) -> bool:
    return bool(
        tab.evaluate(
            """() => {
      const at = document.activeElement, shown = at.querySelector('.box, .hit'), style = getComputedStyle(shown);
      return at.matches(':focus-visible') && style.stroke !== 'none' && style.stroke !== 'rgba(0, 0, 0, 0)'
        && parseFloat(style.strokeWidth) >= 3;
    }"""
        )
    )


def test_a_screen_reader_finds_a_name_for_everything_in_the_order_in_which_it_runs(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()))
    tree = tab.locator("#stage").aria_snapshot()
    names = re.findall(r'- button "([^"]+)"( \[[^\]]*\])*', tree)
    assert len(names) == tab.locator(".node").count() + 3 + 3
    assert 'group "Drawing of Sequential"' in tree
    order = [name.split(",")[0].split(";")[0] for name, _ in names]
    assert order[:5] == ["input N×3×64×64", "Container encoder", "Conv2d 3→8", "skip x1", "MaxPool2d ÷2"]
    assert "[expanded]" in tree
    for name in ("Drawing", "Details", "Skips"):
        expect(tab.get_by_role("region", name=name, exact=True).first).to_be_visible()
    expect(tab.get_by_role("search")).to_be_visible()
    expect(tab.get_by_role("heading", name="Sequential")).to_be_visible()
    for control in tab.locator(":is(button, input, [role=button]):visible").all():
        expect(control).to_have_accessible_name(re.compile(r"\S"))
    box(tab, 18).press("Enter")
    assert tab.locator("#facts").get_attribute("aria-live") == "polite", "what is selected is read aloud"
    tab.mouse.move(*middle_of_line(arc(tab, "x2")))
    assert facts(tab)[0] == "Skip x2"
    assert tab.locator("#facts").get_attribute("aria-live") == "off", "what the pointer passes is not"


# Colours


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("example", [nested_unet, resnet, unet_plus_plus])
def test_text_can_be_read_in_light_and_dark(open_page: Opened, scheme: str, example: Callable[[], Any]) -> None:
    tab = open_page(page_of(example()), color_scheme=scheme)
    ground = channels(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (sum(ground) > 600) == (scheme == "light")
    assert least_contrast(tab) >= 4.5
    if tab.locator(".fold[role=button]").count():
        tab.get_by_role("button", name="Fold all").click()
        tab.mouse.move(5, 5)
        assert least_contrast(tab) >= 4.5
    tab.get_by_role("button", name="Dark").click()
    now = channels(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (sum(now) > 600) == (scheme == "dark")
    assert least_contrast(tab) >= 4.5


def channels(colour: str) -> tuple[int, ...]:
    return tuple(int(float(each)) for each in re.findall(r"[\d.]+", colour)[:3])


def in_hex(colour: str) -> str:
    return "#" + "".join(f"{each:02x}" for each in channels(colour))


def least_contrast(tab: Tab) -> float:
    """The least contrast of a text with what is behind it."""
    pairs = tab.evaluate(
        """() => {
      const found = [];
      const clear = (colour) => colour === 'rgba(0, 0, 0, 0)' || colour === 'transparent' || colour === 'none';
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const svg = document.querySelector('svg.skipseq:not([hidden])');
      const grounds = [...svg.querySelectorAll('rect:not(.hit)')].map((each) => [each, each.getBoundingClientRect()]);
      for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const own = text.parentElement, range = document.createRange();
        range.selectNodeContents(text);
        const place = range.getBoundingClientRect();
        if (!text.data.trim() || !own.getBoundingClientRect().width || own.closest('script, title, .jump')) continue;
        if (own.closest('svg')) {
          const x = (place.left + place.right) / 2, y = (place.top + place.bottom) / 2;
          const behind = grounds.filter(([, r]) => r.width && r.left <= x && x <= r.right && r.top <= y && y <= r.bottom);
          found.push([getComputedStyle(own).fill, getComputedStyle(behind.at(-1)[0]).fill, text.data]);
        } else {
          let at = own;
          while (at && clear(getComputedStyle(at).backgroundColor)) at = at.parentElement;
          found.push([getComputedStyle(own).color, getComputedStyle(at ?? document.body).backgroundColor, text.data]);
        }
      }
      return found;
    }"""
    )
    assert len(pairs) > 60
    hexes = [(in_hex(one), in_hex(other), text) for one, other, text in pairs]
    worst = min(hexes, key=lambda each: contrast(each[0], each[1]))
    print(f"{worst[2]!r} is {worst[0]} on {worst[1]}")  # shown where the test fails
    return contrast(worst[0], worst[1])


# Zoom and moving


def test_the_drawing_zooms_and_moves(open_page: Opened) -> None:
    tab = open_page(page_of(nested_unet()), viewport={"width": 900, "height": 900})
    stage, zoom = tab.locator("#stage"), tab.locator("#zoom")
    tab.get_by_role("button", name="Fit width").click()
    assert stage.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    before = int(zoom.inner_text().rstrip("%"))
    tab.get_by_role("button", name="Zoom in").click()
    tab.get_by_role("button", name="Zoom in").click()
    assert int(zoom.inner_text().rstrip("%")) > before * 1.4
    assert stage.evaluate("(each) => each.scrollWidth > each.clientWidth")
    place = stage.bounding_box()
    assert place is not None
    stage.evaluate("(each) => each.scrollTo({ left: 0, behavior: 'instant' })")
    tab.mouse.move(place["x"] + 300, place["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(place["x"] + 100, place["y"] + 20, steps=4)
    tab.mouse.up()
    assert stage.evaluate("(each) => each.scrollLeft") == pytest.approx(200, abs=2)
    assert marked(tab) == set(), "a drag is no click"
    now = int(zoom.inner_text().rstrip("%"))
    tab.keyboard.down("Control")
    tab.mouse.wheel(0, -200)
    tab.keyboard.up("Control")
    expect(zoom).not_to_have_text(f"{now}%")
    assert int(zoom.inner_text().rstrip("%")) > now


def test_a_narrow_screen_has_no_sideways_scrolling_of_the_page(open_page: Opened) -> None:
    tab = open_page(page_of(resnet()), viewport={"width": 400, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth <= 400")


def test_less_motion_is_respected(open_page: Opened) -> None:
    for motion, smooth in (("reduce", "auto"), ("no-preference", "smooth")):
        tab = open_page(small().page(), reduced_motion=motion)
        assert tab.evaluate("getComputedStyle(document.getElementById('stage')).scrollBehavior") == smooth
        assert tab.evaluate("getComputedStyle(document.querySelector('.node')).transitionDuration") == (
            "0s" if motion == "reduce" else "0.12s"
        )


# The file


class Hostile(nn.Module):
    """A layer that is written as nobody should."""

    def forward(self, x: Any) -> Any:
        return x

    def __repr__(self) -> str:
        return (
            "Hostile(\"</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'> $title &amp;\u2028\")"
        )


def test_names_cannot_break_out(open_page: Opened) -> None:
    hostile = type('"><svg onload=window.broken=3>&', (Sequential,), {})
    part = hostile(Hostile(), save("x"), nn.Tanh(), add("x"))
    page = Sequential(("<b>bold</b>", part), ("'\"", Hostile())).page((2, 3))
    tab = open_page(page)
    assert tab.evaluate("window.broken") is None
    assert tab.locator("img, b").count() == 0
    assert tab.locator("script").count() == 2
    tab.get_by_role("searchbox").fill("onerror")
    tab.keyboard.press("Enter")
    assert tab.evaluate("window.broken") is None
    assert tab.locator("img, b").count() == 0
    assert any("window.broken = 2" in text and "$title &amp;" in text for text in facts(tab))
    tab.get_by_role("searchbox").fill("<b>bold")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert '"><svg onload=window.broken=3>&' in facts(tab)


def test_a_policy_forbids_all_other_scripts(open_page: Opened) -> None:
    tab = open_page(small().page())
    tab.evaluate(
        "() => { const more = document.createElement('script'); more.textContent = 'more = 1'; document.body.append(more); }"
    )
    assert tab.evaluate("window.more") is None
    assert "script-src" in open_page.complaints[0]
    open_page.complaints.clear()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_is_complete_in_itself(name: str) -> None:
    html = page_of(NETWORKS[name]()).html
    assert set(re.findall(r"\w+://[^\"'\s<)]*", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<link|<img|@import|url\(|<[^>]+ on\w+=", html)


def test_two_hundred_layers_are_quick_to_use(open_page: Opened) -> None:
    net = Sequential(*(each for k in range(50) for each in (Residual(nn.Linear(4, 4), nn.Tanh()), nn.ReLU())))
    page = net.page((2, 4))
    assert len(page.summary.graph.nodes) == 200
    tab = open_page(page)
    check_folded(page.summary.graph, tab, set())
    took = tab.evaluate(
        "() => { const from = performance.now(); document.getElementById('fold').click(); return performance.now() - from; }"
    )
    assert took < 2000, f"folding 50 containers took {took:.0f} ms"
    check_folded(page.summary.graph, tab, {k for k, frame in enumerate(page.summary.graph.frames)})


def test_a_page_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    page = small().page((1, 3, 8, 8))
    page.save(tmp_path / "net.html")
    assert (tmp_path / "net.html").read_text() == page.html
    with pytest.raises(ValueError, match=r"Write page.save\('.*net.html'\)") as caught:
        page.save(tmp_path / "net.svg")
    assert "it is '.svg'" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.html"]
    with pytest.raises(AttributeError):
        page.summary = page.summary  # type: ignore[misc]


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(browser: Browser) -> None:
    page = small().page((1, 3, 8, 8))
    assert repr(page) == "Page of Sequential: 4 operations, 1 skip"
    tab = browser.new_page()
    tab.set_content(f"<p>a notebook</p>{page._repr_html_()}")
    inside = tab.frame_locator("iframe")
    inside.locator("#skips tbody button").click()
    expect(inside.locator("#facts h3")).to_have_text("Skip x1")
    tab.close()


def test_the_data_of_a_page_is_that_of_the_network() -> None:
    html = page_of(nested_unet()).html
    data = json.loads(html.partition('id="data">')[2].partition("</script>")[0])
    assert [data["edges"][k]["words"].split()[0] for k in data["skips"]] == ["encoder", "encoder.x2", "encoder.x1"]


def test_a_network_without_layers_has_a_page(open_page: Opened) -> None:
    tab = open_page(Sequential().page((2, 3)))
    expect(tab.get_by_text("This network has no skips.")).to_be_visible()


# The source beside the drawing


def code_line(tab: Tab, text: str) -> Locator:
    """The first line of the source with this text."""
    return tab.locator(".code-line", has_text=text).first


def lit(tab: Tab) -> list[str]:
    """The lines of the source that are marked."""
    return [text.strip() for text in tab.locator(".code-line.on").all_inner_texts()]


def residuals() -> Sequential:
    return Sequential(*[Residual(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(3)])


def test_the_source_is_that_of_the_network(open_page: Opened) -> None:
    net, inputs = nested_unet()
    tab = open_page(net.page(*inputs))
    shown = "\n".join(line.rstrip("\n\u200b") for line in tab.locator(".code-line").all_text_contents())
    assert shown == net.source().text.removesuffix("\n")


def test_a_line_marks_what_it_does_in_the_drawing(open_page: Opened) -> None:
    net, inputs = nested_unet()
    tab = open_page(net.page(*inputs))
    graph = net._graph(..., (), {})
    joins = [node.position for node in graph.nodes if node.operator == "cat"]
    lines = [line for line in net.source().text.splitlines() if "torch.cat(" in line]
    assert len(lines) == len(joins)
    for text, position in zip(lines, joins, strict=True):
        code_line(tab, text.strip()).hover()
        assert marked(tab) == {str(position)}
    tab.locator("h1").hover()
    assert marked(tab) == set()


def test_a_line_of_a_class_marks_all_blocks_of_the_class(open_page: Opened) -> None:
    tab = open_page(residuals().page((1, 4, 8, 8)))
    tab.locator("#every").click() if tab.locator("#every").is_visible() else None
    code_line(tab, "x = x + identity").hover()
    assert marked(tab) == {"2", "5", "8"}


def test_what_is_selected_marks_its_lines(open_page: Opened) -> None:
    tab = open_page(small().page((1, 3, 8, 8)))
    box(tab, 3).click()
    assert lit(tab) == ["x = torch.cat((x, x1), dim=1)"]
    click_line(arc(tab, "x1"))
    assert lit(tab) == ['x = x1 = self["first"](x)', "x = torch.cat((x, x1), dim=1)"]
    tab.keyboard.press("Escape")
    assert lit(tab) == []


def test_a_click_on_a_line_selects_its_box(open_page: Opened) -> None:
    tab = open_page(small().page((1, 3, 8, 8)))
    code_line(tab, "torch.cat(").click()
    assert facts(tab)[0] == "net[4] cat('x1')"
    assert box(tab, 3).get_attribute("aria-pressed") == "true"


def test_the_source_by_keyboard(open_page: Opened) -> None:
    tab = open_page(small().page((1, 3, 8, 8)))
    code = tab.locator("#code")
    code.focus()
    for _ in range(len(tab.locator('.code-line[role="option"]').all()) + 2):
        tab.keyboard.press("ArrowDown")
    active = tab.locator(f"#{code.get_attribute('aria-activedescendant')}")
    assert active.inner_text().strip() == "x = torch.cat((x, x1), dim=1)"
    assert marked(tab) == {"3"}
    tab.keyboard.press("Enter")
    assert facts(tab)[0] == "net[4] cat('x1')"


def test_the_source_can_be_put_away(open_page: Opened) -> None:
    tab = open_page(small().page((1, 3, 8, 8)))
    tab.locator("#listing").click()
    expect(tab.locator("#source")).to_be_hidden()
    assert tab.locator("#listing").get_attribute("aria-pressed") == "false"
    tab.locator("#listing").click()
    expect(tab.locator("#source")).to_be_visible()


def test_a_network_without_source_says_why(open_page: Opened) -> None:
    net = Sequential(nn.Linear(4, 4), lambda value: value * 2)
    tab = open_page(net.page((2, 4)))
    told = tab.locator("#source").inner_text()
    assert "There is no plain source of this network" in told
    assert "lambda" in told
    tab.locator(".node").first.click()
    expect(tab.locator("#code")).to_have_count(0)
