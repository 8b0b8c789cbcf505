// Draws what the node says. One stream in, no state of its own: what is on screen is the last picture that came.

const SILENCE_MS = 25_000; // the node repeats itself every 10 seconds at the latest
const RETRY_MS = 2_000;

const at = (id) => document.getElementById(id);
const drawn = new Map();
let heard = null; // when the last picture came
let view = null;

/** An element with properties and children; text is always text. */
function el(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Redraws a part only if what it shows has changed, so that a reader is not disturbed. */
function draw(id, data, make) {
  const key = JSON.stringify(data);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  at(id).replaceChildren(...make());
}

const number = (value) => value.toLocaleString("en-GB");

function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} GB`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} MB`;
  if (count >= 1e4) return `${(count / 1e3).toFixed(1)} kB`;
  return `${number(count)} B`;
}

function span(us) {
  if (us >= 3600e6) return `${Math.floor(us / 3600e6)} h ${Math.floor((us % 3600e6) / 60e6)} min`;
  if (us >= 60e6) return `${Math.floor(us / 60e6)} min ${Math.floor((us % 60e6) / 1e6)} s`;
  if (us >= 10e6) return `${Math.round(us / 1e6)} s`;
  if (us >= 1e6) return `${(us / 1e6).toFixed(1)} s`;
  if (us >= 10e3) return `${Math.round(us / 1e3)} ms`;
  return `${(us / 1e3).toFixed(1)} ms`;
}

function ago(us) {
  if (us < 1.5e6) return "now";
  if (us < 60e6) return `${Math.round(us / 1e6)} s ago`;
  if (us < 3600e6) return `${Math.floor(us / 60e6)} min ago`;
  return `${Math.floor(us / 3600e6)} h ago`;
}

const watts = (mw) => (mw >= 1e7 ? `${Math.round(mw / 1e5) / 10} kW` : `${(mw / 1000).toFixed(mw < 1e4 ? 1 : 0)} W`);
const clock = (date) => date.toTimeString().slice(0, 8);
const energy = (mj) => (mj >= 3.6e6 ? `${(mj / 3.6e6).toFixed(2)} Wh` : `${number(Math.round(mj / 1000))} J`);

function tile(name, value, more) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value), more ? el("dd", {}, more) : null);
}

function tiles() {
  const { totals } = view;
  const here = view.nodes.find((node) => node.presence === "here");
  return [
    tile("Requests", number(totals.requests), `${number(totals.answered)} answered`),
    tile("Refused by law", number(totals.refused_by_law), `${number(totals.refused_otherwise)} refused otherwise`),
    tile("Saved by moving on", number(totals.migrated), "went on elsewhere"),
    tile("Served for peers", number(totals.served_for_peers), "requests of others"),
    tile("Egress", bytes(totals.egress_requests + totals.egress_answers), `${bytes(totals.egress_requests)} to ask, ${bytes(totals.egress_answers)} to answer`),
    tile("Power here", here ? watts(here.power_mw) : "unknown", `${here ? `of ${watts(here.cap_mw)}, ` : ""}${energy(totals.energy_mj)} used`),
  ];
}

/** A bar; its value stands in words beside it. */
function bar(role, label, value, max, level) {
  const fill = el("span");
  fill.style.width = `${max > 0 ? Math.min(100, (100 * value) / max) : 0}%`;
  return el("span", { className: "bar", role, "aria-label": label, "aria-valuemin": 0, "aria-valuemax": max, "aria-valuenow": Math.min(value, max), "data-level": level }, fill);
}

/** How much of something limited is in use. */
function meter(value, max, label) {
  const level = value >= max * 0.95 ? "full" : value >= max * 0.8 ? "high" : "calm";
  return bar("meter", label, value, max, max > 0 ? level : "calm");
}

function presence(node) {
  if (node.presence === "here") return el("span", { className: "state good" }, "● this node");
  if (node.presence === "present") return el("span", { className: "state good" }, "● present");
  return el("span", { className: "state bad" }, node.gone_us === null ? "○ not heard yet" : `○ gone for ${span(node.gone_us)}`);
}

const ROUND_TRIPS = 3; // in words, of those that count alike: the shortest

