"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const made = (name, type, label) => Object.assign(document.createElement(name), { type, className: label });

// Search: rows and items without all words are hidden, and so is what has nothing else in it.
const items = all("[data-sort] tbody tr, [data-item]");
const search = made("input", "search", "search");
search.placeholder = search.ariaLabel = "Search";
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/);
  for (const item of items) {
    const text = item.textContent.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of all("[data-group]")) {
    const inside = all(":is([data-sort] tbody tr, [data-item])", group);
    group.hidden = inside.length > 0 && inside.every((item) => item.hidden);
  }
});
if (items.length) document.querySelector("[data-search]")?.append(search);

// Sort: by a click on a heading, and in the other direction by the next one.
const collator = new Intl.Collator(undefined, { numeric: true });
for (const table of all("table[data-sort]")) {
  all("thead th", table).forEach((heading, column, headings) => {
    const button = made("button", "button", "");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const direction = heading.ariaSort === "ascending" ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.ariaSort = direction;
      const text = (row) => row.cells[column].textContent.replace(/(\d),(?=\d)/g, "$1");
      const rows = all("tbody tr", table).sort((a, b) => collator.compare(text(a), text(b)));
      table.tBodies[0].append(...(direction === "ascending" ? rows : rows.reverse()));
    });
  });
}

// Copy: a button beside each command.
for (const code of all("code[data-copy]")) {
  const button = made("button", "button", "copy");
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  });
  code.after(button);
}
