// Click a heading to sort by it; without scripts the table is as complete.
// What stands in a cell, to be compared: null where there is nothing, which comes last whichever way it is sorted.
const sortValue = (text, isNumber) => {
  if (!isNumber) return text === "–" ? null : text;
  const number = parseFloat(text.replace(/[<>,]/g, "").replace("−", "-"));
  return isNaN(number) ? null : number;
};
const compareValues = (x, y, up) => {
  if (x === null || y === null) return (x === null) - (y === null);
  return (typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true })) * (up ? 1 : -1);
};
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("th").forEach((heading, place) => {
    const value = row => sortValue(row.cells[place].textContent.trim(), heading.classList.contains("number"));
    heading.tabIndex = 0;
    const sort = () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      [...table.tBodies[0].rows]
        .sort((a, b) => compareValues(value(a), value(b), up))
        .forEach(row => table.tBodies[0].append(row));
    };
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
