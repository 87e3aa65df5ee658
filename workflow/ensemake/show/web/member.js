// One member: what it is, what became of it, how to repeat it.
function openMember(name) {
  if (!entity().at.has(name)) return;
  view.member = name;
  keepView();
  drawMember();
}

function drawMember() {
  const one = entity(), box = $("#member"), row = one.at.get(view.member);
  if (row === undefined) { if (box.open) box.close(); return; }
  const detail = one.details?.[view.member] ?? {}, state = one.byKey.get("status").cells[row];
  const folder = one.is_model ? one.folder : `${one.folder}/${one.places?.[row] ?? view.member}`;
  const cell = key => one.byKey.get(key)?.cells[row] ?? null;
  $("h2", box).textContent = one.is_model ? one.name : `${one.name}/${view.member}`;
  $(".body", box).replaceChildren(
    make("p", {}, badge(state), ` ${DATA.meaning[state] ?? ""}`, cell("reason") ? `: ${cell("reason")}` : ""),
    ...(detail.error ? [make("h3", {}, "The end of run.err"), make("pre", {}, detail.error)] : []),
    make("h3", {}, "Parameters"), pairs(one.columns.filter(column => isParameter(one, column)), row),
    ...(metrics(one).some(column => column.cells[row] !== null) ? [make("h3", {}, "Metrics"), pairs(metrics(one), row)] : []),
    ...curvesOf(one, view.member),
    make("h3", {}, "Run"),
    pairs(["elapsed_s", ":started", ":host", ":attempt", "exit_code", "run"].map(key => one.byKey.get(key)).filter(Boolean), row),
    make("h3", {}, "Command"),
    make("pre", {}, detail.commands?.length ? detail.commands.join("\n") : `bash ${folder}/run.sh`),
    make("h3", {}, "Directory"), make("p", {class: "copied"}, make("code", {}, folder), " ", copyButton(folder)));
  const place = sorted.indexOf(row);
  $(".before", box).disabled = place <= 0;
  $(".after", box).disabled = place < 0 || place >= sorted.length - 1;
  if (!box.open) box.showModal();
  drawOwnCurves(one);
}

function isParameter(one, column) {
  const others = ["index", "member", "status", "exit_code", "elapsed_s", "reason", "run"];
  return column.role === "param" || (column.role === "other" && !others.includes(column.key) && column.cells.some(cell => cell !== null));
}

function pairs(columns, row) {
  const shown = columns.filter(column => column.cells[row] !== null);
  return make("dl", {}, ...shown.flatMap(column => [make("dt", {}, column.label),
    make("dd", {}, column.key === ":started" ? when(column.cells[row]) : String(column.cells[row]))]));
}

function badge(state) {
  const found = make("span", {class: "badge"}, swatch(STATES[state] ?? theme.faint), state);
  return found;
}

function copyButton(text) {
  const button = make("button", {type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not allowed for files in some browsers
      const box = make("textarea", {}, text);
      button.parentElement.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    button.textContent = "Copied";
  }}, "Copy");
  return button;
}

function step(by) {
  const next = sorted[sorted.indexOf(entity().at.get(view.member)) + by];
  if (next !== undefined) openMember(entity().members[next]);
}

function watchMember() {
  const box = $("#member");
  $(".before", box).addEventListener("click", () => step(-1));
  $(".after", box).addEventListener("click", () => step(1));
  $(".close", box).addEventListener("click", () => box.close());
  box.addEventListener("click", event => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => { delete view.member; keepView(); });
}

// ---- curves ----

function curvesOf(one, name) {
  const found = Object.entries(one.series ?? {}).filter(([, curves]) => curves[name]);
  return found.flatMap(([series]) => [make("h3", {}, series), make("canvas", {"data-series": series, role: "img", "aria-label": `curve of ${series}`})]);
}

function drawOwnCurves(one) {
  for (const canvas of $("#member").querySelectorAll("[data-series]"))
    drawLinesOf(canvas, [[one.series[canvas.dataset.series][view.member], theme.accent]], 560, 180, canvas.dataset.series);
}

function drawCurves() {
  const one = entity(), names = Object.keys(one.series ?? {}), box = $("#curves");
  box.hidden = !names.length;
  if (box.hidden) return;
  const series = names.includes(view.series) ? view.series : names[0];
  $(".controls", box).replaceChildren(pick("Curves of", "series", names.map(name => [name, name]), series));
  const colour = colouring(one.byKey.get(choices().colour)), curves = one.series[series];
  const lines = chosen.filter(row => curves[one.members[row]]).map(row => [curves[one.members[row]], colour.of(row)]);
  drawLinesOf($("canvas", box), lines, box.clientWidth, 320, series, Object.values(curves));
}

function drawLinesOf(canvas, lines, width, height, label, all = lines.map(([curve]) => curve)) {
  const context = fit(canvas, width, height);
  const ends = place => all.reduce(([low, high], curve) => curve[place].reduce(
    ([a, b], value) => typeof value === "number" ? [Math.min(a, value), Math.max(b, value)] : [a, b], [low, high]), [Infinity, -Infinity]);
  const [x, y] = [ends(0), ends(1)].map(([low, high]) => scaleOf({low, high, label}, false));
  const across = part => 64 + part * (width - 80), down = part => height - 28 - part * (height - 42);
  context.fillStyle = theme.ink;
  context.strokeStyle = theme.line;
  context.textAlign = "center";
  for (const [part, text] of ticksOf(x)) context.strokeRect(across(part), down(1), 0, down(0) - down(1)), context.fillText(text, across(part), height - 10);
  context.textAlign = "right";
  for (const [part, text] of ticksOf(y)) context.strokeRect(64, down(part), width - 80, 0), context.fillText(text, 58, down(part) + 4);
  context.globalAlpha = lines.length > 50 ? 0.4 : 0.9;
  for (const [[at, values], colour] of lines) {
    context.strokeStyle = colour;
    context.beginPath();
    at.forEach((value, n) => {
      if (typeof values[n] === "number" && typeof value === "number") context.lineTo(across(x.place(value)), down(y.place(values[n])));
    });
    context.stroke();
  }
}
