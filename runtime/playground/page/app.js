import { call, data, describe, events, Failure, key } from "./api.js";
import { render } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const make = (name, { text, ...rest } = {}, ...children) => {
  const e = Object.assign(document.createElement(name), rest);
  if (text !== undefined) e.textContent = text;
  e.append(...children);
  return e;
};
const when = (ms) => new Date(ms).toLocaleString([], { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });

let session = uuid();
let running = null; // the AbortController of the question that is being answered
let speaks = false; // the tenant has a voice
let playing = null;

// uuid is made here: a page that is not on https has no crypto.randomUUID.
function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function fail(e) {
  if (e.name === "AbortError") return;
  if (e instanceof Failure && e.status === 401) {
    askKey(key.get() ? e.told : "");
    return;
  }
  $("alert").textContent = e instanceof Failure ? e.told : `The page failed: ${e.message}`;
}

const guarded = (f) => async (...args) => {
  $("alert").textContent = "";
  try {
    return await f(...args);
  } catch (e) {
    fail(e);
  }
};

// ---- key

function askKey(why) {
  $("keyAlert").textContent = why;
  $("key").value = "";
  if (!$("keyDialog").open) $("keyDialog").showModal();
}

const useKey = guarded(async () => {
  key.set($("key").value.trim());
  await begin();
  $("message").focus();
});

// ---- what the tenant has

// optional gives null where the tenant doesn't have something.
async function optional(path) {
  try {
    return await data(path);
  } catch (e) {
    if (e instanceof Failure && (e.status === 403 || e.code === "tts_error")) return null;
    throw e;
  }
}

async function begin() {
  const health = await data("/health");
  const models = await (await call("/v1/models")).json();
  $("model").replaceChildren(...models.data.map((m) => make("option", { text: m.id, selected: m.id === health.modelId })));
  speaks = Boolean(await optional("/tts/voices"));
  await showDocuments();
  await showSessions();
}

// ---- sessions

async function showSessions() {
  const { sessions } = await data("/sessions?limit=50");
  $("sessions").replaceChildren(...sessions.map((s) => {
    const name = `${when(s.updatedAt)} · ${s.messages} messages`;
    const open = make("button", { className: "quiet", text: name, onclick: guarded(() => openSession(s.sessionId)) });
    const remove = make("button", { className: "quiet", text: "✕", ariaLabel: `Delete the session of ${name}`, onclick: guarded(() => forget(s.sessionId)) });
    const li = make("li", {}, open, remove);
    if (s.sessionId === session) {
      li.className = "current";
      open.setAttribute("aria-current", "true");
    }
    return li;
  }));
}

async function openSession(id) {
  leave();
  session = id;
  const said = await (await call(`/chat/${id}/history?limit=200`)).json();
  $("log").replaceChildren();
  for (const m of said.reverse()) {
    if (m.role === "user") addUser(m.content);
    else addAnswer().finish(m.content, [], m.partial ? "broke off" : "");
  }
  side(false);
  await showSessions();
}

async function forget(id) {
  if (!confirm("Delete this session?")) return;
  await call(`/chat/${id}`, { method: "DELETE" });
  if (id === session) fresh();
  await showSessions();
}

function fresh() {
  leave();
  session = uuid();
  $("log").replaceChildren();
  $("hint").hidden = false;
  for (const li of $("sessions").children) li.className = "";
  side(false);
  $("message").focus();
}

// leave ends what belongs to the session that is shown.
function leave() {
  running?.abort();
  playing?.pause();
}

// ---- conversation

const atEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;
const toEnd = () => ($("log").scrollTop = $("log").scrollHeight);

function addUser(text) {
  $("hint").hidden = true;
  $("log").append(make("article", { className: "user", ariaLabel: "You", text }));
  toEnd();
}