/** Round trips of one weight: the shortest, to whom, and how old the oldest of them is. */
function roundTrips(samples, weight) {
  const found = samples.filter((sample) => sample.weight === weight).sort((one, other) => one.rtt_us - other.rtt_us);
  const named = found.slice(0, ROUND_TRIPS).map((sample) => {
    const before = sample.before_us === null ? "" : ` where it was ${span(sample.before_us)}`;
    return `${span(sample.rtt_us)} to ${sample.site ?? sample.anchor.slice(0, 10)}${before}`;
  });
  const more = found.length > ROUND_TRIPS ? ` and ${found.length - ROUND_TRIPS} more` : "";
  const oldest = Math.max(0, ...found.map((sample) => sample.age_us ?? 0));
  return { count: found.length, words: `${named.join(", ")}${more}, ${ago(oldest)}` };
}

/** How well it is known where a member stands, and what that rests on. */
function assurance({ member, evidence }) {
  if (!evidence) return "claimed: whoever runs it says where it stands";
  const { node, site } = member;
  const { certificate_by, outdated, near_us, samples } = evidence;
  if (outdated) return `claimed: ${outdated.words}`;
  const [near, far, moved] = ["near", "far", "moved"].map((weight) => roundTrips(samples, weight));
  if (member.assurance === "near") return `near: ${near.words}`;
  const voucher = view.nodes.find((known) => known.member.node === certificate_by)?.member.site ?? certificate_by?.slice(0, 10);
  const vouched = certificate_by === node ? `vouched by itself: ${site} founded the mesh` : `vouched by ${voucher ?? "a member"}`;
  const stated = member.assurance === "claimed" ? "claimed: nobody vouches for where it stands" : vouched;
  if (moved.count) return `${stated}; it answers from farther than before: ${moved.words}`;
  if (member.assurance === "claimed") return stated;
  if (near.count) return `${stated}; ${near.words}, and near takes two`;
  return far.count ? `${stated}; ${far.words}, where near takes ${span(near_us)}` : stated;
}

function sites() {
  const bySite = new Map();
  for (const node of view.nodes) {
    const of = bySite.get(node.member.site) ?? [];
    bySite.set(node.member.site, [...of, node]);
  }
  return [...bySite].map(([site, nodes]) => {
    const gone = nodes.every((node) => node.presence === "gone");
    const places = [...new Set(nodes.map((node) => node.member.jurisdiction))].join(", ");
    return el("article", { className: "site", "data-gone": gone, "data-site": site },
      el("h3", {}, site, el("span", {}, places)),
      ...nodes.map((node) => {
        const slots = node.models.reduce((sum, model) => sum + (model.stage === "ready" ? model.slots : 0), 0);
        const busy = node.models.reduce((sum, model) => sum + model.busy, 0);
        const queued = node.models.reduce((sum, model) => sum + model.queued, 0);
        const round = node.rtt_us === null ? "" : `${span(node.rtt_us)} away`;
        return el("div", { className: "node" },
          el("div", { className: "node-head" }, presence(node), el("span", { className: "soft" }, round || `node ${node.member.node.slice(0, 10)}`)),
          el("p", { className: "assurance", "data-assurance": node.member.assurance }, assurance(node)),
          el("div", { className: "fact" }, "power", meter(node.power_mw, node.cap_mw, `Power in use at ${site}`), el("b", {}, `${watts(node.power_mw)} of ${watts(node.cap_mw)}`)),
          el("div", { className: "fact" }, "serving", meter(busy, slots, `Slots in use at ${site}`), el("b", {}, slots ? `${busy} of ${slots} slots` : "nothing loaded", queued ? `, ${queued} waiting` : "")));
      }));
  });
}

function cell(model) {
  if (!model) return el("td", { className: "soft" }, "–");
  if (model.stage === "fetching") {
    const size = model.size ?? 0;
    const part = size ? Math.floor((100 * model.fetched) / size) : 0;
    return el("td", {}, el("span", { className: "pill busy" }, size ? `fetching ${part} %` : "fetching"), bar("progressbar", "fetched", model.fetched, size, "moving"), el("small", {}, `${bytes(model.fetched)}${size ? ` of ${bytes(size)}` : ""}`));
  }
  if (model.stage === "stored") return el("td", {}, el("span", { className: "pill soft" }, "stored"), el("small", {}, "loads on demand"));
  if (model.stage === "quarantined") return el("td", {}, el("span", { className: "pill bad" }, "in quarantine"), el("small", {}, "crashed too often"));
  const waiting = model.queued ? `, ${model.queued} waiting` : "";
  return el("td", {}, el("span", { className: model.busy ? "pill busy" : "pill good" }, model.busy ? "serving" : "ready"), el("small", {}, `${model.busy} of ${model.slots} slots${waiting}${model.device ? `, ${model.device}` : ""}`));
}

