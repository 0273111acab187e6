// A picture on the page: what is drawn gets names, roles and a place in the order in which the network runs.

function svgElement(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

class Item {
  constructor(kind, index, element, order, label, words) {
    Object.assign(this, { kind, index, element, order, words: words.toLowerCase(), label });
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", label);
    element.setAttribute("tabindex", "-1");
    element.item = this;
  }
}

class View {
  constructor(svg, picture) {
    Object.assign(this, { svg, picture });
    this.width = picture.width;
    this.height = svg.viewBox.baseVal.height;
    this.labels = [];
    this.boxes = [...svg.querySelectorAll(".node")];
    this.frames = [...svg.querySelectorAll(".frame")];
    this.arcs = this.makeArcs([...svg.querySelectorAll(".edge")], [...svg.querySelectorAll(".head")], [...svg.querySelectorAll(".label")]);
    this.folds = [...svg.querySelectorAll(".frame-title")].map((title, k) => this.makeFold(title, k));
    this.items = [...this.boxItems(), ...this.arcItems(), ...this.frameItems()].sort(
      (one, other) => one.order.map((each, k) => each - other.order[k]).find((each) => each) ?? 0,
    );
    svg.querySelector("title").remove();
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", `Drawing of ${document.querySelector("h1").textContent}`);
    svg.setAttribute("aria-describedby", "keys");
    // Who hears the drawing read aloud hears it in the order in which the network runs; titles and labels are drawn above it.
    const above = svg.querySelector(".fold-title, .label");
    this.items.forEach((item) => svg.insertBefore(item.element, above));
    this.items[0]?.element.setAttribute("tabindex", "0");
    this.place();
  }

  makeArcs(lines, heads, labels) {
    return this.picture.arrows.map((arrow, k) => {
      const hit = svgElement("path", { class: "hit", d: lines[k].getAttribute("d") });
      const arc = svgElement("g", { class: "arc" });
      lines[k].before(arc);
      arc.append(hit, lines[k], heads[k]);
      this.labels.push(arrow.label ? labels.shift() : null);
      return { group: arc, hit, line: lines[k], head: heads[k], drawn: lines[k].getAttribute("d"), tip: heads[k].getAttribute("d") };
    });
  }

  makeFold(title, k) {
    const { x, y, title: width, number } = this.picture.frames[k];
    const hit = svgElement("rect", { class: "hit", x: x + 1, y: y + 1, width, height: 14, rx: 4 });
    const mark = svgElement("path", { class: "fold-mark" });
    title.setAttribute("x", x + 17);
    const lines = data.frames[number].lines.map((line, n) => {
      const text = svgElement("text", { class: "fold-line", x: x + 8, y: y + 27 + 14 * n, "font-size": 11 });
      text.textContent = line;
      return text;
    });
    const group = svgElement("g", { class: "fold" }, hit);
    const text = svgElement("g", { class: "fold-title" });
    title.before(text);
    text.append(mark, title, ...lines);
    this.svg.insertBefore(group, this.svg.querySelector(".arc, .node"));
    for (const each of [group, this.frames[k]]) each.addEventListener("click", (event) => foldClicked(event, group, number));
    return { group, text, mark };
  }

  boxItems() {
    return this.picture.boxes.map((box, k) => new Item("box", k, this.boxes[k], [box.positions[0], 1, k], box.label, box.words));
  }

  arcItems() {
    const skips = this.picture.arrows.map((arrow, k) => ({ edge: arrow.edges[0], k })).filter(({ edge }) => !data.edges[edge].main);
    return skips.map(({ edge, k }) => {
      const { from, to, label, words } = data.edges[edge];
      return new Item("arc", k, this.arcs[k].group, [from, 2, to], label, words);
    });
  }

  // A container that stands in several lines has a frame in each; the first one is its button.
  frameItems() {
    const first = this.picture.frames.map(({ number }, k) => this.picture.frames.findIndex((each) => each.number === number) === k);
    this.folds.forEach((fold, k) => { if (!first[k]) fold.group.setAttribute("aria-hidden", "true"); });
    return this.picture.frames.flatMap((frame, k) => {
      const { name, first: position, lines } = data.frames[frame.number];
      if (!first[k]) return [];
      return [new Item("frame", k, this.folds[k].group, [position, 0, frame.frames.length], `Container ${name}, ${lines.join(", ")}`, name)];
    });
  }

  // Puts everything where it is with the present folds.
  place() {
    this.now = arrange(this.picture, folded);
    this.now.boxes.forEach((box, k) => moved(this.boxes[k], box.by, 0, box.hidden));
    this.now.arrows.forEach((arrow, k) => this.placeArc(arrow, k));
    this.now.frames.forEach((frame, k) => this.placeFrame(frame, k));
    this.width = this.now.width;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.querySelector(".paper").setAttribute("width", this.width);
    this.resize();
  }

  placeArc(arrow, k) {
    const { group, hit, line, head, drawn, tip } = this.arcs[k];
    group.classList.toggle("gone", !arrow);
    if (this.labels[k]) moved(this.labels[k], ...(arrow?.label ?? [0, 0]), !arrow?.label);
    if (!arrow) return;
    const size = 5 + this.picture.arrows[k].thickness * 1.2;
    line.setAttribute("d", folded.size ? lineText(arrow.points, size) : drawn);
    hit.setAttribute("d", line.getAttribute("d"));
    head.setAttribute("d", folded.size ? headText(arrow.points, size) : tip);
  }

  placeFrame(frame, k) {
    const rect = this.frames[k].querySelector("rect");
    rect.setAttribute("x", frame.x);
    rect.setAttribute("width", frame.width);
    const { group, text, mark } = this.folds[k];
    for (const each of [group, text]) moved(each, frame.by, 0, frame.hidden);
    const [x, y] = [this.picture.frames[k].x + 6, frame.y + 4.5];
    mark.setAttribute("d", frame.closed ? `M${x + 1} ${y}l5 4l-5 4z` : `M${x} ${y + 1}h8l-4 5z`);
    group.setAttribute("aria-expanded", String(!frame.closed));
    for (const each of [group, text, this.frames[k]]) each.classList.toggle("closed", frame.closed);
    this.frames[k].classList.toggle("gone", frame.hidden);
  }

  resize() {
    this.svg.setAttribute("width", this.width * state.zoom);
    this.svg.setAttribute("height", this.height * state.zoom);
  }

  // The elements that show the end of an arrow: a box, or the folded container in which it is.
  end(box) {
    const cover = this.now.boxes[box].cover;
    return cover < 0 ? [this.boxes[box]] : [this.frames[cover], this.folds[cover].text];
  }

  isVisible(item) {
    if (item.kind === "box") return !this.now.boxes[item.index].hidden;
    if (item.kind === "arc") return this.now.arrows[item.index] !== null;
    return !this.now.frames[item.index].hidden;
  }

  // All elements that are marked with an item.
  marked(item) {
    if (item.kind === "arc") {
      const { source, target } = this.picture.arrows[item.index];
      const own = [this.arcs[item.index].group, this.labels[item.index]].filter(Boolean);
      return [...own, ...this.end(source), ...this.end(target)];
    }
    const inside = (box) => (item.kind === "box" ? box === item.index : this.picture.boxes[box].frames.includes(item.index));
    const boxes = this.picture.boxes.flatMap((_, box) => (inside(box) ? this.end(box) : []));
    const touching = this.picture.arrows.flatMap(({ source, target }, k) => (inside(source) || inside(target) ? [k] : []));
    const arcs = touching.flatMap((k) => [this.arcs[k].group, this.labels[k]]).filter(Boolean);
    return [...boxes, ...arcs, ...(item.kind === "frame" ? [this.frames[item.index], this.folds[item.index].text] : [])];
  }
}

function moved(element, x, y, hidden) {
  element.classList.toggle("gone", hidden);
  if (x || y) element.setAttribute("transform", `translate(${x} ${y})`);
  else element.removeAttribute("transform");
}
