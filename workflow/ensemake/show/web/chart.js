// One chart whose axes, colour and kind are chosen: points, means over replicas with a band, or a map.
const CHART = {height: 360, left: 74, right: 16, top: 14, bottom: 46};
const MOST_CELLS = 60;  // along an axis of a map; more values are put into bins
let chart = null;

function choices() {
  const one = entity(), from = drawable(one), has = key => from.some(column => column.key === key);
  const numbers = params(one).filter(column => has(column.key)), found = metrics(one).filter(column => has(column.key));
  const x = has(view.x) ? view.x : (numbers[0] ?? found[0] ?? from[0])?.key;
  const grid = numbers.length > 1 && !numbers[0].isText && !numbers[1].isText
    && numbers[0].distinct.length * numbers[1].distinct.length <= 3 * one.members.length;
  const kind = ["points", "mean", "map"].includes(view.kind) ? view.kind
    : grid && found.length && !view.y ? "map" : one.byKey.get("replica")?.high > 0 ? "mean" : "points";
  const second = numbers.find(column => column.key !== x);
  const y = has(view.y) ? view.y : (kind === "map" ? second ?? found[0] : found[0] ?? second ?? from[0])?.key;
  const free = found.find(column => column.key !== y) ?? found[0];
  const preferred = kind === "map" ? found.find(column => ![x, y].includes(column.key))
    : numbers.find(column => column.key !== x && column.key !== y) ?? free;
  const colour = view.colour === "-" && kind !== "map" ? undefined
    : has(view.colour) ? view.colour : (preferred ?? one.byKey.get("status"))?.key;
  return {kind, x, y, colour};
}

function drawChart() {
  const one = entity(), box = $("#chart"), chosenOnes = choices();
  box.hidden = !chosenOnes.x || !chosenOnes.y || !one.members.length;
  if (box.hidden) return;
  const canvas = $("canvas", box), width = box.clientWidth;
  const context = fit(canvas, width, CHART.height);
  const [x, y] = ["x", "y"].map(name => scaleOf(one.byKey.get(chosenOnes[name]), isLog(one.byKey.get(chosenOnes[name]), view[`log${name}`])));
  const across = part => CHART.left + (0.02 + 0.96 * part) * (width - CHART.left - CHART.right);
  const down = part => CHART.height - CHART.bottom - (0.02 + 0.96 * part) * (CHART.height - CHART.top - CHART.bottom);
  const column = one.byKey.get(chosenOnes.colour);
  chart = {...chosenOnes, x, y, column, across, down, width, context, colour: colouring(column), rest: "", keys: []};
  drawFrame();
  ({points: drawPoints, mean: drawMeans, map: drawMap})[chosenOnes.kind]();
  drawKeys();
  canvas.setAttribute("aria-label", `${y.column.label} over ${x.column.label}, ${chosen.length} members${chart.rest}`);
}

