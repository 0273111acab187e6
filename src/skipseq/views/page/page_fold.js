// Where everything is when containers are folded: numbers in, numbers out.
//
// A folded container is one box in the place of its frame. What is in it is hidden; an arrow that ends or begins inside is cut
// where it crosses the border of that box; and the columns that became empty get narrower, in the line of the picture in which
// the container stands. Nothing else moves, so an arrow that went free before goes free now.

const APART = 7, MARGIN = 18;

// For a picture and the set of the numbers of folded containers: the new places of its boxes, frames and arrows.
function arrange(picture, folded) {
  const outermost = (around) => around.find((k) => folded.has(picture.frames[k].number)) ?? -1;
  const covers = picture.boxes.map((box) => outermost(box.frames));
  const frames = picture.frames.map((frame) => {
    const hidden = outermost(frame.frames) >= 0;
    return { hidden, closed: !hidden && folded.has(frame.number) };
  });
  const arrows = picture.arrows.map((arrow) => cutArrow(picture, arrow, covers));
  const maps = narrowed(picture, frames, covers, arrows);
  const placed = picture.frames.map((frame, k) => {
    const x = maps[frame.line](frame.x);
    return { ...frame, ...frames[k], x, by: x - frame.x, width: maps[frame.line](frame.x + frame.width) - x };
  });
  return {
    boxes: picture.boxes.map((box, k) => ({ hidden: covers[k] >= 0, cover: covers[k], by: maps[box.line](box.x) - box.x })),
    frames: placed,
    arrows: picture.arrows.map((arrow, k) => movedArrow(picture, arrow, arrows[k], maps, placed)),
    width: maps.length > 1 ? picture.width : maps[0](picture.width - MARGIN) + MARGIN,
  };
}

// The part of an arrow outside of folded containers, or nothing if it is all inside of one.
function cutArrow(picture, arrow, covers) {
  const [from, to] = [covers[arrow.source], covers[arrow.target]];
  if (from >= 0 && from === to) return null;
  let points = arrow.points;
  if (from >= 0) points = outside(points, picture.frames[from]);
  if (to >= 0) points = outside([...points].reverse(), picture.frames[to]).reverse();
  return { points, from, to };
}

// The end of a line that begins in a frame, from where it leaves the frame for the last time.
function outside(points, frame) {
  for (let k = points.length - 2; k >= 0; k--) {
    const [[x, y], [u, v]] = [points[k], points[k + 1]];
    const right = frame.x + frame.width, bottom = frame.y + frame.height;
    if (Math.max(x, u) < frame.x || Math.min(x, u) > right || Math.max(y, v) < frame.y || Math.min(y, v) > bottom) continue;
    const exit = [Math.min(Math.max(u, frame.x), right), Math.min(Math.max(v, frame.y), bottom)];
    return [exit, ...points.slice(k + 1)];
  }
  return points;
}

// For each line of the picture, the new x of an old one: what is empty in folded containers gets narrower.
function narrowed(picture, frames, covers, arrows) {
  const count = 1 + Math.max(0, ...picture.boxes.map((box) => box.line));
  return Array.from({ length: count }, (_, line) => {
    const closed = picture.frames.filter((frame, k) => frame.line === line && frames[k].closed);
    const kept = picture.boxes.filter((box, k) => box.line === line && covers[k] < 0).map((box) => [box.x, box.x + box.width]);
    picture.frames.forEach((frame, k) => {
      if (frame.line === line && !frames[k].hidden) kept.push([frame.x, frame.x + Math.min(frame.title, frame.width)]);
    });
    arrows.forEach((cut, k) => {
      if (cut) kept.push(...keptAround(picture, picture.arrows[k], cut, line));
    });
    return stretched(closed, kept);
  });
}

// What must not get narrower around an arrow: the places where it goes up or down from a folded container, and its label.
function keptAround(picture, arrow, cut, line) {
  const kept = [];
  for (const [frame, [x]] of [[cut.from, cut.points[0]], [cut.to, cut.points.at(-1)]]) {
    if (frame < 0 || picture.frames[frame].line !== line) continue;
    const { x: left, width } = picture.frames[frame];
    if (left < x && x < left + width) kept.push([Math.max(left, x - APART), Math.min(left + width, x + APART)]);
  }
  if (arrow.label && cut.to < 0 && picture.boxes[arrow.target].line === line) {
    kept.push([arrow.label[0] - arrow.label[2], arrow.label[0]]);
  }
  return kept;
}

