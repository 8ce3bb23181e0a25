// Calls of the tenant's API. The key lives in this tab alone.

const keyName = "enigma.key";
export const key = {
  get: () => sessionStorage.getItem(keyName) ?? "",
  set: (value) => (value ? sessionStorage.setItem(keyName, value) : sessionStorage.removeItem(keyName)),
};

// Failure is an answer that isn't ok, or none at all.
export class Failure extends Error {
  constructor(status, code, message, trace) {
    super(message);
    Object.assign(this, { status, code, trace });
  }
  get told() {
    return `${this.message} (${this.code}${this.trace ? `, trace ${this.trace}` : ""})`;
  }
}

let tenant = "";
// describe learns the tenant's name, which needs no key.
export async function describe() {
  const res = await fetch("/openapi.json");
  if (res.ok) tenant = (await res.json()).info.title;
  return tenant;
}

// call gives the response of a path; body is sent as JSON, or as a form.
export async function call(path, { method, body, signal } = {}) {
  const headers = {};
  if (key.get()) headers["x-api-key"] = key.get();
  if (tenant) headers["x-tenant-id"] = tenant;
  const form = body instanceof FormData;
  if (body && !form) headers["content-type"] = "application/json";
  let res;
  try {
    res = await fetch(path, { method: method ?? (body ? "POST" : "GET"), headers, signal, body: body && !form ? JSON.stringify(body) : body });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Failure(0, "unreachable", "The API can't be reached: check the connection and try again.");
  }
  if (res.ok) return res;
  const told = await res.json().catch(() => ({}));
  const wrong = (told.error?.details ?? []).map((d) => `${d.path} ${d.message}`).join("; ");
  const wait = res.headers.get("retry-after");
  const message = [told.error?.message ?? `The API answered ${res.status}`, wrong, wait && res.status === 503 ? `try again in ${wait} s` : ""].filter(Boolean).join(": ");
  throw new Failure(res.status, told.error?.code ?? String(res.status), message, told.traceId ?? res.headers.get("x-trace-id"));
}

export const data = async (path, options) => (await (await call(path, options)).json()).data;

// events reads a stream of server-sent events as {name, data}.
export async function* events(res) {
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        let name = "";
        const lines = [];
        for (const line of rest.slice(0, end).split("\n")) {
          if (line.startsWith("event: ")) name = line.slice(7);
          else if (line.startsWith("data: ")) lines.push(line.slice(6));
        }
        if (lines.length) yield { name, data: JSON.parse(lines.join("\n")) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
