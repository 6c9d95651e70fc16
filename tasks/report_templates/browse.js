"use strict";
const about = JSON.parse(document.getElementById("about").textContent);
const form = document.getElementById("asked"), cards = document.getElementById("cards");
const all = { renders: [], clips: [] };      // rows as objects, newest first, as far as they have come
const loading = { renders: 0, clips: 0 };    // files of rows that have come
let table = "renders", page = 0, found = [], onScreen = "";

// Each file of rows is a script that calls this: a page opened from a disk may read no other kind of file.
function take(name, lines) {
  const columns = about.columns[name];
  for (const line of lines) {
    const row = {};
    columns.forEach((column, index) => { row[column] = line[index]; });
    const model = about.models[row.model_id];
    row.model = model ? model[0] : row.model_id || "";
    row.name = lastOf(row.output_uri || row.source_uri || row.input_uri || "");
    row.sync = name === "renders" ? row.sync_confidence_after : row.sync_confidence;
    row.key = row.render_id || row.clip_id;
    row.words = [row.key, row.caption, row.transcript, row.emotion, row.speaker, row.model, row.dataset || row.dataset_id,
      row.input_uri, row.audio_uri, row.output_uri, row.source_uri, row.reason, row.review, row.run_id]
      .filter(Boolean).join("\n").toLowerCase();
    all[name].push(row);
  }
}

function load(name, number) {
  const files = about.files[name];
  if (number >= files.length) return;
  const script = document.createElement("script");
  script.src = files[number];
  script.onload = script.onerror = () => {
    loading[name] = number + 1;
    script.remove();
    if (name === table && (number === 0 || number + 1 === files.length || number % 5 === 0)) { options(); show(); }
    setTimeout(load, 0, name, number + 1);
  };
  document.head.append(script);
}

function lastOf(path) { return path.slice(path.lastIndexOf("/") + 1); }

function asked() {
  const given = Object.fromEntries(new FormData(form));
  given.words = (given.text || "").toLowerCase().split(/\s+/).filter(Boolean);
  return given;
}

function fits(row, want) {
  return want.words.every(word => row.words.includes(word))
    && (!want.emotion || (row.emotion || "") === want.emotion)
    && (!want.model || row.model === want.model)
    && (!want.status || row.status === want.status)
    && (!want.since || (row.created || "") >= want.since)
    && (!want.until || (row.created || "").slice(0, 10) <= want.until && row.created)
    && (!want.sync || row.sync !== null && row.sync !== undefined && row.sync >= Number(want.sync))
    && (!want.review || row.review);
}

const VALUE = { created: row => row.created, sync: row => row.sync, psnr: row => row.outside_psnr_db,
  identity: row => row.identity_cosine, name: row => row.name.toLowerCase() };

function sorted(rows, order) {
  if (order === "-created") return rows;     // as they come
  const down = order.startsWith("-"), value = VALUE[order.replace("-", "")];
  return rows.map(row => [value(row), row]).sort(([a], [b]) => {
    const none = (a === null || a === undefined) - (b === null || b === undefined);
    return none || (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  }).map(pair => pair[1]);
}

function show() {
  const want = asked();
  found = sorted(all[table].filter(row => fits(row, want)), want.sort);
  const pages = Math.max(1, Math.ceil(found.length / about.each));
  const complete = loading[table] >= about.files[table].length, at = Math.min(page, pages - 1);
  if (complete) page = at;   // until then the rows of a later screenful may still come
  const rows = found.slice(at * about.each, (at + 1) * about.each);
  draw(rows);
  text("found", `${found.length} ${found.length === 1 ? table.slice(0, -1) : table}${complete ? "" : `, ${all[table].length} of ${about.shown[table]} rows read`}`);
  text("where", `${at + 1} of ${pages}`);
  for (const id of ["back", "back2"]) document.getElementById(id).disabled = at === 0;
  for (const id of ["on", "on2"]) document.getElementById(id).disabled = at >= pages - 1;
  for (const tab of document.querySelectorAll("[data-table]")) tab.setAttribute("aria-selected", tab.dataset.table === table);
  remember();
}

function draw(rows) {
  const these = table + rows.map(row => row.key).join();
  if (these === onScreen) return;   // rows that come in later do not stop what is playing
  onScreen = these;
  cards.className = table;
  // Players of the screenful before are stopped, or they would go on reading their files.
  for (const player of cards.querySelectorAll("video")) { player.pause(); player.removeAttribute("src"); player.load(); }
  cards.replaceChildren(...rows.map(table === "renders" ? render : clip));
}

function text(id, words) { document.getElementById(id).textContent = words; }

function make(tag, content, properties) {
  const element = Object.assign(document.createElement(tag), properties || {});
  element.append(...[content].flat().filter(part => part !== null && part !== undefined && part !== ""));
  return element;
}

function number(value) {
  return value === null || value === undefined ? "–" : typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
}

function facts(pairs, className) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", there.map(([name, value]) => className
    ? make("div", [make("dt", name), make("dd", value)]) : [make("dt", name), make("dd", value)]).flat(), { className: className || "" });
}

function shown(link, says, muted) {
  if (!link) return make("figure", make("div", `${says} is not where it was`, { className: "gone" }));
  const path = link.split("#")[0].toLowerCase();
  const still = about.pictures.some(ending => path.endsWith(ending));
  const medium = still ? make("img", "", { src: link, alt: says, loading: "lazy" })
    : make("video", "", { src: link, muted, preload: "metadata", playsInline: true, tabIndex: 0, title: says });
  // A player that is not pointed at shows its picture without the shade that lies under the controls.
  for (const nearing of ["pointerenter", "focus"]) medium.addEventListener(nearing, () => { medium.controls = true; });
  medium.addEventListener("pointerleave", () => { medium.controls = false; });
  const figure = make("figure", [medium, make("figcaption", make("a", says, { href: link.split("#")[0] }))]);
  medium.onerror = () => medium.replaceWith(make("div", "this browser cannot show it; the link below opens the file", { className: "gone" }));
  return figure;
}

