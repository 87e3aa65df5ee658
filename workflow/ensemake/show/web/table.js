// The table of the chosen members: sorted, with columns to hide; and ranges to type.
const STEP = 200;  // rows drawn at once: a browser is slow with more
const HIDDEN = ["index", "exit_code", "run", ":host", ":started", ":attempt", ":cpus"];
let sorted = [];

const isHidden = column => (view.hidden ?? HIDDEN).includes(column.key);

function compareRows(column) {
  const {numbers, cells, isText} = column;
  if (isText) return (a, b) => (cells[a] ?? "\uffff").localeCompare(cells[b] ?? "\uffff", undefined, {numeric: true});
  return (a, b) => (isNaN(numbers[a]) - isNaN(numbers[b])) || numbers[a] - numbers[b] || 0;
}

function drawTable() {
  const one = entity(), table = $("#table"), shown = one.columns.filter(column => !isHidden(column));
  $("#members").hidden = !one.members.length;
  const [key, turned] = (view.sort ?? "").split("~"), column = one.byKey.get(key);
  sorted = chosen.slice();
  if (column) {
    const compare = compareRows(column), known = row => column.cells[row] !== null;
    sorted.sort(turned ? (a, b) => known(b) - known(a) || compare(b, a) : compare);
  } else {  // failures first
    const bad = new Set(sorted.filter(row => isBad(one, row)));
    sorted = [...bad, ...sorted.filter(row => !bad.has(row))];
  }
  drawHead(table.tHead.rows[0], shown, key, turned);
  table.tBodies[0].replaceChildren();
  addRows();
  $("#table-box").scrollTop = 0;
  tellCount();
}

function tellCount() {
  const one = entity();
  const total = one.total > one.members.length ? ` (a sample of ${one.total})` : "";
  $("#count").textContent = `${chosen.length} of ${one.members.length}${total}`;
  $("#clear").hidden = chosen.length === one.members.length && !Object.keys(view.brush).length && !view.find;
}

const isBad = (one, row) => BAD.has(one.byKey.get("status")?.cells[row]) ? 1 : 0;

function drawHead(line, shown, key, turned) {
  const focused = document.activeElement?.dataset?.sort;
  line.replaceChildren(...shown.map(column => {
    const isKey = column.key === key;
    const turn = () => { view.sort = isKey && !turned ? `${column.key}~down` : column.key; keepView(); drawTable(); };
    return make("th", {scope: "col", "aria-sort": isKey ? (turned ? "descending" : "ascending") : null},
      make("button", {type: "button", "data-sort": column.key, onclick: turn}, column.label));
  }));
  if (focused) line.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
}

function addRows() {
  const one = entity(), body = $("#table").tBodies[0], shown = one.columns.filter(column => !isHidden(column));
  for (const row of sorted.slice(body.rows.length, body.rows.length + STEP)) {
    const line = body.insertRow();
    if (isBad(one, row)) line.className = "bad";
    for (const column of shown) {
      const cell = line.insertCell(), value = column.cells[row];
      if (column.key === "member") {
        cell.append(make("button", {type: "button", class: "link", onclick: () => openMember(value)}, value));
        continue;
      }
      cell.textContent = column.key === ":started" ? when(value) : told(value);
      if (!column.isText) cell.className = "number";
      if (value !== null) cell.title = value;
    }
  }
}

const when = seconds => seconds === null ? "" : new Date(seconds * 1000).toLocaleString();

function drawColumns() {
  const one = entity(), focused = document.activeElement?.value;
  $("#columns").replaceChildren(...one.columns.filter(column => column.key !== "member").map(column => {
    const box = make("input", {type: "checkbox", value: column.key, checked: !isHidden(column), onchange: () => {
      const others = (view.hidden ?? HIDDEN).filter(key => key !== column.key);
      view.hidden = box.checked ? others.length ? others : ["-"] : [...others, column.key];
      keepView();
      drawTable();
    }});
    return make("label", {}, box, " ", column.label);
  }));
  $("#axes").replaceChildren(...drawable(one).map(column => {
    const keys = () => plotAxes(one).map(axis => axis.key);
    const box = make("input", {type: "checkbox", value: column.key, checked: keys().includes(column.key), onchange: () => {
      view.axes = box.checked ? [...keys(), column.key] : keys().filter(key => key !== column.key);
      keepView();
      drawParallel();
    }});
    return make("label", {}, box, " ", column.label);
  }));
  if (focused) $(`#columns [value="${CSS.escape(focused)}"]`)?.focus();
}

// ---- the same choice by typing ----

function drawRanges() {
  const focused = document.activeElement?.id, one = entity();
  $("#ranges").replaceChildren(...drawable(one).map((column, n) => column.isText ? levelBoxes(column, n) : rangeBoxes(column, n)));
  if (focused?.startsWith("range-")) document.getElementById(focused)?.focus();
}

function rangeBoxes(column, n) {
  const now = view.brush[column.key] ?? [];
  const ends = [column.low, column.high].map((end, place) => make("input", {type: "number", step: "any", id: `range-${n}-${place}`,
    "aria-label": `${column.label}, ${place ? "at most" : "at least"}`, placeholder: isFinite(end) ? told(end) : "", value: now[place] ?? "",
    onchange: () => {
      const given = [...view.brush[column.key] ?? [column.low, column.high]];
      given[place] = ends[place].value === "" ? [column.low, column.high][place] : Number(ends[place].value);
      setBrush(column.key, given[0] <= column.low && given[1] >= column.high ? null : given);
    }}));
  return make("fieldset", {}, make("legend", {}, column.label), ends[0], " to ", ends[1]);
}

function levelBoxes(column, n) {
  const now = view.brush[column.key];
  return make("fieldset", {}, make("legend", {}, column.label), ...column.levels.slice(0, 30).map((level, place) => {
    const box = make("input", {type: "checkbox", id: `range-${n}-${place}`, checked: !now || now.includes(level), onchange: () => {
      const kept = column.levels.filter(other => other === level ? box.checked : !now || now.includes(other));
      setBrush(column.key, kept.length === column.levels.length ? null : kept);
    }});
    return make("label", {}, box, " ", level);
  }));
}
