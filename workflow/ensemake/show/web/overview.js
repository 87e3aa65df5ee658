// The whole experiment: the graph of its entities, what failed, when and where it ran.
const SVG = "http://www.w3.org/2000/svg";

function draw(tag, given = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const countsOf = one => one.total ? Object.entries(one.counts).map(([state, count]) => `${count} ${state}`).join(", ") : "not run yet";

function layers() {
  const depth = new Map();
  const deep = name => {
    if (!depth.has(name)) depth.set(name, ENTITIES.get(name).from.reduce((most, other) => Math.max(most, deep(other) + 1), 0));
    return depth.get(name);
  };
  const found = [];
  for (const name of ENTITIES.keys()) (found[deep(name)] ??= []).push(name);
  return found;
}

// Entities from left to right, arrows to those that take from them; alone they are a list of links.
function drawGraph() {
  const columns = layers(), wide = 210, high = 62, gapX = 60, gapY = 18;
  const size = [columns.length * (wide + gapX) - gapX + 4, Math.max(...columns.map(names => names.length)) * (high + gapY) - gapY + 4];
  const spots = new Map(columns.flatMap((names, n) => names.map((name, m) => [name, [2 + n * (wide + gapX), 2 + m * (high + gapY)]])));
  const arrows = [...ENTITIES.values()].flatMap(one => one.from.map(other => {
    const [a, b] = spots.get(other), [c, d] = spots.get(one.name), x = a + wide, y = b + high / 2, end = d + high / 2;
    return draw("path", {d: `M${x} ${y}C${x + gapX / 2} ${y} ${c - gapX / 2} ${end} ${c - 7} ${end}`, class: "arrow", "marker-end": "url(#tip)"});
  }));
  const tip = draw("marker", {id: "tip", viewBox: "0 0 8 8", refX: 1, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto"}, draw("path", {d: "M0 0L8 4L0 8z"}));
  const picture = draw("svg", {viewBox: `0 0 ${size[0]} ${size[1]}`, width: size[0], height: size[1], role: "group", "aria-label": "Models and ensembles"},
    draw("defs", {}, tip), ...arrows, ...[...spots].map(([name, spot]) => node(ENTITIES.get(name), spot, wide, high)));
  $("#graph").replaceChildren(picture);
}

function node(one, [x, y], wide, high) {
  const link = draw("a", {href: `#entity=${encodeURIComponent(one.name)}`, class: one.name === view.entity ? "node now" : "node",
    "aria-label": `${one.name}: ${countsOf(one)}`, ...(one.name === view.entity ? {"aria-current": "true"} : {})});
  const short = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
  link.append(draw("title", {}, `${one.name}: ${countsOf(one)}`), draw("rect", {x, y, width: wide, height: high, rx: 6}),
    draw("text", {x: x + 12, y: y + 22, class: "name"}, short(one.name, 24)), draw("text", {x: x + 12, y: y + 40}, short(countsOf(one), 31)));
  let left = x + 12;
  for (const [state, count] of Object.entries(one.counts)) {
    const width = count / one.total * (wide - 24);
    link.append(draw("rect", {x: left, y: y + 48, width, height: 5, class: "bar", style: `fill:${STATES[state] ?? "gray"}`}));
    left += width;
  }
  link.addEventListener("click", event => { event.preventDefault(); showEntity(one.name); });
  return link;
}

// ---- failures first ----

function drawFailures() {
  const one = entity(), box = $("#failures");
  box.hidden = !one.failures.length;
  if (box.hidden) return;
  const count = one.failures.reduce((sum, group) => sum + group.members.length, 0);
  $("h2", box).textContent = `What failed: ${count} of ${one.total}`;
  const known = group => group.members.filter(name => one.at.has(name));
  $(".groups", box).replaceChildren(...one.common.map(text => make("li", {class: "common"}, text)), ...one.failures.slice(0, 30).map(group =>
    make("li", {}, badge(group.state), ` ${group.reason}: ${group.members.length} member${group.members.length > 1 ? "s" : ""} `,
      ...known(group).slice(0, 6).flatMap(name => [make("button", {type: "button", class: "link", onclick: () => openMember(name)}, name), " "]),
      ...(group.members.length > 6 ? [`and ${group.members.length - 6} more`] : []),
      ...(group.line ? [make("br"), make("code", {}, group.line)] : []))));
  drawWhere();
}

// The two parameters along which the share of failures differs most.
function telling(one, bad) {
  const spread = column => {
    const groups = new Map(), scale = scaleOf(column), {of} = cells(scale);
    column.numbers.forEach((value, row) => {
      const key = of(value), [count, failed] = groups.get(key) ?? [0, 0];
      groups.set(key, [count + 1, failed + bad(row)]);
    });
    const mean = one.failures.length / one.members.length;
    return [...groups.values()].reduce((sum, [count, failed]) => sum + count * (failed / count - mean) ** 2, 0);
  };
  return params(one).filter(column => drawable(one).includes(column)).map(column => [spread(column), column])
    .sort((a, b) => b[0] - a[0]).slice(0, 2).map(([, column]) => column);
}

function drawWhere() {
  const one = entity(), box = $("#where"), bad = row => isBad(one, row), found = telling(one, bad);
  box.hidden = found.length < 2;
  if (box.hidden) return;
  const [x, y] = found.map(column => scaleOf(column)), width = Math.min(box.clientWidth, 460), height = 250;
  const context = fit($("canvas", box), width, height), map = binned(x, y, bad, one.members.map((_, row) => row));
  const ends = part => [part.edges[0], part.edges.at(-1)];
  const stretch = ([low, high], from, to) => part => from + (part - low) / (high - low) * (to - from);
  const across = stretch(ends(map.a), 64, width - 10), down = stretch(ends(map.b), height - 40, 8);
  paint(context, map, across, down, share => share ? `color-mix(in srgb, ${STATES.failed} ${Math.round(30 + 70 * share)}%, ${theme.paper})` : theme.line);
  context.fillStyle = theme.ink;
  context.textAlign = "center";
  for (const [part, text] of ticksOfCells(x, 5)) context.fillText(cut(context, text, 70), across(part), height - 24);
  context.fillText(x.column.label, (width + 54) / 2, height - 6);
  context.textAlign = "right";
  for (const [part, text] of ticksOfCells(y, 5)) context.fillText(cut(context, text, 54), 60, down(part) + 4);
  $("figcaption", box).textContent = `Share of failed members over ${x.column.label} (across) and ${y.column.label} (up); grey: none failed`;
  $("canvas", box).setAttribute("aria-label", $("figcaption", box).textContent);
}

// ---- when and where ----

function bars() {
  const found = [];
  for (const one of ENTITIES.values()) {
    if (!one.members.length) continue;
    const [start, time, host, state, attempt, cpus] = [":started", "elapsed_s", ":host", "status", ":attempt", ":cpus"].map(key => one.byKey.get(key));
    one.members.forEach((name, row) => {
      const began = start.numbers[row], took = time.numbers[row];
      if (isNaN(began)) return;
      found.push({one, name, began, took: isNaN(took) ? 0 : took, host: host.cells[row] ?? "", state: state.cells[row],
        attempt: attempt.numbers[row] || 1, cpus: cpus.numbers[row] || 1});
    });
  }
  return found.sort((a, b) => a.began - b.began);
}

// Bars that overlap in time lie in lanes of their host below each other.
function lanes(all) {
  const hosts = new Map();
  for (const bar of all) {
    if (!hosts.has(bar.host)) hosts.set(bar.host, []);
    const ends = hosts.get(bar.host);
    let lane = ends.findIndex(end => end <= bar.began + 0.9);  // starts are told to the second
    if (lane < 0) lane = ends.length < 400 ? ends.push(0) - 1 : 0;
    bar.began = Math.max(bar.began, Math.min(ends[lane], bar.began + 0.9));
    ends[lane] = bar.began + bar.took;
    bar.lane = lane;
  }
  return hosts;
}

let timeline = null;

function drawTime() {
  const all = bars(), box = $("#time");
  box.hidden = !all.length;
  if (box.hidden) return;
  const hosts = lanes(all), count = [...hosts.values()].reduce((sum, ends) => sum + ends.length, 0);
  const width = box.clientWidth, tall = Math.max(2, Math.min(14, 500 / count)), left = Math.min(150, width / 4);
  const tops = new Map();
  let top = 4;
  for (const [host, ends] of [...hosts].sort()) tops.set(host, top), top += Math.max(16, ends.length * tall) + 6;
  const from = all[0].began, to = Math.max(from + 1, all.reduce((most, bar) => Math.max(most, bar.began + bar.took), from));
  const context = fit($("canvas", box), width, top + 24), across = at => left + (at - from) / (to - from) * (width - left - 8);
  context.fillStyle = theme.ink;
  for (const [host, y] of tops) context.fillText(cut(context, host || "?", left - 10), 2, y + 12);
  context.textAlign = "center";
  for (const second of evenTicks({low: 0, high: to - from}, 6)) {
    context.strokeStyle = theme.line;
    context.strokeRect(across(from + second), 0, 0, top);
    context.fillText(span(second), Math.min(width - 24, across(from + second)), top + 14);
  }
  const order = [...ENTITIES.keys()];
  for (const bar of all) {
    const x = across(bar.began), y = tops.get(bar.host) + bar.lane * tall, wide = Math.max(1.5, across(bar.began + bar.took) - x);
    bar.box = [x, y, wide, tall];
    context.fillStyle = BAD.has(bar.state) ? STATES.failed : PALETTE[[0, 2, 3, 4, 5, 6, 7][order.indexOf(bar.one.name) % 7]];
    context.globalAlpha = 0.85;
    context.fillRect(x, y, wide, Math.max(1, tall - 1));
  }
  timeline = all;
  $(".keys", box).replaceChildren(...order.filter(name => all.some(bar => bar.one.name === name)).map(name =>
    make("span", {class: "key"}, swatch(PALETTE[[0, 2, 3, 4, 5, 6, 7][order.indexOf(name) % 7]]), name)),
    ...(all.some(bar => BAD.has(bar.state)) ? [make("span", {class: "key"}, swatch(STATES.failed), "failed")] : []),
    make("span", {class: "note"}, `the last attempt of each member, from ${when(from)}`));
  drawCosts(all);
}

const span = seconds => seconds >= 7200 ? `${told(Math.round(seconds / 360) / 10)} h` : seconds >= 120 ? `${told(Math.round(seconds / 6) / 10)} min` : `${told(Number(seconds.toPrecision(3)))} s`;

function drawCosts(all) {
  const rows = [...ENTITIES.values()].map(one => [one, all.filter(bar => bar.one === one)]).filter(([, own]) => own.length);
  const part = ([one, own]) => one.total / one.members.length;  // of a sample
  const total = own => own.reduce((sum, bar) => sum + bar.took, 0);
  $("#costs tbody").replaceChildren(...rows.map(pair => {
    const [one, own] = pair, longest = own.reduce((most, bar) => bar.took > most.took ? bar : most);
    const again = own.filter(bar => bar.attempt > 1).length, about = part(pair) > 1 ? "about " : "";
    const cells = [one.name, Math.round(own.length * part(pair)), about + span(total(own) * part(pair)), span(total(own) / own.length), span(longest.took),
      about + told(Number((own.reduce((sum, bar) => sum + bar.took * bar.cpus, 0) * part(pair) / 3600).toPrecision(3))), again];
    return make("tr", {}, ...cells.map((text, n) => make(n ? "td" : "th", n ? {class: "number"} : {scope: "row"}, String(text))));
  }));
}

function watchTime() {
  const canvas = $("#time canvas"), note = $("#time .hint");
  const under = event => {
    const box = canvas.getBoundingClientRect(), a = event.clientX - box.left, b = event.clientY - box.top;
    const found = timeline?.find(({box: [x, y, wide, tall]}) => a >= x - 1 && a <= x + wide + 1 && b >= y && b <= y + tall);
    return {found, a, b};
  };
  canvas.addEventListener("pointermove", event => {
    const {found, a, b} = under(event);
    note.hidden = !found;
    if (!found) return;
    note.replaceChildren(make("div", {}, `${found.one.name}/${found.name}`), make("div", {}, `${found.state}, ${span(found.took)}, attempt ${found.attempt}`));
    Object.assign(note.style, {left: `${Math.min(a + 12, canvas.clientWidth - 190)}px`, top: `${b + 12}px`});
  });
  canvas.addEventListener("pointerleave", () => { note.hidden = true; });
  canvas.addEventListener("click", event => {
    const {found} = under(event);
    if (!found) return;
    if (found.one.name !== view.entity) showEntity(found.one.name);
    openMember(found.name);
  });
}
