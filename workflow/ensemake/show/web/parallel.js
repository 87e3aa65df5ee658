// Parallel coordinates: a line for each member; dragging along an axis chooses a range of it.
const PARALLEL = {height: 350, top: 12, bottom: 36, side: 60};
const NONE = PARALLEL.height - 8;  // where lines go that have no value on an axis
let parallel = null;
let stopLines = () => {}, stopRest = () => {};

function drawParallel() {
  const one = entity(), box = $("#parallel"), axes = plotAxes(one).map(column => scaleOf(column));
  box.hidden = axes.length < 2;
  if (box.hidden) return;
  const width = Math.max(box.clientWidth, 110 * axes.length), height = PARALLEL.height;
  const [rest, lines, rails] = box.querySelectorAll("canvas");
  const onTop = theme.isPrinted && fit(rails, width, height);  // on paper a canvas hides what is below it
  const contexts = [rest, lines, rails].map(canvas => onTop || fit(canvas, width, height));
  const across = n => PARALLEL.side + n * (width - 2 * PARALLEL.side) / (axes.length - 1);
  const down = part => height - PARALLEL.bottom - part * (height - PARALLEL.top - PARALLEL.bottom);
  parallel = {axes, across, down, width, contexts};
  drawHeads();
  drawRest();
  drawLines();
  drawRails();
}

function path(context, row) {
  const {axes, across, down} = parallel;
  context.beginPath();
  axes.forEach((scale, n) => {
    const part = scale.place(scale.column.numbers[row]);
    context.lineTo(across(n), isNaN(part) ? NONE : down(part));
  });
  context.stroke();
}

function clear(context) {
  if (!theme.isPrinted) context.clearRect(0, 0, parallel.width, PARALLEL.height);
  context.lineWidth = 1;
}

// All members, faintly: stays while ranges are dragged.
function drawRest() {
  stopRest();
  const context = parallel.contexts[0], count = entity().members.length;
  clear(context);
  context.strokeStyle = theme.line;
  context.globalAlpha = count > 2000 ? 0.25 : 0.6;
  const step = Math.ceil(count / 3000);  // more would be one grey
  stopRest = inSlices(Array.from({length: Math.ceil(count / step)}, (_, n) => n * step), row => path(context, row));
}

function drawLines() {
  stopLines();
  if (!parallel) return;
  const context = parallel.contexts[1], colour = colouring(entity().byKey.get(choices().colour));
  clear(context);
  context.globalAlpha = Math.max(0.12, Math.min(0.85, 40 / Math.sqrt(chosen.length + 1) / 4));
  context.lineWidth = chosen.length < 200 ? 1.4 : 1;
  stopLines = inSlices(chosen, row => {
    context.strokeStyle = colour.of(row);
    path(context, row);
  });
}

function drawRails() {
  const {axes, across, down, contexts} = parallel, context = contexts[2];
  clear(context);
  axes.forEach((scale, n) => {
    const x = across(n);
    context.strokeStyle = theme.ink;
    context.globalAlpha = 0.5;
    context.strokeRect(x, down(1), 0, down(0) - down(1));
    context.globalAlpha = 1;
    context.textAlign = n === axes.length - 1 ? "right" : "left";
    context.textBaseline = "middle";
    for (const [part, text] of ticksOf(scale)) tick(context, x, down(part), cut(context, text, 90), n === axes.length - 1);
    if (scale.column.numbers.some(isNaN)) tick(context, x, NONE, "none", n === axes.length - 1);
    const range = places(scale);
    if (!range) return;
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.25;
    context.fillRect(x - 8, down(range[1]), 16, Math.max(2, down(range[0]) - down(range[1])));
    context.globalAlpha = 1;
    context.strokeStyle = theme.accent;
    context.strokeRect(x - 8, down(range[1]), 16, Math.max(2, down(range[0]) - down(range[1])));
  });
}

