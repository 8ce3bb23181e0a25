// Writes an answer as elements. No text ever becomes markup: everything is a text node
// in an element made here, and only http and https become links.

const inline = /(`+)([^`]+?)\1|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]\n]+)\]\(([^()\s]+)\)|\[(\d{1,3})\]|(https?:\/\/[^\s<>"'`)\]]+)/g;

const element = (name, text) => {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  return e;
};

function link(address, text) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return document.createTextNode(text);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return document.createTextNode(text);
  const a = element("a", text);
  a.href = url.href;
  a.rel = "noopener noreferrer nofollow";
  a.target = "_blank";
  return a;
}

// write puts one line's text into parent; cite makes the element of a number that is a
// source, or gives nothing.
function write(parent, text, cite) {
  let from = 0;
  for (const m of text.matchAll(inline)) {
    parent.append(text.slice(from, m.index));
    from = m.index + m[0].length;
    if (m[2] !== undefined) parent.append(element("code", m[2]));
    else if (m[3] !== undefined) write(parent.appendChild(element("strong")), m[3], cite);
    else if (m[4] !== undefined) write(parent.appendChild(element("em")), m[4], cite);
    else if (m[5] !== undefined) parent.append(link(m[6], m[5]));
    else if (m[7] !== undefined) parent.append(cite(Number(m[7])) ?? m[0]);
    else parent.append(link(m[8], m[8]));
  }
  parent.append(text.slice(from));
}

// render replaces what parent holds by text: headings, lists, code, paragraphs.
export function render(parent, text, cite) {
  const out = document.createDocumentFragment();
  let block = null; // the paragraph or list that goes on
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const fence = line.match(/^\s*(```+|~~~+)/);
    if (fence) {
      const code = [];
      while (++i < lines.length && !lines[i].trim().startsWith(fence[1])) code.push(lines[i]);
      out.appendChild(element("pre")).append(element("code", code.join("\n")));
      block = null;
      continue;
    }
    const heading = line.match(/^#{1,6}\s+(.*)/);
    const item = line.match(/^\s*(?:[-*+]|(\d+)[.)])\s+(.*)/);
    if (heading) {
      write(out.appendChild(element("h3")), heading[1], cite);
      block = null;
    } else if (item) {
      const kind = item[1] ? "OL" : "UL";
      if (block?.tagName !== kind) {
        block = out.appendChild(element(kind));
        if (item[1]) block.start = Number(item[1]);
      }
      write(block.appendChild(element("li")), item[2], cite);
    } else if (line.trim() === "") {
      block = null;
    } else {
      if (block?.tagName === "P") block.append(element("br"));
      else block = out.appendChild(element("p"));
      write(block, line, cite);
    }
  }
  parent.replaceChildren(out);
}
