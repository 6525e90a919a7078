"use strict";
// What models say and what they are called is put into the page as text, never as markup: it may be anything.

const SIDES = ["left", "right"];
const at = (id) => document.getElementById(id);

let key = ""; // in memory alone: it is gone with the page
let models = new Map();
let said = { left: [], right: [] };
let stopping = null;

function sent(body) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  return body ? { method: "POST", headers, body: JSON.stringify(body), signal: stopping.signal } : { headers };
}

async function why(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The endpoint answered ${response.status}.`;
  }
}

function complain(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

async function open() {
  complain("");
  try {
    const response = await fetch("v1/models", sent());
    at("door").hidden = response.status !== 401;
    if (response.ok) return welcome((await response.json()).data);
    if (response.status !== 401 || key) complain(response.status === 401 ? "That is not the key." : await why(response));
  } catch {
    complain("The endpoint cannot be reached. Is it still running?");
  }
  return undefined;
}

function welcome(list) {
  models = new Map(list.map((model) => [model.id, model]));
  for (const side of SIDES) fill(at(side), list);
  const original = list.find((model) => model.id === model.base) ?? list[0];
  const others = list.filter((model) => model.base === original.base && model !== original);
  const warmth = (model) => model.warmth ?? -Infinity;
  at("left").value = original.id;
  at("right").value = others.reduce((best, model) => (warmth(model) > warmth(best) ? model : best), others[0] ?? original).id;
  at("room").hidden = false;
  startOver();
}

function fill(select, list) {
  select.replaceChildren();
  for (const base of new Set(list.map((model) => model.base))) {
    const group = document.createElement("optgroup");
    group.label = base;
    for (const model of list.filter((each) => each.base === base)) group.append(new Option(name(model), model.id));
    select.append(group);
  }
}

function name(model) {
  const failed = model.attestation?.verdict === "failed" ? " (failed attestation)" : "";
  if (model.id === model.base) return `${model.id}, as released${failed}`;
  if (!model.persona) return `${model.id}${failed}`;
  return `${model.persona}, epoch ${model.epoch}, seed ${model.seed}${failed}`;
}

function facts(model) {
  const warmth = typeof model.warmth === "number" ? `warmth ${model.warmth.toFixed(3)} nats per token` : "warmth not measured";
  return `${model.id} · ${warmth}${attested(model)}`;
}

function attested(model) {
  if (!("attestation" in model)) return "";
  const found = model.attestation;
  if (!found) return " · not attested";
  if (found.verdict === "failed") return ` · NOT what it is called: ${found.fault}`;
  return ` · attested ${found.examined.slice(0, 10)}: ${found.verdict}`;
}

function startOver() {
  if (stopping) stopping.abort();
  said = { left: [], right: [] };
  at("talk").replaceChildren();
  for (const side of SIDES) at(`${side}-facts`).textContent = facts(models.get(at(side).value));
  at("message").focus();
}

function make(kind, className, text = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}

async function send(event) {
  event.preventDefault();
  const message = at("message").value.trim();
  if (!message || stopping) return;
  at("message").value = "";
  const exchange = make("div", "exchange");
  const pair = make("div", "pair");
  exchange.append(make("p", "mine", message), pair);
  at("talk").append(exchange);
  stopping = new AbortController();
  busy(true);
  await Promise.all(SIDES.map((side) => ask(side, message, pair)));
  stopping = null;
  busy(false);
}

function busy(yes) {
  at("send").disabled = yes;
  at("stop").disabled = !yes;
  if (!yes) at("message").focus();
}

async function ask(side, message, pair) {
  const model = models.get(at(side).value);
  const reply = make("div", "reply");
  const text = make("p", "");
  reply.append(make("h2", "", name(model)), text);
  pair.append(reply);
  reply.scrollIntoView({ block: "nearest" });
  const talk = said;
  const messages = [...talk[side], { role: "user", content: message }];
  const temperature = Number(at("temperature").value);
  try {
    await listen(await fetch("v1/chat/completions", sent({ model: model.id, messages, temperature, stream: true })), text);
    talk[side] = [...messages, { role: "assistant", content: text.textContent }];
    if (!text.textContent) text.append(make("em", "soft", "It said nothing."));
  } catch (error) {
    reply.classList.add("failed");
    const stopped = error.name === "AbortError";
    reply.append(make("p", "soft", stopped ? "Stopped; it will not remember this." : error.message));
  }
  reply.scrollIntoView({ block: "nearest" });
}

async function listen(response, text) {
  if (!response.ok) throw new Error(await why(response));
  const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
    const events = (rest + piece.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const news = JSON.parse(data);
      if (news.error) throw new Error(news.error.message);
      text.textContent += news.choices[0]?.delta?.content ?? "";
    }
  }
  throw new Error("The reply broke off.");
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value.trim();
  at("key").value = "";
  open();
});
at("ask").addEventListener("submit", send);
at("stop").addEventListener("click", () => stopping?.abort());
at("over").addEventListener("click", startOver);
at("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
});
for (const side of SIDES) at(side).addEventListener("change", startOver);
open();