// addAnswer gives what an answer is written with, as it comes.
function addAnswer() {
  $("hint").hidden = true;
  const text = make("div", { className: "text" }, make("span", { className: "waiting", text: "…" }));
  const tools = make("ul", { className: "tools", hidden: true });
  const article = make("article", { ariaLabel: "Answer" }, tools, text);
  $("log").append(article);
  const byTool = new Map();
  let whole = "";
  let drawn = false;
  let cite = () => null; // sources are known at the end
  const draw = () => {
    const follow = atEnd();
    render(text, whole, cite);
    if (follow) toEnd();
  };
  return {
    token(more) {
      whole += more;
      if (drawn) return;
      drawn = true;
      requestAnimationFrame(() => {
        drawn = false;
        draw();
      });
    },
    tool({ id, name, status, code, durationMs }) {
      tools.hidden = false;
      if (!byTool.has(id)) byTool.set(id, tools.appendChild(make("li")));
      const how = { started: "runs …", ok: `done in ${durationMs} ms`, failed: `failed: ${code}` }[status] ?? status;
      byTool.get(id).textContent = `${name}: ${how}`;
    },
    finish(final, sources, note) {
      whole = final ?? whole;
      if (whole === "" && byTool.size === 0) {
        article.remove();
        return;
      }
      const byNumber = new Map(sources.map((s) => [s.id, s]));
      cite = (n) => (byNumber.has(n) ? make("button", { className: "cite", type: "button", text: String(n), ariaLabel: `Source ${n}`, onclick: () => showSource(byNumber.get(n)) }) : null);
      draw(); // a frame that is still to come draws the same
      if (sources.length) article.append(sourceList(sources));
      if (note || (speaks && whole)) article.append(foot(whole, note));
      if (atEnd()) toEnd();
    },
  };
}

function sourceList(sources) {
  return make("ul", { className: "sources", ariaLabel: "Sources" }, ...sources.map((s) =>
    make("li", {}, make("button", { className: "small", type: "button", text: `[${s.id}] ${s.title || s.docId}`, onclick: () => showSource(s) }))));
}

function foot(text, note) {
  const meta = make("div", { className: "meta" }, make("span", { text: note }));
  if (speaks && text) {
    const button = make("button", { className: "small", type: "button", text: "Play" });
    button.onclick = guarded(() => play(text, button));
    meta.append(button);
  }
  return meta;
}

function showSource(s) {
  $("passageTitle").textContent = s.title || s.docId;
  const where = [s.docId, ...(s.headings ?? []), s.page && `page ${s.page}`].filter(Boolean).join(" › ");
  $("passageWhere").textContent = `${where} · score ${s.score.toFixed(2)}`;
  $("passageText").textContent = s.text;
  $("passage").showModal();
}