function tick(context, x, y, text, isLast) {
  context.lineWidth = 3;
  context.strokeStyle = theme.paper;
  context.strokeText(text, x + (isLast ? -6 : 6), y);
  context.lineWidth = 1;
  context.strokeStyle = theme.ink;
  context.strokeRect(x - 3, y, 6, 0);
  context.fillStyle = theme.ink;
  context.fillText(text, x + (isLast ? -6 : 6), y);
}

// Where the range that is chosen of an axis begins and ends.
function places(scale) {
  const range = view.brush[scale.column.key];
  if (!Array.isArray(range)) return null;
  if (!scale.column.isText) return range.map(value => Math.min(1, Math.max(0, scale.place(value))));
  const found = range.map(text => scale.column.levels.indexOf(text)).filter(n => n >= 0);
  const half = 0.45 / scale.column.levels.length;
  return found.length ? [scale.place(Math.min(...found)) - half, scale.place(Math.max(...found)) + half] : null;
}

function rangeOf(scale, from, to) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)].map(part => Math.min(1, Math.max(0, part)));
  if (!scale.column.isText) {
    const ends = [scale.value(low), scale.value(high)].map(value => Number(value.toPrecision(6)));
    if (low === 0) ends[0] = scale.column.low;
    if (high === 1) ends[1] = scale.column.high;
    return ends;
  }
  return scale.column.levels.filter((_, n) => scale.place(n) >= low && scale.place(n) <= high);
}

function setBrush(key, range) {
  const {[key]: _, ...others} = view.brush;
  view.brush = range ? {...others, [key]: range} : others;
  rowsChanged();
}

function watchParallel() {
  const canvas = $("#parallel .rails");
  let held = null;
  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const part = y => (parallel.down(0) - y) / (parallel.down(0) - parallel.down(1));
  const nearest = x => parallel.axes.findIndex((_, n) => Math.abs(parallel.across(n) - x) < 24);
  canvas.addEventListener("pointerdown", event => {
    const [x, y] = at(event), n = nearest(x);
    if (n < 0) return;
    held = {scale: parallel.axes[n], from: part(y), y};
    try { canvas.setPointerCapture(event.pointerId); } catch { /* not of a real pointer */ }
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = at(event);
    canvas.style.cursor = nearest(x) < 0 ? "" : "ns-resize";
    if (held && Math.abs(y - held.y) > 3) setBrush(held.scale.column.key, rangeOf(held.scale, held.from, part(y)));
  });
  canvas.addEventListener("pointerup", event => {
    if (held && Math.abs(at(event)[1] - held.y) <= 3) setBrush(held.scale.column.key, null);
    held = null;
  });
}

// Names above the axes: dragged or moved with the arrow keys.
function drawHeads() {
  const box = $("#parallel .heads"), {axes, across} = parallel;
  const focused = document.activeElement?.dataset?.axis;
  box.style.width = `${parallel.width}px`;
  box.replaceChildren(...axes.map((scale, n) => {
    const {key, label} = scale.column;
    const head = make("button", {type: "button", title: `${label}: drag, or use the arrow keys, to move this axis`,
      "data-axis": key, style: `left:${across(n)}px`}, label);
    head.addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (step) { event.preventDefault(); moveAxis(n, n + step); }
    });
    let from = null;
    head.addEventListener("pointerdown", event => { from = event.clientX; head.setPointerCapture(event.pointerId); });
    head.addEventListener("pointerup", event => {
      const wide = across(1) - across(0), step = from === null ? 0 : Math.round((event.clientX - from) / wide);
      from = null;
      if (step) moveAxis(n, n + step);
    });
    return head;
  }));
  if (focused) box.querySelector(`[data-axis="${CSS.escape(focused)}"]`)?.focus();
}

function moveAxis(from, to) {
  const keys = parallel.axes.map(scale => scale.column.key);
  keys.splice(Math.min(keys.length - 1, Math.max(0, to)), 0, ...keys.splice(from, 1));
  view.axes = keys;
  keepView();
  drawParallel();
}
