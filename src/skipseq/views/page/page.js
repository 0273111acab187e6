// What a page does: selecting, reading about, folding, searching, zooming. Everything that it tells is in the data.

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const stage = at("stage"), facts = at("facts"), search = at("search");
const advice = facts.innerHTML;
const folded = new Set();
const state = { picture: 0, zoom: 1, selected: null, hovered: null, line: -1, matches: [], match: -1 };
const listing = new Listing(document.getElementById("code"), data.lines);

function element(name, text, ...children) {
  const made = document.createElement(name);
  made.append(text, ...children);
  return made;
}

// The title of a container folds and unfolds it; where it is folded, all of its box is the button.
function foldClicked(event, group, number) {
  if (drag.far || (event.currentTarget !== group && !folded.has(number))) return;
  event.stopPropagation();
  toggle(number);
}

// Selecting and reading

function paint() {
  const { svg } = view();
  svg.querySelectorAll(".on").forEach((each) => each.classList.remove("on"));
  for (const item of [state.selected, state.hovered]) {
    if (item) view().marked(item).forEach((each) => each.classList.add("on"));
  }
  svg.classList.toggle("chosen", state.selected !== null);
  view().items.forEach((item) => {
    if (item.kind !== "frame") item.element.setAttribute("aria-pressed", String(item === state.selected));
  });
  const shown = state.hovered ?? state.selected;
  if (state.line < 0) listing.show(shown ? Listing.operations(shown) : [], shown !== null);
  const edges = state.selected?.kind === "arc" ? view().picture.arrows[state.selected.index].edges : [];
  document.querySelectorAll("button[data-edge]").forEach((button) => {
    const chosen = edges.includes(Number(button.dataset.edge));
    button.setAttribute("aria-pressed", String(chosen));
    button.closest("tr").classList.toggle("on", chosen);
  });
}

function select(item) {
  state.selected = item;
  state.hovered = null;
  paint();
  tell(item, "polite");
}

function hover(item) {
  if (state.hovered === item) return;
  state.hovered = item;
  paint();
  tell(item ?? state.selected, "off");
}

function tell(item, live) {
  facts.setAttribute("aria-live", live);
  if (!item) facts.innerHTML = advice;
  else facts.replaceChildren(...sections(item));
}

function sections(item) {
  const { picture } = view();
  if (item.kind === "frame") return section(data.frames[picture.frames[item.index].number]);
  if (item.kind === "arc") return section(data.edges[item.edge ?? picture.arrows[item.index].edges[0]]);
  const box = picture.boxes[item.index];
  if (box.value !== null) return section(data.values[box.value], box.positions[0] < 0 ? "Input " : "Output ");
  const shown = box.positions.slice(0, 12).flatMap((position) => section(data.nodes[position]));
  const more = box.positions.length - 12;
  return more > 0 ? [...shown, element("p", `and ${more} more operations.`), ...everyLayer(box)] : [...shown, ...everyLayer(box)];
}

function section({ title, facts: told }, before = "") {
  const list = document.createElement("dl");
  told.forEach(([term, description], k) => {
    if (term !== told[k - 1]?.[0]) list.append(element("dt", term));
    list.append(element("dd", description));
  });
  return [element("h3", before + title), list];
}

function everyLayer(box) {
  if (!box.folds || data.pictures.length < 2) return [];
  const button = element("button", "Show every layer");
  button.addEventListener("click", () => showPicture(1));
  return [button];
}

// The source

// A line under the pointer, or under the keyboard: what it does is marked in the drawing. None is -1.
function hoverLine(k) {
  if (state.line === k) return;
  state.line = k;
  paint();
  if (k < 0) return;
  view().svg.querySelectorAll(".on").forEach((each) => each.classList.remove("on"));
  listing.boxes(k).forEach((item) => view().end(item.index).forEach((each) => each.classList.add("on")));
  const [runs, , builds] = data.lines[k];
  listing.show(runs.length ? runs : builds, false);
  listing.lines[k].classList.add("on");
}

function chooseLine(k) {
  const [item] = listing.boxes(k);
  if (!item) return;
  uncover(item);
  state.line = -1;
  select(item);
  bringIntoView(item);
}

function lineAt(target) {
  const line = target.closest?.('.code-line[role="option"]');
  return line ? Number(line.dataset.line) : -1;
}