/** How a new version of a name fares, beneath the name. */
function versions(name) {
  const found = view.rollouts.find((rollout) => rollout.name === name);
  if (!found) return null;
  const { from, to, share, sites, state, reason, new: fresh } = found;
  const met = `${number(fresh.tried)} requests here, ${number(fresh.failed)} failed`;
  const places = sites.length ? ` at ${sites.join(", ")}` : "";
  switch (state) {
    case "went_back": return el("small", { className: "bad" }, `went back from ${to} to ${from}: ${reason}`);
    case "taken_back": return el("small", {}, `${from} again, and no more ${to}`);
    case "whole": return el("small", {}, `means ${to}: ${met}`);
    default: return el("small", {}, `${to} gets ${Math.round(share * 1000) / 10} %${places}: ${met}`);
  }
}

function models() {
  const several = new Set(view.nodes.map((node) => node.member.site)).size < view.nodes.length;
  const columns = view.nodes.map((node) => el("th", { scope: "col" }, several ? `${node.member.site} ${node.member.node.slice(0, 6)}` : node.member.site, node.presence === "gone" ? " (gone)" : ""));
  const rows = view.models.map((model) =>
    el("tr", {},
      el("th", { scope: "row" }, model.name, el("small", {}, `${model.format} · ${bytes(model.size)}${model.licence ? ` · ${model.licence}` : ""}`), versions(model.name)),
      ...view.nodes.map((node) => cell(node.models.find((held) => held.digest === model.digest)))));
  const none = el("tr", {}, el("td", { colSpan: columns.length + 1, className: "soft" }, "No model yet. Add one: ", el("code", {}, "hither models add FILE --name NAME")));
  return [
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Model"), ...columns)),
    el("tbody", {}, ...(rows.length ? rows : [none])),
  ];
}

const KINDS = { h: "here", c: "on their way", e: "at others", n: "at nobody who is here" };

/** A file from its beginning to its end; the counts stand in words beside it. */
function strip(course) {
  const runs = course.cells.match(/(.)\1*/g) ?? [];
  const parts = runs.map((run) => {
    const part = el("span", { "data-kind": run[0] });
    part.style.flexGrow = run.length;
    return part;
  });
  return el("div", { className: "strip", role: "img", "aria-label": `${course.here} of ${course.chunks} chunks are here` }, ...parts);
}

/** Chunk by chunk: what is here, what comes, who has how much. */
function courses() {
  return view.courses.map((course) => {
    const nowhere = course.chunks - course.here - course.coming - course.elsewhere;
    const counts = { h: course.here, c: course.coming, e: course.elsewhere, n: nowhere };
    const legend = Object.entries(counts).filter(([, count]) => count > 0).map(([kind, count]) =>
      el("li", {}, el("span", { className: "swatch", "data-kind": kind, "aria-hidden": "true" }), `${number(count)} ${KINDS[kind]}`));
    const partners = course.partners.map((partner) =>
      el("li", {}, `${partner.site ?? "no member any more"} ${partner.node.slice(0, 6)}: ${number(partner.chunks)} of ${number(course.chunks)}`));
    const name = course.model ?? course.digest.slice(0, 10);
    return el("article", { className: "course", "data-model": name },
      el("h3", {}, name, el("span", {}, course.here < course.chunks ? `${number(course.here)} of ${number(course.chunks)} chunks are here` : "all of it is here; others fetch it")),
      strip(course),
      el("ul", { className: "legend", "aria-label": "Chunks" }, ...legend),
      partners.length ? el("ul", { className: "legend", "aria-label": "Others on its way" }, ...partners) : el("p", { className: "soft" }, "nobody else takes part"));
  });
}

function state(request) {
  switch (request.state) {
    case "open": return [el("span", { className: "pill busy" }, "open")];
    case "answered": return [el("span", { className: "pill good" }, `answered in ${span(request.took_us)}`)];
    case "cancelled": return [el("span", { className: "pill soft" }, "client left")];
    default: {
      const { problem } = request;
      const word = request.state === "refused" ? (problem.status === 451 ? "refused by law" : "refused") : "failed";
      const colour = problem.status === 451 || request.state === "failed" ? "bad" : "warn";
      return [el("span", { className: `pill ${colour}` }, `${word} · ${problem.status}`), el("small", { className: "why" }, problem.rule ? `rule ${problem.rule}: ` : "", problem.message)];
    }
  }
}

