// The source beside the drawing: a line shows the boxes whose operations it does, a box or a skip the lines that do it.

class Listing {
  constructor(element, lines) {
    Object.assign(this, { element, data: lines, active: -1 });
    this.lines = element ? [...element.querySelectorAll(".code-line")] : [];
    this.options = this.lines.map((line, k) => k).filter((k) => this.lines[k].getAttribute("role") === "option");
  }

  // The operations of an item of the drawing: what a box holds, and both ends of a skip.
  static operations(item) {
    const { picture } = view();
    if (item.kind === "box") return picture.boxes[item.index].positions;
    if (item.kind === "arc") {
      const { from, to } = data.edges[item.edge ?? picture.arrows[item.index].edges[0]];
      return [from, to];
    }
    const { first, last } = data.frames[picture.frames[item.index].number];
    return Array.from({ length: last - first + 1 }, (_, k) => first + k);
  }

  // Marks the lines that do these operations; lines that only lead to them, or build their layers, are marked faintly.
  show(positions, scroll) {
    const wanted = new Set(positions);
    const has = (each) => each.some((position) => wanted.has(position));
    const marks = this.data.map(([runs, inside, builds]) => (has(runs) ? "on" : has(inside) || has(builds) ? "near" : ""));
    this.lines.forEach((line, k) => {
      line.classList.toggle("on", marks[k] === "on");
      line.classList.toggle("near", marks[k] === "near");
      if (this.options.includes(k)) line.setAttribute("aria-selected", String(marks[k] === "on"));
    });
    const first = marks.indexOf("on");
    if (scroll && first >= 0) this.bringIntoView(first);
  }

  bringIntoView(k) {
    const { offsetTop, offsetHeight } = this.lines[k];
    const { scrollTop, clientHeight } = this.element;
    if (offsetTop < scrollTop || offsetTop + offsetHeight > scrollTop + clientHeight) {
      this.element.scrollTop = offsetTop - clientHeight / 3;
    }
  }

  // The boxes of the drawing in which the operations of a line are done, or the layers are that it builds.
  boxes(k) {
    const [runs, , builds] = this.data[k];
    const wanted = new Set(runs.length ? runs : builds);
    return view().items.filter(
      (item) => item.kind === "box" && view().picture.boxes[item.index].positions.some((position) => wanted.has(position)),
    );
  }

  // Goes to the next line that has something to show.
  move(step) {
    const at = this.options.indexOf(this.active);
    const next = at < 0 ? (step > 0 ? 0 : this.options.length - 1) : Math.min(Math.max(at + step, 0), this.options.length - 1);
    this.point(this.options[next]);
    this.bringIntoView(this.active);
  }

  point(k) {
    this.active = k;
    this.element.setAttribute("aria-activedescendant", `line-${k}`);
    hoverLine(k);
  }
}
