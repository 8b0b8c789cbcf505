// Shows /openapi.json to people, and lets them try each operation out. It asks this node and nobody else.

const at = (id) => document.getElementById(id);
let book = null;

/** An element with properties and children; text is always text. */
function el(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key in made) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** What a reference leads to, or the thing itself. */
function found(thing) {
  if (!thing?.$ref) return thing;
  return thing.$ref.slice(2).split("/").reduce((inside, name) => inside[name], book);
}

const nameOf = (schema) => schema.$ref?.split("/").pop() ?? "";

/** Text with the links of Markdown, and nothing else of it. */
function prose(text) {
  return text.split(/(\[[^\]]+\]\(\/[^)\s]*\))/).map((part) => {
    const link = /^\[([^\]]+)\]\((\/[^)\s]*)\)$/.exec(part);
    return link ? el("a", { href: link[2] }, link[1]) : part;
  });
}

/** What a value may be, in a few words. */
function kind(reference) {
  const schema = found(reference);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return nameOf(reference) || [...new Set(either.map(kind))].join(" or ");
  const types = [schema.type ?? "anything"].flat();
  let said = types.join(" or ");
  if (types.includes("array")) said = said.replace("array", `list of ${schema.items ? nameOf(schema.items) || kind(schema.items) : "anything"}`);
  if (types.includes("object") && nameOf(reference)) said = said.replace("object", nameOf(reference));
  const bounds = [];
  if (schema.format && schema.format !== "uint64" && schema.format !== "uint32") bounds.push(schema.format);
  if (schema.minimum !== undefined && schema.maximum !== undefined) bounds.push(`${schema.minimum} to ${schema.maximum}`);
  else if (schema.minimum !== undefined) bounds.push(`${schema.minimum} or more`);
  if (schema.minItems) bounds.push(`at least ${schema.minItems}`);
  if (schema.maxItems !== undefined) bounds.push(`at most ${schema.maxItems}`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) bounds.push(`like ${schema.pattern}`);
  return bounds.length ? `${said} (${bounds.join(", ")})` : said;
}

/** The fields of a schema; each opens when it is wanted, for schemas may hold themselves. */
function fields(reference) {
  const schema = found(reference);
  const inside = [];
  const parts = [schema, ...(schema.allOf ?? [])].map(found);
  for (const part of parts) {
    for (const [name, field] of Object.entries(part.properties ?? {})) {
      inside.push([name, field, (part.required ?? []).includes(name)]);
    }
  }
  for (const [index, choice] of (schema.anyOf ?? schema.oneOf ?? []).entries()) {
    if (found(choice).type !== "null") inside.push([`form ${index + 1}`, choice, false]);
  }
  if (schema.items) inside.push(["each", schema.items, false]);
  return el("ul", { className: "fields" }, inside.map(([name, field, needed]) => {
    const head = [el("code", {}, name), " ", el("span", { className: "kind" }, kind(field), needed ? ", needed" : "")];
    const about = field.description ?? found(field).description;
    const more = about ? el("div", { className: "kind" }, about) : null;
    return el("li", {}, isDeep(field) ? later(head, () => [fields(field)]) : head, more);
  }));
}

function isDeep(reference) {
  const schema = found(reference);
  if (Object.keys(schema.properties ?? {}).length) return true;
  if (schema.items) return isDeep(schema.items);
  return (schema.anyOf ?? schema.oneOf ?? []).some((choice) => isDeep(choice));
}

/** Something that is made when it is opened. */
function later(head, make) {
  const box = el("details", {}, el("summary", {}, head));
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(...make());
  });
  return box;
}

function content(of) {
  return Object.entries(of.content ?? {}).map(([type, { schema }]) =>
    el("div", {}, el("code", {}, type), " ", el("span", { className: "kind" }, kind(schema)),
      found(schema).description ? el("div", { className: "kind" }, found(schema).description) : null, fields(schema)));
}

