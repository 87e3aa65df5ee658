// What is drawn again when something changes.
let pending = 0, later = 0;

// The drawing follows the pointer at once, the table when it rests.
function rowsChanged() {
  choose();
  tellCount();
  clearTimeout(later);
  later = setTimeout(() => {
    keepView();
    drawCurves();
    drawTable();
    drawRanges();
  }, 60);
  pending ||= requestAnimationFrame(() => {
    pending = 0;
    if (parallel) drawRails();
    drawLines();
    requestAnimationFrame(() => { if (!pending) drawChart(); });
  });
}

function drawAll() {
  readTheme();
  const one = entity();
  document.documentElement.dataset.entity = one?.name ?? "";
  $("#empty").hidden = !one || one.members.length > 0;
  for (const section of document.querySelectorAll("[data-pictures]")) section.hidden = section.dataset.pictures !== one?.name;
  drawGraph();
  if (!one) return;
  $("#name").textContent = one.name;
  $("#told").hidden = !one.members.length;
  $("#told").textContent = one.total > one.members.length && one.members.length
    ? `${one.total} members: ${countsOf(one)}. This page shows a sample of ${one.members.length} of them, with all that failed; all are in the tables.`
    : `${one.total} member${one.total === 1 ? "" : "s"}: ${countsOf(one)}`;
  $("#explore").hidden = one.members.length < 2;
  choose();
  drawFailures();
  drawControls();
  if (one.members.length > 1) { parallel = null; drawParallel(); drawChart(); drawCurves(); }
  drawEffects(one);
  drawColumns();
  drawTable();
  drawRanges();
  drawTime();
  $("#find").value = view.find ?? "";
}

function drawEffects(one) {
  const box = $("#effects"), found = Object.entries(one.effects ?? {});
  box.hidden = !found.length;
  const label = key => one.byKey.get(key)?.label ?? key, percent = share => Math.round(100 * share);
  const look = (metric, name) => () => showView({kind: "mean", x: name, y: metric, colour: "-"});
  $("div", box).replaceChildren(...found.map(([metric, {told, ranks}]) => make("figure", {},
    make("figcaption", {}, label(metric), make("span", {class: "note"}, ` ${percent(told)} % foretold`)),
    ...ranks.map(([name, share, low, high]) => make("div", {class: "effect"},
      make("button", {type: "button", class: "link", title: "Show the mean over it", onclick: look(metric, name)}, label(name)), bar(share, low, high),
      make("span", {class: "number"}, `${percent(share)} % (${percent(low)} to ${percent(high)})`))))));
}

function bar(...given) {
  const [share, low, high] = given.map(value => Math.min(1, Math.max(0, value)));
  const found = draw("svg", {viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true"},
    draw("rect", {x: 0, y: 2, width: 100 * share, height: 6, class: "share"}), draw("path", {d: `M${100 * low} 5H${100 * high}`, class: "range"}));
  return found;
}

function showEntity(name) {
  view = {entity: name, brush: {}};
  keepView();
  drawAll();
}

function watch() {
  $("#find").addEventListener("input", event => { view.find = event.target.value; rowsChanged(); });
  $("#clear").addEventListener("click", () => { view.brush = {}; view.find = $("#find").value = ""; rowsChanged(); });
  const box = $("#table-box");
  box.addEventListener("scroll", () => { if (box.scrollTop + box.clientHeight > box.scrollHeight - 300) addRows(); });
  watchParallel();
  watchChart();
  watchMember();
  watchTime();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
  addEventListener("hashchange", () => { view = readView(); drawAll(); drawMember(); });
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawAll);
  for (const [name, printing] of [["beforeprint", true], ["afterprint", false]])
    addEventListener(name, () => { document.documentElement.classList.toggle("print", printing); drawAll(); });
}

// While a run goes on the page is written again and again; it ends with one that does not reload.
function reloadLater() {
  const {live} = DATA;
  if (!live) return;
  const late = Date.now() / 1000 - live.written > 10 * live.every_s + 60;
  $("#live").textContent = late
    ? `Written ${when(live.written)}, while members ran; not renewed since.`
    : `Members are running: written ${when(live.written)}, renewed every ${span(Math.ceil(live.every_s))}.`;
  $("#live").hidden = false;
  if (!late) setTimeout(() => location.reload(), 1000 * live.every_s);
}

watch();
drawAll();
drawMember();
reloadLater();
document.documentElement.dataset.ready = "1";