async function play(text, button) {
  const was = playing;
  was?.pause();
  if (was && was.button === button) return;
  button.disabled = true;
  try {
    // What isn't said: marks of headings, code and citations.
    const plain = text.replace(/```[\s\S]*?```/g, " ").replace(/\[\d{1,3}\]|[*#`]/g, "");
    const res = await call("/tts", { body: { text: Array.from(plain).slice(0, 5000).join("") } });
    const address = URL.createObjectURL(await res.blob());
    const audio = Object.assign(new Audio(address), { button });
    playing = audio;
    button.textContent = "Stop";
    button.disabled = false;
    audio.onended = audio.onpause = () => {
      button.textContent = "Play";
      URL.revokeObjectURL(address);
      if (playing === audio) playing = null;
    };
    await audio.play();
  } finally {
    button.disabled = false;
    if (!playing) button.textContent = "Play";
  }
}

// send asks, and shows the answer as it comes.
const send = guarded(async () => {
  const message = $("message").value.trim();
  if (!message || running) return;
  const stop = (running = new AbortController());
  busy(true);
  addUser(message);
  $("message").value = "";
  grow();
  const answer = addAnswer();
  toEnd();
  let sources = [];
  let note = "";
  try {
    const body = { sessionId: session, message, modelId: $("model").value || undefined };
    if ($("useRag").checked) body.useRag = true;
    const res = await call("/chat", { body, signal: stop.signal });
    let ended = false;
    for await (const e of events(res)) {
      if (e.name === "") answer.token(e.data.content);
      else if (e.name === "tool") answer.tool(e.data);
      else if (e.name === "error") fail(new Failure(200, e.data.code, e.data.message, e.data.traceId));
      else if (e.name === "done") {
        ended = true;
        sources = e.data.sources ?? [];
        const u = e.data.usage;
        if (u) note = `${u.modelId} · ${u.tokensIn} + ${u.tokensOut} tokens${u.estimated ? " (estimated)" : ""} · ${(u.latencyMs / 1000).toFixed(1)} s`;
      }
    }
    if (!ended) throw new Failure(0, "cut_off", "The connection ended before the answer did: ask again.");
    $("state").textContent = "The answer is complete.";
  } catch (e) {
    if (e.name === "AbortError") note = "stopped";
    else if (!$("message").value) $("message").value = message; // to be sent again
    throw e;
  } finally {
    answer.finish(null, sources, note);
    running = null;
    busy(false);
  }
  await showSessions();
});

function busy(is) {
  $("send").disabled = is;
  $("stop").hidden = !is;
  $("state").textContent = is ? "The answer is on its way." : "";
}

function grow() {
  const m = $("message");
  m.style.height = "";
  m.style.height = `${m.scrollHeight + 2}px`;
}

// ---- documents

async function showDocuments() {
  const found = await optional("/documents?limit=100");
  $("documents").hidden = $("ragOption").hidden = !found;
  if (!found) return;
  $("documentList").replaceChildren(...found.documents.map((d) => make("li", {},
    make("span", { text: d.title || d.docId, title: `${d.docId}: ${d.chunks} passages` }),
    make("button", { className: "quiet", text: "✕", ariaLabel: `Delete ${d.title || d.docId}`, onclick: guarded(async () => {
      if (!confirm(`Delete ${d.title || d.docId}?`)) return;
      await call(`/documents/${encodeURIComponent(d.docId)}`, { method: "DELETE" });
      await showDocuments();
    }) }))));
}

const upload = guarded(async () => {
  const [file] = $("upload").files;
  if (!file) return;
  const tell = (text) => ($("uploadState").textContent = text);
  try {
    tell(`Reading ${file.name} …`);
    const body = new FormData();
    body.append("docId", file.name.slice(0, 256));
    body.append("file", file);
    const taken = await data("/ingest", { body });
    if (taken.jobId) await follow(taken.jobId, tell);
    tell(`${file.name} can be asked about.`);
    await showDocuments();
  } catch (e) {
    tell("");
    throw e;
  } finally {
    $("upload").value = "";
  }
});

// follow waits for a job's end.
async function follow(id, tell) {
  for (;;) {
    const job = await data(`/ingest/jobs/${encodeURIComponent(id)}`);
    if (job.status === "done") return;
    if (job.status !== "queued" && job.status !== "running" && job.status !== "indexing") {
      throw new Failure(200, job.error?.code ?? job.status, job.error?.message ?? "The document wasn't taken in.");
    }
    tell(`${job.docId}: ${job.progress.done} of ${job.progress.total || "?"}`);
    await new Promise((r) => setTimeout(r, 1000));
  }
}

// ---- the page

function side(open) {
  $("side").classList.toggle("open", open);
  $("menu").setAttribute("aria-expanded", String(open));
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  document.documentElement.style.colorScheme = name;
}

theme(sessionStorage.getItem("enigma.theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
$("theme").onclick = () => {
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  sessionStorage.setItem("enigma.theme", document.documentElement.dataset.theme);
};
$("menu").onclick = () => side(!$("side").classList.contains("open"));
$("fresh").onclick = fresh;
$("keyButton").onclick = () => askKey("");
$("useKey").onclick = (e) => {
  e.preventDefault();
  $("keyDialog").close();
  useKey();
};
$("forgetKey").onclick = () => {
  key.set("");
  location.reload();
};
$("upload").onchange = upload;
$("stop").onclick = () => running?.abort();
$("composer").onsubmit = (e) => {
  e.preventDefault();
  send();
};
$("message").oninput = grow;
$("message").onkeydown = (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
    e.preventDefault();
    send();
  }
};
await guarded(async () => {
  const tenant = await describe();
  $("tenant").textContent = tenant || "Playground";
  document.title = `${tenant} playground`;
  await begin();
})();