function drawFrame() {
  const {context, x, y, across, down, width, kind} = chart, ticks = kind === "map" ? ticksOfCells : ticksOf;
  context.fillStyle = theme.ink;
  context.strokeStyle = theme.line;
  context.textBaseline = "top";
  context.textAlign = "center";
  let free = -Infinity;
  for (const [part, text] of ticks(x, Math.max(2, width / 110))) {
    const label = cut(context, text, 90), half = context.measureText(label).width / 2;
    context.strokeRect(across(part), down(1), 0, down(0) - down(1));
    if (across(part) - half > free + 4) context.fillText(label, across(part), CHART.height - CHART.bottom + 6), free = across(part) + half;
  }
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const [part, text] of ticks(y)) {
    context.strokeRect(CHART.left, down(part), width - CHART.left - CHART.right, 0);
    context.fillText(cut(context, text, CHART.left - 26), CHART.left - 6, down(part));
  }
  context.textAlign = "center";
  context.font = "600 12px system-ui, sans-serif";
  context.fillText(cut(context, x.column.label, width - 100), (CHART.left + width) / 2, CHART.height - 12);
  context.save();
  context.translate(11, (CHART.height - CHART.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(cut(context, y.column.label, CHART.height - 80), 0, 0);
  context.restore();
  context.font = "12px system-ui, sans-serif";
}

// Where a row lies; of a category a little aside, so that not all are on one point.
function spot(row) {
  const {x, y, across, down} = chart;
  const aside = scale => scale.column.isText ? ((row * 0.618) % 1 - 0.5) * 0.5 / scale.column.levels.length : 0;
  return [across(x.place(x.column.numbers[row]) + aside(x)), down(y.place(y.column.numbers[row]) + aside(y))];
}

function drawPoints() {
  const {context, colour} = chart, size = chosen.length > 3000 ? 2 : chosen.length > 300 ? 3 : 4.5;
  if (chosen.length < isChosen.length) {
    context.fillStyle = theme.line;
    for (let row = 0; row < isChosen.length; row++) {
      const [a, b] = isChosen[row] ? [NaN] : spot(row);
      if (a >= 0 && b >= 0) context.fillRect(a - 1, b - 1, 2, 2);
    }
  }
  let gone = 0;
  context.globalAlpha = chosen.length > 3000 ? 0.6 : 0.85;
  for (const row of chosen) {
    const [a, b] = spot(row);
    if (isNaN(a) || isNaN(b)) { gone += 1; continue; }
    context.fillStyle = colour.of(row);
    if (size < 3) { context.fillRect(a - 1, b - 1, 2, 2); continue; }
    context.beginPath();
    context.arc(a, b, size, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  if (gone) chart.rest = `; ${gone} have no value here`;
  chart.keys = colour.keys;
}

// Rows that share x and colour: replicas, and whatever else is averaged.
function groups() {
  const {x, y, column, colour} = chart;
  const bin = x.column.isText || x.column.distinct.length <= 200
    ? value => value : value => x.value((Math.min(29, Math.floor(x.place(value) * 30)) + 0.5) / 30);
  const split = colour.isText || (column && column.distinct.length <= 12);
  const found = new Map();
  for (const row of chosen) {
    const value = y.column.numbers[row], place = x.column.numbers[row];
    if (isNaN(value) || isNaN(place)) continue;
    const line = split ? column.numbers[row] : 0, at = bin(place);
    if (!found.has(line)) found.set(line, new Map());
    const points = found.get(line);
    if (!points.has(at)) points.set(at, []);
    points.get(at).push(value);
  }
  return {found, split};
}

function drawMeans() {
  const {context, x, y, across, down, colour} = chart, {found, split} = groups();
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  const within = part => down(Math.min(1.02, Math.max(-0.02, isNaN(part) ? 0 : part)));
  for (const [line, points] of [...found].sort((a, b) => a[0] - b[0])) {
    const drawn = [...points].sort((a, b) => a[0] - b[0]).map(([at, values]) => {
      const middle = mean(values), spread = Math.sqrt(mean(values.map(value => (value - middle) ** 2)));
      return [across(x.place(at)), ...[middle, middle - spread, middle + spread].map(value => within(y.place(value)))];
    });
    context.fillStyle = context.strokeStyle = split ? colour.ofValue(line) : theme.accent;
    context.globalAlpha = 0.18;
    context.beginPath();
    drawn.forEach(([a, , low]) => context.lineTo(a, low));
    drawn.toReversed().forEach(([a, , , high]) => context.lineTo(a, high));
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.8;
    context.beginPath();
    drawn.forEach(([a, b]) => context.lineTo(a, b));
    context.stroke();
    context.lineWidth = 1;
    for (const [a, b] of drawn) context.fillRect(a - 2, b - 2, 4, 4);
  }
  chart.rest = "; mean, and the standard deviation as a band";
  chart.keys = split ? colour.keys : [];
  if (split && !colour.keys.length) chart.keys = [...found.keys()].sort((a, b) => a - b).map(value => [colour.ofValue(value), told(value)]);
  if (!split) chart.column = undefined;
}

// Edges of the cells along an axis, as parts of it, and the cell of a value.
function cells(scale) {
  const {column} = scale, values = column.distinct;
  if (column.isText || values.length <= MOST_CELLS) {
    const places = values.map(scale.place), last = places.length - 1;
    const between = places.slice(1).map((place, n) => (place + places[n]) / 2);
    const first = last ? 2 * places[0] - between[0] : 0, end = last ? 2 * places[last] - between[last - 1] : 1;
    const index = new Map(values.map((value, n) => [value, n]));
    return {edges: [first, ...between, end], of: value => index.get(value) ?? -1};
  }
  const count = 30, edges = Array.from({length: count + 1}, (_, n) => n / count);
  return {edges, of: value => Math.min(count - 1, Math.floor(scale.place(value) * count))};
}

function binned(x, y, valueOf, rows) {
  const [a, b] = [cells(x), cells(y)], found = new Map();
  for (const row of rows) {
    const i = a.of(x.column.numbers[row]), j = b.of(y.column.numbers[row]), value = valueOf(row);
    if (!(i >= 0) || !(j >= 0)) continue;
    const key = i * 1000 + j;
    if (!found.has(key)) found.set(key, {i, j, sum: 0, count: 0, rows: []});
    const cell = found.get(key);
    cell.rows.push(row);
    if (isNaN(value)) continue;
    cell.sum += value;
    cell.count += 1;
  }
  return {found, a, b};
}

function paint(context, {found, a, b}, across, down, colourOf) {
  for (const cell of found.values()) {
    const left = across(a.edges[cell.i]), right = across(a.edges[cell.i + 1]);
    const low = down(b.edges[cell.j]), high = down(b.edges[cell.j + 1]);
    cell.box = [left, high, right, low];
    context.fillStyle = cell.count ? colourOf(cell.sum / cell.count) : theme.line;
    context.fillRect(left, high, Math.max(1, right - left - 0.5), Math.max(1, low - high - 0.5));
  }
}

function drawMap() {
  const {context, x, y, column, width} = chart;
  const [first, second] = [cells(x), cells(y)].map(one => [one.edges[0], one.edges.at(-1)]);
  const stretch = ([from, to], start, end) => part => start + (part - from) / (to - from) * (end - start);
  chart.across = stretch(first, CHART.left, width - CHART.right);  // the cells at the ends are whole, too
  chart.down = stretch(second, CHART.height - CHART.bottom, CHART.top);
  context.clearRect(0, 0, width, CHART.height);
  drawFrame();
  chart.map = binned(x, y, row => column ? column.numbers[row] : NaN, chosen);
  const means = [...chart.map.found.values()].filter(cell => cell.count).map(cell => cell.sum / cell.count);
  const [low, high] = [means.reduce((p, q) => Math.min(p, q), Infinity), means.reduce((p, q) => Math.max(p, q), -Infinity)];
  if (column?.isText) {
    chart.keys = chart.colour.keys;
    paint(context, chart.map, chart.across, chart.down, value => chart.colour.ofValue(Math.round(value)));
    return;
  }
  const own = column ? {...column, low, high} : undefined;
  chart.colour = column ? {...colouring(column), ...ofMeans(own)} : chart.colour;
  paint(context, chart.map, chart.across, chart.down, chart.colour.ofValue ?? (() => theme.accent));
  chart.rest = `; ${column?.label ?? ""}: mean of each cell`;
}

function ofMeans(column) {
  const scale = scaleOf(column, isLog(column));
  return {isText: false, scale, keys: [], ofValue: value => shade(Math.min(1, Math.max(0, scale.place(value))))};
}

// ---- what the colours mean ----

function drawKeys() {
  const {column, colour, keys, rest} = chart, box = $("#chart .keys");
  const known = keys.map(([shown, text]) => make("span", {class: "key"}, swatch(shown), text));
  if (!keys.length && column && colour.scale) known.push(...ramp(colour.scale));
  box.replaceChildren(...(column && known.length ? [make("b", {}, column.label)] : []), ...known,
    make("span", {class: "note"}, `${chosen.length} members${rest}`));
}

function swatch(colour) {
  const found = make("i");
  found.style.background = colour;
  return found;
}

function ramp(scale) {
  const bar = make("i", {class: "ramp"});
  bar.style.background = `linear-gradient(90deg,${[0, 0.2, 0.4, 0.6, 0.8, 1].map(shade).join(",")})`;
  return [told(scale.value(0)), bar, told(scale.value(1)) + (scale.log ? " (logarithmic)" : "")];
}

// ---- pointing at it ----

function watchChart() {
  const canvas = $("#chart canvas"), note = $("#chart .hint"), mark = $("#chart .drag");
  let from = null;
  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", event => { from = at(event); event.preventDefault(); });
  canvas.addEventListener("pointermove", event => {
    if (!chart) return;
    const [a, b] = at(event), isDrag = from && Math.hypot(a - from[0], b - from[1]) > 5;
    mark.hidden = !isDrag;
    if (isDrag) Object.assign(mark.style, {left: `${Math.min(a, from[0])}px`, top: `${Math.min(b, from[1])}px`,
      width: `${Math.abs(a - from[0])}px`, height: `${Math.abs(b - from[1])}px`});
    const found = isDrag ? null : under(a, b);
    note.hidden = !found;
    if (!found) return;
    note.replaceChildren(...found.lines.map(line => make("div", {}, line)));
    Object.assign(note.style, {left: `${Math.min(a + 12, chart.width - 190)}px`, top: `${b + 12}px`});
  });
  canvas.addEventListener("pointerleave", () => { note.hidden = mark.hidden = true; });
  canvas.addEventListener("pointerup", event => {
    const [a, b] = at(event), start = from;
    from = null;
    mark.hidden = true;
    if (!start || !chart) return;
    if (Math.hypot(a - start[0], b - start[1]) > 5) brushChart(start, [a, b]);
    else if (under(a, b)?.rows.length === 1) openMember(entity().members[under(a, b).rows[0]]);
    else if (under(a, b)) brushChart(...boxOf(a, b));
  });
}

const boxOf = (a, b) => [[under(a, b).box[0] + 1, under(a, b).box[1] + 1], [under(a, b).box[2] - 1, under(a, b).box[3] - 1]];

function under(a, b) {
  if (chart.kind === "mean") return null;
  if (chart.kind === "map") {
    const cell = [...chart.map.found.values()].find(({box}) => a >= box[0] && a <= box[2] && b >= box[1] && b <= box[3]);
    if (!cell) return null;
    const value = cell.count && !chart.column?.isText ? `${chart.column?.label}: ${told(cell.sum / cell.count)}` : "";
    const lines = cell.rows.length > 1 ? [`${cell.rows.length} members`] : hintOf(cell.rows[0]);
    return {lines: [value, ...lines].filter(Boolean), rows: cell.rows, box: cell.box};
  }
  let best = null, least = 12;
  for (const row of chosen) {
    const [x, y] = spot(row), far = Math.hypot(x - a, y - b);
    if (far < least) [best, least] = [row, far];
  }
  return best === null ? null : {lines: hintOf(best), rows: [best]};
}

function hintOf(row) {
  const one = entity(), shown = [chart.x.column, chart.y.column, chart.column].filter(Boolean);
  return [one.members[row], ...new Set(shown.map(column => `${column.label}: ${told(column.cells[row])}`))];
}

function brushChart(from, to) {
  const part = (scale, place, ends) => (place - ends(0)) / (ends(1) - ends(0));
  const {x, y, across, down} = chart, kept = {...view.brush};
  kept[x.column.key] = rangeOf(x, part(x, from[0], across), part(x, to[0], across));
  if (y.column.key !== x.column.key) kept[y.column.key] = rangeOf(y, part(y, from[1], down), part(y, to[1], down));
  view.brush = kept;
  rowsChanged();
}

// ---- the choices ----

function drawControls() {
  const one = entity(), now = choices(), box = $("#chart-controls");
  const options = drawable(one).map(column => [column.key, column.label]);
  const focused = document.activeElement?.name;
  box.replaceChildren(
    pick("Show", "kind", [["points", "points"], ["mean", "mean and band"], ["map", "map"]], now.kind),
    pick("x", "x", options, now.x), pick("y", "y", options, now.y),
    pick("Colour", "colour", now.kind === "map" ? options : [["-", "one colour"], ...options], now.colour ?? "-"),
    ...["x", "y"].filter(name => one.byKey.get(now[name]) && canBeLog(one.byKey.get(now[name])))
      .map(name => tickBox(`log ${name}`, `log${name}`, isLog(one.byKey.get(now[name]), view[`log${name}`]))),
    ...(one.views ?? []).map(given => make("button", {type: "button", onclick: () => showView(given.view)}, given.label)));
  if (focused) box.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
}

function showView(given) {
  view = {entity: view.entity, brush: view.brush, find: view.find, ...given};
  chartChanged();
}

function pick(label, name, options, value) {
  const select = make("select", {name, onchange: () => { view[name] = select.value; chartChanged(); }},
    ...options.map(([key, text]) => make("option", {value: key, selected: key === value}, text)));
  return make("label", {}, label, " ", select);
}

function tickBox(label, name, checked) {
  const box = make("input", {type: "checkbox", name, checked, onchange: () => { view[name] = box.checked ? "1" : "0"; chartChanged(); }});
  return make("label", {}, box, " ", label);
}

function chartChanged() {
  keepView();
  drawControls();
  drawChart();
  drawLines();
  drawCurves();
}