// The new x of an old one: inside the closed frames only the kept intervals and the least width of each frame remain.
function stretched(closed, kept) {
  if (!closed.length) return (x) => x;
  const marks = [...new Set([...closed.map((f) => [f.x, f.x + f.width]), ...kept].flat())].sort((a, b) => a - b);
  const parts = marks.slice(1).map((right, k) => ({ left: marks[k], size: right - marks[k], now: right - marks[k] }));
  const within = (part, left, right) => left <= part.left && part.left + part.size <= right;
  for (const part of parts) {
    const soft = closed.some((f) => within(part, f.x, f.x + f.width));
    if (soft && !kept.some(([left, right]) => within(part, left, right))) part.now = 0;
  }
  for (const frame of closed) {
    const own = parts.filter((part) => within(part, frame.x, frame.x + frame.width));
    const lacking = Math.min(frame.least, frame.width) - own.reduce((sum, part) => sum + part.now, 0);
    const room = own.reduce((sum, part) => sum + part.size - part.now, 0);
    if (lacking > 0) own.forEach((part) => { part.now += (part.size - part.now) * Math.min(lacking / room, 1); });
  }
  return (x) => {
    let at = marks[0];
    if (x <= at) return x;
    for (const part of parts) {
      if (x <= part.left + part.size) return at + ((x - part.left) * part.now) / part.size;
      at += part.now;
    }
    return at + x - marks.at(-1);
  };
}

// An arrow in its new place; between two lines it goes along the margins, and these stay.
function movedArrow(picture, arrow, cut, maps, frames) {
  if (!cut) return null;
  const [first, last] = [picture.boxes[arrow.source].line, picture.boxes[arrow.target].line];
  const things = [...picture.boxes, ...picture.frames];
  const left = Math.min(...things.map((each) => each.x)), right = Math.max(...things.map((each) => each.x + each.width));
  const turn = first === last ? Infinity : cut.points.findIndex(([x]) => x > right);
  const points = cut.points.map(([x, y], k) => [x < left || x > right ? x : maps[k < turn ? first : last](x), y]);
  return { ...cut, points, label: arrow.label && movedLabel(arrow, cut, points, frames) };
}

// How far the label at the end of an arrow moves, or nothing if there is no room for it any more.
function movedLabel(arrow, cut, points, frames) {
  const [x, y, width] = arrow.label;
  const [tip, before] = [points.at(-1), points.at(-2)];
  if (cut.to >= 0) {
    if (before[1] !== tip[1] || tip[0] - before[0] < width + 16) return null;
    return [tip[0] - 9 - x, tip[1] - arrow.thickness / 2 - 3 - y];
  }
  const by = tip[0] - arrow.points.at(-1)[0];
  const covered = frames.some((f) => f.closed && x + by > f.x && x + by - width < f.x + f.width && y > f.y && y - 8 < f.y + f.height);
  return covered ? null : [by, 0];
}

// A line through points with round corners, and its head: as in drawing.py.

function lineText(points, head) {
  const short = [...points.slice(0, -1), towards(points.at(-1), points.at(-2), Math.min(head - 1, distance(points.at(-1), points.at(-2)) - 0.5))];
  const parts = [`M${pair(short[0])}`];
  for (let k = 1; k < short.length - 1; k++) {
    const radius = Math.min(9, distance(short[k - 1], short[k]) / 2, distance(short[k], short[k + 1]) / 2);
    parts.push(`L${pair(towards(short[k], short[k - 1], radius))}Q${pair(short[k])} ${pair(towards(short[k], short[k + 1], radius))}`);
  }
  return [...parts, `L${pair(short.at(-1))}`].join("");
}

function headText(points, size) {
  const tip = points.at(-1), [x, y] = towards(tip, points.at(-2), size);
  const across = [(tip[1] - y) * 0.55, (x - tip[0]) * 0.55];
  return `M${pair(tip)}L${pair([x + across[0], y + across[1]])}L${pair([x - across[0], y - across[1]])}Z`;
}

function pair([x, y]) {
  return `${+x.toFixed(1)} ${+y.toFixed(1)}`;
}

function distance([x, y], [u, v]) {
  return Math.hypot(u - x, v - y);
}

function towards([x, y], [u, v], by) {
  const length = distance([x, y], [u, v]) || 1;
  return [x + ((u - x) * by) / length, y + ((v - y) * by) / length];
}