function recent() {
  const row = (request) => el("tr", {},
    el("td", { className: "when", "data-age": request.age_us }, ago(request.age_us)),
    el("th", { scope: "row" }, request.model),
    el("td", {}, request.class),
    el("td", { className: "route" }, request.route.length ? request.route.join(" → ") : el("span", { className: "soft" }, "nowhere")),
    el("td", {}, ...state(request)),
    el("td", {}, el("button", { type: "button", "aria-label": `Explain request ${request.request}`, onclick: () => explain(request.request) }, "why?")));
  const none = el("tr", {}, el("td", { colSpan: 6, className: "soft" }, "No request yet. Try: ", el("code", {}, "hither run MODEL \"Hello\"")));
  return [
    el("thead", {}, el("tr", {}, ...["When", "Model", "Class", "Route", "State", ""].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...(view.recent.length ? view.recent.map(row) : [none])),
  ];
}

async function explain(id) {
  const body = at("explain-body");
  body.replaceChildren(el("p", { className: "soft" }, "Asking the node…"));
  at("explain").showModal();
  try {
    const answer = await fetch(`/hither/v1/requests/${encodeURIComponent(id)}`);
    const said = await answer.json();
    if (!answer.ok) throw new Error([said.detail, ...(said.help ?? [])].join(". "));
    body.replaceChildren(
      el("p", {}, `${said.request.model} · ${said.request.class}${said.label ? ` · ${said.label}` : ""}`),
      el("p", {}, el("code", {}, said.request.request)),
      el("ol", { className: "steps" }, ...said.steps.map((step) => el("li", {}, el("span", {}, `+${span(step.after_us)}`), step.text,
        ...(step.what_ifs ?? []).map((one) => el("div", { className: "soft" }, one.text))))));
  } catch (error) {
    body.replaceChildren(el("p", { className: "bad" }, `The node could not say: ${error.message}`));
  }
}

function show() {
  const { me } = view;
  at("summary").textContent = view.summary;
  at("me").textContent = `${me.site} · ${me.jurisdiction} · ${me.operator}`;
  document.title = `${me.site}: ${view.summary} Hither`;
  draw("warnings", view.warnings, () => view.warnings.map((warning) => el("li", {}, warning)));
  draw("totals", [view.totals, view.nodes[0]?.power_mw, view.nodes[0]?.cap_mw], tiles);
  draw("sites", view.nodes.map((node) => ({ ...node, evidence: assurance(node) })), sites);
  draw("models", [view.models, view.rollouts, view.nodes.map((node) => [node.models, node.presence])], models);
  at("courses-section").hidden = !view.courses.length;
  draw("courses", view.courses, courses);
  draw("recent", view.recent.map((request) => ({ ...request, age_us: 0 })), recent);
  document.querySelectorAll("#recent .when").forEach((cell, index) => {
    cell.dataset.age = view.recent[index]?.age_us ?? 0;
  });
  at("foot").textContent = `Hither ${view.version} · policy ${view.policy.slice(0, 10)} · node ${me.node.slice(0, 10)}`;
}

/** Says whether the picture is live; if not, of when it is. */
function link(state) {
  at("link").dataset.state = state;
  const since = heard ? `connection lost, showing the state of ${clock(heard)}` : "no connection yet, trying again";
  const text = state === "live" ? "live" : since;
  if (at("link-text").textContent !== text) at("link-text").textContent = text;
}

function listen() {
  const stream = new EventSource("/hither/v1/events");
  stream.onmessage = (event) => {
    view = JSON.parse(event.data);
    heard = new Date();
    show();
    link("live");
  };
  stream.onerror = () => {
    link("lost");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  };
}

setInterval(() => {
  if (!heard) return;
  const passed = Date.now() - heard.getTime();
  if (passed > SILENCE_MS) link("lost");
  document.querySelectorAll("#recent .when").forEach((cell) => {
    cell.textContent = ago(Number(cell.dataset.age) + passed * 1000);
  });
}, 1000);

listen();
