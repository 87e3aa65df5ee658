// The data, what is chosen of it, and the address that keeps the choice.
const DATA = JSON.parse(document.getElementById("data").textContent);
const BAD = new Set(DATA.bad);
const $ = (selector, within = document) => within.querySelector(selector);

// An element. Texts go in as texts: nothing from values or logs is ever read as HTML.
function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function told(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  const text = String(value);
  return text.length <= 8 ? text : String(Number(value.toPrecision(6)));
}

function readColumn(raw) {
  const isText = Boolean(raw.levels);
  const cells = raw.values.map(cell => cell === null ? null : isText ? raw.levels[cell] : cell);
  const numbers = Float64Array.from(raw.values, cell => typeof cell === "number" ? cell : NaN);
  let low = Infinity, high = -Infinity;
  const seen = new Set();
  for (const number of numbers) {
    if (isNaN(number)) continue;
    if (number < low) low = number;
    if (number > high) high = number;
    if (seen.size <= 1000) seen.add(number);
  }
  return {...raw, isText, cells, numbers, low, high, distinct: [...seen].sort((a, b) => a - b)};
}

function readEntity(raw) {
  const columns = raw.columns.map(readColumn);
  const byKey = new Map(columns.map(column => [column.key, column]));
  const members = byKey.get("member")?.cells ?? [];
  return {...raw, columns, byKey, members, at: new Map(members.map((name, row) => [name, row]))};
}

const ENTITIES = new Map(DATA.entities.map(raw => [raw.name, readEntity(raw)]));

// ---- the choice ----

const FIRST = [...ENTITIES.values()];
const LISTS = ["hidden", "axes"];
let view = readView();

function readView() {
  const given = new URLSearchParams(location.hash.slice(1) || DATA.view);
  const found = {brush: {}};
  for (const [key, text] of given) found[key] = LISTS.includes(key) ? text.split("~") : text;
  try {
    found.brush = JSON.parse(given.get("brush") || "{}") || {};
  } catch { /* an address that was cut off */ }
  if (!ENTITIES.has(found.entity)) found.entity = startEntity();
  return found;
}

function startEntity() {
  const some = FIRST.filter(one => one.total);
  const best = some.find(one => !one.is_model && Object.keys(one.counts).some(s => BAD.has(s)))
    ?? some.filter(one => !one.is_model).sort((a, b) => b.total - a.total)[0] ?? some[0];
  return (best ?? FIRST[0])?.name ?? "";
}

function address() {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(view)) {
    if (key === "brush") { if (Object.keys(value).length) found.set(key, JSON.stringify(value)); }
    else if (value !== undefined && value !== "") found.set(key, Array.isArray(value) ? value.join("~") : value);
  }
  return `#${found}`;
}

function keepView() {
  if (Object.keys(DATA.view).length) return;  // a part of the page, in another one
  try {
    history.replaceState(null, "", address());
  } catch { /* inside of a report there is no address of our own */ }
}

const entity = () => ENTITIES.get(view.entity);

// ---- rows that are chosen ----

let chosen = [];  // rows, in the order of the table's columns.csv
let isChosen = new Uint8Array(0);

function textOf(one, row) {
  one.texts ??= [];
  one.texts[row] ??= one.columns.map(column => told(column.cells[row])).join("\n").toLowerCase();
  return one.texts[row];
}

function tests(one) {
  const found = [];
  for (const [key, range] of Object.entries(view.brush)) {
    const column = one.byKey.get(key);
    if (!column || !Array.isArray(range)) continue;
    if (column.isText) {
      const names = new Set(range);
      const kept = column.levels.map(level => names.has(level));
      found.push(row => kept[column.numbers[row]] === true);
    } else {
      const [low, high] = range;
      found.push(row => column.numbers[row] >= low && column.numbers[row] <= high);
    }
  }
  const text = (view.find ?? "").toLowerCase();
  if (text) found.push(row => textOf(one, row).includes(text));
  return found;
}

function choose() {
  const one = entity(), all = tests(one);
  isChosen = new Uint8Array(one.members.length);
  chosen = [];
  for (let row = 0; row < isChosen.length; row++) {
    if (!all.every(test => test(row))) continue;
    isChosen[row] = 1;
    chosen.push(row);
  }
}

// ---- columns that may be drawn ----

const varies = column => column.distinct.length > 1;
const params = one => one.columns.filter(column => column.role === "param" && varies(column));
const metrics = one => one.columns.filter(column => column.role === "metric");
const drawable = one => one.columns.filter(
  column => !["index", "member"].includes(column.key) && (varies(column) || column.role === "metric")
    && !(column.isText && column.levels.length > 100));

function plotAxes(one) {
  const wanted = view.axes?.map(key => one.byKey.get(key)).filter(Boolean);
  if (wanted?.length) return wanted;
  const found = [...params(one), ...metrics(one)].filter(column => column.distinct.length && drawable(one).includes(column));
  const status = one.byKey.get("status");
  return [...found.slice(0, 12), ...(status && varies(status) ? [status] : [])];
}