function head(row) {
  return make("header", [make("h3", row.name || row.key), make("span", row.status, { className: `status ${row.status}` })]);
}

function render(row) {
  const card = make("article", head(row), { className: "card" });
  if (row.after || row.status === "ok") {
    const both = make("div", [shown(row.before, "original", true), shown(row.after, "dubbed", false)], { className: "both" });
    card.append(both);
    const players = [...both.querySelectorAll("video")];
    if (players.length === 2) card.append(make("button", "▶ play both together", { type: "button", className: "play", onclick: () => together(players) }));
  }
  const sync = [row.sync_confidence_before, row.sync_confidence_after].map(number);
  card.append(facts([["sync", row.sync_confidence_after === null ? null : `${sync[0]} → ${sync[1]}`],
    ["outside", row.outside_psnr_db && `${number(row.outside_psnr_db)} dB`], ["identity", row.identity_cosine && number(row.identity_cosine)],
    ["flicker", row.flicker && number(row.flicker)], ["seam", row.seam && number(row.seam)],
    ["emotion", row.emotion], ["made", (row.created || "").replace("T", " ")]], "numbers"));
  if (row.caption) card.append(make("p", row.caption));
  if (row.review) card.append(make("p", `to review: ${row.review}`, { className: "rejected" }));
  if (row.reason) card.append(make("p", row.reason, { className: row.status === "ok" ? "soft" : "rejected" }));
  const model = about.models[row.model_id] || [];
  card.append(make("details", [make("summary", "where it comes from"), facts([["render", row.render_id], ["video", row.input_uri],
    ["track", row.audio_uri], ["model", row.model], ["model id", row.model_id], ["started from", model[2]],
    ["dataset", row.dataset_id || model[1]], ["run", row.run_id], ["seed", row.seed]])]));
  return card;
}

function clip(row) {
  const times = row.end_s === null || row.end_s === undefined ? "" : `#t=${row.start_s},${row.end_s}`;
  const card = make("article", [head(row),
    make("div", shown(row.after && row.after + times, "source", false), { className: "both one" })], { className: "card" });
  card.append(facts([["sync", row.sync_confidence && number(row.sync_confidence)], ["emotion", row.emotion],
    ["speaker", row.speaker], ["from", times && `${number(row.start_s)}–${number(row.end_s)} s`], ["split", row.split]], "numbers"));
  if (row.caption) card.append(make("p", row.caption));
  if (row.transcript) card.append(make("p", `“${row.transcript}”`, { className: "soft" }));
  if (row.reason) card.append(make("p", row.reason, { className: row.status === "ok" ? "soft" : "rejected" }));
  card.append(make("details", [make("summary", "where it comes from"), facts([["clip", row.clip_id], ["source", row.source_uri],
    ["source id", row.source_id], ["dataset", row.dataset], ["written", (row.created || "").replace("T", " ")]])]));
  return card;
}

function together(players) {
  if (!players[1].paused) { players.forEach(player => player.pause()); return; }
  const start = players[1].ended ? 0 : players[1].currentTime;
  players.forEach(player => { player.currentTime = start; player.play(); });
}

function options() {
  const value = { emotion: row => row.emotion, model: row => row.model };
  for (const name of ["emotion", "model"]) {
    const counts = new Map(), select = form.elements[name], chosen = select.value || select.dataset.wanted || "";
    for (const row of all[table]) { const key = value[name](row); if (key) counts.set(key, (counts.get(key) || 0) + 1); }
    const names = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 60).map(pair => pair[0]).sort();
    if (chosen && !names.includes(chosen)) names.push(chosen);
    select.replaceChildren(make("option", "any", { value: "" }), ...names.map(each => make("option", each, { value: each })));
    select.value = chosen;
    select.parentElement.hidden = names.length === 0;
  }
}

// What is asked stands in the address: a search can be sent to somebody, and the browser's back button works.
function remember() {
  const state = new URLSearchParams({ table, page: String(page + 1) });
  for (const [name, value] of new FormData(form)) if (value && !(name === "sort" && value === "-created")) state.set(name, value);
  history.replaceState(null, "", `#${state}`);
}

function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  table = state.get("table") in all ? state.get("table") : about.held.renders || !about.held.clips ? "renders" : "clips";
  page = Math.max(0, Number(state.get("page") || 1) - 1);
  for (const field of form.elements) {
    if (field.type === "checkbox") field.checked = state.has(field.name);
    else if (state.has(field.name)) { field.value = state.get(field.name); field.dataset.wanted = state.get(field.name); }
  }
}

let waiting = 0;
form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { page = 0; show(); }, 120); });
form.addEventListener("submit", event => { event.preventDefault(); page = 0; show(); });
for (const [ids, step] of [[["back", "back2"], -1], [["on", "on2"], 1]])
  for (const id of ids) document.getElementById(id).addEventListener("click", () => { page += step; show(); scrollTo(0, 0); });
for (const tab of document.querySelectorAll("[data-table]"))
  tab.addEventListener("click", () => { table = tab.dataset.table; page = 0; options(); show(); });
recall();
options();
show();
for (const name of Object.keys(all)) load(name, 0);