if (listing.element) {
  const code = listing.element;
  code.addEventListener("pointerover", (event) => hoverLine(lineAt(event.target)));
  code.addEventListener("pointerleave", () => hoverLine(-1));
  code.addEventListener("click", (event) => chooseLine(lineAt(event.target)));
  code.addEventListener("blur", () => hoverLine(-1));
  code.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      listing.move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && listing.active >= 0) {
      event.preventDefault();
      chooseLine(listing.active);
    }
  });
}

at("listing").addEventListener("click", () => {
  const hidden = at("source").toggleAttribute("hidden");
  at("listing").setAttribute("aria-pressed", String(!hidden));
  fit();
});

// Folding, and the picture with every layer

function view() {
  return views[state.picture];
}

function toggle(number) {
  if (!folded.delete(number)) folded.add(number);
  afterFolding();
}

function afterFolding() {
  views.forEach((each) => each.place());
  if (state.selected && !view().isVisible(state.selected)) state.selected = null;
  state.hovered = null;
  at("fold").textContent = folded.size ? "Unfold all" : "Fold all";
  paint();
  tell(state.selected, "off");
  keepFocusable();
}

function showPicture(number) {
  state.picture = number;
  Object.assign(state, { selected: null, hovered: null });
  views.forEach((each, k) => { each.svg.toggleAttribute("hidden", k !== number); });
  at("every").setAttribute("aria-pressed", String(number === 1));
  at("fold").hidden = !view().picture.frames.length;
  find();
  fit();
  paint();
  tell(null, "off");
}

// Shows the skip of an edge, in the picture in which it can be seen, and unfolds what hides it.
function reveal(edge) {
  const drawn = (each) => each.items.find((item) => item.kind === "arc" && each.picture.arrows[item.index].edges.includes(edge));
  if (!drawn(view()) && views.length > 1) showPicture(1);
  const item = drawn(view());
  if (item) {
    uncover(item);
    select(item);
    tell({ ...item, edge }, "polite");
    stage.scrollIntoView({ block: "nearest" });
    bringIntoView(item);
  }
}

function uncover(item) {
  const { picture } = view();
  if (view().isVisible(item)) return;
  const box = item.kind === "box" ? item.index : picture.arrows[item.index]?.source;
  const around = item.kind === "frame" ? picture.frames[item.index].frames : picture.boxes[box].frames;
  around.forEach((k) => folded.delete(picture.frames[k].number));
  afterFolding();
}

function bringIntoView(item) {
  const [part, whole] = [item.element.getBoundingClientRect(), stage.getBoundingClientRect()];
  const across = part.left < whole.left || part.right > whole.right, down = part.top < whole.top || part.bottom > whole.bottom;
  if (across) stage.scrollLeft += (part.left + part.right - whole.left - whole.right) / 2;
  if (down) stage.scrollTop += (part.top + part.bottom - whole.top - whole.bottom) / 2;
}

// Keyboard: one stop of Tab, in which the arrow keys move

function keepFocusable() {
  const visible = view().items.filter((item) => view().isVisible(item));
  if (!visible.some((item) => item.element.getAttribute("tabindex") === "0")) visible[0]?.element.setAttribute("tabindex", "0");
}

function focus(item) {
  view().items.forEach((each) => each.element.setAttribute("tabindex", each === item ? "0" : "-1"));
  item.element.focus({ preventScroll: true });
  bringIntoView(item);
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

stage.addEventListener("keydown", (event) => {
  const item = event.target.item;
  if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    activate(item);
  } else if (event.key in STEPS) {
    event.preventDefault();
    const visible = view().items.filter((each) => view().isVisible(each));
    const next = visible.indexOf(item) + STEPS[event.key];
    focus(visible[Math.min(Math.max(next, 0), visible.length - 1)]);
  }
});

function activate(item) {
  if (item.kind === "frame") toggle(view().picture.frames[item.index].number);
  else select(item === state.selected ? null : item);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    search.value = "";
    find();
    select(null);
  } else if (event.key === "/" && event.target !== search) {
    event.preventDefault();
    search.focus();
  }
});

stage.addEventListener("focusin", (event) => event.target.item && hover(event.target.item));
stage.addEventListener("focusout", () => hover(null));

// Pointer: hover, click, drag

function itemAt(target) {
  const group = target.closest?.(".node, .arc, .fold");
  if (!group) return null;
  if (group.item) return group.item;
  // The running value is no stop of the keyboard, but can be read about.
  const k = view().arcs.findIndex((arc) => arc.group === group);
  return k < 0 ? null : { kind: "arc", index: k, element: group };
}

