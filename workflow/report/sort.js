// Turn each column header of a sortable table into a button that sorts by the column. Numbers are compared by value,
// whatever text follows them; cells without a number come last in ascending order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const number = (text) => parseFloat(text.replace(/[×,+ ]/g, "").replace("−", "-"));
  const headers = table.tHead.rows[0].cells;
  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (row) => row.cells[header.cellIndex].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [number(key(a)), number(key(b))];
        const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || key(a).localeCompare(key(b)) : x - y;
        return ascending ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
}
