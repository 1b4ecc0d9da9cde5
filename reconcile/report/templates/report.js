"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, name, ...inside) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...inside);
    return made;
  };

  // The exact command, into the clipboard; where that is not allowed it is marked, to be copied by hand.
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    const code = button.previousElementSibling;
    const say = (words) => {
      button.textContent = words;
      button.setAttribute("aria-label", words + ": " + code.textContent);
    };
    say("Copy");
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code);
        done = document.execCommand("copy");
      }
      say(done ? "Copied" : "Press Ctrl+C");
      setTimeout(say, 2000, "Copy");
    });
  }

  const unpack = async () => {
    const bytes = Uint8Array.from(atob($("data").textContent), (char) => char.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  };

  // What differs within two texts: all but what they begin and end with alike, or all where that is little.
  const around = (text, start, end) => {
    const marked = text.slice(start, text.length - end).join("");
    return [text.slice(0, start).join(""), ...(marked ? [make("mark", "", marked)] : []), text.slice(text.length - end).join("")];
  };
  const texts = (before, after) => {
    const [a, b] = [Array.from(before), Array.from(after)];
    const most = Math.min(a.length, b.length);
    let start = 0, end = 0;
    while (start < most && a[start] === b[start]) start++;
    while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
    if (2 * (start + end) < most) start = end = 0;
    return [around(a, start, end), around(b, start, end)];
  };
  const list = (text) => {
    try {
      const found = JSON.parse(text);
      return Array.isArray(found) ? found.map(String) : null;
    } catch {
      return null;
    }
  };
  const items = (some, others) =>
    some.flatMap((item, at) => [at ? ", " : "", others.includes(item) ? item : make("mark", "", item)]);
  const difference = (name, before, after) => {
    if (before === null || after === null) {
      return [before, after].map((text) => [text === null ? make("em", "", "nothing") : make("mark", "", text)]);
    }
    const [a, b] = name === "tags" ? [list(before), list(after)] : [null, null];
    return a && b ? [items(a, b), items(b, a)] : texts(before, after);
  };
  const fieldOf = (action, [name, before, after]) => {
    const sides = action === "update" ? difference(name, before, after) : [[], [after === null ? make("em", "", "nothing") : after]];
    const box = make("div", "", make("ins", "", ...sides[1]));
    if (action === "update") box.prepend(make("del", "", ...sides[0]));
    const title = name.startsWith("metadata.") ? ["metadata.", make("wbr"), name.slice(9)] : [name];
    return make("div", "field", make("span", "", ...title), box);
  };
  const words = (text) => text.replaceAll("_", " ");
  const rowOf = ([uid, action, reasons, fields, outcome, detail, row]) => {
    const cells = [make("td"), make("td"), make("td"), make("td"), make("td")];
    cells[0].append(make("code", "", uid));
    if (row !== null) cells[0].append(make("small", "", "row " + row));
    cells[1].append(make("span", "tag a-" + action, action));
    if (reasons.length) cells[2].append(words(reasons.join(", ")));
    cells[3].append(...fields.map((field) => fieldOf(action, field)));
    if (outcome) cells[4].append(make("span", "tag o-" + outcome, words(outcome)));
    if (detail) cells[4].append(make("small", "", detail));
    return make("tr", "", ...cells);
  };

  const work = (rows) => {
    const facets = {
      action: (row) => [row[1]],
      reason: (row) => row[2],
      outcome: (row) => (row[4] ? [row[4]] : []),
      field: (row) => row[3].map((field) => field[0]),
    };
    const hay = rows.map((row) => [row[0], row[5], ...row[3].flat()].join("\n").toLowerCase());
    const sorts = { uid: (row) => row[0], action: (row) => row[1], reason: (row) => row[2].join(), field: (row) => row[3].map((field) => field[0]).join(), outcome: (row) => row[4] + row[5] };
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    let sort = "", down = false, page = 0, found = [];

    for (const [id, of] of Object.entries(facets)) {
      const counts = new Map();
      for (const row of rows) for (const value of of(row)) counts.set(value, (counts.get(value) || 0) + 1);
      $(id).append(new Option("all", ""));
      for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
        $(id).append(new Option(`${id === "field" ? value : words(value)} (${count.toLocaleString("en")})`, value));
      }
      $(id).disabled = !counts.size;
      $(id).addEventListener("change", () => look());
    }

    const show = () => {
      const size = Number($("size").value), pages = Math.max(1, Math.ceil(found.length / size));
      page = Math.min(page, pages - 1);
      const some = found.slice(page * size, (page + 1) * size);
      $("rows").replaceChildren(...some.map((at) => rowOf(rows[at])));
      const number = (n) => n.toLocaleString("en");
      const range = some.length ? `${number(page * size + 1)}–${number(page * size + some.length)} of ${number(found.length)}` : "Nothing fits";
      $("count").textContent = range + (found.length < rows.length ? ` (of ${number(rows.length)} here)` : "");
      $("previous").disabled = page === 0;
      $("next").disabled = page === pages - 1;
    };
    const look = () => {
      const text = $("text").value.trim().toLowerCase();
      const wanted = Object.entries(facets).filter(([id]) => $(id).value);
      found = [...rows.keys()].filter((at) => hay[at].includes(text) && wanted.every(([id, of]) => of(rows[at]).includes($(id).value)));
      if (sort) {
        const keys = new Map(found.map((at) => [at, sorts[sort](rows[at])]));
        found.sort((a, b) => (down ? -1 : 1) * compare(keys.get(a), keys.get(b)) || a - b);
      }
      page = 0;
      show();
    };

    for (const head of document.querySelectorAll("[data-sort]")) {
      const button = make("button", "", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      // Up, down, and then as the plan has it again.
      button.addEventListener("click", () => {
        const key = head.dataset.sort;
        if (sort !== key) [sort, down] = [key, false];
        else if (!down) down = true;
        else [sort, down] = ["", false];
        for (const other of document.querySelectorAll("[data-sort]")) other.removeAttribute("aria-sort");
        if (sort) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        look();
      });
    }
    $("text").addEventListener("input", look);
    $("size").addEventListener("change", () => { page = 0; show(); });
    $("previous").addEventListener("click", () => { page--; show(); });
    $("next").addEventListener("click", () => { page++; show(); });
    $("clear").addEventListener("click", () => {
      for (const id of ["text", ...Object.keys(facets)]) $(id).value = "";
      look();
    });
    $("plain").hidden = true;
    $("tools").hidden = $("pager").hidden = false;
    look();
  };

  if ($("data") && "DecompressionStream" in window) unpack().then(work);
})();