// Where the pointer was last: when the drawing moves under a pointer at rest, nothing is pointed at.
const pointer = { x: -1, y: -1 };
for (const kind of ["pointermove", "pointerdown"]) {
  window.addEventListener(kind, (event) => Object.assign(pointer, { x: event.clientX, y: event.clientY }));
}
stage.addEventListener("pointerover", (event) => {
  if (event.clientX !== pointer.x || event.clientY !== pointer.y) hover(itemAt(event.target));
});
stage.addEventListener("pointerleave", () => hover(null));
stage.addEventListener("click", (event) => {
  if (drag.far) return;
  const item = itemAt(event.target);
  if (item?.kind !== "frame") select(item?.element === state.selected?.element ? null : item);
});

const drag = { from: null, far: false };
stage.addEventListener("pointerdown", (event) => {
  drag.far = false;
  if (event.pointerType === "mouse" && event.button === 0) drag.from = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
});
window.addEventListener("pointermove", (event) => {
  if (!drag.from) return;
  const [x, y] = [drag.from[0] - event.clientX, drag.from[1] - event.clientY];
  if (Math.abs(x - stage.scrollLeft) + Math.abs(y - stage.scrollTop) > 4) drag.far = true;
  stage.classList.toggle("dragging", drag.far);
  if (drag.far) stage.scrollTo({ left: x, top: y, behavior: "instant" });
});
window.addEventListener("pointerup", () => {
  drag.from = null;
  stage.classList.remove("dragging");
});

// Zoom

function zoomTo(zoom, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const before = state.zoom;
  state.zoom = Math.min(Math.max(zoom, 0.1), 4);
  const [left, top] = [stage.scrollLeft + x, stage.scrollTop + y].map((each) => (each * state.zoom) / before);
  views.forEach((each) => each.resize());
  stage.scrollTo({ left: left - x, top: top - y, behavior: "instant" });
  at("zoom").textContent = `${Math.round(state.zoom * 100)}%`;
}

function fit() {
  zoomTo(Math.min(1, stage.clientWidth / view().width));
}

stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const { left, top } = stage.getBoundingClientRect();
  zoomTo(state.zoom * Math.exp(-event.deltaY / 400), event.clientX - left, event.clientY - top);
}, { passive: false });

// Search

function find() {
  const text = search.value.trim().toLowerCase();
  const { svg, items } = view();
  state.matches = text ? items.filter((item) => item.words.includes(text)) : [];
  state.match = -1;
  svg.classList.toggle("searching", Boolean(text));
  svg.querySelectorAll(".match").forEach((each) => each.classList.remove("match"));
  for (const item of state.matches) {
    item.element.classList.add("match");
    if (item.kind === "frame") [view().frames, view().folds.map(({ text }) => text)].forEach((all) => all[item.index].classList.add("match"));
    if (item.kind === "arc") view().labels[item.index]?.classList.add("match");
  }
  at("found").textContent = text ? counted(state.matches.length) : "";
}

function counted(count) {
  return count === 0 ? "no results" : count === 1 ? "1 result" : `${count} results`;
}

function jump(by) {
  const count = state.matches.length;
  if (!count) return;
  state.match = state.match < 0 && by < 0 ? count - 1 : (state.match + by + count) % count;
  const item = state.matches[state.match];
  uncover(item);
  select(item);
  bringIntoView(item);
  at("found").textContent = `${state.match + 1} of ${count}: ${item.label}`;
}

// The controls

search.addEventListener("input", find);
search.form.addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  jump(event.shiftKey ? -1 : 1);
});
at("in").addEventListener("click", () => zoomTo(state.zoom * 1.25));
at("out").addEventListener("click", () => zoomTo(state.zoom / 1.25));
at("fit").addEventListener("click", fit);
at("every").addEventListener("click", () => showPicture(1 - state.picture));
at("fold").addEventListener("click", () => {
  if (folded.size) folded.clear();
  else view().picture.frames.filter((frame) => !frame.frames.length).forEach((frame) => folded.add(frame.number));
  afterFolding();
});
document.querySelectorAll("tbody tr").forEach((row) => row.addEventListener("click", () => reveal(Number(row.dataset.edge))));

const dark = window.matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}
function paintDark() {
  at("dark").setAttribute("aria-pressed", String(isDark()));
}
at("dark").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  paintDark();
});
dark.addEventListener("change", paintDark);

const views = [...stage.querySelectorAll("svg")].map((svg, k) => new View(svg, data.pictures[k]));
at("every").hidden = views.length < 2;
paintDark();
showPicture(0);
zoomTo(Math.max(state.zoom, 0.7));
stage.scrollTo({ left: 0, top: 0, behavior: "instant" });
stage.classList.add("smooth");