function answers(operation) {
  return Object.entries(operation.responses).map(([status, reference]) => {
    const answer = found(reference);
    const headers = Object.entries(answer.headers ?? {}).map(([name, header]) =>
      el("li", {}, el("code", {}, name), " ", el("span", { className: "kind" }, found(header).description)));
    return later([el("b", {}, status), " ", ...prose(answer.description)], () => [
      ...content(answer), headers.length ? el("ul", { className: "fields" }, headers) : ""]);
  });
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The form to try an operation out, and what came of it. */
function attempt(path, method, operation) {
  const parameters = (operation.parameters ?? []).map(found);
  const inputs = parameters.map((parameter) => {
    const choices = found(parameter.schema).enum;
    const value = parameter.in === "path" ? parameter.example ?? "" : "";
    const input = choices
      ? el("select", {}, ["", ...choices].map((choice) => el("option", { value: choice }, choice)))
      : el("input", { value, autocomplete: "off" });
    return [parameter, input];
  });
  const json = operation.requestBody?.content["application/json"];
  const body = json ? el("textarea", { value: JSON.stringify(json.example ?? {}, null, 2), spellcheck: false, "aria-label": "Body" }) : null;
  const typed = el("pre", { className: "typed" });
  const came = el("pre", { className: "came", role: "status" });
  const send = el("button", { type: "submit" }, "Send");
  const stop = el("button", { type: "button", disabled: true }, "Stop");
  const form = el("form", { className: "try" },
    el("table", {}, el("tbody", {}, inputs.map(([parameter, input]) =>
      el("tr", {}, el("th", { scope: "row" }, el("label", {}, `${parameter.name} `, input)),
        el("td", { className: "kind" }, `in the ${parameter.in}. ${parameter.description ?? ""} ${kind(parameter.schema)}`))))),
    body, el("p", {}, send, " ", stop), typed, came);

  const ask = () => {
    const headers = {};
    const query = new URLSearchParams();
    let target = path;
    for (const [parameter, { value }] of inputs) {
      if (value === "" && parameter.in !== "path") continue;
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (parameter.in === "query") query.set(parameter.name, value);
      else headers[parameter.name] = value;
    }
    if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
    if (body) headers["Content-Type"] = "application/json";
    const url = query.size ? `${target}?${query}` : target;
    return { url, headers, body: body?.value };
  };
  const type = () => {
    const { url, headers, body } = ask();
    // The key is a secret, and what is shown here gets copied.
    const shown = Object.entries(headers).map(([name, value]) => ` -H ${quoted(`${name}: ${name === "Authorization" ? "Bearer $KEY" : value}`)}`);
    typed.textContent = `curl -X ${method.toUpperCase()} ${quoted(location.origin + url)}${shown.join("")}${body ? ` -d ${quoted(body)}` : ""}`;
  };
  form.addEventListener("input", type);
  type();
  let leaving = null;
  stop.addEventListener("click", () => leaving?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    type();
    leaving = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    came.textContent = "asking…";
    try {
      const { url, ...asked } = ask();
      const answer = await fetch(url, { method: method.toUpperCase(), signal: leaving.signal, ...asked });
      const head = [`HTTP ${answer.status}`, ...[...answer.headers].map(([name, value]) => `${name}: ${value}`)].join("\n");
      came.textContent = `${head}\n\n`;
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      let said = "";
      for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
        said += part.value;
        came.textContent = `${head}\n\n${said}`;
      }
      if ((answer.headers.get("content-type") ?? "").includes("json")) {
        try {
          came.textContent = `${head}\n\n${JSON.stringify(JSON.parse(said), null, 2)}`;
        } catch {
          // Several lines of JSON, or binary behind it: it stays as it came.
        }
      }
    } catch (error) {
      came.textContent += `\n${error.name === "AbortError" ? "stopped" : `no answer: ${error.message}`}`;
    }
    send.disabled = false;
    stop.disabled = true;
  });
  return form;
}

function entry(path, method, operation) {
  const head = [el("span", { className: "method" }, method), el("span", { className: "path" }, path), el("span", { className: "brief" }, operation.summary)];
  const box = later(head, () => [el("div", { className: "open" },
    operation.description ? el("p", {}, prose(operation.description)) : null,
    operation.requestBody ? el("section", {}, el("h4", {}, "Body"), content(operation.requestBody)) : null,
    el("h4", {}, "Answers"), answers(operation),
    el("h4", {}, "Try it"), attempt(path, method, operation))]);
  box.id = operation.operationId;
  box.dataset.words = [method, path, operation.operationId, operation.summary, operation.description ?? "", ...Object.keys(operation.responses)].join(" ").toLowerCase();
  return box;
}

function search() {
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const section of document.querySelectorAll("#operations section.tag")) {
    let any = false;
    for (const box of section.querySelectorAll(":scope > details")) {
      const fits = words.every((word) => box.dataset.words.includes(word));
      box.hidden = !fits;
      any ||= fits;
      shown += fits ? 1 : 0;
    }
    section.hidden = !any;
  }
  at("count").textContent = `${shown} operations`;
}

/** Opens what the address names. */
function follow() {
  const box = location.hash ? at(decodeURIComponent(location.hash.slice(1))) : null;
  if (box?.tagName === "DETAILS") {
    box.open = true;
    box.scrollIntoView();
  }
}

async function show() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  book = await answer.json();
  at("about").replaceChildren(...prose(book.info.description));
  at("title").textContent = `The API of this node, version ${book.info.version}`;
  const all = Object.entries(book.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  at("operations").replaceChildren(...book.tags.map((tag) => el("section", { className: "tag" },
    el("h2", {}, tag.name), el("p", {}, tag.description),
    all.filter(({ operation }) => operation.tags.includes(tag.name)).map(({ path, method, operation }) => entry(path, method, operation)))));
  search();
  follow();
}

at("find").addEventListener("input", search);
addEventListener("hashchange", follow);
show().catch((error) => {
  at("count").textContent = `The description could not be read: ${error.message}`;
});
