// From values to places and colours, and the ticks of an axis.
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c6d31", "#7f7f7f"];
const STATES = {
  completed: "#0072B2", failed: "#D55E00", cancelled: "#E69F00", killed: "#CC79A7", blocked: "#b08d00",
  running: "#009E73", queued: "#56B4E9", stale: "#8c6d31", incomplete: "#8c6d31", missing: "#9a9a9a",
};
const VIRIDIS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
  .map(text => [0, 2, 4].map(place => parseInt(text.slice(place, place + 2), 16)));
const SHADES = 64;

let theme = {};

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const named = name => style.getPropertyValue(`--${name}`).trim();
  theme = {ink: named("ink"), faint: named("faint"), line: named("line"), paper: named("paper"), accent: named("accent"),
    isDark: named("dark") === "1", isPrinted: document.documentElement.classList.contains("print") || matchMedia("print").matches};
}

function shade(part) {
  const within = theme.isDark ? 0.12 + 0.88 * part : 0.92 * part;  // seen on the paper
  const place = Math.min(0.9999, Math.max(0, within)) * (VIRIDIS.length - 1);
  const low = VIRIDIS[Math.floor(place)], high = VIRIDIS[Math.floor(place) + 1], rest = place % 1;
  return `rgb(${low.map((value, n) => Math.round(value + (high[n] - value) * rest)).join(",")})`;
}

const canBeLog = column => !column.isText && column.low > 0 && column.high > column.low;
const isWide = column => canBeLog(column) && column.role === "metric" && column.high / column.low >= 1000;
const isLog = (column, asked) => canBeLog(column) && (asked === undefined ? column.log || isWide(column) : asked === "1");

// place: value -> 0..1; value: 0..1 -> value
function scaleOf(column, log = isLog(column)) {
  if (column.isText) {
    const count = Math.max(1, column.levels.length);
    return {column, log: false, place: value => (value + 0.5) / count, value: part => part * count - 0.5};
  }
  if (log) {
    const low = Math.log(column.low), wide = Math.log(column.high) - low;
    return {column, log, place: value => (Math.log(value) - low) / wide, value: part => Math.exp(low + part * wide)};
  }
  const {low, high} = column;
  if (!(high > low)) return {column, log: false, place: value => isNaN(value) ? NaN : 0.5, value: () => low};
  return {column, log: false, place: value => (value - low) / (high - low), value: part => low + part * (high - low)};
}

// Where there are few values, each has its tick on a map.
function ticksOfCells(scale, most = 6) {
  const {column} = scale;
  if (column.isText || column.distinct.length > 2 * most) return ticksOf(scale, most);
  return column.distinct.map(value => [scale.place(value), told(Number(value.toPrecision(4)))]);
}

function ticksOf(scale, most = 6) {
  const {column} = scale;
  if (column.isText) {
    const step = Math.ceil(column.levels.length / Math.max(2, most * 2.5));
    return column.levels.map((text, n) => [scale.place(n), text]).filter((_, n) => n % step === 0);
  }
  if (!isFinite(column.low)) return [];
  if (!(column.high > column.low)) return [[0.5, told(column.low)]];
  return (scale.log ? logTicks : evenTicks)(column, most).map(value => [scale.place(value), told(value)]);
}

function evenTicks({low, high}, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(value => value >= rough);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++)
    found.push(Number((n * step).toPrecision(12)));
  return found;
}

function logTicks(column, most) {
  const from = Math.floor(Math.log10(column.low)), to = Math.ceil(Math.log10(column.high));
  const factors = to - from <= most / 3 ? [1, 2, 5] : [1], step = Math.ceil((to - from) / most);
  const found = [];
  for (let power = from; power <= to; power += step)
    for (const factor of factors) found.push(Number((factor * 10 ** power).toPrecision(12)));
  const within = found.filter(value => value >= column.low * 0.9999 && value <= column.high * 1.0001);
  return within.length > 1 ? within : evenTicks(column, most);
}

// The colour of each row, and what the colours mean.
function colouring(column) {
  if (!column) return {of: () => theme.accent, keys: []};
  if (column.isText || (column.distinct.length <= 6 && column.role !== "metric")) {
    const levels = column.isText ? column.levels.map((_, n) => n) : column.distinct;
    const colours = new Map(levels.map((level, n) => {
      const text = column.isText ? column.levels[level] : told(level);
      return [level, column.key === "status" ? STATES[text] ?? PALETTE[n % 8] : PALETTE[n % 8]];
    }));
    const keys = levels.slice(0, 24).map(n => [colours.get(n), column.isText ? column.levels[n] : told(n)]);
    return {isText: true, of: row => colours.get(column.numbers[row]) ?? theme.faint, ofValue: n => colours.get(n), keys};
  }
  const scale = scaleOf(column), table = Array.from({length: SHADES}, (_, n) => shade(n / (SHADES - 1)));
  const ofValue = value => isNaN(value) ? theme.faint : table[Math.round(Math.min(1, Math.max(0, scale.place(value))) * (SHADES - 1))];
  return {of: row => ofValue(column.numbers[row]), ofValue, scale, keys: []};
}

// A canvas as sharp as the screen; its context counts in CSS pixels.
function fit(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  return context;
}

function cut(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let most = text.length;
  while (most > 1 && context.measureText(`${text.slice(0, most)}…`).width > width) most = Math.floor(most * 0.9);
  return `${text.slice(0, most)}…`;
}

// Draw a row after another, a few milliseconds at a time, so that nobody waits; evenly picked ones first.
function inSlices(rows, draw, done = () => {}) {
  const stride = rows.length > 2000 ? 97 : 1;
  let start = 0, place = 0, stopped = false;
  const slice = () => {
    if (stopped) return;
    const until = theme.isPrinted ? Infinity : performance.now() + 10;
    while (start < stride) {
      for (; place < rows.length; place += stride) {
        draw(rows[place]);
        if ((place / stride & 15) === 0 && performance.now() > until) {
          place += stride;
          requestAnimationFrame(slice);
          return;
        }
      }
      start += 1;
      place = start;
    }
    done();
  };
  slice();
  return () => { stopped = true; };
}
